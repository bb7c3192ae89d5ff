"""The expected loss-preconditioned Hessian C = E[T (z z^T - I)], T = l'(c, g(z)), by the best method there is.

Exact for a polynomial l' (squared loss), closed form in balls for one variable and a piecewise linear l', numerical
otherwise, or enclosed in proven balls on demand. Every result carries a radius, prints only the digits that the radius
supports, and can be asked for a certificate.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import Any, Literal

import numpy as np
import sympy
from flint import arb, arb_mat
from numpy.typing import NDArray

from mimtheory import links, losses
from mimtheory.balls import certified_text, double_of
from mimtheory.certificate import Certificate, certify
from mimtheory.closed_forms import closed_form
from mimtheory.enclosures import Enclosure, Problem, enclose
from mimtheory.gaussian_integrals import (
    Moments,
    checked_centre,
    gaussian_averages,
    gaussian_mean,
    gaussian_moments,
    linear_derivative,
    noisy,
    symmetric,
)
from mimtheory.line_integrals import LineIntegrals
from mimtheory.links import Link
from mimtheory.losses import Loss
from mimtheory.parametric_hessian import has_parameters
from mimtheory.polynomial_derivatives import exact_moments

__all__ = [
    "ExpectedHessian",
    "Moments",
    "certified_problem",
    "expected_hessian",
    "gaussian_moments",
    "population_centre",
]

Floats = NDArray[np.float64]
Method = Literal["auto", "exact", "certified", "fast"]
_EPS = float(np.finfo(np.float64).eps)
_MOST_DIGITS = 10_000
_TIME_LIMIT = 60.0
_CERTIFIED_DIGITS = 3  # where none are asked for


@dataclass(frozen=True)
class ExpectedHessian:
    """C and c0 with what is known about their error.

    Attributes
    ----------
    C : (r, r) array
        E[T (z z^T - I)], symmetric; of the units of T. Not a number where nothing is known.
    c0 : float
        E T.
    first_moment : (r,) array
        E[T z].
    radius : float
        Bound on the error of every entry of C and of c0: proved where `status` is exact or certified, an estimate
        (see `gaussian_integrals.Averages`) where it is estimated.
    method : str
        How C was computed.
    status : {"exact", "certified", "estimated", "undecided"}
        undecided: balls, but wider than was asked for.
    problem : Problem
        Link, loss, centre and label noise.
    enclosure : Enclosure or None
        The balls, where there are any.
    """

    C: Floats
    c0: float
    first_moment: Floats
    radius: float
    method: str
    status: Literal["exact", "certified", "estimated", "undecided"]
    problem: Problem
    enclosure: Enclosure | None = field(repr=False)
    _exact: Callable[[], sympy.ImmutableMatrix | None] = field(repr=False, compare=False)

    @cached_property
    def C_exact(self) -> sympy.ImmutableMatrix | None:
        """C as SymPy expressions where a closed form is known, else None; computed when first asked for."""
        return self._exact()

    @property
    def C_ball(self) -> arb_mat | None:
        """Arb enclosures of the entries of C, or None."""
        return None if self.enclosure is None else self.enclosure.C

    @property
    def mean(self) -> float:
        """E T, the same as c0."""
        return self.c0

    @cached_property
    def T2_z4(self) -> float:
        """E[T^2 |z|^4], on which the error of the empirical signal block depends; computed on demand."""
        p = self.problem
        return gaussian_moments(p.link, p.loss, float(p.centre), float(p.noise)).T2_z4

    def certificate(self, time_limit: float = _TIME_LIMIT) -> Certificate:
        """What can be proved of rank and eigenvalues within `time_limit` seconds."""
        return certify(self.problem, _checked_time(time_limit), known=self.enclosure)

    def is_degenerate(self, time_limit: float = _TIME_LIMIT) -> bool | None:
        """True with an exact argument, False with a certificate of full rank, None where neither was found within
        `time_limit` seconds."""
        status = self.certificate(time_limit).status
        return None if status == "undecided" else status == "degenerate"

    @property
    def digits(self) -> int:
        """Decimal places that the radius supports, at most 15."""
        if self.radius == 0:
            return 15
        return max(0, min(15, math.floor(-math.log10(2 * self.radius)))) if math.isfinite(self.radius) else 0

    def __repr__(self) -> str:
        rows = "; ".join("  ".join(row) for row in self._entries())
        return f"C = [{rows}], c0 = {self._mean()}, radius {self.radius:.1e}, {self.method}"

    def _repr_latex_(self) -> str:
        if self.status == "exact" and self.C_exact is not None:
            body = sympy.latex(self.C_exact, mat_delim="(")
        else:
            rows = r" \\ ".join(" & ".join(row) for row in self._entries())
            body = rf"\begin{{pmatrix}} {rows} \end{{pmatrix}}".replace("±", r"\pm ")
        return rf"$C = {body},\quad c_0 = {self._mean()}$ ({self.method})".replace("±", r"\pm ")

    def _repr_html_(self) -> str:
        cells = "".join("<tr>" + "".join(f"<td>{x}</td>" for x in row) + "</tr>" for row in self._entries())
        about = f"c0 = {self._mean()}, error at most {self.radius:.1e}, {self.method}"
        return f"<table><caption>Expected Hessian C: {about}</caption>{cells}</table>"

    def _entries(self) -> list[list[str]]:
        r = len(self.C)
        if self.C_ball is not None:
            return [[self._ball(self.C_ball[i, j]) for j in range(r)] for i in range(r)]
        return [[self._number(float(x)) for x in row] for row in self.C]

    def _mean(self) -> str:
        return self._number(self.c0) if self.enclosure is None else self._ball(self.enclosure.mean)

    def _number(self, x: float) -> str:
        text = f"{x:.{self.digits}f}"
        return text.lstrip("-") if float(text) == 0 else text

    def _ball(self, ball: arb) -> str:
        return certified_text(ball, 18)


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
        g, a polynomial of r Gaussian variables.
    loss : Loss or str
    centre : float
        The centring constant c; a float is taken exactly.
    label_noise : float
        Standard deviation of the noise on the labels.
    method : {"auto", "exact", "certified", "fast"}
        exact: a polynomial l', or a closed form for r = 1. certified: proven balls (kinked T up to r = 4, smooth or
        noisy T up to r = 3). fast: doubles with an estimated error. auto: exact where possible, else certified if
        `digits` or `time_limit` is given, else fast.
    digits : int, optional
        Decimal places to be certified, 1 to 10,000; 3 if none are given. Beyond 11 only for exact and closed forms.
    time_limit : float, optional
        Seconds for certified balls, 60 if none are given. Where it does not suffice the status is undecided.

    Returns
    -------
    ExpectedHessian

    Raises
    ------
    ValueError
        For a centre that is not finite, a negative noise, a link or loss that cannot be read, or method "exact" where
        nothing exact is known.

    Examples
    --------
    >>> expected_hessian("z1*z2", "squared").C
    array([[ 0., -1.],
           [-1.,  0.]])
    """
    _check_choice(method, digits)
    seconds = _checked_time(_TIME_LIMIT if time_limit is None else time_limit)
    problem = problem_of(link, loss, centre, label_noise)
    if method in ("auto", "exact"):
        found = _exact(problem, digits)
        if found is not None:
            return found
        if method == "exact":
            raise ValueError(
                f"method = 'exact': no exact form is known for {problem.link} with {problem.loss}; allowed: a "
                "polynomial l', or r = 1 with a piecewise linear l' and no label noise"
            )
    if method == "certified" or (method == "auto" and (digits is not None or time_limit is not None)):
        return _certified(problem, digits, seconds)
    return _fast(problem)


