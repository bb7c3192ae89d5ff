"""Integrals of T_y = l'(c, y), y = g(z), along lines through the origin, for every loss and many lines at once.

Along z = rho u the link is a polynomial of rho. The line is cut at the real parts of all roots of
g(rho u) = c - kink, so that what is left between the cuts is smooth; cuts at complex roots are harmless and put
nodes where the integrand bends.
"""

import itertools
import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mimtheory.links import Link
from mimtheory.losses import Loss
from mimtheory.polynomial_roots import ray_roots, roots_within
from mimtheory.rounding import EPS
from mimtheory.segment_integrals import NODES, integrate_segments
from mimtheory.transitions import APART, transitions

__all__ = ["Column", "LineIntegrals", "norm_moments"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_LINES_AT_ONCE = 512
_LAYER = 8  # widths of a change of T: in a panel of as many the nodes see it
_MOST_LAYERS = 12  # to 16^-12, where points are told apart no more
_USUAL_NORM = 3.0
_FIRST_NODE = (1 + NODES[0]) / 2 / 16  # of a segment that was bisected four times


class Column(NamedTuple):
    """What is averaged along a line: a part of T times a power of rho."""

    part: Literal["T", "T+", "T-", "T^2"]
    power: int


_MOMENTS = (Column("T+", 0), Column("T-", 0), Column("T", 2), Column("T^2", 0), Column("T^2", 4))
_PLAIN = (Column("T", 0), Column("T", 2))
_FIRST = Column("T", 1)


@dataclass
class LineIntegrals:
    """Averages of functions of T and rho over lines through the origin of R^r.

    Attributes
    ----------
    link, loss, centre
        What T_y = l'(centre, g(z)) is made of.
    moments : bool
        True for the columns T_+, T_-, T rho^2, T^2 and T^2 rho^4, False for T and T rho^2.
    first : bool
        Whether T rho comes third; not with moments.
    columns : (q,) tuple of Column
    relative : float
        Allowed error of a segment relative to the largest integral: what averaging over directions can use.
    reach : float
        The lines are cut at |rho| = reach, where what is lost is below 1e-17 of an upper bound of the whole.
    truncation : (q,) array
        Bound on what is lost there, for each column.
    rounding : (q,) array
        Estimated effect of the rounding of g, of T and of the sums.
    worst, size : (q,) arrays
        Largest estimated error of a line so far, and largest average of an absolute value, for each column.
    """

    link: Link
    loss: Loss
    centre: float
    moments: bool
    first: bool = False
    columns: tuple[Column, ...] = field(init=False)
    relative: float = field(init=False)
    reach: float = field(init=False)
    truncation: Floats = field(init=False)
    rounding: Floats = field(init=False)
    worst: Floats = field(init=False)
    size: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.columns = _MOMENTS if self.moments else (*_PLAIN, _FIRST) if self.first else _PLAIN
        constant, self.exponents, self.coefficients = _monomials(self.link)
        self.gap = float(Fraction(self.centre) - constant)
        self.degrees = self.exponents.sum(axis=1)
        self.even = not np.any(self.degrees % 2)
        kinks = set(self.loss.kinks)
        if self.moments or not kinks:
            kinks.add(Fraction(0))  # T changes its sign there, or bends most
        self.relative = 1e-14 if self.link.r <= 2 else 1e-10
        self.jumps = not math.isfinite(self.loss.L2) and bool(self.loss.kinks) and math.isfinite(self.loss.K)
        self._choose_reach()
        r = self.link.r
        self.whole = 2 ** (r / 2 - 1) * math.gamma(r / 2) * (1 if self.even else 2)
        probe = np.random.default_rng(0).standard_normal((32, r))
        probe /= np.linalg.norm(probe, axis=1, keepdims=True)
        scales = self._scales(sorted(kinks), self.rays(probe))
        self.kinks, self.scales = tuple(map(float, scales)), tuple(scales.values())
        self.levels = tuple(float(Fraction(self.centre) - constant - kink) for kink in scales)
        self.worst = self.size = self.rounding = np.zeros_like(self.truncation)
        if not self.jumps:
            lipschitz = math.isfinite(self.loss.L2)
            self.rounding = self._rounding() if lipschitz else self._sampled_rounding(*self.rays_and_doubts(probe))
        self(probe)
        self.rounding = self.rounding + 4 * EPS * self.size

    def _scales(self, kinks: list[Fraction], rays: Floats) -> dict[Fraction, float]:
        """Values of u at whose roots to cut, in order, and the width in u of the change of l' about each; infinite
        where l' is a polynomial on both sides."""
        scales = dict.fromkeys(kinks, math.inf)
        if self.loss.pieces is not None:
            return scales
        x = np.linspace(-self.reach, self.reach, 401)
        u = self.gap - _values(rays, np.broadcast_to(x, (len(rays), len(x))))
        usual = u[:, np.abs(x) <= _USUAL_NORM]
        inner = [float(k) for k in self.loss.kinks if u.min() < k < u.max()]
        ends = [float(u.min()), *inner, float(u.max())]
        for where, width in transitions(lambda v: self.loss.dl(v, 0.0), ends, (float(usual.min()), float(usual.max()))):
            near = min(kinks, key=lambda k: abs(float(k) - where), default=Fraction(where))
            place = near if abs(float(near) - where) <= APART * width else Fraction(where)
            scales[place] = min(width, scales.get(place, math.inf))
        return dict(sorted(scales.items()))

    def _choose_reach(self) -> None:
        """Bound |T| by a polynomial of rho and cut where the Gaussian tail of every column is negligible."""
        growth, constant = np.zeros(self.link.degree + 1), np.zeros(self.link.degree + 1)
        if math.isfinite(self.loss.L2):
            np.add.at(growth, self.degrees, self.loss.L2 * np.abs(self.coefficients))
            growth[0] += abs(float(self.loss.dl(self.gap, 0.0)))
        constant[0] = self.loss.K
        bounds = [b for b, known in ((growth, self.loss.L2), (constant, self.loss.K)) if math.isfinite(known)]
        if not bounds:
            bounds = [self._growth_of_polynomial()]
        self.bound = bound = min(bounds, key=lambda b: norm_moments(b, 0, self.link.r, 0.0)[1])
        square = np.convolve(bound, bound)
        for reach in np.arange(8.0, 60.0, 0.25):
            tails = self._norm_moments(bound, square, float(reach))
            if all(lost <= 1e-17 * whole for lost, whole in tails):
                break
        self.reach, self.truncation = float(reach), np.array([lost for lost, _ in tails])

    def _norm_moments(self, plain: Floats, square: Floats, reach: float = 0.0) -> list[tuple[float, float]]:
        """`norm_moments` of each column with one polynomial of rho for T or a part of it, and another for T^2."""
        bounds = [square if part == "T^2" else plain for part, _ in self.columns]
        powers = [power for _, power in self.columns]
        return [norm_moments(b, power, self.link.r, reach) for b, power in zip(bounds, powers, strict=True)]

    def _growth_of_polynomial(self) -> Floats:
        """Coefficients of a bound on |l'(c - g)| along every ray for a piecewise polynomial l'."""
        if self.loss.pieces is None:
            raise ValueError(f"loss = {self.loss.text!r}; allowed: l' bounded, Lipschitz or a polynomial")
        u = np.zeros(self.link.degree + 1)
        np.add.at(u, self.degrees, np.abs(self.coefficients))
        u[0] += abs(self.gap)
        bound: Floats = np.zeros(1)
        powers = itertools.zip_longest(*(piece.coefficients for piece in self.loss.pieces), fillvalue=Fraction(0))
        for coefficients in reversed(list(powers)):
            bound = np.convolve(bound, u)
            bound[0] += max(abs(float(c)) for c in coefficients)
        return bound

    def rays(self, directions: Floats) -> Floats:
        """Coefficients (n, degree + 1) of g(rho u) as polynomials of rho, for directions (n, r), without the rational
        part of g's constant: `gap` and `levels` are relative to it."""
        return self.rays_and_doubts(directions)[0]

    def rays_and_doubts(self, directions: Floats) -> tuple[Floats, Floats]:
        """The same and bounds on what rounding does to the coefficients and, through them, to a value."""
        powers = directions[:, :, None] ** np.arange(self.link.degree + 1)
        terms = np.prod([powers[:, k, self.exponents[:, k]] for k in range(self.link.r)], axis=0) * self.coefficients
        rays, doubts = np.zeros((2, len(directions), self.link.degree + 1))
        for degree in np.unique(self.degrees):
            part = terms[:, self.degrees == degree]
            rays[:, degree] = part.sum(axis=1)
            doubts[:, degree] = np.abs(part).sum(axis=1)
        return rays, doubts * self._roundings() * EPS

    def __call__(self, directions: Floats) -> Floats:
        """Averages (n, q) along the lines through the unit vectors (n, r)."""
        return self.with_rounding(directions)[0]

    def with_rounding(self, directions: Floats) -> tuple[Floats, Floats]:
        """The same and bounds (n, q) on what jumps misplaced by rounding do to them; 0 for a T without jumps."""
        parts = []
        for start in range(0, len(directions), _LINES_AT_ONCE):
            rays, doubts = self.rays_and_doubts(directions[start : start + _LINES_AT_ONCE])
            cuts, moved = self._cuts(rays, doubts)
            parts.append((self._lines(rays, cuts, moved), moved))
        return np.concatenate([values for values, _ in parts]), np.concatenate([moved for _, moved in parts])

    def _lines(self, rays: Floats, cuts: Floats, moved: Floats) -> Floats:
        row, column = np.nonzero(np.diff(cuts, axis=1) > 0)
        values, errors, sizes = integrate_segments(
            lambda x, owner: self._integrand(x, rays[owner]),
            cuts[row, column],
            cuts[row, column + 1],
            row,
            len(rays),
            self.relative,
            floor=np.maximum(self.rounding, moved).T * self.whole / 8,
        )
        self.worst = np.maximum(self.worst, errors.max(axis=0) / self.whole)
        self.size = np.maximum(self.size, sizes.max(axis=0) / self.whole)
        if self.even:  # both ends of the line cancel in odd powers of rho, of which one was integrated
            values[:, [power % 2 == 1 for _, power in self.columns]] = 0.0
        return values / self.whole

    def _integrand(self, x: Floats, rays: Floats) -> Floats:
        t = self.loss.dl(self.gap, _values(rays, x))
        square = x * x
        weight = np.exp(-square / 2)
        if self.link.r > 1:
            weight *= np.abs(x) ** (self.link.r - 1)
        parts = {"T": t * weight}
        if self.moments:
            t_weight = parts["T"]
            parts |= {"T+": np.maximum(t_weight, 0), "T-": np.maximum(-t_weight, 0), "T^2": t * t_weight}
        columns: Floats = np.empty((len(self.columns), *x.shape))
        for column, (part, power) in zip(columns, self.columns, strict=True):
            column[:] = parts[part]
            for factor in [square] * (power // 2) + [x] * (power % 2):
                column *= factor
        return columns

    def _rounding(self) -> Floats:
        """Bound on what the rounding of g does to the columns of a Lipschitz T: |change of T| <= L2 |change of g|."""
        r = self.link.r
        change = np.zeros(self.link.degree + 1)
        for exponents, degree, coefficient in zip(self.exponents, self.degrees, self.coefficients, strict=True):
            # E|u^a| = E|z^a|/E|z|^|a|, the norm and the direction of z being independent
            mean = math.prod(norm_moments(np.ones(1), int(k), 1, 0.0)[1] for k in exponents)
            change[degree] += abs(coefficient) * mean / norm_moments(np.ones(1), int(degree), r, 0.0)[1]
        change *= self._roundings() * EPS * self.loss.L2
        change[0] += 2 * EPS * abs(self.gap) * self.loss.L2
        return np.array([whole for _, whole in self._norm_moments(change, 2 * np.convolve(self.bound, change))])

    def _roundings(self) -> Floats:
        """How many times eps the terms of each degree may be wrong in a value of g at a real point: an eps for each of
        r powers, half an eps for products, the coefficient, the sum, Horner's scheme, and the difference to c."""
        counts = np.bincount(self.degrees, minlength=self.link.degree + 1)
        return np.asarray((3 * self.link.r + 2 + counts) / 2 + np.arange(self.link.degree + 1))

    def _sampled_rounding(self, rays: Floats, doubts: Floats) -> Floats:
        """Average change of the columns along these rays when g moves by its rounding errors: of a T of which neither
        jumps nor a Lipschitz constant are known."""
        x = np.linspace(-self.reach, self.reach, 801)
        powers = x ** np.arange(rays.shape[1])[:, None]
        y = rays @ powers
        shift = doubts @ np.abs(powers) + 2 * EPS * abs(self.gap)
        t, above, below = (self.loss.dl(self.gap, y + side * shift) for side in (0, 1, -1))
        weight = np.abs(above - below) / 2 * (x[1] - x[0]) * np.abs(x) ** (self.link.r - 1) * np.exp(-(x**2) / 2)
        square = 2 * np.abs(t) * weight
        columns = [(square if part == "T^2" else weight) * np.abs(x) ** power for part, power in self.columns]
        both_ends = 2 ** (self.link.r / 2) * math.gamma(self.link.r / 2) * len(rays)
        return np.array([column.sum() for column in columns]) / both_ends

    def _cuts(self, rays: Floats, doubts: Floats) -> tuple[Floats, Floats]:
        """Where to cut the lines, in order, and bounds (n, q) on what the averages owe to the rounding of g.

        A T with jumps differs from the true one only where |g - level| is within its rounding error: in the discs of
        the roots, of which one misplaces at most its width times the jump and the density. Where nodes of a segment
        may stand in a disc at its end they do so for less than 2.6 times its radius each side.
        """
        roots, radii = zip(
            *(self._roots(rays, doubts, *level) for level in zip(self.levels, self.kinks, strict=True)), strict=True
        )
        root, radius = np.concatenate(roots, axis=1), np.concatenate(radii, axis=1)
        levels = zip(roots, self.levels, self.scales, strict=True)
        layers = [_layers(rays, at, level, scale) for at, level, scale in levels if math.isfinite(scale)]
        start = 0.0 if self.even else -self.reach
        steps = math.ceil((self.reach - start) / 1.25)
        grid = np.linspace(start, self.reach, steps + steps % 2 + 1)  # the origin is among the points
        inner = np.clip(np.concatenate([root, *layers], axis=1), start, self.reach)
        cuts = np.concatenate([np.broadcast_to(grid, (len(rays), len(grid))), inner], axis=1)
        cuts.sort(axis=1)
        if not self.jumps:
            return cuts, np.zeros((len(rays), len(self.truncation)))
        gap = np.diff(cuts, axis=1)
        shortest = np.min(gap, axis=1, where=gap > 0, initial=self.reach)
        inside = np.where(radius.max(axis=1, initial=0.0) < _FIRST_NODE * shortest, 1.0, 2.6)[:, None]
        most = [whole for _, whole in self._norm_moments(np.ones(1), np.ones(1))]
        jump = self.loss.K_plus + self.loss.K_minus
        factors = [2 * self.loss.K if part == "T^2" else 1.0 for part, _ in self.columns]  # of a change of T
        moved = np.minimum(self._moved(root, np.minimum(radius, 2 * self.reach), inside), most)
        return cuts, jump * moved * factors

    def _roots(self, rays: Floats, doubts: Floats, level: float, kink: float) -> tuple[Floats, Floats]:
        """Real parts of the roots of g - level, and the radii of those discs that meet the real line, for jumps."""
        if not self.jumps:
            root = ray_roots(rays, level, self.reach).real
            return root, np.zeros_like(root)
        shifted, doubt = rays.copy(), doubts.copy()
        shifted[:, 0] -= level
        doubt[:, 0] += 2 * EPS * (abs(level) + abs(kink))
        roots, radii = roots_within(shifted, doubt, self.reach)
        return roots.real, np.where(np.abs(roots.imag) <= radii, radii, 0.0)

    def _moved(self, roots: Floats, radii: Floats, inside: Floats) -> Floats:
        """Sums (n, q) of the widths of the discs times the largest density of the columns in them."""
        order = np.argsort(roots, axis=1)
        roots, radii = np.take_along_axis(roots, order, 1), np.take_along_axis(radii, order, 1)
        # a disc that holds another centre is that one's too; then each counts up to the next centre only
        holds = np.abs(roots[:, :, None] - roots[:, None, :]) <= radii[:, None, :]
        radii = np.where(holds, radii[:, None, :], 0.0).max(axis=2, initial=0.0)
        room = np.diff(roots, axis=1, prepend=-np.inf, append=np.inf)
        width = np.minimum(inside * radii, room[:, :-1]) + np.minimum(inside * radii, room[:, 1:])
        r, low, high = self.link.r, np.abs(roots) - radii, np.abs(roots) + radii
        columns = []
        for _, power in self.columns:
            x = np.clip(math.sqrt(power + r - 1), low, high)  # nearest to the mode
            columns.append((width * np.abs(x) ** (power + r - 1) * np.exp(-x * x / 2)).sum(axis=1))
        return np.stack(columns, axis=1) / (2 ** (r / 2) * math.gamma(r / 2))


def _layers(rays: Floats, roots: Floats, level: float, scale: float) -> Floats:
    """Cuts at distances from the roots of g - level that fall like 16^-j, as long as g changes by many scales on them:
    without them a change of T beside a root may lie before the first node, which then sees nothing of it."""
    value = _values(rays, roots)
    wide = _LAYER * (scale + np.abs(value - level))
    cuts = [np.zeros((len(rays), 0))]
    for j in range(1, _MOST_LAYERS + 1):
        points = [roots + side * 16.0**-j for side in (1, -1)]
        kept = [np.where(np.abs(_values(rays, x) - value) > wide, x, roots) for x in points]
        if all(np.array_equal(x, roots) for x in kept):
            break
        cuts += kept
    return np.concatenate(cuts, axis=1)


def _values(polynomials: Floats, x: Floats) -> Floats:
    """Values (n, k) of the polynomials with coefficients (n, degree + 1) at the points (n, k)."""
    y = np.broadcast_to(polynomials[:, -1:], x.shape)
    for k in range(polynomials.shape[1] - 2, -1, -1):
        y = y * x + polynomials[:, k : k + 1]
    return y


def _monomials(g: Link) -> tuple[Fraction, Integers, Floats]:
    """The rational part of the constant of g, and exponents (k, r) and coefficients (k,) of the rest as doubles."""
    terms: dict[tuple[int, ...], float] = {}
    constant = Fraction(0)
    for radicand, part in g.polynomial.parts.items():
        for exponent, coefficient in part.to_dict().items():
            key = tuple(int(k) for k in exponent)
            if radicand == 1 and not any(key):
                constant = Fraction(int(coefficient.p), int(coefficient.q))
            else:
                terms[key] = terms.get(key, 0.0) + math.sqrt(radicand) * float(coefficient)
    return constant, np.array(list(terms), dtype=np.int64).reshape(len(terms), g.r), np.array(list(terms.values()))


def norm_moments(bound: Floats, power: int, r: int, reach: float) -> tuple[float, float]:
    """E[bound(rho) rho^power; rho > reach] and the same without the condition, rho the norm of N(0, I_r)."""
    exponents = np.arange(len(bound)) + power
    whole = bound * 2 ** (exponents / 2) * np.exp(special.gammaln((r + exponents) / 2) - special.gammaln(r / 2))
    return float(whole @ special.gammaincc((r + exponents) / 2, reach * reach / 2)), float(whole.sum())
