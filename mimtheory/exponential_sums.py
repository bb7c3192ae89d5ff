"""sum_n w_n Z_n^k for k = 0 ... M and |Z_n| = 1, in doubles with a proven error, and the Gauss-Legendre panels whose
sums are int z^a phi(z) e^(i k step p(z)) dz. Proof: docs/theory/additive.md.
"""

import math
import time
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from flint import acb, arb, arb_poly
from numpy.typing import NDArray

from mimtheory.balls import double_of, precision
from mimtheory.dyadic_cells import CellPolynomial
from mimtheory.polynomials import Polynomial
from mimtheory.rounding import UNIT, gamma_above

__all__ = ["Expired", "Sums", "count_nodes", "exponential_sums", "gaussian_sums"]

Floats = NDArray[np.float64]

_POINTS = 32
_BITS = 128
_RHO = 4.0  # the ellipse on which integrands are bounded
_EXPONENT = 53.0  # of the growth there that a panel may have
_MOST_NODES = 1024
_MOST_BLOCKS = 256  # at once, which bounds the memory
_ROUNDED = 1 + 2.0**-30


@dataclass(frozen=True)
class Sums:
    """values (q, M + 1), complex, each within errors (q, M + 1)."""

    values: NDArray[np.complex128]
    errors: Floats


class Expired(Exception):
    """The deadline passed."""


