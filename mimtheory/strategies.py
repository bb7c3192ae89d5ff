"""Hypothesis strategies for the objects of the theory: structure, and a seed where chance comes in, never arrays.

Everything shrinks to what a reader would write down: few terms, small integers, the identity, seed 0.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from numpy.typing import NDArray

from mimtheory.activations import Activation, activation
from mimtheory.arguments import check_integer
from mimtheory.links import MAX_DEGREE, MAX_R, ZOO, Link, link
from mimtheory.losses import Loss, loss
from mimtheory.setting import Setting

__all__ = [
    "Rotation",
    "Symmetric",
    "activations",
    "links",
    "losses",
    "rotations",
    "seeds",
    "settings",
    "symmetric_matrices",
]

Floats = NDArray[np.float64]
Index = tuple[int, ...]

_TRIPLES = ((3, 4, 5), (5, 12, 13), (8, 15, 17))
_CUTS = tuple(Fraction(k, 10) for k in (10, 20, 5, 3, 1))
_TAUS = tuple(Fraction(k, 10) for k in (5, 2, 9))
# the expectations of a link of three coordinates take seconds, those of these milliseconds
_FAST_ZOO = ("h2", "h4", "product", "h4+h4", "h2h2", "mixed", "staircase2", "skewed", "odd")


def seeds() -> SearchStrategy[int]:
    """Seeds for `numpy.random.default_rng`."""
    return st.integers(0, 2**31 - 1)


@st.composite
def links(
    draw: DrawFn,
    *,
    r: int | None = None,
    degree: int = 4,
    exponent: int | None = None,
    size: int = 3,
    symmetric: bool = False,
    odd: bool = False,
    degenerate: bool = False,
) -> Link:
    """Polynomial links g = sum c_alpha He_alpha with few terms and small rational coefficients.

    Parameters
    ----------
    r : int
        Number of hidden coordinates; 1 or 2 if not given.
    degree : int
        Largest degree.
    exponent : int
        The information exponent, if it is to be given.
    size : int
        Largest |c_alpha|; the coefficients are integers or halves or thirds of them.
    symmetric : bool
        Invariant under permutations of the coordinates.
    odd : bool
        g(-z) = -g(z), so that C = 0 for every loss with odd T.
    degenerate : bool
        z_r takes no part in the terms of degree 2, so that C has a rank below r for the squared loss.

    Raises
    ------
    ValueError
        When drawn from: for r, degree, exponent or size out of range, or where no link is as asked.
    """
    _check_links(r, degree, exponent, size)
    r = draw(st.integers(1, 2)) if r is None else r
    least = 1 if exponent is None else exponent
    allowed = [alpha for alpha in _indices(r, least, degree) if not odd or sum(alpha) % 2]
    if degenerate:
        barred = range(r) if symmetric else (r - 1,)
        allowed = [alpha for alpha in allowed if sum(alpha) != 2 or not any(alpha[k] for k in barred)]
    if symmetric:
        allowed = [alpha for alpha in allowed if tuple(sorted(alpha, reverse=True)) == alpha]
    leading = [alpha for alpha in allowed if exponent is None or sum(alpha) == exponent]
    last = [alpha for alpha in allowed if alpha[0 if symmetric else r - 1]]
    if not leading or not last:
        asked = ", ".join(
            name for name, on in (("symmetric", symmetric), ("odd", odd), ("degenerate", degenerate)) if on
        )
        raise ValueError(
            f"exponent = {exponent}, degree = {degree}, r = {r}: no {asked or 'such'} link; allowed: wider"
        )
    # one term in which the last coordinate takes part, some others, and one of the degree that is asked
    chosen = {draw(st.sampled_from(last)), *draw(st.lists(st.sampled_from(allowed), max_size=3))}
    if exponent is not None:
        chosen.add(draw(st.sampled_from(leading)))
    terms = {alpha: draw(_coefficients(size)) for alpha in sorted(chosen, key=_place)}
    if symmetric:
        terms = {image: c for alpha, c in terms.items() for image in itertools.permutations(alpha)}
    return link(_text(terms))


def _check_links(r: int | None, degree: int, exponent: int | None, size: int) -> None:
    for name, value, most in (("r", r, MAX_R), ("degree", degree, MAX_DEGREE), ("exponent", exponent, degree)):
        if value is not None:
            check_integer(name, value, 1, "an integer from 1", most)
    check_integer("size", size, 1, "an integer from 1")


def _indices(r: int, least: int, degree: int) -> list[Index]:
    """Multi-indices in order of degree."""
    every = itertools.product(range(degree + 1), repeat=r)
    return sorted((alpha for alpha in every if least <= sum(alpha) <= degree), key=_place)


def _place(alpha: Index) -> tuple[int, Index]:
    """Low degrees first, then z1 before z2."""
    return sum(alpha), tuple(-k for k in alpha)


def _coefficients(size: int) -> SearchStrategy[Fraction]:
    return st.builds(
        lambda k, sign, part: Fraction(sign * k, part),
        st.integers(1, size),
        st.sampled_from((1, -1)),
        st.sampled_from((1, 2, 3)),
    )


def _text(terms: dict[Index, Fraction]) -> str:
    words = []
    for alpha, c in sorted(terms.items(), key=lambda term: _place(term[0])):
        factors = [f"z{k + 1}" if e == 1 else f"He{e}(z{k + 1})" for k, e in enumerate(alpha) if e]
        size = [] if abs(c) == 1 else [str(abs(c))]
        words += ["-" if c < 0 else "+", "*".join(size + factors)]
    return " ".join(words[1:] if words[0] == "+" else words)


def losses(*, bounded: bool = False) -> SearchStrategy[Loss]:
    """Losses of the zoo with their parameters; with `bounded`, only those with K = sup |l'| finite."""
    names = [st.just("l1"), st.just("logcosh")] + ([] if bounded else [st.just("squared")])
    numbered = [
        st.sampled_from(_CUTS).map(lambda c: f"huber({float(c):g})"),
        st.sampled_from(_CUTS).map(lambda c: f"pseudo_huber({float(c):g})"),
        st.sampled_from(_TAUS).map(lambda c: f"quantile({float(c):g})"),
    ]
    return st.one_of(*reversed(names), *numbered).map(loss)


