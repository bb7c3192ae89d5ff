"""Integrals of T_y = l'(c, y), y = g(z), along lines through the origin, for every loss and many lines at once.

Along z = rho u the link is a polynomial of rho. The line is cut at the real parts of all roots of
g(rho u) = c - kink, so that what is left between the cuts is smooth; cuts at complex roots are harmless and put
nodes where the integrand bends. Segments that are not resolved yet are bisected.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mimtheory.links import Link
from mimtheory.losses import Loss

__all__ = ["LineIntegrals", "above_level", "integrate_segments", "norm_moments", "ray_roots"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Integrand = Callable[[Floats, Integers], Floats]

_EPS = float(np.finfo(np.float64).eps)
_TINY = float(np.finfo(np.float64).tiny)
_ORDER = 15
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(_ORDER)
# Coefficients of the three highest Legendre polynomials that the nodes determine: their size tells how well the
# panel is resolved.
_HIGHEST = np.stack(
    [_WEIGHTS * special.eval_legendre(k, _NODES) * (2 * k + 1) / 2 for k in range(_ORDER - 3, _ORDER)]
).T
_MAX_BISECTIONS = 60
_LINES_AT_ONCE = 512


def integrate_segments(
    integrand: Integrand,
    lower: Floats,
    upper: Floats,
    owner: Integers,
    owners: int,
    relative: float,
    floor: Floats | float = 0.0,
    budget: float = math.inf,
) -> tuple[Floats, Floats, Floats]:
    """Integrate a vector function over many segments, bisecting the unresolved ones all at once.

    Parameters
    ----------
    integrand : callable
        Takes x of shape (k, n) and the owners of its rows (k,), returns values of shape (q, k, n).
    lower, upper : (k,) arrays
        Ends of the segments.
    owner : (k,) integers
        The integral to which a segment contributes.
    owners : int
        Number of integrals.
    relative : float
        Error allowed on each final segment, in units of the largest integral of the absolute value.
    floor : float or (q,) array
        Error that is allowed in any case; needed where the integrand may vanish up to rounding.
    budget : float
        Number of segments that may be evaluated; where it ends, the least resolved are bisected first.

    Returns
    -------
    values, errors, sizes : (owners, q) arrays
        Sizes are the integrals of the absolute value at first sight. The error of a segment is 4 s (e/s)^1.5 with e
        the size of its highest Legendre coefficients and s that of the integrand: pessimistic for analytic
        integrands (the rule converges like e^2), fair at a square root or a logarithm.
    """
    values: Floats | None = None
    errors = sizes = limit = np.zeros((0, 0))
    for bisection in range(_MAX_BISECTIONS + 1):
        half = (upper - lower) / 2
        samples = integrand(lower[:, None] + half[:, None] * (1 + _NODES), owner)
        part = half * (samples @ _WEIGHTS)
        size = half * (np.abs(samples) @ _WEIGHTS)
        roughness = half * np.sqrt(np.sum((samples @ _HIGHEST) ** 2, axis=-1))
        error = 4 * roughness * np.sqrt(np.minimum(1.0, roughness / np.maximum(size, _TINY)))
        if values is None:
            values, errors = np.zeros((owners, len(part))), np.zeros((owners, len(part)))
            sizes = np.stack([np.bincount(owner, row, owners) for row in size], axis=1)
            limit = np.maximum(relative * sizes.max(axis=0), floor)[:, None]
        # below the rounding of the sum itself no bisection helps
        open_ = np.any(error > np.maximum(limit, 8 * _EPS * size), axis=0)
        open_ &= half > 4 * _EPS * np.maximum(np.abs(lower), np.abs(upper))
        budget -= len(owner)
        _keep_worst(open_, (error / np.maximum(limit, _TINY)).max(axis=0), budget / 2)
        if bisection == _MAX_BISECTIONS:
            open_[:] = False
        done = ~open_
        for j in range(len(part)):
            values[:, j] += np.bincount(owner[done], part[j, done], owners)
            errors[:, j] += np.bincount(owner[done], error[j, done], owners)
        if not open_.any():
            break
        middle = (lower + half)[open_]
        lower, upper = np.concatenate([lower[open_], middle]), np.concatenate([middle, upper[open_]])
        owner = np.concatenate([owner[open_], owner[open_]])
    assert values is not None
    return values, errors, sizes


def _keep_worst(open_: NDArray[np.bool_], badness: Floats, most: float) -> None:
    """Leave at most `most` entries of open_ true, those of the largest badness."""
    if np.count_nonzero(open_) > most:
        order = np.argsort(-np.where(open_, badness, -1.0), kind="stable")
        open_[order[max(0, int(most)) :]] = False


@dataclass
class LineIntegrals:
    """Averages of T_+, T_-, T rho^2, T^2, T^2 rho^4 over lines through the origin of R^r.

    Attributes
    ----------
    link, loss, centre
        What T_y = l'(centre, g(z)) is made of.
    moments : bool
        True for the five columns above, False for the two columns T and T rho^2.
    first : bool
        Whether T rho comes third; not with moments.
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
    relative: float = field(init=False)
    reach: float = field(init=False)
    truncation: Floats = field(init=False)
    rounding: Floats = field(init=False)
    worst: Floats = field(init=False)
    size: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.exponents, self.coefficients = _monomials(self.link)
        self.degrees = self.exponents.sum(axis=1)
        self.even = not np.any(self.degrees % 2)
        kinks = set(self.loss.kinks)
        if self.moments or not kinks:
            kinks.add(Fraction(0))  # T changes its sign there, or bends most
        self.relative = 1e-14 if self.link.r <= 2 else 1e-10
        self.levels = tuple(self.centre - float(kink) for kink in sorted(kinks))
        self._choose_reach()
        r = self.link.r
        self.whole = 2 ** (r / 2 - 1) * math.gamma(r / 2) * (1 if self.even else 2)
        probe = np.random.default_rng(0).standard_normal((32, r))
        probe /= np.linalg.norm(probe, axis=1, keepdims=True)
        self.rounding = self._rounding(self.rays(probe))
        self.worst = self.size = np.zeros_like(self.truncation)
        self(probe)
        self.rounding += 4 * _EPS * self.size

    def _choose_reach(self) -> None:
        """Bound |T| by a polynomial of rho and cut where the Gaussian tail of every column is negligible."""
        growth, constant = np.zeros(self.link.degree + 1), np.zeros(self.link.degree + 1)
        if math.isfinite(self.loss.L2):
            np.add.at(growth, self.degrees, self.loss.L2 * np.abs(self.coefficients))
            growth[0] += abs(float(self.loss.dl(self.centre, 0.0)))
        constant[0] = self.loss.K
        bounds = [b for b, known in ((growth, self.loss.L2), (constant, self.loss.K)) if math.isfinite(known)]
        if not bounds:
            bounds = [self._growth_of_polynomial()]
        bound = min(bounds, key=lambda b: norm_moments(b, 0, self.link.r, 0.0)[1])
        square = np.convolve(bound, bound)
        columns = [(bound, 0), (bound, 2)] if not self.moments else [(bound, 0), (bound, 0), (bound, 2), (square, 0)]
        columns += [(square, 4)] if self.moments else [(bound, 1)] if self.first else []
        for reach in np.arange(8.0, 60.0, 0.25):
            tails = [norm_moments(b, power, self.link.r, reach) for b, power in columns]
            if all(lost <= 1e-17 * whole for lost, whole in tails):
                break
        self.reach, self.truncation = float(reach), np.array([lost for lost, _ in tails])

    def _growth_of_polynomial(self) -> Floats:
        """Coefficients of a bound on |l'(c - g)| along every ray for a piecewise polynomial l'."""
        if self.loss.pieces is None:
            raise ValueError(f"loss = {self.loss.text!r}; allowed: l' bounded, Lipschitz or a polynomial")
        u = np.zeros(self.link.degree + 1)
        np.add.at(u, self.degrees, np.abs(self.coefficients))
        u[0] += abs(self.centre)
        bound: Floats = np.zeros(1)
        powers = itertools.zip_longest(*(piece.coefficients for piece in self.loss.pieces), fillvalue=Fraction(0))
        for coefficients in reversed(list(powers)):
            bound = np.convolve(bound, u)
            bound[0] += max(abs(float(c)) for c in coefficients)
        return bound

    def rays(self, directions: Floats) -> Floats:
        """Coefficients (n, degree + 1) of g(rho u) as polynomials of rho, for directions (n, r)."""
        powers = directions[:, :, None] ** np.arange(self.link.degree + 1)
        terms = np.prod([powers[:, k, self.exponents[:, k]] for k in range(self.link.r)], axis=0) * self.coefficients
        rays = np.zeros((len(directions), self.link.degree + 1))
        for degree in np.unique(self.degrees):
            rays[:, degree] = terms[:, self.degrees == degree].sum(axis=1)
        return rays

    def __call__(self, directions: Floats) -> Floats:
        """Averages (n, q) along the lines through the unit vectors (n, r)."""
        parts = [
            self._lines(self.rays(directions[start : start + _LINES_AT_ONCE]))
            for start in range(0, len(directions), _LINES_AT_ONCE)
        ]
        return np.concatenate(parts)

    def _lines(self, rays: Floats) -> Floats:
        cuts = np.concatenate([ray_roots(rays, level, self.reach).real for level in self.levels], axis=1)
        start = 0.0 if self.even else -self.reach
        steps = math.ceil((self.reach - start) / 1.25)
        grid = np.linspace(start, self.reach, steps + steps % 2 + 1)  # the origin is among the points
        cuts = np.concatenate([np.broadcast_to(grid, (len(rays), len(grid))), np.clip(cuts, start, self.reach)], axis=1)
        cuts.sort(axis=1)
        row, column = np.nonzero(np.diff(cuts, axis=1) > 0)
        values, errors, sizes = integrate_segments(
            lambda x, owner: self._integrand(x, rays[owner]),
            cuts[row, column],
            cuts[row, column + 1],
            row,
            len(rays),
            self.relative,
            floor=self.rounding * self.whole / 8,
        )
        self.worst = np.maximum(self.worst, errors.max(axis=0) / self.whole)
        self.size = np.maximum(self.size, sizes.max(axis=0) / self.whole)
        if self.even and self.first:
            values[:, 2] = 0.0  # both ends of the line cancel, of which one was integrated
        return values / self.whole

    def _integrand(self, x: Floats, rays: Floats) -> Floats:
        t = self.loss.dl(self.centre, _values(rays, x))
        square = x * x
        weight = np.exp(-square / 2)
        if self.link.r > 1:
            weight *= np.abs(x) ** (self.link.r - 1)
        t_weight = t * weight
        if not self.moments:
            plain = [t_weight, t_weight * square]
            return np.stack([*plain, t_weight * x] if self.first else plain)
        t2_weight = t * t_weight
        plus, minus = np.maximum(t_weight, 0), np.maximum(-t_weight, 0)
        return np.stack([plus, minus, t_weight * square, t2_weight, t2_weight * square * square])

    def _rounding(self, rays: Floats) -> Floats:
        """Average change of the columns along these rays when g moves by the rounding errors of its terms."""
        jumps = not math.isfinite(self.loss.L2) and bool(self.loss.kinks) and math.isfinite(self.loss.K)
        x, change, t = self._shift_of_jumps(rays) if jumps else self._shift_of_values(rays)
        weight = change * np.abs(x) ** (self.link.r - 1) * np.exp(-(x**2) / 2)
        columns = [weight, weight * x**2, *([weight * np.abs(x)] if self.first else [])]
        if self.moments:
            columns = [weight, weight, weight * x**2, 2 * t * weight, 2 * t * weight * x**4]
        both_ends = 2 ** (self.link.r / 2) * math.gamma(self.link.r / 2) * len(rays)
        return np.array([column.sum() for column in columns]) / both_ends

    def _shift_of_values(self, rays: Floats) -> tuple[Floats, Floats, Floats]:
        """Points, change of T there times their spacing, and |T|, for a Lipschitz T."""
        x = np.linspace(-self.reach, self.reach, 801)
        powers = x ** np.arange(rays.shape[1])[:, None]
        y = rays @ powers
        shift = 4 * _EPS * (np.abs(rays) @ np.abs(powers) + abs(self.centre))
        change = np.abs(self.loss.dl(self.centre, y + shift) - self.loss.dl(self.centre, y - shift)) / 2
        return np.broadcast_to(x, y.shape), change * (x[1] - x[0]), np.abs(self.loss.dl(self.centre, y))

    def _shift_of_jumps(self, rays: Floats) -> tuple[Floats, Floats, Floats]:
        """Jumps, the mass that T may misplace there (its jump times the uncertainty of the root), and sup |T|."""
        x, change = [], []
        for level in self.levels:
            roots = ray_roots(rays, level, self.reach)
            point = np.clip(roots.real, -self.reach, self.reach)
            shift = 4 * _EPS * (_values(np.abs(rays), np.abs(point)) + abs(level))
            uncertainty = np.full(point.shape, 2 * self.reach)
            derivative, factorial = rays, 1
            for k in range(1, rays.shape[1]):
                derivative, factorial = derivative[:, 1:] * np.arange(1, derivative.shape[1]), factorial * k
                slope = np.abs(_values(derivative, point)) + _TINY
                uncertainty = np.minimum(uncertainty, (factorial * shift / slope) ** (1 / k))
            real = np.abs(roots.imag) <= uncertainty
            x.append(point)
            change.append((self.loss.K_plus + self.loss.K_minus) * uncertainty * real)
        points = np.concatenate(x, axis=1)
        return points, np.concatenate(change, axis=1), np.full(points.shape, self.loss.K)


