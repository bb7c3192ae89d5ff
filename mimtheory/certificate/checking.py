"""Checking a certificate from its file alone, by other routes than those that made it: `making` is not used here."""

import dataclasses
import json
import math
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import flint

from mimtheory.arguments import check_time
from mimtheory.certificate.degeneracy import why_degenerate
from mimtheory.certificate.fields import fault_in
from mimtheory.certificate.record import SCHEMA, Certificate, balls_of, digest_of, readable, recorded
from mimtheory.enclosures import Enclosure, Problem, enclose
from mimtheory.links import link
from mimtheory.losses import loss
from mimtheory.polynomial_derivatives import exact_moments_by_monomials
from mimtheory.rank_bounds import counted_inertia, proved_signs, spectrum_bounds

__all__ = ["Check", "check_certificate"]


@dataclass(frozen=True)
class Check:
    """Outcome of checking a certificate; true only where an independent route confirms it.

    Attributes
    ----------
    status : {"confirmed", "rejected", "undecided"}
    reason : str
        How it was confirmed, why it is rejected, or what could not be done in the time.
    """

    status: Literal["confirmed", "rejected", "undecided"]
    reason: str

    def __bool__(self) -> bool:
        return self.status == "confirmed"

    def __str__(self) -> str:
        return f"{self.status}: {self.reason}"


def check_certificate(path: str | Path, time_limit: float = 60.0) -> Check:
    """Check a certificate from its file alone, by routes independent of those that made it; not checked are `method`
    and `seconds`, which say how it was made.

    The digest must fit, and every field be of its kind and within its range; the recorded bounds must be those that the
    recorded balls give, and hold by exact counting of eigenvalues; C computed again by both routes must overlap every
    recorded ball, and the balls of the second route by themselves must prove the same signs. An exact argument is
    derived again, and an exact C recomputed from the moments of monomials.

    Parameters
    ----------
    path : str or Path
    time_limit : float
        Seconds for computing C again.

    Raises
    ------
    ValueError
        If the file cannot be read or has other fields than a certificate, or the time limit is no positive number.

    Source: docs/theory/certified.md, What a check establishes.
    """
    check_time(time_limit)
    fields = _loaded(path)
    digest = fields.pop("digest")
    if digest != digest_of(fields):
        return Check("rejected", "the digest does not fit: the file was edited")
    if (fault := fault_in(fields, SCHEMA)) is not None:
        return Check("rejected", fault)
    balls = fields.pop("balls")
    made = _read(fields)
    try:
        problem = Problem(link(made.link), loss(made.loss), Fraction(made.centre), Fraction(made.label_noise))
    except ValueError as wrong:
        return Check("rejected", str(wrong))
    if made.r != problem.link.r or balls != readable(made.C):
        return Check("rejected", "the fields contradict each other")
    if made.status == "undecided":
        return Check("undecided", "it claims nothing")
    if made.status == "degenerate":
        return _check_argument(made, problem)
    return _check_balls(made, problem, time.monotonic() + time_limit)


def _loaded(path: str | Path) -> dict[str, Any]:
    """The fields of the file, all of them and no others, whatever they hold."""
    wanted = {*(field.name for field in dataclasses.fields(Certificate)), "schema", "balls", "digest"}
    try:
        fields = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(fields, dict) or set(fields) != wanted:
            report = isinstance(fields, dict) and "lemmas" in fields
            raise ValueError("a report of verify" if report else "other fields than those of a certificate")
    except (OSError, ValueError, RecursionError) as wrong:
        why = wrong.strerror if isinstance(wrong, OSError) else wrong  # an OSError would repeat the path
        raise ValueError(
            f"path = {str(path)[:200]!r} is not a certificate ({why}); allowed: a file that certify wrote"
        ) from None
    return fields


def _read(fields: dict[str, Any]) -> Certificate:
    """The certificate of fields without fault."""
    tuples = {
        "inertia": None if fields["inertia"] is None else tuple(fields["inertia"]),
        "symmetries": tuple(fields["symmetries"]),
        "C": None if fields["C"] is None else tuple(tuple(row) for row in fields["C"]),
    }
    return Certificate(**{name: value for name, value in (fields | tuples).items() if name != "schema"})


