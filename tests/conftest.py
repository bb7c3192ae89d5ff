"""One Hypothesis profile for the whole suite: no deadline, the same examples on every run; oracles of many digits; one
thread of BLAS."""

import os
from collections.abc import Iterator

import mpmath
import pytest
from hypothesis import settings

# Before NumPy is loaded, and for the processes that tests start: with a thread for each processor in each worker there
# are more threads than processors, and on small matrices they spend most of the time waiting for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

settings.register_profile("mimtheory", deadline=None, derandomize=True, database=None)
settings.load_profile("mimtheory")


@pytest.fixture
def sixty_digits() -> Iterator[None]:
    """mpmath computes with 60 digits."""
    with mpmath.workdps(60):
        yield
