"""Certified E T, E[T z], E[T z z^T] of two variables and a kinked T in polar coordinates: a second, independent route.

Along a ray T is a piecewise polynomial, whose integral is closed in the roots of u = kink. For a ball of complex
angles the roots are enclosed by Newton's interval operator, so that the average over the angle is a certified
integral of Arb. Shared with `box_integrals` are only balls, the piecewise line and the order of the weights. Proof:
docs/theory/certified.md.
"""

import itertools
import math
import time
from collections.abc import Callable
from fractions import Fraction

import numpy as np
from flint import acb, acb_poly, arb, arb_poly
from numpy.typing import NDArray

from mimtheory.balls import ball_of, precision, surd_ball
from mimtheory.closed_forms import density_split
from mimtheory.piecewise_lines import PiecewiseLine
from mimtheory.polynomials import Polynomial, surd_to_float
from mimtheory.weighted_moments import Weighted, weights_of

__all__ = ["polar_integrals"]

Floats = NDArray[np.float64]

_BITS = 80
_REACH = 9  # what is beyond this radius is bounded
_EXCLUSIONS = 400  # intervals of a ray that may be tried in showing that there is no further root
_CALLS = 2_000_000
_SUBINTERVALS = 10
_SIZES = (0.4, 0.1, 0.02, 0.003, 3e-4, 1e-5)  # of boxes about a root, tried one after the other


def polar_integrals(u: Polynomial, line: PiecewiseLine, target: float, deadline: float = math.inf) -> Weighted:
    """Enclose E[T(u(z)) w(z)] for z ~ N(0, I_2), w = 1, z_i and z_i z_j.

    Parameters
    ----------
    u : Polynomial
        c - g, of two variables.
    line : PiecewiseLine
        T as a function of u, exactly.
    target : float
        Radius at which to stop.
    deadline : float
        Value of time.monotonic() at which to give up with infinite balls.
    """
    with precision(_BITS):
        rays = _Rays(u, line, deadline)
        balls = tuple(rays.average(w, target / 2) for w in weights_of(2, 2))
    return Weighted.unknown(len(balls)) if rays.expired else Weighted(balls, len(rays.seen))


class _Rays:
    """Integrals of T along rays at complex angles, remembered, and their averages over the angle."""

    def __init__(self, u: Polynomial, line: PiecewiseLine, deadline: float) -> None:
        self.line, self.deadline, self.expired = line, deadline, False
        self.kinks = [_Kink(u, kink, jump, bend) for kink, jump, bend in line.jumps()]
        self.first = ball_of(line.constants[0])
        self.K = max(abs(ball_of(line.constants[0])), abs(ball_of(line.constants[-1])))
        self.even = [all(index[k] % 2 == 0 for index in u.terms) for k in range(2)]
        self.turned = all(sum(index) % 2 == 0 for index in u.terms)
        self.seen: dict[tuple[object, ...], list[acb] | None] = {}

    def average(self, weight: tuple[int, ...], tolerance: float) -> arb:
        """E[T w], w = z_1^i z_2^j."""
        i, j = weight
        if (i % 2 and self.even[0]) or (j % 2 and self.even[1]) or ((i + j) % 2 and self.turned):
            return arb(0)
        # the angles of a quarter, a half or the whole circle
        copies = 4 if all(self.even) else 2 if self.even[1] or self.turned else 1
        full = 2 * arb.pi()

        def integrand(angle: acb, analytic: bool) -> acb:
            if self.expired or time.monotonic() > self.deadline:
                self.expired = True  # a zero lets the integral end at once; it is thrown away
                return acb(0)
            columns = self.along(angle, analytic)
            return acb(math.nan, math.nan) if columns is None else columns[i + j] * angle.cos() ** i * angle.sin() ** j

        cuts = [full / copies * k / 3 for k in range(4)]  # not the axes: a kink that lies there would be cut exactly
        total = arb(0)
        for start, stop in itertools.pairwise(cuts):
            # Arb holds every subinterval, of which there are some tens, to the tolerance
            limit = tolerance / (_SUBINTERVALS * copies)
            total += acb.integral(integrand, start, stop, abs_tol=limit, rel_tol=0, eval_limit=_CALLS).real
        # beyond the reach |T| <= K, and r^3 e^(-r^2/2) integrates to (R^2 + 2) e^(-R^2/2)
        tail = self.K * (_REACH**2 + 2) * (arb(-(_REACH**2)) / 2).exp()
        return total * copies / full + arb(0, tail.upper())

    def along(self, angle: acb, analytic: bool) -> list[acb] | None:
        """Integrals over r from 0 to the reach of T r^(1 + n) e^(-r^2/2), n = 0, 1, 2; None where not analytic."""
        parts = (angle.real.mid(), angle.real.rad(), angle.imag.mid(), angle.imag.rad())
        key = (*((int(m), int(e)) for m, e in (x.man_exp() for x in parts)), analytic)
        if key not in self.seen:
            self.seen[key] = self._along(angle, analytic)
        return self.seen[key]

    def _along(self, angle: acb, analytic: bool) -> list[acb] | None:
        columns = [self.first * acb(_radial(n)) for n in range(3)]
        cosine, sine = angle.cos(), angle.sin()
        for kink in self.kinks:
            part = kink.along(angle, cosine, sine)
            if part is None:
                if analytic:
                    return None
                return [acb(self.K * arb(0, 1) * _radial(n)) for n in range(3)]
            columns = [a + b for a, b in zip(columns, part, strict=True)]
        return columns


