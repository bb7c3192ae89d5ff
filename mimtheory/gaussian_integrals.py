"""Numerical Gaussian expectations of T_y = l'(c, y), y = g(z), for every loss and any number of variables.

In polar coordinates z = rho u the integral over rho is that of `line_integrals`; here the directions u are averaged:
the only line for r = 1, adaptive panels of one angle for r = 2 and of two angles for r = 3, randomised
quasi-Monte-Carlo on the sphere for r >= 4. The errors are estimates made with care (see `Averages`), not proofs.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mimtheory.angle_grids import around, beside, form_zeros, lowest_between, ordered
from mimtheory.line_integrals import LineIntegrals
from mimtheory.polynomial_roots import ray_roots
from mimtheory.segment_integrals import integrate_segments

__all__ = ["Averages", "gaussian_averages", "gaussian_mean"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_REPLICATES = 16
_DIRECTIONS = 16384  # of each replicate
_MISS = 1e-6  # probability that the randomised radius fails, all entries together
_PLANES_AT_ONCE = 64
_MARKS_AT_ONCE = 64
_REAL = 1e-8  # of a root's size: an imaginary part below may be noise
_SHIFTS = (0.1, 0.7)  # of the two evaluations whose difference is looked at
_LONGITUDE_PANELS = 60  # of 15 planes each, for r = 3


@dataclass(frozen=True)
class Averages:
    """Expectations over N(0, I_r) and what is known about their error.

    Attributes
    ----------
    values : (q,) array
        E T, then the upper triangle of E[T z z^T], and E[T z] if the lines have it; with moments E T_+, E T_-, E T^2,
        E[T^2 |z|^4], then the triangle.
    errors : (q,) array
        For r <= 3 the sum of twice the estimated errors of all panels, twice the disagreement of two evaluations
        with different panels (r = 2) or axes (r = 3), the truncated tails and what rounding may do, bounded along
        every line: an estimate, not a proof, because of the panels. For r >= 4 a Student-t interval over independent
        scramblings that all entries together miss with probability 1e-6 (if the replicate means are normal), plus the
        same inner errors. Not all seen for r >= 3: tiny closed kink surfaces off the origin, between the angles that
        are looked at (g = (z1 - 1)^2 + (z2 - 1)^2 + (z3 - 1)^2, l1, c = 1e-4).
    method : str
        How the directions were averaged.
    """

    values: Floats
    errors: Floats
    method: str


def gaussian_averages(lines: LineIntegrals, kept: int) -> Averages:
    """Average line integrals over all directions; z z^T and |z| use the first `kept` coordinates only."""
    r = lines.link.r
    if r == 1:
        one = np.ones((1, 1))
        values, errors = (_assemble(lines, columns, one, kept)[0] for columns in lines.with_rounding(one))
        method = "adaptive quadrature"
    elif r <= 3:
        (first, first_error, moved), (second, second_error, again) = (_turned(lines, kept, x) for x in _SHIFTS)
        values, method = (first + second) / 2, "adaptive quadrature in polar coordinates"
        errors = 2 * (np.maximum(first_error, second_error) + np.abs(first - second)) + np.maximum(moved, again)
    else:
        values, errors = _sphere(lines, kept)
        method = "quasi-Monte-Carlo over directions, quadrature along them"
    inner = _assemble(lines, (lines.worst + lines.truncation + lines.rounding)[None], np.ones((1, r)), kept)[0]
    return Averages(values, errors + inner, method)


def gaussian_mean(lines: LineIntegrals) -> float:
    """E T alone; for r = 2 and 3 from one of the two evaluations of `gaussian_averages`, and so within its errors."""
    r = lines.link.r
    values = _turned(lines, r, _SHIFTS[0])[0] if r in (2, 3) else gaussian_averages(lines, r).values
    return float(values[0])


def _assemble(lines: LineIntegrals, radial: Floats, directions: Floats, kept: int) -> Floats:
    """Turn the columns of LineIntegrals into the columns of Averages, direction by direction."""
    u = directions[:, :kept]
    i, j = np.triu_indices(kept)
    of = {power: [k for k, column in enumerate(lines.columns) if column.power == power] for power in (0, 4, 2, 1)}
    parts = [radial[:, of[0]]]
    parts += [radial[:, k, None] * np.sum(u * u, axis=1, keepdims=True) ** 2 for k in of[4]]
    parts += [radial[:, k, None] * u[:, i] * u[:, j] for k in of[2]]
    parts += [radial[:, k, None] * u for k in of[1]]
    return np.concatenate(parts, axis=1)


def _allowed(lines: LineIntegrals, kept: int, factor: float) -> Floats:
    """Error allowed on a panel: relative to what the averages would be without cancellation, but not below rounding."""
    columns = np.maximum(factor * lines.relative * lines.size, lines.rounding / 8)
    allowed: Floats = _assemble(lines, columns[None], np.ones((1, lines.link.r)), kept)[0]
    return allowed


def _turned(lines: LineIntegrals, kept: int, shift: float) -> tuple[Floats, Floats, Floats]:
    """Averages, estimated errors and what rounding may have misplaced, of one evaluation, r = 2 or 3."""
    return _circle(lines, kept, shift) if lines.link.r == 2 else _half_sphere(lines, kept, shift)


def _circle(lines: LineIntegrals, kept: int, shift: float) -> tuple[Floats, Floats, Floats]:
    """Average over the angle, r = 2; `shift` is where the panels begin."""
    family = _Planes(lines, kept, np.array([1.0, 0.0]), np.array([[0.0, 1.0]]), shift, 192, 50)
    values, errors, moved = family.averages(_allowed(lines, kept, 5))
    return values[0], errors[0], moved[0]


def _half_sphere(lines: LineIntegrals, kept: int, shift: float) -> tuple[Floats, Floats, Floats]:
    """Average over longitude and latitude, r = 3, about an axis that depends on `shift`.

    Half planes through the axis are integrated as in the plane; what that leaves is smooth in the longitude but for
    mild singularities where critical angles meet, which bisection resolves.
    """
    frame, _ = np.linalg.qr(np.vander(np.array([0.2, -0.5, 0.9]) + shift, 3))
    inner, moved = [np.zeros(1)], [np.zeros(1)]

    def integrand(longitude: Floats, _: Integers) -> Floats:
        turn = longitude.ravel()
        w = np.cos(turn)[:, None] * frame[1] + np.sin(turn)[:, None] * frame[2]
        columns = []
        for start in range(0, len(w), _PLANES_AT_ONCE):
            planes = _Planes(lines, kept, frame[0], w[start : start + _PLANES_AT_ONCE], 0.0, 48, 24)
            values, errors, rounding = planes.averages(_allowed(lines, kept, 10))
            columns.append(values.T)
            inner.append(errors.max(axis=0))
            moved.append(rounding.max(axis=0))
        return np.concatenate(columns, axis=1).reshape(-1, *longitude.shape) / np.pi

    allowed = _allowed(lines, kept, 1000)
    edges = np.linspace(0, np.pi, 5)
    values, errors, _ = integrate_segments(
        integrand, edges[:-1], edges[1:], np.zeros(4, dtype=np.int64), 1, 0.0, allowed, _LONGITUDE_PANELS
    )
    worst, most = (np.max(np.broadcast_arrays(*parts), axis=0) for parts in (inner, moved))
    return values[0], errors[0] + worst, most


@dataclass
class _Planes:
    """Averages of direction functions over the half circles cos(a) e + sin(a) w, 0 <= a - shift < pi, of many planes.

    The weight is |sin(a)|^(r - 2), that of a sphere in R^r about the axis e. Panels end where roots along the line
    appear or vanish: there the line's average behaves like a square root of the angle, which the substitution
    s^2 (3 - 2 s) makes smooth. What else there may be is left to the bisection.
    """

    lines: LineIntegrals
    kept: int
    e: Floats
    w: Floats
    shift: float
    grid: int
    halvings: int

    def averages(self, allowed: Floats) -> tuple[Floats, Floats, Floats]:
        """Averages, estimated errors and what rounding may have misplaced, (planes, q) each; `allowed` (q,) is the
        error of a panel."""
        angle, plane = self._edges()
        same = (plane[1:] == plane[:-1]) & (np.diff(angle) > 1e-14)
        start, width, plane = angle[:-1][same], np.diff(angle)[same], plane[:-1][same]
        r = self.lines.link.r
        whole = math.sqrt(math.pi) * math.gamma((r - 1) / 2) / math.gamma(r / 2)

        def integrand(s: Floats, panel: Integers) -> Floats:
            angles = start[panel][:, None] + width[panel][:, None] * s * s * (3 - 2 * s)
            u = self._directions(angles.ravel(), np.repeat(plane[panel], s.shape[1]))
            jacobian = 6 * s * (1 - s) * width[panel][:, None] * np.abs(np.sin(angles)) ** (r - 2) / whole
            both = [
                _assemble(self.lines, part, v, self.kept)
                for part, v in zip(self.lines.with_rounding(u), (u, abs(u)), strict=True)
            ]
            columns: Floats = np.concatenate(both, axis=1).T.reshape(-1, *s.shape) * jacobian
            return columns

        panels = len(start)
        # what rounding misplaces is integrated on the same panels, whatever they are
        values, errors, _ = integrate_segments(
            integrand,
            np.zeros(panels),
            np.ones(panels),
            np.arange(panels),
            panels,
            0.0,
            np.append(allowed, allowed),
            doubted=True,
        )
        values, errors = self._by_plane(values, plane), self._by_plane(errors, plane)
        q = len(allowed)
        return values[:, :q], errors[:, :q], values[:, q:] + errors[:, q:]

    def _by_plane(self, panels: Floats, plane: Integers) -> Floats:
        return np.stack([np.bincount(plane, column, len(self.w)) for column in panels.T], axis=1)

    def _directions(self, angle: Floats, plane: Integers) -> Floats:
        return np.cos(angle)[:, None] * self.e + np.sin(angle)[:, None] * self.w[plane]

    def _edges(self) -> tuple[Floats, Integers]:
        """Ends of the panels, ordered within each plane: quarters, multiple zeros of the homogeneous parts, critical
        angles found by bisection, and steps away from those that are beside a zero."""
        count = len(self.w)
        quarters = self.shift + np.linspace(0, np.pi, 5)
        angles, planes = [np.tile(quarters, count)], [np.repeat(np.arange(count), 5)]
        grid = np.tile(self.shift + np.linspace(0, np.pi, self.grid + 1), count)
        zeros, owners, several = form_zeros(self._form, self.lines.degrees, count, self.shift)
        angles.append(zeros[several])
        planes.append(owners[several])
        narrow, owner = around(zeros[several], owners[several], self.shift)
        coarse = ordered([grid, narrow], [np.repeat(np.arange(count), self.grid + 1), owner])
        for level in self.lines.levels:
            grid, every, marks = self._marked(*coarse, level)
            # each kind of mark by itself: noise in one must not lead the search for the other astray
            kind, k = np.nonzero((marks[:, 1:] != marks[:, :-1]) & (every[1:] == every[:-1]))
            plane, ends = every[k], (grid[k], grid[k + 1])
            critical = self._narrowed(*ends, kind, plane, marks[kind, k], level) if k.size else ends[1]
            steps, owner = beside(critical[kind == 0], plane[kind == 0], zeros, owners)
            inside = (steps > self.shift) & (steps < self.shift + np.pi)
            angles += [critical, steps[inside]]
            planes += [plane, owner[inside]]
        return ordered(angles, planes)

    def _marked(self, grid: Floats, plane: Integers, level: float) -> tuple[Floats, Integers, Integers]:
        """The grid with the angles where a tiny oval may hide in it, their planes and marks.

        In three dimensions ovals hide between the planes as well, and to look in each costs half as much as averaging.
        """
        marks = self._marks(grid, plane, level)
        if self.lines.link.r > 2:
            return grid, plane, marks
        dips, owner = lowest_between(lambda a, p: self._distances(a, p, level), grid, plane)
        if not len(dips):
            return grid, plane, marks
        angles, planes = np.concatenate([grid, dips]), np.concatenate([plane, owner])
        marks = np.concatenate([marks, self._marks(dips, owner, level)], axis=1)
        order = np.lexsort((angles, planes))
        return angles[order], planes[order], marks[:, order]

    def _distances(self, angle: Floats, plane: Integers, level: float) -> Floats:
        """(n, degree): sines of the angles between the line and the roots within reach, in order, 0 for real ones."""
        roots = ray_roots(self.lines.rays(self._directions(angle, plane)), level, self.lines.reach)
        inside = (np.abs(roots) > 0) & (np.abs(roots.real) < self.lines.reach)
        share = np.divide(np.abs(roots.imag), np.abs(roots), out=np.full(roots.shape, np.inf), where=inside)
        return np.sort(np.where(share > _REAL, share, 0.0), axis=1)

    def _form(self, degree: int, angle: Floats, plane: Integers) -> Floats:
        return self.lines.rays(self._directions(angle, plane))[:, degree]

    def _narrowed(
        self, low: Floats, high: Floats, kind: Integers, plane: Integers, mark: Integers, level: float
    ) -> Floats:
        """Angles in (low, high] before which the mark of this kind is `mark` and at which it is not, by bisection; of
        few angles several halvings at once, because a call costs more than its points."""
        every, halvings = np.arange(len(low)), self.halvings
        while halvings > 0 and (np.nextafter(low, high) < high).any():
            at_once = min(halvings, max(1, int(math.log2(1 + _MARKS_AT_ONCE / len(low)))))
            inner = low[:, None] + (high - low)[:, None] * (np.arange(1, 1 << at_once) / (1 << at_once))
            marks = self._marks(inner.ravel(), np.repeat(plane, inner.shape[1]), level).reshape(2, *inner.shape)
            changed = marks[kind, every] != mark[:, None]
            first = np.where(changed.any(axis=1), np.argmax(changed, axis=1), inner.shape[1])
            points = np.concatenate([low[:, None], inner, high[:, None]], axis=1)
            low, high, halvings = points[every, first], points[every, first + 1], halvings - at_once
        return high

    def _marks(self, angle: Floats, plane: Integers, level: float) -> Integers:
        """(2, n): the number of real roots of g(rho u) = level, and the sign of g - level near the origin."""
        rays = self.lines.rays(self._directions(angle, plane))
        roots = ray_roots(rays, level, self.lines.reach)
        real = (np.abs(roots.imag) <= _REAL * np.abs(roots)) & (np.abs(roots.real) < self.lines.reach)
        rays[:, 0] -= level
        lowest = int(np.argmax(rays.any(axis=0)))
        return np.stack([real.sum(axis=1), np.sign(rays[:, lowest]).astype(np.int64)])


def _sphere(lines: LineIntegrals, kept: int) -> tuple[Floats, Floats]:
    """Average over random directions: independently scrambled Sobol points, fixed seeds, Student-t radius."""
    from scipy import stats  # takes longer to import than everything else here

    means, moved = [], np.zeros(1)
    for seed in range(_REPLICATES):
        points = stats.qmc.Sobol(lines.link.r, rng=np.random.default_rng(seed)).random(_DIRECTIONS)
        normal = special.ndtri(np.clip(points, 1e-16, 1 - 1e-16))
        u = normal / np.linalg.norm(normal, axis=1, keepdims=True)
        values, rounding = lines.with_rounding(u)
        means.append(_assemble(lines, values, u, kept).mean(axis=0))
        moved = moved + _assemble(lines, rounding, np.abs(u), kept).mean(axis=0) / _REPLICATES
    sample = np.array(means)
    quantile = float(stats.t.isf(_MISS / sample.shape[1] / 2, _REPLICATES - 1))
    return sample.mean(axis=0), quantile * sample.std(axis=0, ddof=1) / math.sqrt(_REPLICATES) + moved