def activations() -> SearchStrategy[Activation]:
    """Activations within the assumptions, even ones first, and at last formulas that cancel at 0."""
    known = ("quadratic", "1-cos", "logcosh", "sqrt", "utanh", "asymmetric")
    return st.sampled_from((*known, "log(1 + exp(2*u)) - u", "8*exp(u/2)/(1 + exp(u/2)) + u**2/2 - u")).map(activation)


def settings(
    *,
    links: "SearchStrategy[Link] | None" = None,
    losses: "SearchStrategy[Loss] | None" = None,
    p: int = 30,
    n: int = 8000,
) -> SearchStrategy[Setting]:
    """Settings small enough for thousands of draws and runs, from d = r and n = 1 on.

    Parameters
    ----------
    links, losses : strategies
        Of the package's zoo and this module's if not given.
    p, n : int
        Largest d - r and n.
    """
    return st.fixed_dictionaries(
        {
            "link": _quick_links() if links is None else links,
            "loss": _losses() if losses is None else losses,
            "activation": activations(),
            "p": st.integers(0, p) | st.integers(min(2, p), p),
            # few samples are fastest, but the bounds on angles speak only where there are many. Of integers from a
            # range Hypothesis draws the ends most often: the corners, which are not to be all there is
            "n": st.integers(1, min(n, 200))
            | st.integers(min(n, p + 7), min(n, 200))
            | st.sampled_from((max(1, n // 8), n)),
            "m": st.sampled_from((2, 4, 8)),
            "T1": st.integers(1, 6),
            "eps0": st.sampled_from((1e-3, 1e-2, 0.1, 1.0)),
            "centre": st.sampled_from((0.0, 0.5, -1.0, "fitted")),
            "eta1": st.sampled_from((1.0, 3.0)),
            "beta1": st.sampled_from((None, 0.0, 0.5)),
            "a_scale": st.sampled_from((1.0, 0.5)),
        }
    ).map(_setting)


_losses = losses


def _quick_links() -> SearchStrategy[Link]:
    """Mostly the zoo, whose expectations the draws share."""
    zoo = st.sampled_from(_FAST_ZOO).map(lambda name: link(ZOO[name]))
    return st.integers(0, 3).flatmap(lambda k: links() if k == 3 else zoo)


def _setting(drawn: dict[str, Any]) -> Setting:
    fields = {key: value for key, value in drawn.items() if key != "p"}
    return Setting(d=drawn["link"].r + drawn["p"], **fields)


@dataclass(frozen=True)
class Rotation:
    """An exactly orthogonal rational matrix: turns of coordinate planes by Pythagorean angles, then signs.

    Attributes
    ----------
    d : int
    turns : tuple of (i, j, k)
        Turn of the plane of axes i < j by the angle of the k-th Pythagorean triple, such as (3, 4, 5).
    flipped : tuple of int
        Axes whose sign is changed.
    """

    d: int
    turns: tuple[tuple[int, int, int], ...] = ()
    flipped: tuple[int, ...] = ()

    @property
    def exact(self) -> list[list[Fraction]]:
        """The matrix over Q, as `Link.rotate` takes it."""
        rows = [[Fraction(int(i == j)) for j in range(self.d)] for i in range(self.d)]
        for i, j, k in self.turns:
            a, b, c = _TRIPLES[k]
            cos, sin = Fraction(a, c), Fraction(b, c)
            upper = [cos * x - sin * y for x, y in zip(rows[i], rows[j], strict=True)]
            lower = [sin * x + cos * y for x, y in zip(rows[i], rows[j], strict=True)]
            rows[i], rows[j] = upper, lower
        return [[-x for x in row] if i in self.flipped else row for i, row in enumerate(rows)]

    @property
    def matrix(self) -> Floats:
        """The matrix in doubles, (d, d), dimensionless."""
        return np.array(self.exact, dtype=np.float64)


def rotations(d: int) -> SearchStrategy[Rotation]:
    """Orthogonal (d, d) matrices of both determinants; shrinks to the identity.

    Parameters
    ----------
    d : int
        From 1 on.

    Raises
    ------
    ValueError
        For d < 1.
    """
    check_integer("d", d, 1, "an integer from 1")
    planes = [(i, j, k) for i, j in itertools.combinations(range(d), 2) for k in range(len(_TRIPLES))]
    turns = st.lists(st.sampled_from(planes), max_size=4) if planes else st.just([])
    flipped = st.sets(st.integers(0, d - 1)).map(sorted)
    return st.builds(lambda t, f: Rotation(d, tuple(t), tuple(f)), turns, flipped)


@dataclass(frozen=True)
class Symmetric:
    """A symmetric matrix of given spectrum in a basis drawn from a seed; seed 0 stands for the standard basis.

    Attributes
    ----------
    spectrum : tuple of float
        The d eigenvalues, dimensionless.
    seed : int
    """

    spectrum: tuple[float, ...]
    seed: int = 0

    @property
    def matrix(self) -> Floats:
        """Q diag(spectrum) Q^T, (d, d), in units of `spectrum`; Q uniform on the orthogonal group."""
        d = len(self.spectrum)
        if self.seed == 0:
            return np.diag(self.spectrum)
        Q, upper = np.linalg.qr(np.random.default_rng(self.seed).standard_normal((d, d)))
        Q = Q * np.sign(np.diag(upper))
        product: Floats = (Q * np.array(self.spectrum)) @ Q.T
        return (product + product.T) / 2


def symmetric_matrices(d: int, *, spectrum: Sequence[float] | None = None) -> SearchStrategy[Symmetric]:
    """Symmetric matrices of a given spectrum, or of quarters of small integers among which some repeat.

    Parameters
    ----------
    d : int
        From 1 on.
    spectrum : sequence of d floats, optional
        Dimensionless.

    Raises
    ------
    ValueError
        For d < 1, or if the spectrum does not have d entries.
    """
    check_integer("d", d, 1, "an integer from 1")
    if spectrum is not None and len(spectrum) != d:
        raise ValueError(f"spectrum has {len(spectrum)} entries; allowed: d = {d}")
    values = st.integers(-8, 8).map(lambda k: k / 4)
    # few distinct values make equal eigenvalues common
    few = st.lists(values, min_size=1, max_size=3, unique=True)
    free = few.flatmap(lambda pool: st.lists(st.sampled_from(pool), min_size=d, max_size=d)) | st.lists(
        values, min_size=d, max_size=d
    )
    drawn = free if spectrum is None else st.just(list(spectrum))
    return st.builds(lambda values, seed: Symmetric(tuple(values), seed), drawn, st.just(0) | seeds())
