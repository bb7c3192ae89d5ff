"""Certified E T, E[T z], E[T z z^T] where u = c - g is a sum of functions of one variable each: a Fourier series.

Where u can be, T is one period of a periodic function, whose Fourier series needs E[z^a e^(itp(z))] of one variable at
the real frequencies 2 pi k/period only. The rest of the series is bounded by how fast these decay, what is outside of
the period by an exponential moment. Proof: docs/theory/additive.md.
"""

import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from flint import acb, arb, arb_poly, fmpq
from numpy.typing import NDArray

from mimtheory.additive_forms import AdditiveForm, additive_form, turned_back
from mimtheory.balls import ball_of, precision, surd_ball
from mimtheory.dyadic_cells import HALF_WIDTH, cube_edge, tail_moment
from mimtheory.exponential_sums import Expired, Sums, count_nodes, exponential_sums, gaussian_sums
from mimtheory.oscillation_bounds import oscillation_bounds, oscillation_power
from mimtheory.piecewise_lines import PiecewiseLine
from mimtheory.polynomials import Polynomial, surd_to_float
from mimtheory.rounding import gamma_above
from mimtheory.weighted_moments import Weighted, weights_of

__all__ = ["additive_series"]

Floats = NDArray[np.float64]

_BITS = 96
_CELL = 2.0**-6
_GROWTH = 2**0.25  # ratio of the frequencies at which the decay is bounded
_LAST = 1e13  # beyond this frequency the decay is bounded by a power
_MOST = 2e10  # nodes times frequencies
_RATE = 1e8  # of them in a second, and seconds for the making of one node: to guess what fits into the time
_MAKING = 1e-3
_TRIAL = 0.15  # part of the time for a first, coarser result, which stands if the guess was wrong
_CALLS = 2000  # of an integrand
_ROUNDED = 1 + 2.0**-30


def additive_series(
    u: Polynomial, line: PiecewiseLine, kept: int, target: float, deadline: float = math.inf
) -> Weighted:
    """Enclose E[T(u(z)) w(z)] for z ~ N(0, I_r).

    Parameters
    ----------
    u : Polynomial
        c - g, with an `additive_form`.
    line : PiecewiseLine
        T as a function of u.
    kept : int
        As in `weights_of`.
    target : float
        Radius at which to stop; less is reached where the series converges too slowly for the time.
    deadline : float
        Value of time.monotonic() at which to stop with the radius reached.

    Raises
    ------
    ValueError
        For a u that is not additive.
    """
    form = additive_form(u)
    if form is None:
        raise ValueError(f"u = {u.to_sympy()} is not additive; allowed: see additive_form")
    form, line = _scaled(form, line)
    with precision(_BITS):
        best = Weighted.unknown(len(weights_of(u.r, kept)))
        try:
            work = _Series(form, line, kept, target, deadline)
            for part in (_TRIAL, 1.0) if math.isfinite(deadline) else (1.0,):
                balls = work.expectations(part)
                found = Weighted(balls, work.cells)
                best = found if found.radius < best.radius else best
                if best.radius <= target:
                    break
        except Expired:
            pass
        return best


def _scaled(form: AdditiveForm, line: PiecewiseLine) -> tuple[AdditiveForm, PiecewiseLine]:
    """The same T(u) for u divided by a power of two, so that the largest coefficient of the parts is in [1, 2)."""
    largest = max((abs(surd_to_float(surd)) for part in form.parts for surd in part.terms.values()), default=0.0)
    if not largest:
        return form, line
    scale = Fraction(2) ** (math.frexp(largest)[1] - 1)
    by = Polynomial.constant(1, 1 / scale)
    constant = {s: value / fmpq(scale.numerator, scale.denominator) for s, value in form.constant.items()}
    return (
        AdditiveForm(constant, tuple(part * by for part in form.parts), form.pairs),
        PiecewiseLine(
            tuple(kink / scale for kink in line.kinks),
            line.constants,
            tuple(slope * scale for slope in line.slopes),
            line.distance,
        ),
    )


