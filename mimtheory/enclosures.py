"""Certified enclosures of E T, E[T z] and C = E[T (z z^T - I)], by the first or the second of two independent routes.

Which methods serve which problem is one table here: see `enclose`. Symmetries of the link are imposed on the result:
they give exact zeros, and equal entries share the intersection of their balls.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from flint import arb, arb_mat

from mimtheory.additive_forms import additive_form, nearly_additive, turned_back
from mimtheory.additive_laws import additive_laws
from mimtheory.additive_series import additive_series
from mimtheory.balls import ball_of, precision, surd_ball
from mimtheory.box_integrals import box_integrals
from mimtheory.closed_forms import ClosedForm, closed_form
from mimtheory.fourth_moments import fourth_moment, norm_fourth
from mimtheory.links import Link
from mimtheory.losses import Loss
from mimtheory.piecewise_lines import PiecewiseLine, interpolant, piecewise_line
from mimtheory.polar_integrals import polar_integrals
from mimtheory.polynomial_derivatives import ExactMoments, exact_moments, exact_moments_by_monomials
from mimtheory.polynomials import Polynomial
from mimtheory.quadratic_integrals import is_quadratic, quadratic_integrals
from mimtheory.smooth_derivatives import SmoothDerivative, smooth_derivative, squared
from mimtheory.smooth_integrals import smooth_integrals
from mimtheory.symmetries import Pattern, pattern
from mimtheory.weighted_moments import Weighted, second_moments, weights_of

__all__ = ["Enclosure", "Problem", "closed_enclosure", "enclose", "enclose_fourth", "exact_enclosure"]

_BITS = 128
_COARSE = Fraction(1, 2)
_BY_HEAT_FLOW = "exact, by the heat flow"


@dataclass(frozen=True)
class Problem:
    """T = l'(c, y), y = g(z) + noise xi; c and the noise exactly."""

    link: Link
    loss: Loss
    centre: Fraction
    noise: Fraction

    @property
    def u(self) -> Polynomial:
        """c - g."""
        return Polynomial.constant(self.link.r, self.centre) - self.link.polynomial

    @property
    def noisy_u(self) -> Polynomial:
        """c - g - noise z_{r+1}, the noise as one more variable where there is any."""
        if not self.noise:
            return self.u
        r = self.link.r + 1
        noise = Polynomial.variable(r, r - 1) * Polynomial.constant(r, self.noise)
        return self.u.extended(r) - noise


@dataclass(frozen=True)
class Enclosure:
    """Balls that contain the numbers they stand for.

    Attributes
    ----------
    C : arb_mat (r, r)
    mean : arb
        E T.
    first : tuple of arb
        E[T z_i].
    route : str
        How they were found.
    symmetries : tuple of str
        The symmetries that were used.
    """

    C: arb_mat
    mean: arb
    first: tuple[arb, ...]
    route: str
    symmetries: tuple[str, ...] = ()

    @property
    def radius(self) -> float:
        """Largest radius of an entry of C, of E T and E[T z]; infinite where nothing is known."""
        balls = [*self.C.entries(), self.mean, *self.first]
        return max(math.nextafter(float(b.rad()), math.inf) if b.rad() != 0 else 0.0 for b in balls)


_Additive = Callable[[Polynomial, PiecewiseLine, int, float, float], Weighted]
_Route = tuple[str, Callable[[float, float], Weighted]]
_Near = Callable[[float, float], PiecewiseLine]