def exponential_sums(points: list[acb], weights: list[list[arb]], most: int, deadline: float = math.inf) -> Sums:
    """sum_n weights[.][n] points[n]^k for k = 0 ... most; raises Expired at the deadline.

    Parameters
    ----------
    points : list of acb
        Of modulus 1.
    weights : list of lists of arb
    """
    w = np.array([[double_of(x) for x in row] for row in weights]).reshape(len(weights), len(points), 2)
    z = np.array([complex(float(x.real), float(x.imag)) for x in points])
    off = max((float(x.real.rad()) + float(x.imag.rad()) for x in points), default=0.0) + 2 * UNIT
    block = 1 << max(3, round(math.log2(most + 2) / 2))
    blocks = most // block + 1
    total = np.zeros((len(w), blocks, block), dtype=np.complex128)
    for start in range(0, len(z), _MOST_NODES):
        part = slice(start, start + _MOST_NODES)
        small = np.empty((len(z[part]), block), dtype=np.complex128)
        small[:, 0] = 1
        for s in range(1, block):
            small[:, s] = small[:, s - 1] * z[part]
        step = small[:, -1] * z[part]
        giants = np.empty((blocks, len(step)), dtype=np.complex128)
        giants[0] = 1
        for q in range(1, blocks):
            giants[q] = giants[q - 1] * step
        for first in range(0, blocks, _MOST_BLOCKS):
            if time.monotonic() > deadline:
                raise Expired
            rows = slice(first, first + _MOST_BLOCKS)
            left = (w[:, None, part, 0] * giants[rows]).reshape(-1, len(step))
            # real products, whose rounding is known for any order of summation
            total[:, rows].real += (left.real @ small.real - left.imag @ small.imag).reshape(len(w), -1, block)
            total[:, rows].imag += (left.real @ small.imag + left.imag @ small.real).reshape(len(w), -1, block)
    values = total.reshape(len(w), -1)[:, : most + 1]
    size = np.abs(w[:, :, 0]).sum(axis=1)[:, None]
    # a product of complex doubles is off by at most 3 UNIT of it; point^k is made of at most 2k + 2 of them
    power = (off + 3 * UNIT) * (2 * np.arange(most + 1) + 4)
    assert power[-1] < 1e-3
    rounding = power * 1.001 + 2 * gamma_above(len(z) + len(z) // _MOST_NODES + 8)
    return Sums(values, (size * rounding + w[:, :, 1].sum(axis=1)[:, None]) * _ROUNDED)


def gaussian_sums(
    p: Polynomial, coefficients: arb_poly, lower: float, upper: float, step: arb, most: int, deadline: float = math.inf
) -> Sums:
    """int z^a phi(z) e^(i k step p(z)) dz over [lower, upper] for a = 0, 1, 2 and k = 0 ... most.

    Parameters
    ----------
    p : Polynomial
        Of one variable.
    coefficients : arb_poly
        The same polynomial in balls.
    lower, upper : float
        Multiples of 1/64 within [-8, 8]; of an even p an interval about 0.
    step : arb
        Positive.
    """
    even = _halved(p, lower, upper)
    left, width = _panels(p, 0.0 if even else lower, upper, _frequency(step, most))
    points: list[acb] = []
    weights: list[list[arb]] = [[], [], []]
    root = (2 * arb.pi()).sqrt()
    for a, h in zip(left.tolist(), (width / 2).tolist(), strict=True):
        for node, weight in _rule():
            x = arb(a) + arb(h) * (1 + node)
            mass = weight * h * (-x * x / 2).exp() / root
            if even:
                mass *= 2
            points.append((acb(0, 1) * step * coefficients(x)).exp())
            weights[0].append(mass)
            weights[1].append(arb(0) if even else mass * x)
            weights[2].append(mass * x * x)
    sums = exponential_sums(points, weights, most, deadline)
    # 8 M rho^(1 - 2N)/(rho - 1) for the side [-1, 1] and M <= e^53 sup|z^a phi| on the ellipse, which is below 1.1
    missed = 8 * arb(_RHO) ** (1 - 2 * _POINTS) / 3 * arb(_EXPONENT).exp() * arb(1.1)
    error = float(missed.upper()) * float(np.sum(width / 2)) * (2 if even else 1) * _ROUNDED
    return Sums(sums.values, sums.errors + error)


def count_nodes(p: Polynomial, lower: float, upper: float, frequency: float) -> int:
    """Number of values that `gaussian_sums` will need up to k step = frequency."""
    even = _halved(p, lower, upper)
    return _POINTS * len(_panels(p, 0.0 if even else lower, upper, frequency)[0])


def _halved(p: Polynomial, lower: float, upper: float) -> bool:
    return lower == -upper and all(index[0] % 2 == 0 for index in p.terms)


def _frequency(step: arb, most: int) -> float:
    return math.nextafter(float((step * most).upper()), math.inf)


@lru_cache
def _rule() -> list[tuple[arb, arb]]:
    """Nodes and weights of Gauss and Legendre on [-1, 1]."""
    with precision(_BITS):
        return [arb.legendre_p_root(_POINTS, k, weight=True) for k in range(_POINTS)]


def _panels(p: Polynomial, lower: float, upper: float, frequency: float) -> tuple[Floats, Floats]:
    """Left ends and widths of panels on whose ellipses frequency |Im p| <= 53."""
    if not p.terms:
        p = Polynomial.variable(1, 0)
    cells = CellPolynomial(p)
    long, short = (_RHO + 1 / _RHO) / 2, (_RHO - 1 / _RHO) / 2
    left = _coarse(lower, upper)
    width = np.append(left[1:], upper) - left
    done: list[tuple[Floats, Floats]] = []
    while len(left):
        half = width / 2
        taylor, rounding = cells.taylor((left + half)[:, None], half[:, None])
        imaginary = rounding * (1 + 2 * long) ** cells.degrees[0]
        for (k,), value in taylor.items():
            if k:
                imaginary = imaginary + np.abs(value) * (k * short * long ** (k - 1))
        wide = imaginary * _ROUNDED * frequency > _EXPONENT
        done.append((left[~wide], width[~wide]))
        left, width = np.concatenate([left[wide], (left + half)[wide]]), np.concatenate([half[wide], half[wide]])
    return np.concatenate([x for x, _ in done]), np.concatenate([x for _, x in done])


def _coarse(lower: float, upper: float) -> Floats:
    """Left ends of panels no longer than 1."""
    return np.array([lower, *np.arange(math.floor(lower) + 1.0, upper, 1.0)])
