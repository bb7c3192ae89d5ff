"""The assumptions of the theory as checkable objects: does this problem satisfy them, with the numbers that say so.

Nothing here needs a draw. The condition on eps0 rests on the lemmas and is found by `advisor`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import ROUND_DOWN, Context
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from mimtheory.losses import Loss
from mimtheory.losses import loss as loss_of
from mimtheory.population import Population

if TYPE_CHECKING:
    from mimtheory.certificate import Certificate
    from mimtheory.enclosures import Problem

__all__ = ["ASSUMPTIONS", "Finding", "check", "fails"]

_ROUNDED = 1e-9  # of sqrt(E T^2): E T at a centre that is a root but for rounding, whatever the units of T are
_SECONDS = 2.0  # for a certificate of the rank of C, once for each problem in a process

# how the constants of a loss or an activation are known, as a finding says it
_KNOWN = {"exact": "", "certified": " (certified)", "numerical": " (searched for on a grid, not proved)"}

_FAR = np.array([-(2.0**40), 2.0**40])  # errors at which a derivative has the sign of its limit

Answer = Literal["holds", "fails", "undecided"]


@dataclass(frozen=True)
class Finding:
    """What is known of one assumption for one problem.

    Attributes
    ----------
    label : str
        The paper's label of the assumption.
    status : {"holds", "fails", "undecided"}
    reason : str
        One sentence.
    numbers : dict of str to float
    """

    label: str
    status: Answer
    reason: str
    numbers: dict[str, float] = field(default_factory=dict)


def link_first(population: Population) -> Finding:
    """g is a polynomial; r and its degree are constants."""
    g = population.setting.link
    coordinates = "coordinate" if g.r == 1 else "coordinates"
    return Finding(
        "assumption_link_first",
        "holds",
        f"g is a polynomial of degree {g.degree} in {g.r} {coordinates} with information exponent "
        f"{g.information_exponent}.",
        {"r": g.r, "degree": g.degree, "information_exponent": g.information_exponent},
    )


def activation(population: Population) -> Finding:
    """sigma in C^3 with sigma'(0) = 0, sigma''(0) = 1 and a bounded third derivative."""
    sigma = population.setting.activation
    numbers = {"M3": sigma.M3, "M4": sigma.M4}
    if sigma.reason is not None:
        return Finding("assumption_activation", "fails", f"{sigma.text}: {sigma.reason}.", numbers)
    bound = f"|sigma'''| <= {sigma.M3:.4g}{_KNOWN[sigma.constants]}"
    return Finding("assumption_activation", "holds", f"{sigma.text} is in C^3 with {bound}.", numbers)


def loss(population: Population) -> Finding:
    """l convex in the prediction, with bounded and Lipschitz l'."""
    l = population.setting.loss  # noqa: E741 - the theory's symbol
    numbers = {"K": l.K, "L2": l.L2}
    if not math.isfinite(l.K):
        return Finding("assumption_loss", "fails", f"|l'| is unbounded for {l.text}: take huber(delta).", numbers)
    if not math.isfinite(l.L2) and not population.f_stays_zero:
        reason = f"l' of {l.text} jumps: bounds without a draw need f = 0 throughout (beta1 = 1/eta1, sigma even)."
        return Finding("assumption_loss", "fails", reason, numbers)
    return Finding("assumption_loss", "holds", f"|l'| <= {l.K:g} for {l.text}{_KNOWN[l.constants]}.", numbers)


def loss_relaxed(population: Population) -> Finding:
    """l convex, l' of polynomial growth."""
    l = population.setting.loss  # noqa: E741 - the theory's symbol
    growth = "linearly" if math.isfinite(l.K) or math.isfinite(l.L2) else "polynomially"
    if (reason := _unknown_growth(l)) is not None:
        return Finding("assumption_loss_relaxed", "undecided", f"{l.text} is convex; {reason}.")
    return Finding("assumption_loss_relaxed", "holds", f"{l.text} is convex and its derivative grows at most {growth}.")


def _unknown_growth(l: Loss) -> str | None:  # noqa: E741 - the theory's symbol
    """Why no expectation of T is computed, None where it is: the integrals along lines need a bound on |l'|."""
    if math.isfinite(l.K) or math.isfinite(l.L2) or l.pieces is not None:
        return None
    return "whether its derivative grows at most polynomially is not known"


def ell(population: Population) -> Finding:
    """c0 = E T = 0, as centring achieves."""
    if (reason := _unknown_growth(population.setting.loss)) is not None:
        text = f"E T is not computed for {population.setting.loss.text}: {reason}."
        return Finding("assumption_ell", "undecided", text)
    c0, radius = population.c0, population.radius
    numbers = {"c0": c0, "radius": radius}
    centred = isinstance(population.setting.centre, str)
    if abs(c0) <= radius or (centred and abs(c0) <= radius + _ROUNDED * math.sqrt(population.moments.mean_T2)):
        return Finding("assumption_ell", "holds", "E T = 0 up to the error of the expectation.", numbers)
    remedy = "" if centred or not _centred(population.setting.loss) else "; centre='population' removes it"
    reason = f"E T = {c0:.4g}: the bulk sits there and may outgrow the signal{remedy}."
    return Finding("assumption_ell", "fails", reason, numbers)