def _radial(n: int) -> arb:
    """Integral of r^(1 + n) e^(-r^2/2) over all r > 0."""
    return arb(2) ** (arb(n) / 2) * (arb(n) / 2 + 1).gamma()


class _Kink:
    """jump 1(v > 0) + bend v_+ with v = u - kink, along rays."""

    def __init__(self, u: Polynomial, kink: Fraction, jump: Fraction, bend: Fraction) -> None:
        level = Polynomial.constant(2, kink)
        v = u - level
        self.jump, self.bend = ball_of(jump), ball_of(bend)
        self.terms = [(index, surd_ball(surd), surd_to_float(surd)) for index, surd in v.terms.items()]
        self.degree = v.degree
        # along every ray v has this root at the origin, exactly
        self.lowest = min(sum(index) for index in v.terms)

    def _coefficients(self, cosine: acb, sine: acb) -> list[acb]:
        powers = [[acb(1)], [acb(1)]]
        for k, x in enumerate((cosine, sine)):
            for _ in range(self.degree):
                powers[k].append(powers[k][-1] * x)
        found = [acb(0)] * (self.degree + 1)
        for (i, j), c, _ in self.terms:
            found[i + j] += powers[0][i] * powers[1][j] * c
        return found

    def along(self, angle: acb, cosine: acb, sine: acb) -> list[acb] | None:
        """Integrals over r of (jump + bend v) 1(v > 0) r^(1 + n) e^(-r^2/2); None where the roots are not separated."""
        wide = acb_poly(self._coefficients(cosine, sine))
        middle = angle.real.mid()
        thin = arb_poly([c.real for c in self._coefficients(acb(middle.cos()), acb(middle.sin()))])
        candidates = self._candidates(float(middle))
        slope = wide.derivative()
        roots = []
        for k, x in enumerate(candidates):
            room = min((abs(x - y) for y in candidates[max(0, k - 1) : k + 2] if y != x), default=1.0)
            root = _newton(wide, slope, x, 0.45 * room)
            if root is None or not root[1].real < _REACH:
                return None
            roots.append(root)
        real = angle.real
        on_line = arb_poly([c.real for c in self._coefficients(acb(real.cos()), acb(real.sin()))])
        if not _complete(on_line, self.lowest, [box for box, _ in roots]):
            return None
        return self._between(wide, thin, [image for _, image in roots])

    def _candidates(self, angle: float) -> list[float]:
        """Positive roots below the reach, near enough for Newton's operator to prove them."""
        coefficients = np.zeros(self.degree + 1)
        for (i, j), _, c in self.terms:
            coefficients[self.degree - i - j] += c * math.cos(angle) ** i * math.sin(angle) ** j
        found = np.roots(coefficients[: self.degree + 1 - self.lowest])
        real = np.abs(found.imag) <= 1e-7 * np.abs(found)
        return sorted(float(x) for x in found.real[real] if 0 < x < _REACH)

    def _between(self, wide: acb_poly, thin: arb_poly, roots: list[acb]) -> list[acb] | None:
        ends: list[acb] = [acb(0), *roots, acb(_REACH)]
        columns = [acb(0)] * 3
        antiderivatives = None
        for start, stop in itertools.pairwise(ends):
            sign = thin((start.real.mid() + stop.real.mid()) / 2)
            if sign.contains(0):
                return None
            if sign > 0:
                if antiderivatives is None:
                    density = wide * self.bend + self.jump
                    antiderivatives = [_antiderivative(density, n + 1) for n in range(3)]
                columns = [c + f(stop) - f(start) for c, f in zip(columns, antiderivatives, strict=True)]
        return columns


