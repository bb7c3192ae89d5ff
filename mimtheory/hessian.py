"""The expected loss-preconditioned Hessian C = E[T (z z^T - I)], T = l'(c, g(z)), by the best method there is.

Exact for a polynomial l' (squared loss), closed form in balls for one variable and a piecewise linear l', numerical
otherwise, or enclosed in proven balls on demand. Every result carries a radius, prints only the digits that the radius
supports, and can be asked for a certificate.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Literal

import numpy as np
import sympy
from flint import arb, arb_mat
from numpy.typing import NDArray

from mimtheory import links, losses
from mimtheory.arguments import check_centre, check_integer, check_noise, check_time, exactly
from mimtheory.balls import double_of
from mimtheory.certificate import Certificate, certify
from mimtheory.closed_forms import ClosedForm, closed_form
from mimtheory.enclosures import Enclosure, Problem, closed_enclosure, enclose, exact_enclosure
from mimtheory.gaussian_integrals import gaussian_averages
from mimtheory.gaussian_moments import Moments, gaussian_moments, noise_smooths, noisy, symmetric
from mimtheory.hessian_results import TIME_LIMIT, Exact, ExpectedHessian, ParametricHessian
from mimtheory.line_integrals import LineIntegrals
from mimtheory.links import Link
from mimtheory.losses import Loss
from mimtheory.parametric_hessian import has_parameters, parametric_moments
from mimtheory.polynomial_derivatives import MOST_TERMS, exact_moments
from mimtheory.smooth_derivatives import smooth_derivative
from mimtheory.symmetries import pattern

__all__ = [
    "Moments",
    "certificate_of",
    "exact_hessian",
    "expected_hessian",
    "gaussian_moments",
    "problem_of",
]

Floats = NDArray[np.float64]
Method = Literal["auto", "exact", "certified", "fast"]
_MOST_DIGITS = 10_000
_CERTIFIED_DIGITS = 3  # where none are asked for
_SMOOTHED_RADIUS = 5e-11


def expected_hessian(
    link: Link | str,
    loss: Loss | str,
    centre: float = 0.0,
    label_noise: float = 0.0,
    *,
    method: Method = "auto",
    digits: int | None = None,
    time_limit: float | None = None,
) -> ExpectedHessian:
    """Compute C = E[T (z z^T - I)] and c0 = E T for T = l'(centre, y), y = g(z) + label_noise * N(0, 1).

    Parameters
    ----------
    link : Link or str
        g, a polynomial of r Gaussian variables; parameters (a letter or a Greek name) as coefficients where l' is a
        polynomial.
    loss : Loss or str
        With a parameter as coefficient of a polynomial in u, or, for r = 1, in "huber(delta)" and "quantile(tau)".
    centre : float
        The centring constant c, in units of y; a float is taken exactly.
    label_noise : float
        Standard deviation of the noise on the labels, in units of y.
    method : {"auto", "exact", "certified", "fast"}
        exact: a polynomial l', or a closed form for r = 1. certified: proven balls (kinked T up to r = 4, smooth or
        noisy T up to r = 3, quadratic and additive links of any r). fast: doubles with an estimated error, and exact
        zeros where symmetries of g say so. auto:
        exact where possible, else certified if `digits` or `time_limit` is given or, to ten places, where label
        noise of at least 0.5 % of the deviation of g makes E[T | z] smooth for r <= 2, else fast.
    digits : int, optional
        Decimal places to be certified, 1 to 10,000; 3 if none are given. Beyond 11 only for exact and closed forms.
    time_limit : float, optional
        Seconds for certified balls, 60 if none are given. Where it does not suffice the status is undecided.

    Returns
    -------
    ExpectedHessian
        In units of T; a ParametricHessian, exact, where link or loss have parameters.

    Raises
    ------
    ValueError
        For a centre that is not finite, a negative noise, a link or loss that cannot be read, method "exact" where
        nothing exact is known, or digits or a time limit with method "fast", which has neither.

    Source: docs/theory/expected_hessian.md, Any number of variables; docs/theory/certified.md, Certified enclosures of
    C, and certificates.

    Examples
    --------
    >>> expected_hessian("z1*z2", "squared").C
    array([[ 0., -1.],
           [-1.,  0.]])
    >>> H = expected_hessian("a*h2(z1) + b*z1*z2", "squared")
    >>> H
    C = [[-sqrt(2)*a, -b], [-b, 0]], c0 = 0, exact in a, b
    >>> H.subs({"a": 1, "b": 2}).C[0, 1]
    np.float64(-2.0)
    """
    _check_choice(method, digits)
    if method == "fast" and not (digits is None and time_limit is None):
        given = f"digits = {digits!r}" if time_limit is None else f"time_limit = {time_limit!r}"
        raise ValueError(f"method = 'fast' with {given}; allowed: 'auto', 'certified', whose radius can be chosen")
    seconds = TIME_LIMIT if time_limit is None else time_limit
    check_time(seconds)
    if has_parameters(link) or has_parameters(loss):
        return _parametric(link, loss, centre, label_noise, method)
    problem = problem_of(link, loss, centre, label_noise)
    if method in ("auto", "exact"):
        found = exact_hessian(problem, digits)
        if found is not None:
            return replace(found, asked=digits)
        if method == "exact":
            raise ValueError(
                f"method = 'exact': no exact form is known for {problem.link} with {problem.loss}; allowed: a "
                f"polynomial l' of at most {MOST_TERMS:,} terms in z, or r = 1 with a piecewise linear l' and no label "
                "noise"
            )
    if method == "certified" or (method == "auto" and (digits is not None or time_limit is not None)):
        return replace(_certified(problem, digits, seconds), asked=digits)
    smoothed = _smoothed(problem) if method == "auto" else None
    return _fast(problem) if smoothed is None else smoothed


def _parametric(
    link: Link | str, loss: Loss | str, centre: float, label_noise: float, method: Method
) -> ParametricHessian:
    if method in ("certified", "fast"):
        raise ValueError(f"method = {method!r} with parameters in link or loss; allowed: 'auto', 'exact'")
    check_centre(centre)
    check_noise(label_noise)
    c, noise = exactly(centre), exactly(label_noise)

    def restart(link: str, loss: str) -> ExpectedHessian:
        return expected_hessian(link, loss, centre, label_noise, method=method)

    return ParametricHessian(parametric_moments(link, loss, c, noise), restart)


def certificate_of(
    link: Link | str,
    loss: Loss | str,
    centre: float,
    label_noise: float,
    *,
    time_limit: float = TIME_LIMIT,
    digits: int | None = None,
) -> Certificate:
    """The certificate of a problem, without computing more of C than it needs.

    Parameters
    ----------
    link, loss
        As for `expected_hessian`.
    centre, label_noise : float
        In units of y.
    time_limit : float
        Seconds, as for `certify`.
    digits : int, optional
        Decimal places to be certified, 1 to 10,000.

    Raises
    ------
    ValueError
        As `expected_hessian`.
    """
    _check_choice("certified", digits)
    check_time(time_limit)
    return certify(problem_of(link, loss, centre, label_noise), time_limit, digits)


def problem_of(link: Link | str, loss: Loss | str, centre: float, label_noise: float) -> Problem:
    """The problem, validated.

    Parameters
    ----------
    link, loss
        As for `expected_hessian`.
    centre, label_noise : float
        In units of y; taken exactly.

    Raises
    ------
    ValueError
        As `expected_hessian`.
    """
    check_centre(centre)
    check_noise(label_noise)
    return Problem(links.link(link), losses.loss(loss), exactly(centre), exactly(label_noise))


def _check_choice(method: str, digits: int | None) -> None:
    if method not in ("auto", "exact", "certified", "fast"):
        raise ValueError(f"method = {method!r}; allowed: 'auto', 'exact', 'certified', 'fast'")
    if digits is not None:
        check_integer("digits", digits, 1, "None or an integer from 1", _MOST_DIGITS)


def exact_hessian(problem: Problem, digits: int | None) -> ExpectedHessian | None:
    r"""C by a polynomial l' or a closed form on a line; None where neither applies.

    Parameters
    ----------
    problem : Problem
    digits : int or None
        Decimal places of the balls; eighteen if None.

    Source: docs/theory/expected_hessian.md, One variable, piecewise polynomial $\ell'$: closed form.
    """
    target = Fraction(1, 10**18) if digits is None else Fraction(1, 10 ** int(digits)) / 2
    moments = exact_moments(problem.link, problem.loss, problem.centre, problem.noise)
    if moments is not None:
        return _of_balls(problem, exact_enclosure(moments, target), "exact", "exact", moments.expressions)
    form = None if problem.noise else closed_form(problem.link, problem.loss, problem.centre)
    if form is None:
        return None
    found = closed_enclosure(problem, form, target)
    return _of_balls(problem, found, "exact", "closed form in ball arithmetic", lambda: _of_line(form))


def _of_line(form: ClosedForm) -> Exact:
    mean, first, second = form.expressions()
    return mean, sympy.ImmutableMatrix([first]), sympy.ImmutableMatrix([[second]])


def _certified(problem: Problem, digits: int | None, seconds: float) -> ExpectedHessian:
    target = Fraction(1, 10 ** int(_CERTIFIED_DIGITS if digits is None else digits)) / 2
    found = enclose(problem, target, time.monotonic() + seconds)
    if found is None:
        raise ValueError(
            f"method = 'certified': no certified method covers {problem.link.text} with {problem.loss.text}; allowed: "
            "kinked losses up to r = 4, logcosh, pseudo_huber and label noise up to r = 3, additive links"
        )
    status: Literal["certified", "undecided"] = "certified" if found.radius <= target else "undecided"
    return _of_balls(problem, found, status, found.route, lambda: None)


def _smoothed(problem: Problem) -> ExpectedHessian | None:
    """Balls where label noise makes E[T | z] smooth, which a hundredth of the time of `_fast` suffices for; None
    elsewhere. No deadline, so that the result does not depend on what else the machine does."""
    smooth = (smooth_derivative(problem.loss, noise) for noise in (problem.noise, Fraction(0)))
    if not problem.noise or not any(smooth) or not noise_smooths(problem.link, problem.noise):
        return None
    found = enclose(problem, _SMOOTHED_RADIUS)
    if found is None or not found.radius <= _SMOOTHED_RADIUS:
        return None
    return _of_balls(problem, found, "certified", found.route, lambda: None)


def _of_balls(
    problem: Problem,
    found: Enclosure,
    status: Literal["exact", "certified", "undecided"],
    method: str,
    exact: Callable[[], Exact | None],
) -> ExpectedHessian:
    r = problem.link.r
    entries = [[double_of(found.C[i, j]) for j in range(r)] for i in range(r)]
    mean, mean_error = double_of(found.mean)
    first = [double_of(x) for x in found.first]
    radius = max(mean_error, *(e for row in entries for _, e in row), *(e for _, e in first))
    C, z = np.array([[x for x, _ in row] for row in entries]), np.array([x for x, _ in first])
    return ExpectedHessian(C, mean, z, radius, method, status, problem, found, exact)


def _fast(problem: Problem) -> ExpectedHessian:
    f, r = noisy(problem.link, float(problem.noise)), problem.link.r
    symmetries = pattern(problem.link, problem.loss, problem.centre)
    if symmetries.vanishing:
        none = Enclosure(arb_mat(r, r), arb(0), (arb(0),) * r, "exact, by symmetry", symmetries.used)
        zeros = sympy.Integer(0), sympy.ImmutableMatrix.zeros(r, 1), sympy.ImmutableMatrix.zeros(r, r)
        return _of_balls(problem, none, "exact", none.route, lambda: zeros)
    averages = gaussian_averages(LineIntegrals(f, problem.loss, float(problem.centre), moments=False, first=True), r)
    mean_T, second, first = float(averages.values[0]), averages.values[1:-r], averages.values[-r:]
    radius = float(averages.errors[0] + averages.errors[1:].max())
    C, first = symmetries.imposed(symmetric(second, r) - mean_T * np.eye(r), first)
    mean_T = 0.0 if symmetries.odd else mean_T
    return ExpectedHessian(C, mean_T, first, radius, averages.method, "estimated", problem, None, lambda: None)
