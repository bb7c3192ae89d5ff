"""Numerical Gaussian expectations of T_y = l'(c, y), y = g(z), for every loss and any number of variables.

In polar coordinates z = rho u the link is a univariate polynomial of rho. The line integral along u is cut at the
real parts of all roots of g(rho u) = c - kink, so that what is left between the cuts is smooth; cuts at complex
roots are harmless and put nodes where the integrand bends. Then the directions u are averaged: the only line for
r = 1, adaptive panels of the angle for r = 2, randomised quasi-Monte-Carlo on the sphere for r >= 3.

The errors reported here are estimates made with care (see `Averages`), not proofs.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from mimtheory import links, losses
from mimtheory.links import Link
from mimtheory.losses import Loss

__all__ = [
    "Averages",
    "LineIntegrals",
    "Moments",
    "checked_centre",
    "gaussian_averages",
    "gaussian_moments",
    "integrate_segments",
    "noisy",
    "symmetric",
]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Integrand = Callable[[Floats, Integers], Floats]

_EPS = float(np.finfo(np.float64).eps)
_ORDER = 15
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(_ORDER)
# Coefficients of the three highest Legendre polynomials that the nodes determine: their size tells how well the
# panel is resolved.
_HIGHEST = np.stack(
    [_WEIGHTS * special.eval_legendre(k, _NODES) * (2 * k + 1) / 2 for k in range(_ORDER - 3, _ORDER)]
).T
_MAX_BISECTIONS = 60
_LINES_AT_ONCE = 512
_REPLICATES = 16
_MISS = 1e-6  # probability that the randomised radius fails, all entries together


def integrate_segments(
    integrand: Integrand, lower: Floats, upper: Floats, owner: Integers, owners: int, relative: float
) -> tuple[Floats, Floats]:
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

    Returns
    -------
    values, errors : (owners, q) arrays
        The error of a segment is s (e/s)^1.5 with e the size of its highest Legendre coefficients and s that of the
        integrand: pessimistic for analytic integrands (the rule converges like e^2), fair at a square root.
    """
    values = errors = allowed = None
    for bisection in range(_MAX_BISECTIONS + 1):
        half = (upper - lower) / 2
        samples = integrand(lower[:, None] + half[:, None] * (1 + _NODES), owner)
        part = half * (samples @ _WEIGHTS)
        size = half * (np.abs(samples) @ _WEIGHTS)
        roughness = half * np.sqrt(np.sum((samples @ _HIGHEST) ** 2, axis=-1))
        error = roughness * np.sqrt(np.minimum(1.0, roughness / np.maximum(size, np.finfo(float).tiny)))
        if values is None or errors is None or allowed is None:
            values, errors = np.zeros((owners, len(part))), np.zeros((owners, len(part)))
            total = np.stack([np.bincount(owner, row, owners).max(initial=0.0) for row in size])
            allowed = relative * total[:, None]
        # below the rounding of the sum itself no bisection helps
        open_ = np.any(error > np.maximum(allowed, 8 * _EPS * size), axis=0)
        open_ &= half > 4 * _EPS * np.maximum(np.abs(lower), np.abs(upper))
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
    assert errors is not None
    return values, errors


