"""Gaussian moments of T_y = l'(c, y), y = g(z) + label noise.

Where l' is linear, moments of second order come from the Hermite expansion instead of a quadrature.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from mimtheory import links, losses
from mimtheory.arguments import check_centre, check_noise, exactly
from mimtheory.balls import double_of
from mimtheory.fourth_moments import norm_fourth
from mimtheory.gaussian_integrals import gaussian_averages
from mimtheory.line_integrals import LineIntegrals
from mimtheory.links import Link
from mimtheory.losses import Loss
from mimtheory.polynomials import Polynomial, surd_to_float
from mimtheory.rounding import EPS
from mimtheory.smooth_derivatives import smooth_derivative, smooth_parts
from mimtheory.smooth_integrals import smooth_integrals
from mimtheory.weighted_moments import weights_of

__all__ = [
    "Moments",
    "gaussian_moments",
    "linear_derivative",
    "noise_smooths",
    "noisy",
    "symmetric",
]

Floats = NDArray[np.float64]
_SMOOTHED_RADIUS = 1e-10  # in units of the largest T or T^2, or of one
_LEAST_NOISE = 0.005  # of the deviation of g
_MOST_VALUES = 30_000_000  # a few seconds


@dataclass(frozen=True)
class Moments:
    """Gaussian moments of T = T_y for y = g(z) + label noise, z ~ N(0, I_r).

    Attributes
    ----------
    mean_T, mean_T_plus, mean_T_minus : float
        E T, E max(T, 0), E max(-T, 0), in units of T.
    mean_T2, T2_z4 : float
        E T^2 and E[T^2 |z|^4], in units of T^2.
    mean_Tzz : (r, r) array
        E[T z z^T], in units of T.
    radius : float
        Bound on the absolute error of every number above, in units of T for means of T and of T^2 for those of T^2;
        proven where label noise smooths a bounded T of pieces of lines and r <= 2, else estimated as is said at
        `gaussian_integrals.Averages`.
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
        The centring constant c, in units of y.
    label_noise : float
        Standard deviation of the noise, in units of y, at least 0; it counts as one more Gaussian variable.

    Raises
    ------
    ValueError
        Naming the argument, its value and what is allowed.
    """
    check_centre(centre)
    g, f, preprocessing = links.link(link), noisy(link, label_noise), losses.loss(loss)
    smooth = _smoothed(g, preprocessing, exactly(centre), exactly(label_noise))
    if smooth is None:
        averages = gaussian_averages(LineIntegrals(f, preprocessing, float(centre), moments=True), g.r)
    values, errors = (averages.values, averages.errors) if smooth is None else smooth
    line = linear_derivative(preprocessing)
    if line is not None:
        values[2:] = _moments_of_line(g, line, exactly(centre), exactly(label_noise))
        errors[2:] = 4 * EPS * np.abs(values[2:])
    return Moments(
        mean_T=float(values[0] - values[1]),
        mean_T_plus=float(values[0]),
        mean_T_minus=float(values[1]),
        mean_T2=float(values[2]),
        T2_z4=float(values[3]),
        mean_Tzz=symmetric(values[4:], g.r),
        radius=float(max(errors.max(), errors[:2].sum())),
    )


def noise_smooths(link: Link, noise: Fraction) -> bool:
    """Whether label noise makes E[T | z] so smooth that Gauss-Legendre products are faster than lines cut at kinks."""
    # their boxes grow smaller with the noise, and too many in three variables
    return link.r <= 2 and float(noise) >= _LEAST_NOISE * math.sqrt(float(link.variance))


def _smoothed(g: Link, loss: Loss, centre: Fraction, noise: Fraction) -> tuple[Floats, Floats] | None:
    """Values and proven errors of the moments where label noise makes them smooth; None elsewhere."""
    T, parts = smooth_derivative(loss, noise), smooth_parts(loss, noise)
    if T is None or parts is None or not noise_smooths(g, noise):
        return None
    u, one = Polynomial.constant(g.r, centre) - g.polynomial, (0,) * g.r
    second, fourth = weights_of(g.r, g.r)[1 + g.r :], norm_fourth(g.r, g.r).terms
    found = []
    for F, weights in ((parts[0], [one]), (T, [one, *second]), (parts[1], [one, *fourth])):
        target = _SMOOTHED_RADIUS * max(F.K, 1.0)
        weighted = smooth_integrals(u, F, g.r, target, most=_MOST_VALUES, weights=weights)
        if not weighted.radius <= target:
            return None
        found.append(np.array([double_of(ball) for ball in weighted.balls]))
    (plus,), (mean, *seconds), (square, *fourths) = found
    counts = np.array([int(surd[1]) for surd in fourth.values()])
    # E max(-T, 0) is E max(T, 0) - E T, the error of which is that of both
    rows = np.array([plus, [plus[0] - mean[0], plus[1] + mean[1]], square, counts @ np.array(fourths), *seconds])
    return rows[:, 0], rows[:, 1] + 4 * EPS * np.abs(rows[:, 0])


def linear_derivative(loss: Loss) -> tuple[Fraction, Fraction] | None:
    """(a, b) where l'(u) = a + b u for all u, else None."""
    if loss.pieces is None or len(loss.pieces) != 1 or len(loss.pieces[0].coefficients) > 2:
        return None
    a, b = (*loss.pieces[0].coefficients, Fraction(0), Fraction(0))[:2]
    return a, b


def _moments_of_line(g: Link, line: tuple[Fraction, Fraction], centre: Fraction, noise: Fraction) -> Floats:
    """E T^2, E[T^2 |z|^4] and the triangle of E[T z z^T] for T = a + b (centre - y), by Parseval and by Stein."""
    r, (a, b) = g.r, line
    t = Polynomial.constant(r, a + b * centre) - Polynomial.constant(r, b) * g.polynomial
    square = sum((Polynomial.variable(r, k) ** 2 for k in range(r)), Polynomial.constant(r, Fraction(0)))
    variance = float((b * noise) ** 2)
    moments = [_mean_square(t) + variance, _mean_square(t * square) + variance * r * (r + 2)]
    for i, j in zip(*np.triu_indices(r), strict=True):
        mean = t.gaussian_mean() if i == j else {}
        bend = t.derivative(int(i)).derivative(int(j)).gaussian_mean()
        moments.append(surd_to_float(mean) + surd_to_float(bend))
    return np.array(moments)


def _mean_square(p: Polynomial) -> float:
    """E p(z)^2, a sum without cancellation over the Hermite coefficients of p."""
    return sum(
        math.prod(map(math.factorial, index)) * surd_to_float(coefficient) ** 2
        for index, coefficient in p.heat(1).terms.items()
    )


def symmetric(triangle: Floats, r: int) -> Floats:
    """The symmetric (r, r) matrix with this upper triangle, row by row."""
    matrix = np.zeros((r, r))
    matrix[np.triu_indices(r)] = triangle
    return matrix + np.triu(matrix, 1).T


def noisy(link: Link | str, label_noise: float) -> Link:
    """The link, with the label noise as one more variable where there is any; ValueError for a bad noise."""
    check_noise(label_noise)
    g = links.link(link)
    return g.with_noise(label_noise) if label_noise else g