def _check_argument(made: Certificate, problem: Problem) -> Check:
    reason = why_degenerate(problem)
    if reason is None:
        return Check("rejected", "no exact argument shows that C is singular")
    wanted = recorded(problem, "degenerate", time.monotonic(), argument=reason[1], rank=reason[0])
    wanted = dataclasses.replace(wanted, method=made.method, seconds=made.seconds)
    for name, value in dataclasses.asdict(wanted).items():
        if getattr(made, name) != value:
            return Check("rejected", f"the argument for this link and loss gives {name} = {value!r}")
    exact = exact_moments_by_monomials(problem.link, problem.loss, problem.centre, problem.noise)
    if exact is None:
        return Check("confirmed", "the argument was derived again")
    if exact.C.rank != made.rank:
        return Check("rejected", f"the exact rank is {exact.C.rank}")
    return Check("confirmed", "the exact moments of monomials")


def _check_balls(made: Certificate, problem: Problem, deadline: float) -> Check:
    if made.C is None or made.inertia is None or made.rank != made.r or made.argument or math.isinf(made.radius):
        return Check("rejected", "the balls, their radius or the signs are missing, or stand beside an argument")
    C = balls_of(made.C)
    if (fault := _fault_in_bounds(made, C)) is not None:
        return Check("rejected", fault)
    # the radius reached is below the target that was asked for; half of the time is for the second route
    now = time.monotonic()
    again = enclose(problem, max(2 * Fraction(made.radius), Fraction(1, 10**100)), now + (deadline - now) / 2)
    if again is None:
        return Check("rejected", "no certified method covers this link and loss")
    if again.symmetries != made.symmetries:
        return Check("rejected", f"the symmetries that are used are {again.symmetries}")
    if (clash := _clash(again, C)) is not None:
        return Check("rejected", clash)
    return _check_signs(made, problem, C, again, deadline)


def _fault_in_bounds(made: Certificate, C: flint.arb_mat) -> str | None:
    """What of the radius, the bounds and the signs the recorded balls C do not give."""
    # read back from their text balls are larger by rounding
    if not made.radius * (1 + 2.0**-20) >= max(float(ball.rad()) for ball in C.entries()):
        return f"the balls are wider than the radius {made.radius!r}"
    spectrum = spectrum_bounds(C)
    bounds = made.lambda_min_abs_lower, made.lambda_max_abs_upper
    if (spectrum.least, spectrum.most) != bounds:
        return f"the balls give the bounds {spectrum.least!r} and {spectrum.most!r}, not {bounds}"
    if counted_inertia(C, *bounds) != made.inertia:
        return "counting the eigenvalues does not confirm the bounds"
    return None


def _check_signs(made: Certificate, problem: Problem, C: flint.arb_mat, again: Enclosure, deadline: float) -> Check:
    """The second route alone: its balls meet those of the record and of the first route, and prove the signs."""
    reached, least = "", made.lambda_min_abs_lower
    for target in (least / 4, least / 30, least / 300):
        other = enclose(problem, max(made.radius, target / made.r), deadline, route=2)
        if other is None:
            return Check("undecided", "no second route covers this link and loss")
        if (clash := _clash(other, C, again)) is not None:
            return Check("rejected", clash)
        if proved_signs(other.C, True) == made.inertia:
            return Check("confirmed", f"{other.route} at radius {other.radius:.1e}")
        reached = f"{other.route} reached radius {other.radius:.1e} only, which does not prove the signs"
        if time.monotonic() > deadline:
            break
    return Check("undecided", reached)


def _clash(found: Enclosure, C: flint.arb_mat, again: Enclosure | None = None) -> str | None:
    """The first number whose enclosures are disjoint: an entry of C, or E T and E[T z] of two routes."""
    both = {f"entry ({i + 1}, {j + 1})": (found.C[i, j], C[i, j]) for i in range(C.nrows()) for j in range(C.ncols())}
    if again is not None:
        both["E T"] = found.mean, again.mean
        both |= {f"E[T z{i + 1}]": pair for i, pair in enumerate(zip(found.first, again.first, strict=True))}
    for what, (one, other) in both.items():
        if not one.overlaps(other):
            return f"{found.route}: {what} is {one}, not {other}"
    return None
