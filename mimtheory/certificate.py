"""Certificates: what is proved of the rank and the eigenvalues of C, in a file that can be checked by itself.

A certificate says `proved` (all eigenvalues are away from 0, with bounds), `degenerate` (an exact argument why C is
singular) or `undecided` (the radius that was reached in the time). `check_certificate` reads only the file, computes C
again by the second route of `enclosures`, and recounts the eigenvalues by the second route of `rank_bounds`.
"""

import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from html import escape
from pathlib import Path
from typing import Any, Literal

import flint

from mimtheory.arguments import check_time
from mimtheory.balls import ball_from_text, ball_to_text, certified_text, precision
from mimtheory.certificate_fields import fault_in
from mimtheory.closed_forms import closed_form
from mimtheory.enclosures import Enclosure, Problem, enclose
from mimtheory.html_tables import html_table
from mimtheory.links import link
from mimtheory.losses import loss
from mimtheory.polynomial_derivatives import exact_moments, exact_moments_by_monomials
from mimtheory.rank_bounds import counted_inertia, spectrum_bounds
from mimtheory.symmetries import constant_T, idle_direction, pattern

__all__ = ["Certificate", "Check", "certify", "check_certificate", "why_degenerate"]

_SCHEMA = 1
_TARGETS = (2e-2, 3e-3, 1e-4, 1e-6, 1e-9, 1e-12)
_FIRST_TARGET = {1: 2, 2: 1}  # where the targets begin for r = 1 and 2, where boxes are few
_BITS = 13_000  # of a ball as it is written: fewer than 4000 digits
_SMALLER = 1e-3
_NOT_COVERED = (
    "No certified method covers this link and loss; covered are a polynomial l', kinked losses up to r = 4, smooth or "
    "noisy ones up to r = 3, and up to six coordinates quadratic links and sums of functions of one coordinate each."
)


@dataclass(frozen=True)
class Certificate:
    """What is proved of C = E[T (z z^T - I)].

    Attributes
    ----------
    link, loss, centre, label_noise : str
        The problem, exactly.
    r : int
    status : {"proved", "degenerate", "undecided"}
    rank : int or None
        The rank, where it is known.
    inertia : (int, int) or None
        Number of positive and of negative eigenvalues.
    lambda_min_abs_lower, lambda_max_abs_upper : float
        Proven bounds on the absolute values of all eigenvalues, in units of T.
    method, argument : str
        How the balls were found; why C is singular or why nothing is decided.
    radius : float
        Largest radius of a ball of C, in units of T.
    seconds : float
        The time it took.
    C : r x r tuple of str, or None
        The balls, exactly, in units of T.
    symmetries : tuple of str
        Symmetries of the link that were used.
    """

    link: str
    loss: str
    centre: str
    label_noise: str
    r: int
    status: Literal["proved", "degenerate", "undecided"]
    rank: int | None
    inertia: tuple[int, int] | None
    lambda_min_abs_lower: float
    lambda_max_abs_upper: float
    method: str
    argument: str
    radius: float
    seconds: float
    C: tuple[tuple[str, ...], ...] | None
    symmetries: tuple[str, ...]

    def __str__(self) -> str:
        noise = "" if self.label_noise == "0" else f", label noise {self.label_noise}"
        head = f"C = E[T (z z^T - I)], T = l'({self.centre}, y), y = {self.link}{noise}, l = {self.loss}: "
        how = (
            "" if self.argument == _NOT_COVERED else f" ({self.method}; radius {self.radius:.1e}, {self.seconds:.2g} s)"
        )
        if self.status == "degenerate":
            rank = "" if self.rank is None else f" It has rank {self.rank} of {self.r}."
            return f"{head}C is singular.{rank} {self.argument}"
        if self.status == "undecided":
            return f"{head}undecided. {self.argument}{how}"
        assert self.inertia is not None
        positive, negative = self.inertia
        return (
            f"{head}C has full rank {self.rank}, {positive} positive and {negative} negative eigenvalues, and "
            f"{self.lambda_min_abs_lower!r} <= |eigenvalue| <= {self.lambda_max_abs_upper!r} for all of them. "
            f"Proved{how}."
        )

    def _repr_html_(self) -> str:
        return f"<p>{escape(str(self))}</p>" + (html_table(self._readable(), "C, in units of T") if self.C else "")

    def to_json(self) -> str:
        """The file's text: the fields and their digest."""
        fields = dataclasses.asdict(self) | {"schema": _SCHEMA, "balls": self._readable()}
        return json.dumps(fields | {"digest": _digest(fields)}, indent=2, ensure_ascii=False)

    def _readable(self) -> list[list[str]]:
        return [] if self.C is None else [[certified_text(x) for x in row] for row in _matrix(self.C).tolist()]

    def write(self, path: str | Path) -> None:
        """Write to `path` the file that `check_certificate` reads."""
        Path(path).write_text(self.to_json() + "\n", encoding="utf-8")


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
        return _certificate(problem, "degenerate", start, argument=argument, rank=rank)
    least = math.inf if digits is None else 10.0**-digits
    exact = exact_moments(problem.link, problem.loss, problem.centre, problem.noise) is not None
    found, proved = known, False
    for target in _targets(problem.link.r, least):
        if found is None or found.radius > target:
            found = enclose(problem, min(least, target), deadline)
        if found is None:
            return _certificate(problem, "undecided", start, argument=_NOT_COVERED)
        found = _rounded(found)
        proved = _signs(found.C, exact) is not None and found.radius <= least and math.isfinite(found.radius)
        if proved or time.monotonic() > deadline or (found.radius > target < _TARGETS[-1]):
            break
    if not proved or time.monotonic() > latest:
        reached = math.inf if found is None else found.radius
        text = f"After {time.monotonic() - start:.2g} s of {time_limit:g} s the radius is {reached:.1e}."
        return _certificate(problem, "undecided", start, found, text)
    return _certificate(problem, "proved", start, found, exact=exact)