def _newton(p: acb_poly, slope: acb_poly, x: float, room: float) -> tuple[acb, acb] | None:
    """(box, image): every polynomial in the ball p has exactly one root in the box; it is simple and lies in the image.

    N(D) = x - p(x)/p'(D) within the interior of D proves it. A large box leaves less of the ray to search.
    """
    centre = acb(x)
    value = p(centre)
    steep = slope(centre)
    if steep.contains(0):
        return None
    least = 1.25 * float((value / steep).abs_upper()) + 2.0 ** (8 - _BITS)
    for radius in (*(size for size in _SIZES if least < size < room), least, 2 * least):
        box = acb(arb(x, radius), arb(0, radius))
        derivative = slope(box)
        if not derivative.contains(0):
            image = centre - value / derivative
            if box.contains_interior(image):
                return box, image
    return None


def _complete(p: arb_poly, lowest: int, boxes: list[acb]) -> bool:
    """Whether no polynomial in the ball has a zero in (0, reach] outside these boxes."""
    reduced = arb_poly(p.coeffs()[lowest:])
    slope = reduced.derivative()
    free, left = [], arb(0)
    for box in boxes:
        if not left <= box.real.lower():
            return False
        free.append((left, box.real.lower()))
        left = box.real.upper()
    if left < _REACH:
        free.append((left, arb(_REACH)))
    tries = 0
    while free:
        start, stop = free.pop()
        tries += 1
        if tries > _EXCLUSIONS:
            return False
        side = start.union(stop)
        middle = side.mid()
        steep = slope(side)
        if not (reduced(middle) + (side - middle) * steep).contains(0):
            continue
        if not steep.contains(0) and _same_sign(reduced(start), reduced(stop)):
            continue
        if float(stop - start) < 1e-7:
            return False
        free += [(start, middle), (middle, stop)]
    return True


def _same_sign(a: arb, b: arb) -> bool:
    return bool((a > 0 and b > 0) or (a < 0 and b < 0))


def _antiderivative(p: acb_poly, power: int) -> Callable[[acb], acb]:
    """The function whose derivative is p(r) r^power e^(-r^2/2): with p r^power = a + R' - r R it is a S + R e^(..)."""
    a, r = density_split([acb(0)] * power + p.coeffs())
    root = acb_poly(r)
    half = (arb.pi() / 2).sqrt()

    def value(x: acb) -> acb:
        return a * half * (x / arb(2).sqrt()).erf() + root(x) * (-x * x / 2).exp()

    return value