@dataclass
class LineIntegrals:
    """Averages of T_+, T_-, T rho^2, T^2, T^2 rho^4 over lines through the origin of R^r.

    Attributes
    ----------
    link, loss, centre
        What T_y = l'(centre, g(z)) is made of.
    moments : bool
        True for the five columns above, False for the two columns T and T rho^2.
    relative : float
        Allowed error of a segment relative to the largest integral.
    directions : int
        For r >= 3, number of directions of each replicate, a power of two.
    reach : float
        The lines are cut at |rho| = reach, where what is lost is below 1e-17 of an upper bound of the whole.
    truncation : (q,) array
        Bound on what is lost there, for each column.
    worst : (q,) array
        Largest estimated error of a line so far, for each column.
    """

    link: Link
    loss: Loss
    centre: float
    moments: bool
    relative: float = 1e-14
    directions: int = 2048
    reach: float = field(init=False)
    truncation: Floats = field(init=False)
    worst: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.exponents, self.coefficients = _monomials(self.link)
        self.degrees = self.exponents.sum(axis=1)
        self.even = not np.any(self.degrees % 2)
        kinks = set(self.loss.kinks)
        if self.moments or not kinks:
            kinks.add(Fraction(0))  # T changes its sign there, or bends most
        self.levels = tuple(self.centre - float(kink) for kink in sorted(kinks))
        self._choose_reach()
        self.worst = np.zeros_like(self.truncation)

    def _choose_reach(self) -> None:
        """Bound |T| by a polynomial of rho and cut where the Gaussian tail of every column is negligible."""
        bound = np.zeros(self.link.degree + 1)
        if math.isfinite(self.loss.K):
            bound[0] = self.loss.K
        else:
            np.add.at(bound, self.degrees, self.loss.L2 * np.abs(self.coefficients))
            bound[0] += abs(float(self.loss.dl(self.centre, 0.0)))
        square = np.convolve(bound, bound)
        columns = [(bound, 0), (bound, 2)] if not self.moments else [(bound, 0), (bound, 0), (bound, 2), (square, 0)]
        columns += [(square, 4)] if self.moments else []
        for reach in np.arange(8.0, 60.0, 0.25):
            tails = [_tail(b, power, self.link.r, reach) for b, power in columns]
            if all(lost <= 1e-17 * whole for lost, whole in tails):
                break
        self.reach, self.truncation = float(reach), np.array([lost for lost, _ in tails])

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
        values, errors = integrate_segments(
            lambda x, owner: self._integrand(x, rays[owner]),
            cuts[row, column],
            cuts[row, column + 1],
            row,
            len(rays),
            self.relative,
        )
        r = self.link.r
        whole = 2 ** (r / 2 - 1) * math.gamma(r / 2) * (1 if self.even else 2)
        self.worst = np.maximum(self.worst, errors.max(axis=0) / whole)
        return values / whole

    def _integrand(self, x: Floats, rays: Floats) -> Floats:
        y = np.broadcast_to(rays[:, -1:], x.shape)
        for k in range(rays.shape[1] - 2, -1, -1):
            y = y * x + rays[:, k : k + 1]
        t = self.loss.dl(self.centre, y)
        square = x * x
        weight = np.exp(-square / 2)
        if self.link.r > 1:
            weight *= np.abs(x) ** (self.link.r - 1)
        t_weight = t * weight
        if not self.moments:
            return np.stack([t_weight, t_weight * square])
        t2_weight = t * t_weight
        plus, minus = np.maximum(t_weight, 0), np.maximum(-t_weight, 0)
        return np.stack([plus, minus, t_weight * square, t2_weight, t2_weight * square * square])


def ray_roots(rays: Floats, level: float, reach: float) -> NDArray[np.complex128]:
    """All complex roots of the polynomials sum_k rays[:, k] x^k - level, batched; shape (n, degree) or so.

    Roots far beyond `reach` are only roughly placed. An even polynomial is solved in x^2.
    """
    scaled = rays * reach ** np.arange(rays.shape[1])
    scaled[:, 0] -= level
    even = rays.shape[1] > 2 and not rays[:, 1::2].any()
    p = scaled[:, ::2] if even else scaled
    # A leading coefficient that vanishes in this direction sends a root to infinity: keep it finite, far outside.
    size = np.abs(p).max(axis=1)
    size[size == 0] = 1.0
    lead = np.where(np.abs(p[:, -1]) > 1e-14 * size, p[:, -1], 1e-14 * size)
    companion = np.zeros((len(p), p.shape[1] - 1, p.shape[1] - 1))
    companion[:, 1:, :-1] = np.eye(p.shape[1] - 2)
    companion[:, :, -1] = -p[:, :-1] / lead[:, None]
    roots = np.linalg.eigvals(companion).astype(np.complex128)
    for _ in range(2):
        roots = _newton_step(p, roots)
    if even:
        roots = np.sqrt(roots)
        roots = np.concatenate([roots, -roots], axis=1)
    return roots * reach


