"""The expected loss-preconditioned Hessian C = E[T (z z^T - I)], T = l'(c, g(z)), by the best method there is.

Exact for a linear l' (squared loss), closed form in balls for one variable and a piecewise polynomial l', numerical
otherwise. Every result carries a radius and prints only the digits that the radius supports.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import sympy
from numpy.typing import NDArray

from mimtheory import links, losses
from mimtheory.closed_forms import closed_form
from mimtheory.gaussian_integrals import (
    Moments,
    checked_centre,
    gaussian_averages,
    gaussian_moments,
    linear_derivative,
    noisy,
    symmetric,
)
from mimtheory.line_integrals import LineIntegrals
from mimtheory.links import Link
from mimtheory.losses import Loss

__all__ = ["ExpectedHessian", "Moments", "expected_hessian", "gaussian_moments", "population_centre"]

Floats = NDArray[np.float64]
_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class ExpectedHessian:
    """C and c0 with what is known about their error.

    Attributes
    ----------
    C : (r, r) array
        E[T (z z^T - I)], symmetric; of the units of T.
    c0 : float
        E T.
    radius : float
        Bound on the error of every entry of C and of c0: proved for the exact and the closed forms, an estimate
        (see `gaussian_integrals.Averages`) for the numerical ones.
    method : str
        How C was computed.
    """

    C: Floats
    c0: float
    radius: float
    method: str
    _exact: Callable[[], sympy.ImmutableMatrix | None] = field(repr=False, compare=False)

    @cached_property
    def C_exact(self) -> sympy.ImmutableMatrix | None:
        """C as SymPy expressions where a closed form is known, else None; computed when first asked for."""
        return self._exact()

    @property
    def digits(self) -> int:
        """Decimal places that the radius supports, at most 15."""
        if self.radius == 0:
            return 15
        return max(0, min(15, math.floor(-math.log10(2 * self.radius))))

    def __repr__(self) -> str:
        rows = "; ".join("  ".join(self._entry(x) for x in row) for row in self.C)
        return f"C = [{rows}], c0 = {self._entry(self.c0)}, radius {self.radius:.1e}, {self.method}"

    def _repr_latex_(self) -> str:
        rows = r" \\ ".join(" & ".join(self._entry(x) for x in row) for row in self.C)
        zero = self._entry(self.c0)
        return rf"$C = \begin{{pmatrix}} {rows} \end{{pmatrix}},\quad c_0 = {zero}$ ({self.method})"

    def _repr_html_(self) -> str:
        cells = "".join("<tr>" + "".join(f"<td>{self._entry(x)}</td>" for x in row) + "</tr>" for row in self.C)
        about = f"c0 = {self._entry(self.c0)}, error at most {self.radius:.1e}, {self.method}"
        return f"<table><caption>Expected Hessian C: {about}</caption>{cells}</table>"

    def _entry(self, x: float) -> str:
        text = f"{x:.{self.digits}f}"
        return text.lstrip("-") if float(text) == 0 else text


def expected_hessian(
    link: Link | str, loss: Loss | str, centre: float = 0.0, label_noise: float = 0.0
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

    Returns
    -------
    ExpectedHessian

    Raises
    ------
    ValueError
        For a centre that is not finite, a negative noise, or a link or loss that cannot be read.

    Examples
    --------
    >>> expected_hessian("z1*z2", "squared").C
    array([[ 0., -1.],
           [-1.,  0.]])
    """
    g, preprocessing, c = links.link(link), losses.loss(loss), checked_centre(centre)
    f = noisy(g, label_noise)
    exact = _linear(g, preprocessing, c)
    if exact is not None:
        return exact
    form = closed_form(f, preprocessing, c)
    if form is not None:
        mean, second = form.balls()
        values = [float(mean.mid()), float(second.mid())]
        radius = 1e-18 + _EPS * max(map(abs, values))
        return ExpectedHessian(
            np.array([[values[1]]]),
            values[0],
            radius,
            "closed form in ball arithmetic",
            lambda: sympy.ImmutableMatrix([[form.expression()]]),
        )
    averages = gaussian_averages(LineIntegrals(f, preprocessing, c, moments=False), g.r)
    mean_T = float(averages.values[0])
    C = symmetric(averages.values[1:], g.r) - mean_T * np.eye(g.r)
    radius = float(averages.errors[0] + averages.errors[1:].max())
    return ExpectedHessian(C, mean_T, radius, averages.method, lambda: None)


def _linear(g: Link, loss: Loss, centre: float) -> ExpectedHessian | None:
    """The exact answer where l'(u) = a + b u: then E T = a + b (c - E g) and, by Stein, C = -b E Hess g."""
    line = linear_derivative(loss)
    if line is None:
        return None
    a, b = (sympy.Rational(x.numerator, x.denominator) for x in line)
    exact = sympy.ImmutableMatrix(-b * g.mean_hessian)
    mean = a + b * (sympy.Rational(centre) - g.mean)
    C = np.array([[float(sympy.N(x, 20)) for x in row] for row in exact.tolist()])
    c0 = float(sympy.N(mean, 20))
    return ExpectedHessian(C, c0, _EPS * max(abs(c0), float(np.abs(C).max())), "exact", lambda: exact)


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
    if _linear(g, preprocessing, 0.0) is not None:
        return float(sympy.N(g.mean, 20))

    def mean_T(c: float) -> float:
        return expected_hessian(f, preprocessing, c).c0

    start, step = float(sympy.N(f.mean, 20)), math.sqrt(float(sympy.N(f.variance, 20)))
    low, high = start - step, start + step
    while mean_T(low) > 0:  # E l'(c, y) increases with c and has opposite signs at the two infinities
        low -= step
        step *= 2
    while mean_T(high) < 0:
        high += step
        step *= 2
    # where E l'(c, y) is known to `radius` only, more digits of its root would be noise
    radius = expected_hessian(f, preprocessing, start).radius
    return float(brentq(mean_T, low, high, xtol=max(radius / 2, 1e-13 * max(1.0, abs(start))), rtol=8 * _EPS))