class _Variable:
    """One function p of one variable: its range on cells of [-8, 8], and the interval on which it is used."""

    def __init__(self, p: Polynomial, coefficients: arb_poly) -> None:
        self.p, self.coefficients = p, coefficients
        self.even = all(index[0] % 2 == 0 for index in p.terms)
        self.edges = np.arange(-HALF_WIDTH, HALF_WIDTH + _CELL, _CELL)
        slope = coefficients.derivative()
        ranges = [
            coefficients(arb(x)) + slope(arb(x, _CELL / 2)) * arb(0, _CELL / 2)
            for x in (self.edges[:-1] + _CELL / 2).tolist()
        ]
        self.lows = np.array([math.nextafter(float(x.lower()), -math.inf) for x in ranges])
        self.highs = np.array([math.nextafter(float(x.upper()), math.inf) for x in ranges])

    def hull(self, keep: NDArray[np.bool_]) -> "_Interval":
        """The smallest interval of the kept cells, symmetric for an even p."""
        kept = np.flatnonzero(keep)
        first, last = (int(kept[0]), int(kept[-1])) if len(kept) else (0, len(keep) - 1)
        if self.even:
            first = min(first, len(keep) - 1 - last)
            last = len(keep) - 1 - first
        cells = slice(first, last + 1)
        ends = float(self.edges[first]), float(self.edges[last + 1])
        return _Interval(*ends, float(self.lows[cells].min()), float(self.highs[cells].max()))


@dataclass(frozen=True)
class _Interval:
    """Ends, and bounds on p there."""

    lower: float
    upper: float
    least: float
    most: float


@dataclass(frozen=True)
class _Domain:
    """A box of intervals, the value that T has outside or that is put there, and what that costs."""

    intervals: list[_Interval]
    anchor: arb
    missed: arb
    least: float
    most: float


