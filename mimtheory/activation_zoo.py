"""The activations of the zoo as numbers: functions, constants and power series; `activations` makes objects of them."""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mimtheory.losses import logcosh

__all__ = ["CONSTANTS", "EXPRESSIONS", "FUNCTIONS", "OUTSIDE", "SERIES", "SERIES_ORDER", "SUPREMA", "Function"]

Floats = NDArray[np.float64]
Function = Callable[[Floats], Floats]

SERIES_ORDER = 20


def _logistic(u: Floats) -> Floats:
    e = np.exp(-np.abs(u))
    value: Floats = np.where(u >= 0, 1.0, e) / (1 + e)
    return value


def _Phi(u: Floats) -> Floats:
    from scipy.special import ndtr

    value: Floats = ndtr(u)
    return value


def _phi(u: Floats) -> Floats:
    value: Floats = np.exp(-u * u / 2) / math.sqrt(2 * math.pi)
    return value


def _sech2(u: Floats) -> Floats:
    e = np.exp(-2 * np.abs(u))
    value: Floats = 4 * e / (1 + e) ** 2
    return value


def _u_minus_sin(u: Floats) -> Floats:
    v = np.minimum(np.abs(u), 0.5) ** 2
    series = u * v / 6 * (1 - v / 20 * (1 - v / 42 * (1 - v / 72 * (1 - v / 110 * (1 - v / 156 * (1 - v / 210))))))
    value: Floats = np.where(np.abs(u) < 0.5, series, u - np.sin(u))
    return value


def _one_minus_cos(u: Floats) -> Floats:
    value: Floats = 2 * np.sin(u / 2) ** 2
    return value


# sigma, sigma', sigma'' in the order of their codes
FUNCTIONS: dict[str, tuple[Function, Function, Function]] = {
    "quadratic": (lambda u: u * u / 2, lambda u: u + 0.0, lambda u: np.where(np.isnan(u), u, 1.0)),
    "1-cos": (_one_minus_cos, np.sin, np.cos),
    "logcosh": (logcosh, np.tanh, _sech2),
    "sqrt": (
        lambda u: u / (1 + np.hypot(1, u)) * u,
        lambda u: u / np.hypot(1, u),
        lambda u: np.hypot(1, u) ** -3.0,
    ),
    "utanh": (
        lambda u: u * np.tanh(u) / 2,
        lambda u: (np.tanh(u) + u * _sech2(u)) / 2,
        lambda u: _sech2(u) * (1 - u * np.tanh(u)),
    ),
    "asymmetric": (
        lambda u: _one_minus_cos(u) + _u_minus_sin(u),
        lambda u: np.sin(u) + _one_minus_cos(u),
        lambda u: np.cos(u) + np.sin(u),
    ),
    "relu": (
        lambda u: np.maximum(u, 0),
        lambda u: np.where(u > 0, 1.0, np.where(np.isnan(u), u, 0.0)),
        lambda u: np.where(np.isnan(u), u, 0.0),
    ),
    "gelu": (lambda u: u * _Phi(u), lambda u: _Phi(u) + u * _phi(u), lambda u: (2 - u * u) * _phi(u)),
    "silu": (
        lambda u: u * _logistic(u),
        lambda u: _logistic(u) + u * _sech2(u / 2) / 4,
        lambda u: _sech2(u / 2) / 4 * (2 - u * np.tanh(u / 2)),
    ),
    "tanh": (np.tanh, _sech2, lambda u: -2 * np.tanh(u) * _sech2(u)),
    "softplus": (lambda u: np.logaddexp(0, u), _logistic, lambda u: _sech2(u / 2) / 4),
}
EXPRESSIONS = {
    "quadratic": "u**2/2",
    "1-cos": "1 - cos(u)",
    "logcosh": "log(cosh(u))",
    "sqrt": "sqrt(1 + u**2) - 1",
    "utanh": "u*tanh(u)/2",
    "asymmetric": "1 - cos(u) + u - sin(u)",
}
# sigma'''(0), M3, M4, Lip; the suprema are derived in docs/theory/stage_one.md; those outside have no expansion at 0
CONSTANTS: dict[str, tuple[float, float, float, float]] = {
    "quadratic": (0, 0, 0, math.inf),
    "1-cos": (0, 1, 1, 1),
    "logcosh": (0, 4 / (3 * math.sqrt(3)), 2, 1),
    "sqrt": (0, 48 / (25 * math.sqrt(5)), 3, 1),
    "utanh": (0, 1.2327262, 4, 0.5998394),
    "asymmetric": (1, math.sqrt(2), math.sqrt(2), 1 + math.sqrt(2)),
    "relu": (math.nan, math.inf, math.inf, 1),
    "gelu": (math.nan, math.inf, math.inf, 1.1289042),
    "silu": (math.nan, math.inf, math.inf, 1.0998394),
    "tanh": (math.nan, math.inf, math.inf, 1),
    "softplus": (math.nan, math.inf, math.inf, 1),
}
SUPREMA = {"1-cos": 2.0, "tanh": 1.0}  # of |sigma|; all others grow without bound
OUTSIDE = {
    "relu": "not in C^3 (a kink at 0)",
    "gelu": "sigma'(0) = 1/2, not 0",
    "silu": "sigma'(0) = 1/2, not 0",
    "tanh": "sigma'(0) = 1, not 0",
    "softplus": "sigma'(0) = 1/2, not 0",
}
# k -> coefficient of u^k in s(u) - 1, k >= 1
SERIES: dict[str, Callable[[int], float]] = {
    "quadratic": lambda k: 0.0,
    "1-cos": lambda k: _alternating(k) / math.factorial(k + 1) if k % 2 == 0 else 0.0,
    "logcosh": lambda k: _tanh_coefficient(k + 1),
    "sqrt": lambda k: _binomial_half(k // 2) if k % 2 == 0 else 0.0,
    "utanh": lambda k: (k + 2) / 2 * _tanh_coefficient(k + 1),
    "asymmetric": lambda k: (
        _alternating(k) / math.factorial(k + 1) if k % 2 == 0 else _alternating(k - 1) / math.factorial(k + 1)
    ),
}


def _alternating(k: int) -> float:
    return -1.0 if k % 4 else 1.0


def _tanh_coefficient(k: int) -> float:
    """Coefficient of u^k in tanh u, from tanh' = 1 - tanh^2."""
    return _tanh_coefficients(SERIES_ORDER + 2)[k]


@lru_cache(maxsize=1)
def _tanh_coefficients(order: int) -> tuple[float, ...]:
    t = [0.0] * (order + 1)
    for k in range(order):
        t[k + 1] = ((1.0 if k == 0 else 0.0) - sum(t[i] * t[k - i] for i in range(k + 1))) / (k + 1)
    return tuple(t)


def _binomial_half(k: int) -> float:
    """binomial(-1/2, k), the coefficient of u^{2k} in 1/sqrt(1 + u^2)."""
    value = 1.0
    for i in range(k):
        value *= (-0.5 - i) / (i + 1)
    return value
