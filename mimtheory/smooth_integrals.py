"""Certified E T, E[T z], E[T z z^T] for a smooth T, up to three variables: Gauss-Legendre products on dyadic boxes.

The error of a rule of N points is bounded by the size of the integrand on a Bernstein ellipse about each side, which
the box and T determine; boxes are halved across the worst side. Proof: docs/theory/certified.md.
"""

import itertools
import math
import time
from dataclasses import dataclass, field
from functools import lru_cache

import flint
import numpy as np
from numpy.typing import NDArray

from mimtheory.balls import bounds, double_of, half_normal_mass, precision, widened
from mimtheory.dyadic_cells import HALF_WIDTH, CellPolynomial, cubes, tail_moment
from mimtheory.polynomials import Polynomial
from mimtheory.rounding import UNIT, gamma_above
from mimtheory.smooth_derivatives import SmoothDerivative
from mimtheory.weighted_moments import Weighted, weights_of

__all__ = ["smooth_integrals"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_POINTS = {1: 20, 2: 16, 3: 10}  # of the rule on each side, by the number of variables
_FEWER_POINTS = {1: 12, 2: 8, 3: 6}  # for targets of 1e-7 and more
_FIRST_WIDTH = 1.0
_LADDER = (1.6, 2.0, 2.6, 3.5, 5.0, 8.0)  # sizes rho of the ellipses
_VALUES_AT_ONCE = 1 << 19
_BITS = 128
_ROUNDED = 1 + 2.0**-30  # bounds are sums and products of less than 2^20 rounded non-negative numbers


def smooth_integrals(
    u: Polynomial,
    T: SmoothDerivative,
    kept: int,
    target: float,
    deadline: float = math.inf,
    most: int = 100_000_000,
    weights: list[tuple[int, ...]] | None = None,
) -> Weighted:
    """Enclose E[T(u(z)) w(z)] for z ~ N(0, I_r).

    Parameters
    ----------
    u : Polynomial
        c - g, of at most three variables.
    T : SmoothDerivative
    kept : int
        As in `weights_of`.
    target : float
        Radius at which to stop.
    deadline : float
        Value of time.monotonic() at which to stop; then nothing may be known.
    most : int
        Number of values of T at which to stop.
    weights : list of tuples of int
        Exponents of other weights, of degree at most 4, instead of those of `kept`.
    """
    work = _Rules(u, T, weights or weights_of(u.r, kept), target)
    lower, width = work.start()
    final: list[tuple[Floats, Floats]] = []
    count = 0
    while len(lower):
        worst, axis = work.unresolved(lower, width)
        keep = worst <= target / 4 * work.share(lower, width)
        if time.monotonic() > deadline or (count + 2 * np.count_nonzero(~keep)) * work.points**u.r > most:
            keep[:] = True
        count += int(np.count_nonzero(keep))
        final.append((lower[keep], width[keep]))
        lower, width = _halved(lower[~keep], width[~keep], axis[~keep])
    corners, sides = (np.concatenate([part[k] for part in final]) for k in range(2))
    return work.total(corners, sides, deadline)


def _halved(lower: Floats, width: Floats, axis: Integers) -> tuple[Floats, Floats]:
    """Both halves of each box, cut across this axis."""
    rows = np.arange(len(lower))
    width = width.copy()
    width[rows, axis] /= 2
    upper = lower.copy()
    upper[rows, axis] += width[rows, axis]
    return np.concatenate([lower, upper]), np.concatenate([width, width])


@lru_cache
def _rule(points: int) -> tuple[Floats, Floats, float, float]:
    """Nodes and weights of Gauss and Legendre on [-1, 1] as doubles, and bounds on their errors."""
    with precision(_BITS):
        pairs = [flint.arb.legendre_p_root(points, k, weight=True) for k in range(points)]
        nodes, weights = ([double_of(pair[k]) for pair in pairs] for k in range(2))
    return (
        np.array([x for x, _ in nodes]),
        np.array([w for w, _ in weights]),
        max(e for _, e in nodes),
        max(e for _, e in weights),
    )


class _Sides:
    """What is needed of one variable on each side m + h [-1, 1]: sizes on ellipses and the line, weights at nodes."""

    def __init__(self, points: int, powers: int) -> None:
        self.nodes, self.weights, _, _ = _rule(points)
        self.powers = powers
        self._sizes: dict[tuple[float, float], list[float]] = {}
        self._values: dict[tuple[float, float], Floats] = {}

    def sizes(self, lower: Floats, width: Floats) -> tuple[Floats, Floats, Floats]:
        """Bounds on |z^a phi(z)|, a < powers, on ellipses (n, ladder, powers) and the side (n, powers); mass (n,)."""
        pairs, inverse = np.unique(np.stack([lower, width]), axis=1, return_inverse=True)
        rows = np.array([self._size(float(a), float(w)) for a, w in pairs.T])[inverse.ravel()]
        split = self.powers * len(_LADDER)
        return rows[:, :split].reshape(len(rows), -1, self.powers), rows[:, split:-1], rows[:, -1]

    def _size(self, lower: float, width: float) -> list[float]:
        key = lower, width
        if key not in self._sizes:
            with precision(64):
                h, m = flint.arb(width) / 2, abs(flint.arb(lower) + flint.arb(width) / 2)
                found = []
                for rho in (*_LADDER, 1.0):
                    long, short = (flint.arb(rho) + 1 / flint.arb(rho)) / 2, (flint.arb(rho) - 1 / flint.arb(rho)) / 2
                    near = (m - h * long).max(flint.arb(0))
                    height = ((h * short) ** 2 / 2 - near**2 / 2).exp() / (2 * flint.arb.pi()).sqrt()
                    found += [bounds(height * (m + h * long) ** a)[1] for a in range(self.powers)]
                ends = [half_normal_mass(x) for x in (m - h, m + h)]
                found.append(bounds(ends[1] - ends[0])[0])
            self._sizes[key] = found
        return self._sizes[key]

    def values(self, lower: Floats, width: Floats) -> tuple[Floats, Floats]:
        """Nodes x (n, points) and h w_j x_j^a phi(x_j), (n, powers, points), each within a relative error of 2^-49."""
        nodes = (lower + width / 2)[:, None] + (width / 2)[:, None] * self.nodes
        pairs, first, inverse = np.unique(np.stack([lower, width]), axis=1, return_index=True, return_inverse=True)
        rows = [self._value(float(a), float(w), nodes[k]) for (a, w), k in zip(pairs.T, first, strict=True)]
        return nodes, np.array(rows)[inverse.ravel()]

    def _value(self, lower: float, width: float, nodes: Floats) -> Floats:
        key = lower, width
        if key not in self._values:
            with precision(64):
                root, half = (2 * flint.arb.pi()).sqrt(), flint.arb(width) / 2
                heights = [
                    float(half * flint.arb(w) * (-(flint.arb(x) ** 2) / 2).exp() / root)
                    for x, w in zip(nodes.tolist(), self.weights.tolist(), strict=True)
                ]
            plain = np.array(heights)
            self._values[key] = np.stack(
                list(itertools.accumulate([nodes] * (self.powers - 1), np.multiply, initial=plain))
            )
        return self._values[key]


@dataclass
class _Rules:
    """The Gauss-Legendre products of one problem."""

    u: Polynomial
    T: SmoothDerivative
    weights: list[tuple[int, ...]]
    target: float
    points: int = field(init=False)

    def __post_init__(self) -> None:
        r = self.u.r
        self.points = _POINTS[r] if self.target < 1e-7 else _FEWER_POINTS[r]
        self.g = CellPolynomial(self.u)
        self.powers = 1 + max(a for w in self.weights for a in w)
        self.sides = _Sides(self.points, self.powers)
        self.copies = 2.0 ** sum(self.g.even)
        self.odd = [any(a % 2 and even for a, even in zip(w, self.g.even, strict=True)) for w in self.weights]
        rho = np.array(_LADDER)
        self.long, self.short = (rho + 1 / rho) / 2 * _ROUNDED, (rho - 1 / rho) / 2 * _ROUNDED
        # the integral of a function bounded by 1 on the ellipse over [-1, 1] is missed by at most this
        self.decay = 8 * rho ** (1 - 2 * self.points) / (rho - 1) * _ROUNDED

    def start(self) -> tuple[Floats, Floats]:
        """Boxes of width 1 that fill the cube, or its half z_k >= 0 for each variable in which u is even."""
        lower = cubes(self.g.even, _FIRST_WIDTH)
        return lower, np.full(lower.shape, _FIRST_WIDTH)

    def share(self, lower: Floats, width: Floats) -> Floats:
        """Part of the allowed error that a box may take: half by its mass, half by its volume; at most 2 in all."""
        r = lower.shape[1]
        mass = math.prod(self.sides.sizes(lower[:, k], width[:, k])[2] for k in range(r))
        whole = math.prod(HALF_WIDTH if even else 2 * HALF_WIDTH for even in self.g.even)
        share: Floats = mass + np.prod(width, axis=1) / whole / self.copies
        return share

    def unresolved(self, lower: Floats, width: Floats) -> tuple[Floats, Integers]:
        """Largest bound on the error of a rule over the weights, and the axis that contributes most to it."""
        by_axis = np.concatenate(
            [self._by_axis(lower[k : k + 4096], width[k : k + 4096], exact=True) for k in range(0, len(lower), 4096)]
        ).max(axis=2)
        return by_axis.sum(axis=1), np.argmax(by_axis, axis=1)

    def _by_axis(self, lower: Floats, width: Floats, exact: bool) -> Floats:
        """Error bounds (n, r, weights) of replacing one integral after the other by its rule.

        With `exact` the nodes are taken for exact; else their rounding counts as well.
        """
        r, half = lower.shape[1], width / 2
        taylor, rounding = self.g.taylor(lower + half, half)
        sides = [self.sides.sizes(lower[:, k], width[:, k]) for k in range(r)]
        _, _, node_error, weight_error = _rule(self.points)
        bounds_ = np.empty((len(lower), r, len(self.weights)))
        for i in range(r):
            size = self._size_of_T(taylor, rounding, i)
            factor = np.broadcast_to(self.decay, size.shape)
            if not exact:
                moved = node_error + 3 * UNIT * ((np.abs(lower[:, i]) + width[:, i]) / half[:, i] + 1)
                factor = factor + self.points * weight_error + 2 * moved[:, None] / (self.long / _ROUNDED**2 - 1)
            for column, weight in enumerate(self.weights):
                bound = (factor * size * sides[i][0][:, :, weight[i]]).min(axis=1) * half[:, i]
                for k in range(r):
                    if k != i:
                        bound = bound * width[:, k] * sides[k][1][:, weight[k]]
                bounds_[:, i, column] = bound
        return bounds_

    def _size_of_T(self, taylor: dict[tuple[int, ...], Floats], rounding: Floats, axis: int) -> Floats:
        """Bounds (n, ladder) on |T(u)| with this coordinate on an ellipse and the others real."""
        imaginary = np.zeros((len(rounding), len(_LADDER)))
        away = np.zeros_like(imaginary)
        for order, value in taylor.items():
            k, size = order[axis], np.abs(value)[:, None]
            if k:
                imaginary = imaginary + size * (k * self.short * self.long ** (k - 1))
            if any(order):
                away = away + size * self.long**k
        # the rounding of the coefficients was bounded at |t| <= 1
        slack = rounding[:, None] * (1 + 2 * self.long) ** self.g.degrees[axis]
        centre = np.abs(taylor[(0,) * self.u.r])[:, None]
        return self.T.beyond(np.maximum(centre - (away + slack) * _ROUNDED, 0), (imaginary + slack) * _ROUNDED)

    def total(self, lower: Floats, width: Floats, deadline: float) -> Weighted:
        """Sum over these boxes; unknown if time runs out."""
        r = self.u.r
        sums: list[list[float]] = [[] for _ in self.weights]
        errors = [self.T.K * r * tail_moment(2 if self.powers == 3 else 4) / self.copies for _ in self.weights]
        step = max(1, _VALUES_AT_ONCE // self.points**r)
        for start in range(0, len(lower), step):
            if time.monotonic() > deadline:
                return Weighted.unknown(len(self.weights))
            values, error = self._integrate(lower[start : start + step], width[start : start + step])
            for k in range(len(self.weights)):
                sums[k].append(math.fsum(values[:, k]))
                errors[k] += math.fsum(error[:, k])
        balls = []
        for k, odd in enumerate(self.odd):
            rounding = gamma_above(len(sums[k]) + 4) * math.fsum(map(abs, sums[k]))
            radius = self.copies * (errors[k] + rounding) * _ROUNDED
            balls.append(flint.arb(0) if odd else widened(self.copies * math.fsum(sums[k]), radius))
        return Weighted(tuple(balls), len(lower) * self.points**r)

    def _integrate(self, lower: Floats, width: Floats) -> tuple[Floats, Floats]:
        """Values and error bounds (n, weights)."""
        r = lower.shape[1]
        sides = [self.sides.values(lower[:, k], width[:, k]) for k in range(r)]
        t = self.T.values(self._u_at([x for x, _ in sides]))
        for k in range(r - 1, -1, -1):  # contract the last axis, put the exponent first
            t = np.einsum("n...j,naj->na...", t, sides[k][1])
        columns = [int(np.ravel_multi_index(w, (self.powers,) * r)) for w in self.weights]
        values = t.reshape(len(lower), -1)[:, columns]
        half = width / 2
        _, rounding = self.g.taylor(lower + half, half)
        absolute = [np.abs(side[1]).sum(axis=2) for side in sides]
        size = np.stack([math.prod(absolute[k][:, a] for k, a in enumerate(w)) for w in self.weights], axis=1)
        off = self.T.error + self.T.slope * rounding + gamma_above(self.points**r + 20 * r + 16) * self.T.K
        errors = self._by_axis(lower, width, exact=False).sum(axis=1) + off[:, None] * size
        return values, errors * _ROUNDED

    def _u_at(self, nodes: list[Floats]) -> Floats:
        """u at the product of the nodes, (n, points, ..., points)."""
        r = len(nodes)
        shapes = [(len(nodes[0]), *(1,) * k, self.points, *(1,) * (r - 1 - k)) for k in range(r)]
        powers = [
            [np.ones(shape), *itertools.accumulate([x.reshape(shape)] * self.g.degrees[k], np.multiply)]
            for k, (x, shape) in enumerate(zip(nodes, shapes, strict=True))
        ]
        total = np.zeros((len(nodes[0]), *(self.points,) * r))
        for index, c in self.g.coefficients.items():
            product = c * powers[0][index[0]]
            for k in range(1, r):
                if index[k]:
                    product = product * powers[k][index[k]]
            total += product
        return total
