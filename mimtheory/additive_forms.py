"""Polynomials that are sums of functions of one variable each, as they stand or after pairs were turned by 45 degrees.

z1 z2 = (x1^2 - x2^2)/2 for x1 = (z1 + z2)/sqrt 2, x2 = (z1 - z2)/sqrt 2, which is another standard Gaussian pair.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from flint import arb, arb_mat, arb_poly, fmpq, fmpq_mat

from mimtheory.balls import surd_ball
from mimtheory.polynomials import Polynomial, Surd, surd_to_float
from mimtheory.weighted_moments import second_moments

__all__ = ["AdditiveForm", "NearlyAdditive", "additive_form", "nearly_additive", "turned_back"]

_SMALL = 1e-9  # what may be left of the coupling of variables


@dataclass(frozen=True)
class AdditiveForm:
    """u(z) = constant + sum_k parts[k](x_k), x = H z, H the turn of the pairs; H = H^T = H^-1.

    Attributes
    ----------
    constant : Surd
    parts : tuple of Polynomial
        Of one variable each, without constant.
    pairs : tuple of (int, int)
        Coordinates that were turned together.
    """

    constant: Surd
    parts: tuple[Polynomial, ...]
    pairs: tuple[tuple[int, int], ...]

    def coefficients(self, k: int) -> arb_poly:
        """parts[k] in balls of the working precision."""
        terms = self.parts[k].terms
        return arb_poly([surd_ball(terms.get((j,), {})) for j in range(self.parts[k].degree + 1)])

    def turn(self, kept: int) -> arb_mat:
        """H for the first `kept` coordinates, among which the pairs are."""
        half = arb(2).rsqrt()
        H = [[arb(int(i == j)) for j in range(kept)] for i in range(kept)]
        for i, j in self.pairs:
            H[i][i] = H[i][j] = H[j][i] = half
            H[j][j] = -half
        return arb_mat(H)


def additive_form(u: Polynomial) -> AdditiveForm | None:
    """The form of u, or None where neither the coordinates nor turned pairs separate it."""
    pairs = sorted({tuple(k for k, e in enumerate(index) if e) for index in u.terms if _support(index) > 1})
    if any(len(pair) != 2 for pair in pairs) or len({k for pair in pairs for k in pair}) != 2 * len(pairs):
        return None
    if pairs:
        half = Polynomial.constant(u.r, Fraction(1, 2), 2)
        x = [Polynomial.variable(u.r, k) for k in range(u.r)]
        values = list(x)
        for i, j in pairs:
            values[i], values[j] = half * (x[i] + x[j]), half * (x[i] - x[j])
        u = u.substitute(values)
        if any(_support(index) > 1 for index in u.terms):
            return None
    parts: list[dict[tuple[int, ...], dict[int, fmpq]]] = [{} for _ in range(u.r)]
    for index, surd in u.terms.items():
        for k, e in enumerate(index):
            if e:
                parts[k][(e,)] = surd
    return AdditiveForm(
        u.terms.get((0,) * u.r, {}),
        tuple(Polynomial.from_terms(1, part) for part in parts),
        tuple((pair[0], pair[1]) for pair in pairs),
    )


@dataclass(frozen=True)
class NearlyAdditive:
    """u(Q x) = constant + sum_k parts[k](x_k) + rest(x), Q exactly orthogonal and rational, the rest tiny."""

    Q: fmpq_mat
    constant: Surd
    parts: tuple[Polynomial, ...]
    rest: Polynomial


def nearly_additive(u: Polynomial) -> NearlyAdditive | None:
    """The form of an additive u, or of one that is but for a quadratic in variables of their own; else None."""
    coupled = {k for index in u.terms if _support(index) > 1 for k, e in enumerate(index) if e}
    if any(sum(index) > 2 for index in u.terms if _support(index) > 1):
        return None
    if any(index[k] > 2 for index in u.terms for k in coupled):
        return None
    Q = fmpq_mat([[fmpq(int(i == j)) for j in range(u.r)] for i in range(u.r)])
    if coupled:
        Q = _diagonalising(u, sorted(coupled))
        x = [Polynomial.variable(u.r, k) for k in range(u.r)]
        values = []
        for i in range(u.r):
            value = Polynomial(u.r, {})
            for j in range(u.r):
                if Q[i, j]:
                    value = value + x[j] * Polynomial.constant(u.r, Fraction(int(Q[i, j].p), int(Q[i, j].q)))
            values.append(value)
        u = u.substitute(values)
    parts: list[dict[tuple[int, ...], dict[int, fmpq]]] = [{} for _ in range(u.r)]
    rest: dict[tuple[int, ...], dict[int, fmpq]] = {}
    for index, surd in u.terms.items():
        axes = [k for k, e in enumerate(index) if e]
        near = {} if len(axes) > 1 else surd
        if len(axes) == 1 and axes[0] in coupled:
            # multiple eigenvalues become equal, and share their laws
            near = {1: _rational(surd_to_float(surd), 36)}
        if len(axes) == 1:
            parts[axes[0]][(index[axes[0]],)] = near
        if near != surd and axes:
            rest[index] = {s: surd.get(s, fmpq(0)) - near.get(s, fmpq(0)) for s in {*surd, *near}}
            if abs(surd_to_float(rest[index])) > _SMALL:
                return None
    constant = dict(u.terms.get((0,) * u.r, {}))
    return NearlyAdditive(
        Q, constant, tuple(Polynomial.from_terms(1, p) for p in parts), Polynomial.from_terms(u.r, rest)
    )


def _support(index: tuple[int, ...]) -> int:
    return sum(e > 0 for e in index)


def _diagonalising(u: Polynomial, axes: list[int]) -> fmpq_mat:
    """Near eigenvectors of the quadratic part in these variables, made exactly orthogonal by Cayley's transform."""
    n = len(axes)
    A = np.zeros((n, n))
    for index, surd in u.terms.items():
        where = [axes.index(k) for k, e in enumerate(index) for _ in range(e) if k in axes]
        if len(where) == 2:
            A[where[0], where[1]] += surd_to_float(surd) / 2
            A[where[1], where[0]] += surd_to_float(surd) / 2
    _, vectors = np.linalg.eigh(A)
    flips = [vectors * np.array(signs) for signs in itertools.product((1, -1), repeat=n)]
    turn = max(flips, key=lambda V: abs(float(np.linalg.det(np.eye(n) + V))))
    skew = np.linalg.solve((np.eye(n) + turn).T, (np.eye(n) - turn).T).T
    one = fmpq_mat([[fmpq(int(i == j)) for j in range(n)] for i in range(n)])
    S = fmpq_mat([[_rational((skew[i, j] - skew[j, i]) / 2) for j in range(n)] for i in range(n)])
    small = (one - S) * (one + S).inv()
    rows = [[fmpq(int(i == j)) for j in range(u.r)] for i in range(u.r)]
    for a, i in enumerate(axes):
        for b, j in enumerate(axes):
            rows[i][j] = small[a, b]
    return fmpq_mat(rows)


def _rational(x: float, bits: int = 60) -> fmpq:
    value = Fraction(round(x * 2**bits), 2**bits)
    return fmpq(value.numerator, value.denominator)


def turned_back(Q: arb_mat, found: Sequence[arb], kept: int) -> tuple[arb, ...]:
    """E[T w] in the order of `weights_of` for z = Q x, from those for x."""
    turn = arb_mat([[Q[i, j] for j in range(kept)] for i in range(kept)])
    turned = turn * second_moments(found, kept) * turn.transpose()
    first = turn * arb_mat([[x] for x in found[1 : 1 + kept]])
    return (found[0], *first.entries(), *(turned[i, j] for i in range(kept) for j in range(i, kept)))