def certified_problem(
    link: Link | str, loss: Loss | str, centre: float, label_noise: float, digits: int | None, time_limit: float
) -> Certificate:
    """The certificate of a problem, without computing more of C than it needs; arguments as in `expected_hessian`."""
    _check_choice("certified", digits)
    return certify(problem_of(link, loss, centre, label_noise), _checked_time(time_limit), digits)


def problem_of(link: Link | str, loss: Loss | str, centre: float, label_noise: float) -> Problem:
    """The problem, validated."""
    if not isinstance(link, Link) and link not in links.ZOO and has_parameters(link):
        raise ValueError(f"link = {str(link)[:60]!r} has parameters; allowed here: numbers (see symbolic_hessian)")
    g, c = links.link(link), checked_centre(centre)
    noisy(g, label_noise)  # refuses a bad noise
    return Problem(g, losses.loss(loss), Fraction(c), Fraction(label_noise))


def _check_choice(method: str, digits: int | None) -> None:
    if method not in ("auto", "exact", "certified", "fast"):
        raise ValueError(f"method = {method!r}; allowed: 'auto', 'exact', 'certified', 'fast'")
    if digits is not None and not (
        isinstance(digits, int) and not isinstance(digits, bool) and 1 <= digits <= _MOST_DIGITS
    ):
        raise ValueError(f"digits = {digits!r}; allowed: None or an integer from 1 to {_MOST_DIGITS}")