def _targets(r: int, least: float) -> Iterator[float]:
    """Radii to try, ever smaller ones without end: the rank does not depend on how small T is."""
    target = _TARGETS[-1]
    yield from _TARGETS[_FIRST_TARGET.get(r, 0) :]
    if least < target:
        yield (target := least)
    while target > 0:
        target *= _SMALLER
        yield target


def _rounded(found: Enclosure) -> Enclosure:
    """Its balls as they will be written."""
    with precision(_BITS):
        return dataclasses.replace(found, C=flint.arb_mat([[+x for x in row] for row in found.C.tolist()]))


def _signs(C: flint.arb_mat, counted: bool) -> tuple[int, int] | None:
    """The inertia of every matrix in the balls, where it is proved; by counting alone if that is asked for, as of exact
    matrices, whose small eigenvalues may be those of no double."""
    inertia = spectrum_bounds(C).inertia
    return counted_inertia(C, 0.0, math.inf) if inertia is None and counted else inertia


def _certificate(
    problem: Problem,
    status: Literal["proved", "degenerate", "undecided"],
    start: float,
    found: Enclosure | None = None,
    argument: str = "",
    rank: int | None = None,
    exact: bool = False,
) -> Certificate:
    texts = None if found is None or not math.isfinite(found.radius) else _texts(found.C)
    # of the balls as they are written, which a reader will bound again
    spectrum = None if texts is None else spectrum_bounds(_matrix(texts))
    proved = spectrum is not None and status == "proved"
    assert spectrum is not None or not proved
    return Certificate(
        link=problem.link.text,
        loss=problem.loss.text,
        centre=str(problem.centre),
        label_noise=str(problem.noise),
        r=problem.link.r,
        status=status,
        rank=problem.link.r if proved else rank,
        inertia=_signs(_matrix(texts), exact) if proved and texts else None,
        lambda_min_abs_lower=spectrum.least if proved and spectrum else 0.0,
        lambda_max_abs_upper=spectrum.most if spectrum else math.inf,
        method=found.route if found else "none" if status == "undecided" else "an exact argument",
        argument=argument,
        radius=math.inf if found is None and status == "undecided" else 0.0 if found is None else found.radius,
        seconds=time.monotonic() - start,
        C=texts,
        symmetries=() if found is None else found.symmetries,
    )


def _texts(C: flint.arb_mat) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(ball_to_text(C[i, j]) for j in range(C.ncols())) for i in range(C.nrows()))


def _matrix(texts: tuple[tuple[str, ...], ...]) -> flint.arb_mat:
    with precision(_BITS):
        return flint.arb_mat([[ball_from_text(x) for x in row] for row in texts])


