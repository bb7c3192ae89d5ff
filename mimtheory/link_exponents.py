"""How hard a link is, by three exponents, and why a preprocessing of the labels can make it easier.

Definitions and proofs: docs/theory/exponents.md.
"""

import time
from dataclasses import dataclass

from flint import arb

from mimtheory import links
from mimtheory.arguments import check_time
from mimtheory.certificate import Certificate, certify
from mimtheory.enclosures import enclose
from mimtheory.hessian import problem_of
from mimtheory.links import Link
from mimtheory.losses import Loss
from mimtheory.polynomials import Polynomial
from mimtheory.rank_bounds import spectrum_bounds
from mimtheory.surd_spans import Row, combined, complement, number, reduced

__all__ = ["Exponents", "exponents", "leaps"]

_RADIUS = 1e-3  # of the balls in which E[T z] and C are looked for
_SHARE = 0.75  # of the time for these balls; the rest is for arguments why C is singular and bounds on its eigenvalues


@dataclass(frozen=True)
class Exponents:
    """Exponents of a link, and what T = l'(c, y) does to them.

    Attributes
    ----------
    information : int
        Smallest k >= 1 such that g has a Hermite component of degree k.
    leaps : tuple of int
        Orders at which directions become visible, one after the other, when those before are known.
    isotropic_leap : int
        The largest of them.
    generative_at_most : 1, 2 or None
        1 if E[T z] != 0 is proved for this T, 2 if C != 0 is; None where neither is.
    certificate : Certificate
        What is proved of C.
    explanation : str
        All of this in sentences.
    """

    information: int
    leaps: tuple[int, ...]
    isotropic_leap: int
    generative_at_most: int | None
    certificate: Certificate
    explanation: str

    def __str__(self) -> str:
        return self.explanation


def exponents(
    link: Link | str, loss: Loss | str, centre: float = 0.0, label_noise: float = 0.0, time_limit: float = 60.0
) -> Exponents:
    """Exponents of the link before and after the labels pass through T = l'(centre, y).

    Parameters
    ----------
    link : Link or str
    loss : Loss or str
    centre, label_noise : float
        In units of y.
    time_limit : float
        Seconds, of which what is proved of C and E[T z] has what the leaps leave. As for `certify`, what is under way
        then may end later.

    Raises
    ------
    ValueError
        For a link, loss, centre or noise that cannot be read, or a time that is not positive.

    Source: docs/theory/exponents.md, Exponents of a link.

    Examples
    --------
    >>> exponents("h4+h4", "huber(1)").generative_at_most
    2
    """
    check_time(time_limit)
    g, seconds = links.link(link), float(time_limit)
    problem = problem_of(g, loss, centre, label_noise)
    start, kept = time.monotonic(), (1 - _SHARE) * seconds
    found = leaps(g)
    balls = enclose(problem, _RADIUS, start + _SHARE * seconds)
    certificate = certify(problem, max(start + seconds - time.monotonic(), kept), known=balls)
    generative: int | None = None
    if balls is not None and any(_away(x) for x in balls.first):
        generative = 1
    elif balls is not None and (spectrum_bounds(balls.C).rank_at_least > 0 or any(map(_away, balls.C.entries()))):
        generative = 2
    return Exponents(
        g.information_exponent,
        found,
        max(found),
        generative,
        certificate,
        _explained(g, problem.loss.text, found, generative, certificate.status, certificate.rank),
    )


def _away(x: arb) -> bool:
    return bool(x.is_finite()) and not x.contains(0)


def _explained(
    g: Link, loss: str, found: tuple[int, ...], generative: int | None, status: str, rank: int | None
) -> str:
    k = g.information_exponent
    text = [f"{g.text}: information exponent {k}, leaps {', '.join(map(str, found))}."]
    if status == "degenerate" and rank == 0:
        text.append(f"With {loss}, C = 0: no direction is visible at second order.")
        if k > 2 and generative is None:
            text.append("For this method the link is hard.")
    elif status == "degenerate":
        text.append(f"With {loss}, C is singular: not all directions are visible at second order.")
    elif status == "proved":
        text.append(f"With {loss}, C has full rank: every direction is visible at second order, the link is easy.")
    else:
        text.append(f"With {loss}, the rank of C is undecided.")
    if generative is not None:
        moment = "E[T z]" if generative == 1 else "C = E[T (z z^T - I)]"
        text.append(f"{moment} is not 0, so the generative exponent is at most {generative}.")
        if generative < k:
            text.append(
                f"T = l'(c, y) is not linear in y: it brings components of degree {generative} to the labels, which g "
                f"itself lacks below degree {k}."
            )
    else:
        text.append("Whether the generative exponent is at most 2 is undecided by this loss.")
    return " ".join(text)


def leaps(g: Link) -> tuple[int, ...]:
    """Orders at which new directions become visible; their largest is the isotropic leap.

    With U spanned by the directions that are known, G = exp(Laplacian/2) g is written in coordinates s along U and t
    along its complement. The next leap is the least degree k >= 1 in t of a monomial, and what becomes known are the
    directions on which the forms of degree k in t depend: the complement keeps those that no covector of them sees.

    Parameters
    ----------
    g : Link

    Source: docs/theory/exponents.md, Exponents of a link.
    """
    G, r = g.polynomial.heat(1), g.r
    known: list[Row] = []
    rest = complement([], r)
    found: list[int] = []
    while rest:
        step = _next(G, known, rest)
        if step is None:
            break
        order, covectors = step
        unseen = complement(covectors, len(rest))
        found += [order] * (len(rest) - len(unseen))
        rest = reduced([combined(row, rest) for row in unseen], r)[0]
        known = complement(rest, r)
    return tuple(found)


def _next(G: Polynomial, known: list[Row], rest: list[Row]) -> tuple[int, list[Row]] | None:
    """Least order of a component beyond the known directions, and the covectors of the directions it depends on."""
    if known:
        variables = [Polynomial.variable(G.r, j) for j in range(G.r)]
        zero = Polynomial(G.r, {})
        rows = [*known, *rest]
        G = G.substitute(
            [sum((_lifted(row[k], G.r) * v for row, v in zip(rows, variables, strict=True)), zero) for k in range(G.r)]
        )
    m = len(known)
    orders = {sum(index[m:]) for index in G.terms} - {0}
    if not orders:
        return None
    order = min(orders)
    covectors: dict[tuple[int, ...], Row] = {}
    for index, surd in G.terms.items():
        if sum(index[m:]) != order:
            continue
        for j, exponent in enumerate(index[m:]):
            if exponent:
                # up to a factor, the derivative of the form by all its variables but one t_j has this entry at t_j
                beside = (*index[: m + j], exponent - 1, *index[m + j + 1 :])
                row = covectors.setdefault(beside, [number({})] * len(rest))
                row[j] = number({s: value * exponent for s, value in surd.items()})
    return order, list(covectors.values())


def _lifted(x: Polynomial, r: int) -> Polynomial:
    """A number as a constant in r variables."""
    return Polynomial.from_terms(r, {(0,) * r: x.terms.get((0,), {})})
