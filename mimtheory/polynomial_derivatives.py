"""Polynomial l' (squared loss, or a polynomial loss of one's own): E T, E[T z] and C exactly, for any r.

t(z) = l'(c - g(z)) is a polynomial; by Stein C = E Hess t and E[T z] = E grad t, which are Hermite coefficients of t.
The second route takes the moments E z^n = (n - 1)!! of the monomials of t (z z^T - I) instead.
"""

import itertools
import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import flint
import sympy
from flint import fmpq

from mimtheory.balls import precision, surd_ball
from mimtheory.links import Link
from mimtheory.losses import Loss
from mimtheory.polynomials import Polynomial, Surd, surd_to_sympy

__all__ = ["MOST_TERMS", "ExactMatrix", "ExactMoments", "exact_moments", "exact_moments_by_monomials"]

MOST_TERMS = 20_000  # of l'(c - g)
_MOST_BITS = 1 << 16


@dataclass(frozen=True)
class ExactMoments:
    """E T, E[T z_i] and C = E[T (z z^T - I)] as numbers of Q(sqrt 2, sqrt 3, ...)."""

    mean: Surd
    first: tuple[Surd, ...]
    C: "ExactMatrix"

    def expressions(self) -> tuple[sympy.Expr, sympy.ImmutableMatrix, sympy.ImmutableMatrix]:
        """The three as SymPy numbers."""
        first = sympy.ImmutableMatrix([surd_to_sympy(x) for x in self.first])
        return surd_to_sympy(self.mean), first, self.C.to_sympy()


def exact_moments(g: Link, loss: Loss, centre: Fraction, noise: Fraction) -> ExactMoments | None:
    """By the heat flow; None where l' is not a polynomial, or too large a one."""
    t = _preprocessed(g, loss, centre, noise)
    if t is None:
        return None
    hermite = t.heat(1).terms

    def mean_derivative(*axes: int) -> Surd:
        index = [0] * t.r
        for axis in axes:
            index[axis] += 1
        factor = math.prod(map(math.factorial, index))
        return {s: value * factor for s, value in hermite.get(tuple(index), {}).items() if value}

    r = range(g.r)
    return ExactMoments(
        mean_derivative(),
        tuple(mean_derivative(i) for i in r),
        ExactMatrix(tuple(tuple(mean_derivative(i, j) for j in r) for i in r)),
    )


def exact_moments_by_monomials(g: Link, loss: Loss, centre: Fraction, noise: Fraction) -> ExactMoments | None:
    """By the moments of the monomials."""
    t = _preprocessed(g, loss, centre, noise)
    if t is None:
        return None

    def mean(*axes: int) -> Surd:
        total: dict[int, fmpq] = {}
        for index, surd in t.terms.items():
            powers = [k + axes.count(axis) for axis, k in enumerate(index)]
            if any(k % 2 for k in powers):
                continue
            moment = math.prod(math.prod(range(1, k, 2)) for k in powers)
            for s, value in surd.items():
                total[s] = total.get(s, fmpq(0)) + value * moment
        return {s: value for s, value in total.items() if value}

    r, constant = range(g.r), mean()
    rows = []
    for i in r:
        row = [mean(i, j) for j in r]
        row[i] = {s: v for s in {*row[i], *constant} if (v := row[i].get(s, fmpq(0)) - constant.get(s, fmpq(0)))}
        rows.append(tuple(row))
    return ExactMoments(constant, tuple(mean(i) for i in r), ExactMatrix(tuple(rows)))


def _preprocessed(g: Link, loss: Loss, centre: Fraction, noise: Fraction) -> Polynomial | None:
    """t = l'(c - g - noise z_{r+1}) as a polynomial."""
    if loss.pieces is None or len(loss.pieces) != 1:
        return None
    coefficients = loss.pieces[0].coefficients
    f = g.polynomial
    if noise and len(coefficients) > 2:
        f = f.extended(g.r + 1) + Polynomial.variable(g.r + 1, g.r) * Polynomial.constant(g.r + 1, noise)
    if _most_terms(f, len(coefficients) - 1) > MOST_TERMS:
        return None
    u = Polynomial.constant(f.r, centre) - f
    t = Polynomial(f.r, {})
    for c in reversed(coefficients):
        t = t * u + Polynomial.constant(f.r, c)
    return t


def _most_terms(f: Polynomial, power: int) -> int:
    """Bound on the terms of a polynomial of this degree in f: the products of so many of the terms of f and 1, and the
    monomials of its degree in the variables that it has."""
    used = sum(any(index[k] for index in f.terms) for k in range(f.r))
    return min(math.comb(f.size + power, power), math.comb(f.degree * power + used, used))


@dataclass(frozen=True)
class ExactMatrix:
    """A symmetric matrix over Q(sqrt 2, sqrt 3, ...): its rank and the signs of its eigenvalues are computable."""

    rows: tuple[tuple[Surd, ...], ...]

    @property
    def r(self) -> int:
        """Number of rows."""
        return len(self.rows)

    def balls(self) -> flint.arb_mat:
        """Enclosures at the working precision."""
        return flint.arb_mat([[surd_ball(x) for x in row] for row in self.rows])

    def to_sympy(self) -> sympy.ImmutableMatrix:
        """The same matrix of SymPy numbers."""
        return sympy.ImmutableMatrix([[surd_to_sympy(x) for x in row] for row in self.rows])

    @cached_property
    def characteristic(self) -> tuple[int, ...]:
        """Signs of the coefficients of det(x - C), from x^r down, by Faddeev and Leverrier."""
        r = self.r
        A = [[_number(x) for x in row] for row in self.rows]
        M, signs = [[_number({}) for _ in range(r)] for _ in range(r)], [1]
        c = _number({1: fmpq(1)})
        for k in range(1, r + 1):
            M = [
                [
                    sum((A[i][h] * M[h][j] for h in range(r)), _number({})) + (c if i == j else _number({}))
                    for j in range(r)
                ]
                for i in range(r)
            ]
            trace = sum((A[i][h] * M[h][i] for i in range(r) for h in range(r)), _number({}))
            c = trace * Polynomial.constant(1, Fraction(-1, k))
            signs.append(_sign(c))
        return tuple(signs)

    @property
    def inertia(self) -> tuple[int, int]:
        """Number of positive and of negative eigenvalues.

        All roots of the characteristic polynomial are real, so by Descartes the positive ones are as many as the
        changes of sign of its coefficients.
        """
        flipped = [s * (-1) ** k for k, s in enumerate(self.characteristic)]
        return _changes(self.characteristic), _changes(flipped)

    @property
    def rank(self) -> int:
        """Number of eigenvalues that are not 0."""
        return sum(self.inertia)


def _number(surd: Surd) -> Polynomial:
    return Polynomial.from_terms(1, {(0,): surd})


def _sign(number: Polynomial) -> int:
    surd = number.terms.get((0,), {})
    if not surd:
        return 0
    bits = 64
    while bits <= _MOST_BITS:
        with precision(bits):
            ball = surd_ball(surd)
            if not ball.contains(0):
                return 1 if ball > 0 else -1
        bits *= 2
    raise ArithmeticError(f"the sign of {surd} is not decided at {_MOST_BITS} bits")


def _changes(signs: "tuple[int, ...] | list[int]") -> int:
    seen = [s for s in signs if s]
    return sum(a != b for a, b in itertools.pairwise(seen))