def _values(polynomials: Floats, x: Floats) -> Floats:
    """Values (n, k) of the polynomials with coefficients (n, degree + 1) at the points (n, k)."""
    y = np.broadcast_to(polynomials[:, -1:], x.shape)
    for k in range(polynomials.shape[1] - 2, -1, -1):
        y = y * x + polynomials[:, k : k + 1]
    return y


def ray_roots(rays: Floats, level: float, reach: float) -> NDArray[np.complex128]:
    """All complex roots of the polynomials sum_k rays[:, k] x^k - level, batched; shape (n, degree).

    A coefficient that vanishes in some direction sends roots to infinity (or to zero) and spoils a companion matrix.
    So the Riemann sphere is turned, x = (c y + s)/(c - s y), such that the leading coefficient is large. An even
    polynomial is solved in x^2. What comes out at infinity is replaced by 2 reach.
    """
    scaled = above_level(rays, level) * reach ** np.arange(rays.shape[1])
    zeros = int(np.argmax(scaled.any(axis=0)))  # roots at the origin in every direction would come out as noise
    origin = np.zeros((len(rays), zeros), dtype=np.complex128)
    return np.concatenate([origin, _roots(scaled[:, zeros:]) * reach], axis=1)


def above_level(rays: Floats, level: float) -> Floats:
    """Coefficients of the polynomials minus the level, a constant term that is only rounding being replaced by 0."""
    shifted = rays.copy()
    shifted[:, 0] -= level
    shifted[np.abs(shifted[:, 0]) <= 8 * _EPS * abs(level), 0] = 0.0
    return shifted