def why_degenerate(problem: Problem) -> tuple[int | None, str] | None:
    """(rank where known, argument) if an exact argument shows that C is singular, else None."""
    g, l, c = problem.link, problem.loss, problem.centre  # noqa: E741 - the theory's symbol
    exact = exact_moments(g, l, c, problem.noise)
    if exact is not None:
        rank = exact.C.rank
        if rank == g.r:
            return None
        return (
            rank,
            f"Its entries are exact numbers, and its characteristic polynomial has the root 0 {g.r - rank}-fold.",
        )
    if not problem.noise:
        constant = constant_T(g, l, c) or _one_piece(problem)
        if constant is not None:
            return 0, f"{constant}, and E[z z^T - I] = 0."
    symmetries = pattern(g, l, c)
    if symmetries.degenerate:
        zero = all(sign == 0 for row in symmetries.C for sign, _ in row)
        return (0 if zero else None), (
            f"By symmetry: {'; '.join(symmetries.used)}"
            + (", T is odd" if any("= -g" in text for text in symmetries.used) else "")
            + (": C = 0." if zero else ": every matrix with these zeros and equalities has determinant 0.")
        )
    direction = idle_direction(g)
    if direction is not None:
        text = ", ".join(map(str, direction))
        return None, f"g does not change along v = ({text}), a direction independent of y, so C v = 0."
    return None


def _one_piece(problem: Problem) -> str | None:
    """r = 1: whether T takes one constant between all its cuts."""
    form = closed_form(problem.link, problem.loss, problem.centre)
    if form is None:
        return None
    pieces = set(form.pieces())
    if len(pieces) == 1 and len(next(iter(pieces)).coefficients) == 1:
        return "T(g(z)) is constant: c - g stays between the same two kinks of l'"
    return None


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
    if digest != _digest(fields):
        return Check("rejected", "the digest does not fit: the file was edited")
    if (fault := fault_in(fields, _SCHEMA)) is not None:
        return Check("rejected", fault)
    readable = fields.pop("balls")
    made = _read(fields)
    try:
        problem = Problem(link(made.link), loss(made.loss), Fraction(made.centre), Fraction(made.label_noise))
    except ValueError as wrong:
        return Check("rejected", str(wrong))
    if made.r != problem.link.r or readable != made._readable():
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
            raise ValueError("other fields than those of a certificate")
    except (OSError, ValueError, RecursionError) as wrong:
        raise ValueError(
            f"path = {str(path)[:200]!r} is not a certificate ({wrong}); allowed: a file that certify wrote"
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


def _digest(fields: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _check_argument(made: Certificate, problem: Problem) -> Check:
    reason = why_degenerate(problem)
    if reason is None:
        return Check("rejected", "no exact argument shows that C is singular")
    wanted = _certificate(problem, "degenerate", time.monotonic(), argument=reason[1], rank=reason[0])
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
    C = _matrix(made.C)
    # read back from their text balls are larger by rounding
    if not made.radius * (1 + 2.0**-20) >= max(float(ball.rad()) for ball in C.entries()):
        return Check("rejected", f"the balls are wider than the radius {made.radius!r}")
    spectrum = spectrum_bounds(C)
    recorded = made.lambda_min_abs_lower, made.lambda_max_abs_upper
    if (spectrum.least, spectrum.most) != recorded:
        return Check("rejected", f"the balls give the bounds {spectrum.least!r} and {spectrum.most!r}, not {recorded}")
    if counted_inertia(C, *recorded) != made.inertia:
        return Check("rejected", "counting the eigenvalues does not confirm the bounds")
    # the radius reached is below the target that was asked for; half of the time is for the second route
    now = time.monotonic()
    again = enclose(problem, max(2 * Fraction(made.radius), Fraction(1, 10**100)), now + (deadline - now) / 2)
    if again is None:
        return Check("rejected", "no certified method covers this link and loss")
    if again.symmetries != made.symmetries:
        return Check("rejected", f"the symmetries that are used are {again.symmetries}")
    if (clash := _clash(again, C)) is not None:
        return Check("rejected", clash)
    reached = ""
    for target in (spectrum.least / 4, spectrum.least / 30, spectrum.least / 300):
        other = enclose(problem, max(made.radius, target / made.r), deadline, route=2)
        if other is None:
            return Check("undecided", "no second route covers this link and loss")
        if (clash := _clash(other, C, again)) is not None:
            return Check("rejected", clash)
        if _signs(other.C, True) == made.inertia:
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
