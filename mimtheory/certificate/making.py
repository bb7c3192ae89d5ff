"""Making a certificate: an exact argument first, then ever smaller balls until they prove the rank in time, or not."""

import math
import time
from collections.abc import Iterator

from mimtheory.certificate.degeneracy import why_degenerate
from mimtheory.certificate.record import NOT_COVERED, Certificate, as_written, recorded
from mimtheory.enclosures import Enclosure, Problem, enclose
from mimtheory.polynomial_derivatives import exact_moments
from mimtheory.rank_bounds import proved_signs

__all__ = ["certify"]

_TARGETS = (2e-2, 3e-3, 1e-4, 1e-6, 1e-9, 1e-12)
_FIRST_TARGET = {1: 2, 2: 1}  # where the targets begin for r = 1 and 2, where boxes are few
_SMALLER = 1e-3


def certify(
    problem: Problem, time_limit: float = 60.0, digits: int | None = None, known: Enclosure | None = None
) -> Certificate:
    """Prove what can be proved of the rank of C within the time.

    Parameters
    ----------
    problem : Problem
    time_limit : float
        Seconds after which nothing new is begun. A proof that was under way then is kept if it ends within twice the
        time; what takes longer is not reported.
    digits : int, optional
        Decimal digits to which C is enclosed even where fewer prove the rank.
    known : Enclosure, optional
        Balls that were found before.
    """
    start = time.monotonic()
    deadline, latest = start + time_limit, start + 2 * time_limit
    reason = why_degenerate(problem)
    if reason is not None and time.monotonic() <= latest:
        rank, argument = reason
        return recorded(problem, "degenerate", start, argument=argument, rank=rank)
    least = math.inf if digits is None else 10.0**-digits
    exact = exact_moments(problem.link, problem.loss, problem.centre, problem.noise) is not None
    found, proved = known, False
    for target in _targets(problem.link.r, least):
        if found is None or found.radius > target:
            try:
                found = enclose(problem, min(least, target), deadline)
            except ArithmeticError as wrong:
                return recorded(problem, "undecided", start, found, f"{str(wrong)[0].upper()}{str(wrong)[1:]}.")
        if found is None:
            return recorded(problem, "undecided", start, argument=NOT_COVERED)
        found = as_written(found)
        proved = proved_signs(found.C, exact) is not None and found.radius <= least and math.isfinite(found.radius)
        if proved or time.monotonic() > deadline or (found.radius > target < _TARGETS[-1]):
            break
    if not proved or time.monotonic() > latest:
        reached = math.inf if found is None else found.radius
        text = f"After {time.monotonic() - start:.2g} s of {time_limit:g} s the radius is {reached:.1e}."
        return recorded(problem, "undecided", start, found, text)
    return recorded(problem, "proved", start, found, exact=exact)


def _targets(r: int, least: float) -> Iterator[float]:
    """Radii to try, ever smaller ones down to the least double: the rank does not depend on how small T is."""
    target = _TARGETS[-1]
    yield from _TARGETS[_FIRST_TARGET.get(r, 0) :]
    if least < target:
        yield (target := least)
    while (target := target * _SMALLER) > 0:
        yield target