def enclose(
    problem: Problem, target: float | Fraction, deadline: float = math.inf, route: Literal[1, 2] = 1
) -> Enclosure | None:
    """Enclose the moments to within `target` where that is reached before the deadline, else as far as was reached.

    Parameters
    ----------
    problem : Problem
    target : float
        Radius at which to stop.
    deadline : float
        Value of time.monotonic().
    route : {1, 2}
        ================================  =============================  ==================================
        problem                           route 1                        route 2
        ================================  =============================  ==================================
        polynomial l'                     heat flow, exact               moments of monomials, exact
        r = 1, piecewise line             closed form at cuts            dyadic intervals
        r >= 3, quadratic g, same T       Fourier integral               laws on a grid
        r >= 3, additive g, same T        Fourier series                 laws on a grid
        r >= 4, additive, smooth/noisy    series, near piecewise line    laws, near piecewise line
        r = 2, piecewise line             dyadic boxes                   polar coordinates, or as r = 3, 4
        r = 3, 4, piecewise line          dyadic boxes                   dyadic boxes in a rotated basis
        r <= 3, smooth or noisy           Gauss-Legendre products        boxes for a near piecewise line
        r <= 4, formula, no such line     boxes for a near line          the same in a rotated basis
        r <= 3, line, tiny noise          boxes, noise as a variable     the same in a rotated basis
        ================================  =============================  ==================================

        A formula of one's own whose l' is a bounded piecewise line goes the ways of the zoo.

    Returns
    -------
    Enclosure or None
        None where no method is known.
    """
    exact = exact_moments if route == 1 else exact_moments_by_monomials
    moments = exact(problem.link, problem.loss, problem.centre, problem.noise)
    if moments is not None:
        name = _BY_HEAT_FLOW if route == 1 else "exact, by the moments of monomials"
        return exact_enclosure(moments, target, name)
    if route == 1 and not problem.noise:
        form = closed_form(problem.link, problem.loss, problem.centre)
        if form is not None:
            return closed_enclosure(problem, form, target)
    symmetries = pattern(problem.link, problem.loss, problem.centre)
    best, routes = None, _routes(problem, route)
    for k, (name, method) in enumerate(routes):
        # what follows has a share of the time, for the case that this one is slow
        until = _part(deadline) if k + 1 < len(routes) else deadline
        # C_ii = E[T z_i^2] - E T, so the radii of two numbers add
        found = _of_weighted(method(float(target) / 2.5, until), problem.link.r, name)
        best = found if best is None or found.radius < best.radius else best
        if best.radius <= target or time.monotonic() > deadline:
            break
        if math.isinf(deadline) and math.isfinite(best.radius):
            break  # nothing would stop the next one
    if best is None or (math.isinf(best.radius) and time.monotonic() <= deadline):
        return None
    return _imposed(best, symmetries, _BITS)


def exact_enclosure(moments: ExactMoments, target: float | Fraction, route: str = _BY_HEAT_FLOW) -> Enclosure:
    """Balls around exact numbers, of far less than the target whatever their size."""
    numbers = [moments.mean, *moments.first, *(x for row in moments.C.rows for x in row)]
    size = max((abs(int(v.p)).bit_length() - int(v.q).bit_length() for x in numbers for v in x.values()), default=0)
    with precision(_bits(target) + max(0, size)):
        return Enclosure(moments.C.balls(), surd_ball(moments.mean), tuple(surd_ball(x) for x in moments.first), route)


def closed_enclosure(problem: Problem, form: ClosedForm, target: float | Fraction) -> Enclosure:
    """The balls of the closed form of this problem, within the target."""
    mean, first, second = form.moments(target)
    found = Enclosure(arb_mat([[second]]), mean, (first,), "closed form at the cuts of T, in balls")
    return _imposed(found, pattern(problem.link, problem.loss, problem.centre), _bits(target))


def enclose_fourth(problem: Problem, target: float | Fraction, deadline: float = math.inf) -> arb | None:
    """Enclose E[T^2 |z|^4], as `enclose` does; None where no method is known.

    Exact for a polynomial l', and r (r + 2) K^2 where |T| = K between all kinks (l1); else boxes for a piecewise line
    of at most four variables, Gauss-Legendre products for a smooth T of at most three, the label noise being one.
    """
    r, pieces = problem.link.r, problem.loss.pieces
    if pieces is not None and len(pieces) == 1:
        u = problem.noisy_u
        t = Polynomial(u.r, {})
        for k, c in enumerate(pieces[0].coefficients):
            t = t + Polynomial.constant(u.r, c) * u**k
        with precision(_bits(target)):
            return surd_ball((t * t * norm_fourth(r, u.r)).gaussian_mean())
    line = piecewise_line(problem.loss)
    if line is not None and not any(line.slopes) and len({abs(a) for a in line.constants}) == 1:
        with precision(_BITS):
            return ball_of(line.constants[0] ** 2 * r * (r + 2))
    u, smooth = problem.noisy_u, smooth_derivative(problem.loss, Fraction(0))
    if smooth is not None and u.r <= 3:
        weights = [(index, int(surd[1])) for index, surd in norm_fourth(r, u.r).terms.items()]
        found = smooth_integrals(
            u, squared(smooth), r, float(target) / 2 / r**2, deadline, weights=[w for w, _ in weights]
        )
        with precision(_BITS):
            return sum((ball * c for ball, (_, c) in zip(found.balls, weights, strict=True)), arb(0))
    if line is None or u.r > 4:
        return None
    return fourth_moment(u, line, r, float(target), deadline)