def _newton_step(p: Floats, roots: NDArray[np.complex128]) -> NDArray[np.complex128]:
    value = np.broadcast_to(p[:, -1:].astype(np.complex128), roots.shape)
    slope = np.zeros_like(roots)
    for k in range(p.shape[1] - 2, -1, -1):
        slope = slope * roots + value
        value = value * roots + p[:, k : k + 1]
    # only a correction: near a multiple root Newton's step is noise
    small = np.abs(value) < 1e-6 * np.abs(slope) * np.abs(roots)
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


def _tail(bound: Floats, power: int, r: int, reach: float) -> tuple[float, float]:
    """E[bound(rho) rho^power; rho > reach] and the same without the condition, rho the norm of N(0, I_r)."""
    exponents = np.arange(len(bound)) + power
    whole = bound * 2 ** (exponents / 2) * np.exp(special.gammaln((r + exponents) / 2) - special.gammaln(r / 2))
    return float(whole @ special.gammaincc((r + exponents) / 2, reach * reach / 2)), float(whole.sum())


@dataclass(frozen=True)
class Averages:
    """Expectations over N(0, I_r) and what is known about their error.

    Attributes
    ----------
    values : (q,) array
        E T, then the upper triangle of E[T z z^T]; with moments E T_+, E T_-, E T^2, E[T^2 |z|^4], then the triangle.
    errors : (q,) array
        For r = 1 and 2 the sum of the estimated errors of all panels, the disagreement of two evaluations with
        different panels (r = 2), the truncated tails and a roundoff allowance: an estimate, not a proof. For r >= 3 a
        Student-t interval over independent scramblings that all entries together miss with probability 1e-6 (if
        the replicate means are normal), plus the same inner errors.
    method : str
        How the directions were averaged.
    """

    values: Floats
    errors: Floats
    method: str


def gaussian_averages(lines: LineIntegrals, kept: int) -> Averages:
    """Average line integrals over all directions; z z^T and |z| use the first `kept` coordinates only."""
    if lines.link.r == 1:
        values, errors, method = (
            _assemble(lines(np.ones((1, 1))), np.ones((1, 1)), kept)[0],
            0.0,
            "quadrature on the line",
        )
    elif lines.link.r == 2:
        (first, first_error), (second, second_error) = (_circle(lines, kept, shift) for shift in (0.1, 0.7))
        values, method = (first + second) / 2, "adaptive quadrature in polar coordinates"
        errors = np.maximum(first_error, second_error) + np.abs(first - second)
    else:
        values, errors = _sphere(lines, kept)
        method = "quasi-Monte-Carlo over directions, quadrature along them"
    inner = _assemble((lines.worst + lines.truncation)[None], np.ones((1, lines.link.r)), kept)[0]
    return Averages(values, errors + inner + _roundoff(lines, kept), method)


def _assemble(radial: Floats, directions: Floats, kept: int) -> Floats:
    """Turn the columns of LineIntegrals into the columns of Averages, direction by direction."""
    u = directions[:, :kept]
    i, j = np.triu_indices(kept)
    moment = radial[:, 2 if radial.shape[1] > 2 else 1, None] * u[:, i] * u[:, j]
    if radial.shape[1] == 2:
        return np.concatenate([radial[:, :1], moment], axis=1)
    fourth = radial[:, 4] * np.sum(u * u, axis=1) ** 2
    return np.concatenate([radial[:, [0, 1, 3]], fourth[:, None], moment], axis=1)


