"""Complex roots of many real polynomials of one degree at once, and discs that hold those of all polynomials near by.

The discs are Smith's: they rest on the values of the polynomial at the approximations, not on how these were found.
Proof: docs/theory/expected_hessian.md.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["ray_roots", "roots_within"]

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
Integers = NDArray[np.int64]

_TINY = 1e-30  # approximations nearer than this are not told apart
_STEPS = 8
_SETTLED = 1e-6  # of a gap: the next step, of its square, is below rounding
_WIDER = (1e-8, 1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.03, 0.1)  # tried where a disc is large
_LARGE = 1e-6
_INFINITE = 1e10


def ray_roots(rays: Floats, level: float, reach: float) -> Complexes:
    """All complex roots of the polynomials sum_k rays[:, k] x^k - level, batched; shape (n, degree)."""
    shifted = rays.copy()
    shifted[:, 0] -= level
    return _scaled_roots(shifted, None, reach)[0]


def roots_within(polynomials: Floats, doubts: Floats, reach: float) -> tuple[Complexes, Floats]:
    """Approximate roots, and radii of discs around them.

    Parameters
    ----------
    polynomials : (n, degree + 1) array
        Coefficients, the constant first.
    doubts : (n, degree + 1) array
        Bounds on their errors; they have to include the rounding of a value.
    reach : float
        The interval [-reach, reach] is that of interest.

    Returns
    -------
    roots, radii : (n, degree) arrays
        Every real root within reach of a polynomial whose coefficients differ by at most `doubts` lies in a disc. A
        radius is infinite where nothing is known.

    Notes
    -----
    A coefficient that vanishes in some direction sends roots to infinity (or to zero) and spoils a companion matrix.
    So the Riemann sphere is turned, x = (c y + s)/(c - s y), such that the leading coefficient is large. An even
    polynomial is solved in x^2.
    """
    roots, radii = _scaled_roots(polynomials, doubts, reach)
    assert radii is not None
    return roots, radii


def _scaled_roots(p: Floats, doubt: Floats | None, reach: float) -> tuple[Complexes, Floats | None]:
    # roots do not depend on the size of a polynomial, and powers of the reach times a large one would overflow
    size = np.abs(p) if doubt is None else np.maximum(np.abs(p), doubt)
    exponents = -np.frexp(size.max(axis=1, keepdims=True))[1]
    scale = reach ** np.arange(p.shape[1])
    p = np.ldexp(p, exponents) * scale
    doubt = None if doubt is None else np.ldexp(doubt, exponents) * scale
    present = np.any(p if doubt is None else np.abs(p) + doubt, axis=0)
    assert isinstance(present, np.ndarray)
    zeros = int(np.argmax(present))  # roots at the origin in every direction would come out as noise
    every = slice(zeros, None)
    if len(present) > zeros + 2 and not present[zeros + 1 :: 2].any():
        every = slice(zeros, None, 2)
    p, doubt = p[:, every], None if doubt is None else doubt[:, every]
    roots, radii = _roots(p, doubt)
    if every.step:
        roots = np.sqrt(roots)
        if radii is not None:
            # |x - a| |x + a| <= radius; the larger factor is at least |a|, and then at least 2|a| less the smaller
            size = np.abs(roots)
            nearest = np.divide(radii, size, out=np.sqrt(radii), where=size**2 > radii)
            radii = np.divide(radii, 2 * size - nearest, out=nearest, where=size > nearest)
            radii = np.concatenate([radii, radii], axis=1)
        roots = np.concatenate([roots, -roots], axis=1)
    roots = np.concatenate([np.zeros((len(p), zeros), dtype=np.complex128), roots * reach], axis=1)
    if doubt is None or radii is None:
        return roots, None
    # where nothing but one power is left its sign may be unknown, and with it that of the polynomial
    unknown = (np.abs(p[:, :1]) <= doubt[:, :1]) & (p.shape[1] == 1)
    origin = np.broadcast_to(np.where(unknown, np.inf, 0.0), (len(p), zeros))
    return roots, np.concatenate([origin, radii * reach], axis=1)


def _roots(p: Floats, doubt: Floats | None) -> tuple[Complexes, Floats | None]:
    """Roots of p and radii of discs that hold what is in [-1, 1]."""
    degree = p.shape[1] - 1
    if degree == 0:
        return np.zeros((len(p), 0), dtype=np.complex128), np.zeros((len(p), 0))
    turns, cosines, sines = _turns(degree)
    chosen = np.argmax(np.abs(p @ turns[:, -1].T), axis=1)
    c, s = cosines[chosen][:, None], sines[chosen][:, None]
    y, leading = _on_sphere(np.einsum("nij,nj->ni", turns[chosen], p))
    x = _on_line(y, c, s)
    factor, inverse = _settle(p, doubt, x, leading, c, s)
    if doubt is None:
        return x, None
    certain = np.abs(leading) - (doubt * np.abs(turns[chosen, -1])).sum(axis=1, keepdims=True)
    known = certain > 0
    radii = _enclose(p, doubt, x, np.where(known, certain, 1.0), factor, inverse, c, s)
    return x, np.where(known, radii, np.inf)


def _on_sphere(q: Floats) -> tuple[Complexes, Floats]:
    """Roots of polynomials on the turned sphere, from their companion matrices, and their leading coefficients."""
    degree = q.shape[1] - 1
    companion = np.zeros((len(q), degree, degree))
    companion[:, 1:, :-1] = np.eye(degree - 1)
    leading = np.where(q[:, -1:] == 0, 1, q[:, -1:])
    companion[:, :, -1] = -q[:, :-1] / leading
    return np.linalg.eigvals(companion).astype(np.complex128), leading


def _settle(
    p: Floats, doubt: Floats | None, x: Complexes, leading: Floats, c: Floats, s: Floats
) -> tuple[Complexes, Floats]:
    """Steps of Weierstrass for all x, in place, until none is worth another; `_corrections` where radii are wanted."""
    factor, inverse = _corrections(x, c, s)
    rows = _improve(p, doubt, x, factor / leading, inverse, np.abs(c + s * x))
    for _ in range(_STEPS):
        if not len(rows):
            break
        factor[rows], inverse[rows] = _corrections(x[rows], c[rows], s[rows])
        part, sphere = x[rows], np.abs(c[rows] + s[rows] * x[rows])
        doubts = None if doubt is None else doubt[rows]
        open_ = _improve(p[rows], doubts, part, factor[rows] / leading[rows], inverse[rows], sphere)
        x[rows], rows = part, rows[open_]
    if doubt is not None:
        factor[rows], inverse[rows] = _corrections(x[rows], c[rows], s[rows])
    return factor, inverse


def _enclose(
    p: Floats, doubt: Floats, x: Complexes, certain: Floats, factor: Complexes, inverse: Floats, c: Floats, s: Floats
) -> Floats:
    """Radii of discs around x, whose members are moved apart, in place, where that makes the discs of a row smaller."""
    # the last steps were below a millionth of the gaps, and changed products of up to some thousand gaps by less
    radii = 1.01 * _radii(p, doubt, x, factor / certain, inverse, np.abs(c + s * x), s)
    for apart in _WIDER:
        # discs around the members of a cluster are small where these are as far apart as what they may move
        rows = np.flatnonzero(_largest(x, radii) > _LARGE)
        if not len(rows):
            break
        c_, s_ = c[rows], s[rows]
        tried = _on_line(_parted((c_ * x[rows] - s_) / (c_ + s_ * x[rows]), apart), c_, s_)
        factors, near = _corrections(tried, c_, s_)
        found = _radii(p[rows], doubt[rows], tried, factors / certain[rows], near, np.abs(c_ + s_ * tried), s_)
        better = _largest(tried, found) < _largest(x[rows], radii[rows])
        x[rows[better]], radii[rows[better]] = tried[better], found[better]
    return radii


def _improve(
    p: Floats, doubt: Floats | None, x: Complexes, factor: Complexes, inverse: Floats, stretch: Floats
) -> Integers:
    """One step of Weierstrass for all x, in place; the rows that are worth another."""
    value = _values(p, x)
    if doubt is not None:
        # near its error the value says nothing, and discs around approximations that meet are large
        value = np.where(np.abs(value) > 4 * _values(doubt, np.abs(x)), value, 0)
    step = factor * value
    share = np.abs(step) * inverse.max(axis=2) / stretch**2
    # only a correction: where a step is not small beside the gaps it is noise
    small = share <= 0.5
    x -= np.where(small, step, 0)
    far = np.abs(x) > _INFINITE
    x[far] *= _INFINITE / np.abs(x[far])
    return np.flatnonzero((far | (small & (share > _SETTLED))).any(axis=1))


def _on_line(y: Complexes, c: Floats, s: Floats) -> Complexes:
    below = c - s * y
    return np.asarray((c * y + s) / np.where(np.abs(below) < 1 / _INFINITE, 1 / _INFINITE, below))


def _largest(x: Complexes, radii: Floats) -> Floats:
    """The largest radius in each row among the discs that meet [-1, 1]."""
    distance = np.hypot(np.maximum(np.abs(x.real) - 1, 0), x.imag)
    return np.asarray(np.max(radii, axis=1, where=distance <= radii, initial=0.0))


def _radii(
    p: Floats, doubt: Floats, x: Complexes, factor: Complexes, inverse: Floats, stretch: Floats, s: Floats
) -> Floats:
    # a doubt of the value beside that of the polynomial; complex products round sqrt(5) times as much as real ones
    doubts = np.where(np.abs(x.imag) < 1e-3 * np.abs(x), 2, 3)
    value = np.abs(_values(p, x)) + doubts * _values(doubt, np.abs(x))
    on_sphere = _discs(np.minimum(np.abs(factor) * value / stretch**2, 1 / _TINY), inverse) + _TINY
    # |dx/dy| is the product of the stretches at both ends, and that of a point in [-1, 1] is at most sqrt 2
    bend = 1 - np.abs(s) * stretch * on_sphere
    near = np.divide(stretch, bend, out=np.full_like(stretch, np.sqrt(2)), where=bend > 0)
    return np.asarray(on_sphere * stretch * np.minimum(np.sqrt(2), near))


def _discs(correction: Floats, inverse: Floats) -> Floats:
    """Radii of Smith's discs on the sphere, from the corrections and the inverse distances of the approximations.

    A root z has sum_k w_k/|z - z_k| >= 1, so some w_k/|z - z_k| is at least 1/degree. Where the others are far from
    this disc they contribute little, and the disc is as small as one correction.
    """
    radii = correction.shape[1] * correction
    others = 2 * (inverse @ correction[:, :, None])[:, :, 0]
    alone = (2 * radii * inverse.max(axis=2) <= 1) & (others <= 0.5)
    return np.where(alone, correction / (1 - np.minimum(others, 0.5)), radii)


def _parted(y: Complexes, apart: float) -> Complexes:
    """The same with approximations that are nearer to each other than `apart` moved to a circle of this radius."""
    count = y.shape[1]
    gap = np.abs(y[:, :, None] - y[:, None, :]) + 2 * apart * np.eye(count)
    turn = np.exp(2j * np.pi * (np.arange(count) + 0.5) / count)
    return np.where(gap.min(axis=2) < apart, y + apart * turn, y)


def _corrections(x: Complexes, c: Floats, s: Floats) -> tuple[Complexes, Floats]:
    """Weierstrass' corrections without the factor p(x)/leading, and the inverse distances in y, 0 on the diagonal."""
    stretch = c + s * x
    every = np.arange(x.shape[1])
    gap = x[:, :, None] - x[:, None, :]
    gap[:, every, every] = 1.0
    ratio = stretch[:, None, :] / np.where(np.abs(gap) < _TINY, _TINY, gap)
    inverse = np.abs(ratio) * np.abs(stretch)[:, :, None]
    inverse[:, every, every] = 0.0
    ratio[:, every, every] = 1.0
    return stretch * ratio.prod(axis=2), inverse


def _values(p: Floats, x: NDArray[np.inexact]) -> NDArray[np.inexact]:
    value = np.broadcast_to(p[:, -1:].astype(x.dtype), x.shape)
    for k in range(p.shape[1] - 2, -1, -1):
        value = value * x + p[:, k : k + 1]
    return value


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