def _bits(target: float | Fraction) -> int:
    """Working precision for balls of this radius."""
    return _BITS + Fraction(target).denominator.bit_length()


def _routes(problem: Problem, route: int) -> list[_Route]:
    r = problem.link.r
    line, smooth = piecewise_line(problem.loss), smooth_derivative(problem.loss, problem.noise)
    if problem.loss.code < 0 and line is None:
        return _routes_of_boxes(problem, route)
    routes: list[_Route] = []
    if line is not None and route == 1 and is_quadratic(problem.u):
        routes.append(("Fourier integral of a quadratic", _fourier(problem, line)))
    routes += _additive_routes(problem, route)
    if line is not None and problem.noise and smooth is None:
        # too long a table: the noise is small against the kinks
        return [*routes, *_routes_of_boxes(problem, route)]
    if line is not None and not problem.noise and r <= 4:
        if route == 1:
            routes.append(("dyadic boxes", _boxes(problem.u, line, r)))
        elif r == 1:
            routes.append(("dyadic intervals", _boxes(problem.u, line, 1)))
        elif r == 2:
            routes += [("polar coordinates", _polar(problem.u, line)), _turned(problem, lambda *_: line)]
        else:
            routes.append(_turned(problem, lambda *_: line))
    elif route == 1:
        if smooth is not None and r <= 3:
            routes.append(("Gauss-Legendre products with Bernstein ellipses", _products(problem.u, smooth, r)))
        plain = smooth_derivative(problem.loss, Fraction(0))
        if smooth is None and plain is not None and r <= 2:
            name = "Gauss-Legendre products with Bernstein ellipses, the noise as a variable"
            routes.append((name, _products(problem.noisy_u, plain, r)))
    elif problem.noisy_u.r <= 4:
        near = _near_line(problem.loss)
        if near is not None:
            routes.append(("dyadic boxes for a near piecewise line", _near_boxes(problem, near)))
    return routes


def _routes_of_boxes(problem: Problem, route: int) -> list[_Route]:
    """For a formula l', smooth between kinks and bounded, or a line with the least noise, which is a variable."""
    near = _near_line(problem.loss) if problem.noisy_u.r <= 4 else None
    if near is None:
        return []
    if route == 1:
        return [("dyadic boxes for a near piecewise line", _near_boxes(problem, near))]
    return [_turned(problem, near)]


def _additive_routes(problem: Problem, route: int) -> list[_Route]:
    """For three variables or more, where g is a sum of functions of one variable or nearly so."""
    r, u, near = problem.link.r, problem.noisy_u, _near_line(problem.loss)
    if r < 3 or near is None:
        return []
    exactly = piecewise_line(problem.loss) is not None
    about = "" if exactly else " for a near piecewise line"

    def with_line(method: _Additive) -> Callable[[float, float], Weighted]:
        def found(target: float, deadline: float) -> Weighted:
            # a quarter of the target for the distance of the line
            part = target if exactly else target / 2
            return method(u, near(part, deadline), r, part, deadline)

        return found

    if route == 2:
        return [("laws on a grid" + about, with_line(additive_laws))] if nearly_additive(u) else []
    sharper = r == 3 and smooth_derivative(problem.loss, problem.noise) is not None
    if sharper or additive_form(u) is None:
        return []
    return [("Fourier series of an additive link" + about, with_line(additive_series))]


def _boxes(u: Polynomial, line: PiecewiseLine, kept: int) -> Callable[[float, float], Weighted]:
    return lambda target, deadline: box_integrals(u, line, kept, target, deadline)


def _polar(u: Polynomial, line: PiecewiseLine) -> Callable[[float, float], Weighted]:
    def found(target: float, deadline: float) -> Weighted:
        # without a deadline one is set: the route that follows may be faster
        until = deadline if math.isfinite(deadline) else time.monotonic() + 60
        return polar_integrals(u, line, target, until)

    return found