def cov(population: Population) -> Finding:
    """C = E[T (z z^T - I)] has rank r."""
    if (reason := _unknown_growth(population.setting.loss)) is not None:
        text = f"C is not computed for {population.setting.loss.text}: {reason}."
        return Finding("assumption_cov", "undecided", text)
    eigenvalues = np.linalg.eigvalsh(population.C)
    smallest, error = float(np.abs(eigenvalues).min()), population.r * population.radius
    numbers = {f"l{k + 1}": float(value) for k, value in enumerate(eigenvalues)} | {"radius": population.radius}
    problem = _problem(population)
    if (refutation := _refutation(problem)) is not None:
        return Finding("assumption_cov", "fails", _why_degenerate(population, *refutation), numbers)
    found = _certificate(problem)
    if found.status == "proved":
        numbers["lambda_min_abs_lower"] = found.lambda_min_abs_lower
        least = Context(prec=4, rounding=ROUND_DOWN).create_decimal(found.lambda_min_abs_lower)
        reason = f"C has rank {population.r}, certified: |l_k| >= {least} for all k ({found.method})."
        return Finding("assumption_cov", "holds", reason, numbers)
    if smallest > error:
        reason = (
            f"C has rank {population.r} by an estimate, not certified: min |l_k| = {smallest:.4g} with error "
            f"{error:.1g}. {found.argument}"
        )
        return Finding("assumption_cov", "holds", reason, numbers)
    m = population.moments
    if m.mean_T2 - m.mean_T**2 <= m.radius * (1 + 2 * abs(m.mean_T)):
        remedy = "; centre='population' lets T vary" if _centred(population.setting.loss) else ""
        reason = (
            f"T = {m.mean_T:.4g} for all labels, up to the error of expectation: they are on one side of the centre. "
            f"Where T is constant C = 0{remedy}. {found.argument}"
        )
        return Finding("assumption_cov", "undecided", reason, numbers)
    reason = f"min |l_k| = {smallest:.2g} is within the error {error:.2g} of the expectation. {found.argument}"
    return Finding("assumption_cov", "undecided", reason, numbers)


def _problem(population: Population) -> "Problem":
    from mimtheory.enclosures import Problem

    s = population.setting
    return Problem(s.link, s.loss, Fraction(population.centre), Fraction(s.label_noise))


@lru_cache(maxsize=256)
def _refutation(problem: "Problem") -> tuple[int | None, str] | None:
    from mimtheory.certificate import why_degenerate

    return why_degenerate(problem)


@lru_cache(maxsize=256)
def _certificate(problem: "Problem") -> "Certificate":
    from mimtheory.certificate import certify

    return certify(problem, _SECONDS)


def _why_degenerate(population: Population, rank: int | None, argument: str) -> str:
    s = population.setting
    if rank == 0:
        if s.link.odd and s.loss.odd and population.centre == 0:
            argument = "The link is odd and so is T: C = 0."
        elif s.loss.name == "squared":
            argument = (
                f"C = -E Hess g = 0 for the squared loss: the information exponent is {s.link.information_exponent}."
            )
        return f"{argument.removesuffix('.')}{_remedy(population)}"
    known = "C is singular" if rank is None else f"C has rank {rank} of {population.r} exactly"
    return f"{known}: some directions are invisible to this loss. {argument}"


def _remedy(population: Population) -> str:
    """The end of a sentence that says C = 0: what is not refuted by an exact argument as well."""
    problem, best = _problem(population), loss_of("huber(1)")
    c = problem.centre
    moved = replace(problem, centre=c + Fraction(1, 2))
    said, offers = ";", []
    here = f"a centre that is not {float(c):g}, such as centre={float(moved.centre):g},"
    if _visible(moved):
        offers.append(here)
    if (
        _centred(problem.loss)
        and not isinstance(population.setting.centre, str)
        and len(problem.loss.pieces or ()) != 1
    ):
        if abs(population.c0) > population.radius:
            offers = ["centre='population'"]
        elif offers:
            said = f", and the population centre is {float(c):g} as well:"
    if _visible(replace(problem, loss=best)):
        offers.append(f"another loss, such as {best},")
    elif not offers and _visible(replace(moved, loss=best)):
        offers.append(f"{best} with {here}")
    return f"{said} {' or '.join(offers)} may see the signal." if offers else "."


def _visible(problem: "Problem") -> bool:
    refuted = _refutation(problem)
    return refuted is None or refuted[0] != 0


def _centred(l: Loss) -> bool:  # noqa: E741 - the theory's symbol
    """Whether this loss has a population centre: its derivative takes both signs."""
    below, above = l.dl(_FAR, 0.0)
    return bool(below < 0 < above)


def stage_two_activation(population: Population) -> Finding:
    """sigma is not a polynomial, so that stage two can fit any function of the signal."""
    sigma = population.setting.activation
    if sigma.polynomial:
        return Finding("def_activation", "fails", f"{sigma.text} is a polynomial: stage two cannot fit every link.")
    return Finding("def_activation", "holds", f"{sigma.text} is not a polynomial.")


ASSUMPTIONS: dict[str, Callable[[Population], Finding]] = {
    "assumption_link_first": link_first,
    "assumption_activation": activation,
    "assumption_loss": loss,
    "assumption_loss_relaxed": loss_relaxed,
    "assumption_ell": ell,
    "assumption_cov": cov,
    "def_activation": stage_two_activation,
}


def check(label: str, population: Population) -> Finding:
    """The finding of one assumption.

    Raises
    ------
    ValueError
        If no assumption has this label.
    """
    if label not in ASSUMPTIONS:
        raise ValueError(f"assumption = {label!r} is unknown; allowed: {', '.join(ASSUMPTIONS)}")
    return ASSUMPTIONS[label](population)


def fails(label: str, population: Population) -> bool:
    """Whether the finding of an assumption is "fails", without the time that proving the opposite takes.

    That C is singular is said for exact reasons only, which are found in milliseconds.
    """
    if label == "assumption_cov":
        return _refutation(_problem(population)) is not None
    return check(label, population).status == "fails"