def _roots(scaled: Floats) -> NDArray[np.complex128]:
    if scaled.shape[1] == 1:
        return np.zeros((len(scaled), 0), dtype=np.complex128)
    even = scaled.shape[1] > 2 and not scaled[:, 1::2].any()
    p = scaled[:, ::2] if even else scaled
    degree = p.shape[1] - 1
    turns, cosines, sines = _turns(degree)
    chosen = np.argmax(np.abs(p @ turns[:, -1].T), axis=1)
    q = np.einsum("nij,nj->ni", turns[chosen], p)
    companion = np.zeros((len(p), degree, degree))
    companion[:, 1:, :-1] = np.eye(degree - 1)
    companion[:, :, -1] = -q[:, :-1] / np.where(q[:, -1:] == 0, 1, q[:, -1:])
    y = np.linalg.eigvals(companion).astype(np.complex128)
    c, s = cosines[chosen][:, None], sines[chosen][:, None]
    below = c - s * y
    roots = np.full_like(y, 2.0)
    np.divide(c * y + s, below, out=roots, where=np.abs(below) > 1e-15)
    for _ in range(2):
        roots = _newton_step(p, roots)
    if even:
        roots = np.sqrt(roots)
        roots = np.concatenate([roots, -roots], axis=1)
    return roots