def _fourier(problem: Problem, line: PiecewiseLine) -> Callable[[float, float], Weighted]:
    return lambda target, deadline: quadratic_integrals(problem.u, line, problem.noise, target, deadline)


def _part(deadline: float) -> float:
    now = time.monotonic()
    return now + (deadline - now) * 0.6


def _products(u: Polynomial, T: SmoothDerivative, kept: int) -> Callable[[float, float], Weighted]:
    return lambda target, deadline: smooth_integrals(u, T, kept, target, deadline)


def _near_line(loss: Loss) -> _Near | None:
    """The piecewise line for a target radius, with a distance of half of it if that is found by the deadline."""
    line = piecewise_line(loss)
    if line is not None:
        return lambda *_: line
    coarse = interpolant(loss, _COARSE)
    if coarse is None:
        return None

    def near(target: float, deadline: float) -> PiecewiseLine:
        distance = Fraction(target) / 2
        while distance < _COARSE:
            found = interpolant(loss, distance, deadline)
            if found is not None:
                return found
            distance *= 4
        return coarse

    return near


def _near_boxes(problem: Problem, near: _Near) -> Callable[[float, float], Weighted]:
    return lambda target, deadline: box_integrals(
        problem.noisy_u, near(target, deadline), problem.link.r, target, deadline
    )


def _turned(problem: Problem, near: _Near) -> _Route:
    """Boxes for g(Q^T z), where Q turns the first two coordinates by the angle of the triangle 3, 4, 5, turned back.

    A link of one variable is taken as one of two.
    """
    kept, r = problem.link.r, max(problem.link.r, 2)
    Q = [[Fraction(int(i == j)) for j in range(r)] for i in range(r)]
    Q[0][:2], Q[1][:2] = [Fraction(3, 5), Fraction(-4, 5)], [Fraction(4, 5), Fraction(3, 5)]
    link = Link(problem.link.text, problem.link.polynomial.extended(r)).rotate(Q)
    u = Problem(link, problem.loss, problem.centre, problem.noise).noisy_u

    def method(target: float, deadline: float) -> Weighted:
        turned = box_integrals(u, near(target, deadline), r, target, deadline)
        with precision(_BITS):
            q = arb_mat([[ball_of(x) for x in row] for row in Q])
            back = turned_back(q.transpose(), turned.balls, r)
        balls = tuple(b for b, w in zip(back, weights_of(r, r), strict=True) if not any(w[kept:]))
        return Weighted(balls, turned.cells)

    return "dyadic boxes in a rotated basis", method


def _diagonal(x: arb, r: int) -> arb_mat:
    return arb_mat([[x if i == j else arb(0) for j in range(r)] for i in range(r)])


def _of_weighted(found: Weighted, r: int, route: str) -> Enclosure:
    with precision(_BITS):
        C = second_moments(found.balls, r) - _diagonal(found.balls[0], r)
        return Enclosure(C, found.balls[0], found.balls[1 : 1 + r], route)


def _imposed(found: Enclosure, symmetries: Pattern, bits: int) -> Enclosure:
    """Zeros and equalities put in: equal entries share the intersection of their balls."""
    r = len(found.first)
    shared: dict[object, arb] = {}

    def of(entry: "tuple[int, object]") -> arb:
        sign, key = entry
        return shared[key] * sign if sign else arb(0)

    with precision(bits):
        for i in range(r):
            for j in range(r):
                _meet(shared, symmetries.C[i][j], found.C[i, j])
            _meet(shared, symmetries.first[i], found.first[i])
        return Enclosure(
            arb_mat([[of(symmetries.C[i][j]) for j in range(r)] for i in range(r)]),
            arb(0) if symmetries.odd else found.mean,
            tuple(of(symmetries.first[i]) for i in range(r)),
            found.route,
            symmetries.used,
        )


def _meet(shared: dict[object, arb], entry: "tuple[int, object]", ball: arb) -> None:
    sign, key = entry
    if sign:
        ball = ball * sign
        known = shared.get(key, ball)
        if not known.is_finite() or not ball.is_finite():
            shared[key] = ball if ball.is_finite() else known
            return
        if not known.overlaps(ball):
            raise ArithmeticError(f"entries that a symmetry makes equal have disjoint enclosures {known} and {ball}")
        shared[key] = known.intersection(ball)
