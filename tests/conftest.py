"""One Hypothesis profile for the whole suite: no deadline, the same examples on every run; oracles of many digits."""

from collections.abc import Iterator

import mpmath
import pytest
from hypothesis import settings

settings.register_profile("mimtheory", deadline=None, derandomize=True, database=None)
settings.load_profile("mimtheory")


@pytest.fixture
def sixty_digits() -> Iterator[None]:
    """mpmath computes with 60 digits."""
    with mpmath.workdps(60):
        yield