@lru_cache
def _turns(degree: int) -> tuple[Floats, Floats, Floats]:
    """Turns of the sphere: matrices (j, degree + 1, degree + 1), coefficients in x to those in y; cosines; sines."""
    count = 2 * degree + 2
    angles = (np.arange(count) + 0.5) * np.pi / count
    cosines, sines = np.cos(angles), np.sin(angles)
    turns = np.zeros((count, degree + 1, degree + 1))
    for j, (c, s) in enumerate(zip(cosines, sines, strict=True)):
        for k in range(degree + 1):
            above = np.polynomial.polynomial.polypow([s, c], k)
            below = np.polynomial.polynomial.polypow([c, -s], degree - k)
            turns[j, :, k] = np.polynomial.polynomial.polymul(above, below)
    return turns, cosines, sines


def _newton_step(p: Floats, roots: NDArray[np.complex128]) -> NDArray[np.complex128]:
    value = np.broadcast_to(p[:, -1:].astype(np.complex128), roots.shape)
    slope = np.zeros_like(roots)
    for k in range(p.shape[1] - 2, -1, -1):
        slope = slope * roots + value
        value = value * roots + p[:, k : k + 1]
    # only a correction: near a multiple root Newton's step is noise
    small = np.abs(value) < 1e-3 * np.abs(slope) * np.abs(roots)
    step = np.zeros_like(roots)
    np.divide(value, slope, out=step, where=small)
    return roots - step


def _monomials(g: Link) -> tuple[Integers, Floats]:
    """Exponents (k, r) and coefficients (k,) of g as floating-point numbers."""
    terms: dict[tuple[int, ...], float] = {}
    for radicand, part in g.polynomial.parts.items():
        for exponent, coefficient in part.to_dict().items():
            key = tuple(int(k) for k in exponent)
            terms[key] = terms.get(key, 0.0) + math.sqrt(radicand) * float(coefficient)
    return np.array(list(terms), dtype=np.int64).reshape(len(terms), g.r), np.array(list(terms.values()))


def norm_moments(bound: Floats, power: int, r: int, reach: float) -> tuple[float, float]:
    """E[bound(rho) rho^power; rho > reach] and the same without the condition, rho the norm of N(0, I_r)."""
    exponents = np.arange(len(bound)) + power
    whole = bound * 2 ** (exponents / 2) * np.exp(special.gammaln((r + exponents) / 2) - special.gammaln(r / 2))
    return float(whole @ special.gammaincc((r + exponents) / 2, reach * reach / 2)), float(whole.sum())