class _Series:
    """The Fourier series of one problem."""

    def __init__(self, form: AdditiveForm, line: PiecewiseLine, kept: int, target: float, deadline: float) -> None:
        self.form, self.line, self.kept, self.deadline = form, line, kept, deadline
        self.r = len(form.parts)
        self.variables: list[_Variable] = []
        self.kind: list[int] = []  # equal parts share their integrals
        for k, part in enumerate(form.parts):
            known = [v.p for v in self.variables]
            if part not in known:
                self.variables.append(_Variable(part, form.coefficients(k)))
            self.kind.append(known.index(part) if part in known else len(known))
        self.constant = surd_ball(form.constant)
        self.rise = ball_of(line.constants[-1]) - ball_of(line.constants[0])
        self.target = min(target, float(self.rise))  # each |E[T w]| is less: a larger one asks for nothing
        self.weights = weights_of(self.r, kept)
        self.cells = 0
        self.domain = min(self._domains(), key=lambda d: d.most - d.least)
        self.period = _Period(self.line, self.constant, self.domain.least, self.domain.most)
        self._ends, self._frequencies, self._tails = self._rest()

    def _domains(self) -> list[_Domain]:
        kinks = [float(ball_of(k) - self.constant) for k in (self.line.kinks[0], self.line.kinks[-1])]
        all_of = [self.variables[k] for k in self.kind]
        tops, bottoms = [v.highs.max() for v in all_of], [v.lows.min() for v in all_of]
        # a few sums of doubles of this size
        slack = 2.0**-40 * (1 + sum(map(abs, tops)) + sum(map(abs, bottoms)) + sum(map(abs, kinks)))
        top, bottom = sum(tops), sum(bottoms)
        # where one p is so low that u is below all kinks whatever the others are, T is its first constant
        low = [v.hull(v.highs + (top - v.highs.max()) >= kinks[0] - slack) for v in self.variables]
        high = [v.hull(v.lows + (bottom - v.lows.min()) <= kinks[1] + slack) for v in self.variables]
        beyond = self.rise * self.r * tail_moment(2)
        first, last = ball_of(self.line.constants[0]), ball_of(self.line.constants[-1])
        return [self._domain(low, first, beyond), self._domain(high, last, beyond), self._clipped((first + last) / 2)]

    def _clipped(self, middle: arb) -> _Domain:
        """A cube, and the part of the range of u that an exponential moment leaves."""
        edge = cube_edge(self.rise / 2 * self.r, self.target / 8, first=2.0)
        cells = [np.abs(v.edges[:-1] + _CELL / 2) < edge for v in self.variables]
        intervals = [v.hull(keep) for v, keep in zip(self.variables, cells, strict=True)]
        whole = self._domain(intervals, middle, self.rise / 2 * self.r * tail_moment(2, edge))
        allowed = arb(self.target) / 16
        most = self._quantile(intervals, 1, allowed / self.rise)
        least = -self._quantile(intervals, -1, allowed / self.rise)
        return _Domain(intervals, middle, whole.missed + 2 * allowed, max(whole.least, least), min(whole.most, most))

    def _domain(self, intervals: list[_Interval], anchor: arb, missed: arb) -> _Domain:
        least, most = (
            sum(ends) for ends in zip(*((intervals[k].least, intervals[k].most) for k in self.kind), strict=True)
        )
        slack = 2.0**-40 * sum(abs(intervals[k].least) + abs(intervals[k].most) for k in self.kind)
        return _Domain(intervals, anchor, missed, least - slack, most + slack)

    def _quantile(self, intervals: list[_Interval], sign: int, share: arb) -> float:
        """x with E[|w|; sign V > x] <= share for the sum V of all p on the box, by exponential moments."""
        best = math.inf
        for exponent in range(-7, 4):
            if time.monotonic() > self.deadline:
                raise Expired
            rate = arb(2) ** exponent
            moments = [_moments(v, i, rate * sign) for v, i in zip(self.variables, intervals, strict=True)]
            factor = arb(1)
            for plain, squared in moments:
                factor = factor.max(squared / plain)
            for k in self.kind:
                factor *= moments[k][0]
            x = (factor / share).log() / rate
            if x.is_finite():
                best = min(best, math.nextafter(float(x.upper()), math.inf))
        return best

    def expectations(self, part: float) -> tuple[arb, ...]:
        """The balls, in the order of the weights, in this part of the time that is left."""
        most, tails = self._length(part * (self.deadline - time.monotonic()))
        step = 2 * arb.pi() / arb(self.period.length)
        sums = [
            gaussian_sums(v.p, v.coefficients, i.lower, i.upper, step, most, self.deadline)
            for v, i in zip(self.variables, self.domain.intervals, strict=True)
        ]
        self.cells = most
        T = exponential_sums(
            [(acb(0, -1) * step * x).exp() for x in self.period.points],
            [self.period.jumps, self.period.bends],
            most,
            self.deadline,
        )
        found = []
        for weight, tail in zip(self.weights, tails, strict=True):
            psi = _product([_Row(sums[k].values[a], sums[k].errors[a]) for k, a in zip(self.kind, weight, strict=True)])
            ball = (self.period.mean - self.domain.anchor) * arb(float(psi.values[0].real), float(psi.errors[0]))
            ball += self._summed(psi, T) + arb(0, tail) + arb(0, self.domain.missed.upper())
            if all(a % 2 == 0 for a in weight):
                ball += self.domain.anchor  # E z_i^2 = 1
            found.append(ball + arb(0, self.line.distance))
        return turned_back(self.form.turn(self.kept), found, self.kept)

    def _summed(self, psi: "_Row", T: Sums) -> arb:
        """sum_k Im(jumps_k psi_k)/(pi k) - length Re(bends_k psi_k)/(2 pi^2 k^2), k >= 1."""
        k = np.arange(1, len(psi.values), dtype=np.float64)
        total = arb(0)
        for row, scale in ((0, 1 / (math.pi * k)), (1, self.period.length / (2 * math.pi**2 * k * k))):
            part = _product([_Row(T.values[row], T.errors[row]), psi])
            term = (part.values.imag if row == 0 else -part.values.real)[1:] * scale
            error = float(np.sum(part.errors[1:] * scale) + gamma_above(16) * np.sum(np.abs(term))) * _ROUNDED
            total += arb(math.fsum(term), error)
        return total

    def _length(self, seconds: float) -> tuple[int, list[float]]:
        """The number of frequencies for the target and the time, and for each weight a bound on the rest."""
        worst = np.max(self._tails, axis=0)
        missed = float(self.domain.missed.upper()) + self.line.distance
        allowed = max(self.target / 4, 0.9 * self.target - missed)
        enough = 0
        while (
            enough + 1 < len(self._ends)
            and worst[enough] > allowed
            and self._affordable(self._ends[enough + 1], float(self._frequencies[enough + 1]), seconds)
        ):
            enough += 1
        return self._ends[enough], [float(tail[enough]) for tail in self._tails]

    def _rest(self) -> tuple[list[int], Floats, list[Floats]]:
        """Numbers of frequencies, the last of each, and for each weight bounds on the rest of the series."""
        length = self.period.length
        ends = [1]
        while ends[-1] < _LAST * length / (2 * math.pi):
            ends.append(math.ceil(ends[-1] * _GROWTH))
        k = np.array(ends, dtype=np.float64)
        t = 2 * math.pi * k / length * (1 - 2.0**-40)
        decays = [
            oscillation_bounds(v.coefficients, i.lower, i.upper, t)
            for v, i in zip(self.variables, self.domain.intervals, strict=True)
        ]
        jumps, bends = (
            float(sum((abs(x) for x in row), arb(0)).upper()) for row in (self.period.jumps, self.period.bends)
        )
        # bounds on the sums of 1/k and of 1/k^2 over ends[j] < k <= ends[j + 1]
        share = jumps / math.pi * (k[1:] / k[:-1] - 1) + bends * length / (2 * math.pi**2) * (1 / k[:-1] - 1 / k[1:])
        rest = self._last(float(t[-1]), ends[-1], jumps, bends)
        tails = []
        for weight in self.weights:
            bound = np.prod([decays[kind][a] for kind, a in zip(self.kind, weight, strict=True)], axis=0)
            groups = share * bound[:-1]
            tails.append((np.append(np.cumsum(groups[::-1])[::-1], 0.0) + rest) * _ROUNDED)
        return ends, t, tails

    def _last(self, t: float, k: int, jumps: float, bends: float) -> float:
        """The rest of the series where everything is bounded by a power of the frequency."""
        height, power = arb(1), arb(0)
        for kind in self.kind:
            c, e = oscillation_power(self.variables[kind].coefficients)
            # every factor is at most 1 as well; c is not finite where the leading coefficient may vanish
            if c.is_finite() and c * arb(t) ** -e < 1:
                height, power = height * c, power + e
        if not power > 0:
            return math.inf
        height *= arb(t) ** -power
        total = height * (arb(jumps) / arb.pi() / power + arb(bends) * self.period.length / (2 * arb.pi() ** 2) / k)
        return math.nextafter(float(total.upper()), math.inf)

    def _affordable(self, most: int, frequency: float, seconds: float) -> bool:
        """Whether so many frequencies, the last of which is this, fit into the memory and the time."""
        intervals = zip(self.variables, self.domain.intervals, strict=True)
        nodes = sum(count_nodes(v.p, i.lower, i.upper, frequency) for v, i in intervals)
        return most * nodes <= _MOST and most * nodes / _RATE + nodes * _MAKING <= seconds