def _roundoff(lines: LineIntegrals, kept: int) -> Floats:
    """Rounding of the sums and of g itself, which shifts T by at most L2 |error of g| where T is Lipschitz."""
    power = int(lines.degrees.max())
    size = np.zeros(power + 1)
    np.add.at(size, lines.degrees, np.abs(lines.coefficients))
    size[0] += abs(lines.centre) + 1
    bound = size * (lines.loss.L2 if math.isfinite(lines.loss.L2) else 1.0)
    if math.isfinite(lines.loss.K):
        bound = np.minimum(bound, max(lines.loss.K, 1.0))
    columns = [_tail(bound, p, lines.link.r, 0.0)[1] for p in (0, 2)]
    if lines.moments:
        square = np.convolve(bound, bound)
        columns = [columns[0], columns[0], columns[1], _tail(square, 0, lines.link.r, 0.0)[1]]
        columns.append(_tail(square, 4, lines.link.r, 0.0)[1])
    return 4 * _EPS * _assemble(np.array([columns]), np.ones((1, lines.link.r)), kept)[0]


def _circle(lines: LineIntegrals, kept: int, shift: float) -> tuple[Floats, Floats]:
    """Average over the angle. Panels end at `shift` and where roots along the ray appear or vanish.

    There the average along a line behaves like a square root of the angle, which the substitution
    s^2 (3 - 2 s) makes smooth; what else there may be is left to the bisection.
    """
    edges = np.concatenate([shift + np.linspace(0, np.pi, 5), _critical_angles(lines, shift)])
    edges.sort()
    edges = edges[np.concatenate([[True], np.diff(edges) > 1e-14])]
    start, width = edges[:-1], np.diff(edges)

    def integrand(s: Floats, owner: Integers) -> Floats:
        angle = (start[owner][:, None] + width[owner][:, None] * s * s * (3 - 2 * s)).ravel()
        u = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        jacobian = 6 * s * (1 - s) * width[owner][:, None] / np.pi
        columns: Floats = _assemble(lines(u), u, kept).T.reshape(-1, *s.shape) * jacobian
        return columns

    owners = len(start)
    values, errors = integrate_segments(
        integrand, np.zeros(owners), np.ones(owners), np.arange(owners), owners, 100 * lines.relative
    )
    return values.sum(axis=0), errors.sum(axis=0)


def _critical_angles(lines: LineIntegrals, shift: float) -> Floats:
    """Angles in (shift, shift + pi) at which the number of real roots along the line changes, by bisection."""
    grid = shift + np.linspace(0, np.pi, 193)
    found = [np.zeros(0)]
    for level in lines.levels:
        signature = _signature(lines, level)
        marks = signature(grid)
        changed = np.any(marks[1:] != marks[:-1], axis=1)
        low, high, mark = grid[:-1][changed], grid[1:][changed], marks[:-1][changed]
        for _ in range(50 if len(low) else 0):
            middle = (low + high) / 2
            same = np.all(signature(middle) == mark, axis=1)
            low, high = np.where(same, middle, low), np.where(same, high, middle)
        found.append(high)
    return np.concatenate(found)


def _signature(lines: LineIntegrals, level: float) -> Callable[[Floats], Integers]:
    """A function of angles: the number of real roots of g(rho u) = level, and the sign of g - level near the origin."""
    probe = np.linspace(0, np.pi, 37)
    rays = lines.rays(np.stack([np.cos(probe), np.sin(probe)], axis=1))
    rays[:, 0] -= level
    lowest = int(np.argmax(np.abs(rays).max(axis=0) > 1e-13 * np.abs(rays).max()))

    def signature(angle: Floats) -> Integers:
        rays = lines.rays(np.stack([np.cos(angle), np.sin(angle)], axis=1))
        roots = ray_roots(rays, level, lines.reach)
        real = (np.abs(roots.imag) <= 1e-8 * np.abs(roots)) & (np.abs(roots.real) < lines.reach)
        near = rays[:, lowest] - (level if lowest == 0 else 0.0)
        return np.stack([real.sum(axis=1), np.sign(near).astype(np.int64)], axis=1)

    return signature