def _checked_time(time_limit: Any) -> float:
    if isinstance(time_limit, bool) or not isinstance(time_limit, int | float) or not time_limit > 0:
        raise ValueError(f"time_limit = {time_limit!r}; allowed: a positive number of seconds")
    return float(time_limit)


def _exact(problem: Problem, digits: int | None) -> ExpectedHessian | None:
    target = Fraction(1, 10 ** (digits or 0)) / 2 if digits else Fraction(1, 10**18)
    moments = exact_moments(problem.link, problem.loss, problem.centre, problem.noise)
    if moments is not None:
        found = enclose(problem, target)
        assert found is not None
        return _of_balls(problem, found, "exact", "exact", moments.C.to_sympy)
    form = None if problem.noise else closed_form(problem.link, problem.loss, float(problem.centre))
    if form is None:
        return None
    found = enclose(problem, target)
    assert found is not None
    return _of_balls(
        problem,
        found,
        "exact",
        "closed form in ball arithmetic",
        lambda: sympy.ImmutableMatrix([[form.expression()]]),
    )


def _certified(problem: Problem, digits: int | None, seconds: float) -> ExpectedHessian:
    target = Fraction(1, 10 ** (_CERTIFIED_DIGITS if digits is None else digits)) / 2
    found = enclose(problem, target, time.monotonic() + seconds)
    if found is None:
        raise ValueError(
            f"method = 'certified': no certified method covers {problem.link.text} with {problem.loss.text}; allowed: "
            "kinked losses up to r = 4, logcosh, pseudo_huber and label noise up to r = 3"
        )
    status: Literal["certified", "undecided"] = "certified" if found.radius <= target else "undecided"
    return _of_balls(problem, found, status, found.route, lambda: None)


def _of_balls(
    problem: Problem,
    found: Enclosure,
    status: Literal["exact", "certified", "undecided"],
    method: str,
    exact: Callable[[], sympy.ImmutableMatrix | None],
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
    averages = gaussian_averages(LineIntegrals(f, problem.loss, float(problem.centre), moments=False, first=True), r)
    mean_T, second, first = float(averages.values[0]), averages.values[1:-r], averages.values[-r:]
    radius = float(averages.errors[0] + averages.errors[1:].max())
    C = symmetric(second, r) - mean_T * np.eye(r)
    return ExpectedHessian(C, mean_T, first, radius, averages.method, "estimated", problem, None, lambda: None)


def population_centre(link: Link | str, loss: Loss | str, label_noise: float = 0.0) -> float:
    """The constant that predicts best: argmin_c E l(c, y), the root of E l'(c, y) = 0.

    Parameters
    ----------
    link : Link or str
    loss : Loss or str
    label_noise : float
        Standard deviation of the noise on the labels.

    Returns
    -------
    float
        Exact up to rounding for the squared loss; else E l'(c, y) vanishes up to the radius of `expected_hessian`.
    """
    from scipy.optimize import brentq  # takes longer to import than everything else here

    g, preprocessing = links.link(link), losses.loss(loss)
    f = noisy(g, label_noise)
    if linear_derivative(preprocessing) is not None:
        return float(sympy.N(g.mean, 20))

    @lru_cache
    def mean_T(c: float) -> float:
        problem = problem_of(f, preprocessing, c, 0.0)
        found = _exact(problem, None)
        return gaussian_mean(LineIntegrals(f, preprocessing, c, moments=False)) if found is None else found.c0

    start, step = float(sympy.N(f.mean, 20)), math.sqrt(float(sympy.N(f.variance, 20)))
    low = high = start
    while mean_T(low) > 0:  # E l'(c, y) increases with c and has opposite signs at the two infinities
        low, high, step = low - step, low, 2 * step
    while mean_T(high) < 0:
        low, high, step = high, high + step, 2 * step
    # where E l'(c, y) is known to `radius` only, more digits of its root would be noise
    radius = expected_hessian(f, preprocessing, start).radius
    return float(brentq(mean_T, low, high, xtol=max(radius / 2, 1e-13 * max(1.0, abs(start))), rtol=8 * _EPS))