class _Period:
    """T continued from an interval to a periodic function, by a line from its end to its next beginning.

    Attributes
    ----------
    length : float
    mean : arb
        Of the function over a period.
    points, jumps, bends : lists of arb
        Where value and slope change, in terms of V = u - constant, and by how much.
    """

    def __init__(self, line: PiecewiseLine, constant: arb, least: float, most: float) -> None:
        kinks = [(ball_of(k) - constant, ball_of(jump), ball_of(bend)) for k, jump, bend in line.jumps()]
        wider = _CELL + 2.0**-40 * max(abs(least), abs(most))
        while any(x.overlaps(arb(end)) for x, _, _ in kinks for end in (least, most)):
            least, most = least - wider, most + wider
        first = sum(1 for x, _, _ in kinks if x < least)
        inside = [kink for kink in kinks if kink[0] > least and kink[0] < most]
        values = [
            (ball_of(a) + ball_of(b) * constant, ball_of(b)) for a, b in zip(line.constants, line.slopes, strict=True)
        ]
        self.length = (most - least) * 1.25
        ramp = arb(self.length) - (arb(most) - arb(least))
        pieces = values[first : first + len(inside) + 1]
        ends = [arb(least), *(x for x, _, _ in inside), arb(most)]
        start, stop = pieces[0][0] + pieces[0][1] * least, pieces[-1][0] + pieces[-1][1] * most
        back = (start - stop) / ramp
        area = ramp * (start + stop) / 2
        for (a, b), (left, right) in zip(pieces, itertools.pairwise(ends), strict=True):
            area += (right - left) * (a + b * (left + right) / 2)
        self.mean = area / self.length
        self.points = [*(x for x, _, _ in inside), arb(most), arb(least)]
        self.jumps = [*(jump for _, jump, _ in inside), arb(0), arb(0)]
        self.bends = [*(bend for _, _, bend in inside), back - pieces[-1][1], pieces[0][1] - back]


@dataclass(frozen=True)
class _Row:
    values: NDArray[np.complex128]
    errors: Floats


def _product(rows: list[_Row]) -> _Row:
    """Products of numbers that are known within errors."""
    values, errors = rows[0].values, rows[0].errors
    for row in rows[1:]:
        left, right = np.abs(values), np.abs(row.values)
        values, errors = values * row.values, left * row.errors + errors * right + errors * row.errors
        errors = errors * _ROUNDED + gamma_above(4) * np.abs(values)
    return _Row(values, errors)


def _moments(v: _Variable, interval: _Interval, rate: arb) -> tuple[arb, arb]:
    """E[z^a e^(rate p(z)); z in the interval], a = 0 and 2."""

    def integrand(a: int) -> Callable[[acb, bool], acb]:
        return lambda z, _: z**a * (rate * v.coefficients(z) - z * z / 2).exp()

    scale = (2 * arb.pi()).rsqrt()
    low, high = (
        acb.integral(integrand(a), interval.lower, interval.upper, rel_tol=0.01, eval_limit=_CALLS).real * scale
        for a in (0, 2)
    )
    return low, high
