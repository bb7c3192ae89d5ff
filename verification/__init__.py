"""The paper's verification: which settings, which criteria, and what was found. `python -m verification fig2`, for
example.

It is the first user of the public interface of `mimtheory`, which says what the statements are and checks them for
any setting.
"""
