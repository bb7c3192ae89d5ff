"""One Hypothesis profile for the whole suite: no deadline, the same examples on every run."""

from hypothesis import settings

settings.register_profile("mimtheory", deadline=None, derandomize=True, database=None)
settings.load_profile("mimtheory")