def _sphere(lines: LineIntegrals, kept: int) -> tuple[Floats, Floats]:
    """Average over random directions: independently scrambled Sobol points, fixed seeds, Student-t radius."""
    r = lines.link.r
    means = []
    for seed in range(_REPLICATES):
        points = stats.qmc.Sobol(r - 1 if r == 3 else r, rng=np.random.default_rng(seed)).random(lines.directions)
        if r == 3:  # Archimedes: height and longitude are uniform and independent; half a sphere has every line
            height, turn = points[:, 0], 2 * np.pi * points[:, 1]
            flat = np.sqrt(1 - height * height)
            u = np.stack([flat * np.cos(turn), flat * np.sin(turn), height], axis=1)
        else:
            normal = special.ndtri(np.clip(points, 1e-16, 1 - 1e-16))
            u = normal / np.linalg.norm(normal, axis=1, keepdims=True)
        means.append(_assemble(lines(u), u, kept).mean(axis=0))
    sample = np.array(means)
    quantile = float(stats.t.isf(_MISS / sample.shape[1] / 2, _REPLICATES - 1))
    return sample.mean(axis=0), quantile * sample.std(axis=0, ddof=1) / math.sqrt(_REPLICATES)


@dataclass(frozen=True)
class Moments:
    """Gaussian moments of T = T_y for y = g(z) + label noise, z ~ N(0, I_r).

    Attributes
    ----------
    mean_T, mean_T_plus, mean_T_minus : float
        E T, E max(T, 0), E max(-T, 0).
    mean_T2, T2_z4 : float
        E T^2 and E[T^2 |z|^4].
    mean_Tzz : (r, r) array
        E[T z z^T].
    radius : float
        Bound on the absolute error of every number above; how it is estimated is said at `Averages`.
    """

    mean_T: float
    mean_T_plus: float
    mean_T_minus: float
    mean_T2: float
    T2_z4: float
    mean_Tzz: Floats
    radius: float


def gaussian_moments(link: Link | str, loss: Loss | str, centre: float = 0.0, label_noise: float = 0.0) -> Moments:
    """Moments of T_y = l'(centre, y), y = g(z) + label_noise * N(0, 1).

    Parameters
    ----------
    link : Link or str
    loss : Loss or str
    centre : float
        The centring constant c.
    label_noise : float
        Standard deviation of the noise, at least 0; it counts as one more Gaussian variable.

    Raises
    ------
    ValueError
        For a centre that is not finite or a negative label noise.
    """
    g, r = noisy(link, label_noise), links.link(link).r
    averages = gaussian_averages(LineIntegrals(g, losses.loss(loss), checked_centre(centre), moments=True), r)
    (plus, minus, square, fourth), triangle = averages.values[:4], averages.values[4:]
    return Moments(
        mean_T=float(plus - minus),
        mean_T_plus=float(plus),
        mean_T_minus=float(minus),
        mean_T2=float(square),
        T2_z4=float(fourth),
        mean_Tzz=symmetric(triangle, r),
        radius=float(max(averages.errors.max(), averages.errors[:2].sum())),
    )


def symmetric(triangle: Floats, r: int) -> Floats:
    """The symmetric (r, r) matrix with this upper triangle, row by row."""
    matrix = np.zeros((r, r))
    matrix[np.triu_indices(r)] = triangle
    return matrix + np.triu(matrix, 1).T


def checked_centre(centre: float) -> float:
    """The centring constant as a finite float; ValueError otherwise."""
    try:
        value = float(centre)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"centre = {centre!r}: a finite number is needed")
    return value


def noisy(link: Link | str, label_noise: float) -> Link:
    """The link, with the label noise as one more variable where there is any; ValueError for a bad noise."""
    if not (math.isfinite(label_noise) and label_noise >= 0):
        raise ValueError(f"label_noise = {label_noise!r}: a finite standard deviation of at least 0 is needed")
    g = links.link(link)
    return g.with_noise(label_noise) if label_noise > 0 else g
