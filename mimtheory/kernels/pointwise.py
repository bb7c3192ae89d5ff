"""Losses and activations inside compiled loops, chosen by the integer codes of `losses` and `activations`.

A switch on a code costs nothing measurable there, while a Python callable as an argument would defeat the cache.
The definitions are those of the two zoos; tests compare them on the whole line.
"""

import math

from numba import njit

__all__ = ["activation_and_slope", "loss_slope"]

_SQRT2 = math.sqrt(2)
_SQRT_2PI = math.sqrt(2 * math.pi)


@njit(cache=True, error_model="numpy")
def _sign(u: float) -> float:
    """-1, 0 or 1; not a number stays one."""
    return math.copysign(1.0, u) if abs(u) > 0 else u


@njit(cache=True, error_model="numpy")
def loss_slope(code: int, u: float, parameter: float) -> float:
    """l'(t, y) at the error u = t - y for squared, l1, huber, pseudo_huber, logcosh, quantile (codes 0 to 5)."""
    if code == 0:
        return u
    if code == 1:
        return _sign(u)
    if code == 2:
        return min(max(u, -parameter), parameter)
    if code == 3:
        return u / math.hypot(1.0, u / parameter)
    if code == 4:
        return math.tanh(u)
    return 0.5 * _sign(u) + 0.5 - parameter


@njit(cache=True, error_model="numpy")
def _u_minus_sin(u: float) -> float:
    """u - sin u; the series below 1/2 ends where its terms are below one unit in the last place."""
    if abs(u) >= 0.5:
        return u - math.sin(u)
    v = u * u
    return u * v / 6 * (1 - v / 20 * (1 - v / 42 * (1 - v / 72 * (1 - v / 110 * (1 - v / 156)))))


@njit(cache=True, error_model="numpy")
def _even_activation(code: int, u: float) -> tuple[float, float]:
    """quadratic, 1-cos, logcosh, sqrt, utanh (codes 0 to 4), each without cancellation at u = 0."""
    if code == 0:
        return u * u / 2, u
    if code == 1:
        half = math.sin(u / 2)
        return 2 * half * half, math.sin(u)
    if code == 3:
        root = math.hypot(1.0, u)
        return u / (1 + root) * u, u / root
    t = math.tanh(u)
    if code == 2:
        size = abs(u)
        value = -0.5 * math.log1p(-t * t) if size < 1 else size + math.log1p(math.exp(-2 * size)) - math.log(2)
        return value, t
    return u * t / 2, (t + u * (1 - t * t)) / 2


@njit(cache=True, error_model="numpy")
def activation_and_slope(code: int, u: float) -> tuple[float, float]:
    """(sigma(u), sigma'(u)); codes 5 to 10: asymmetric, relu, gelu, silu, tanh, softplus."""
    if code <= 4:
        return _even_activation(code, u)
    if code == 5:
        half = math.sin(u / 2)
        return 2 * half * half + _u_minus_sin(u), math.sin(u) + 2 * half * half
    if code == 6:
        return max(u, 0.0), 1.0 if u > 0 else 0.0
    if code == 7:
        Phi = math.erfc(-u / _SQRT2) / 2
        return u * Phi, Phi + u * math.exp(-u * u / 2) / _SQRT_2PI
    if code == 9:
        t = math.tanh(u)
        return t, 1 - t * t
    e = math.exp(-abs(u))
    logistic = (1.0 if u >= 0 else e) / (1 + e)
    if code == 8:
        return u * logistic, logistic + u * e / ((1 + e) * (1 + e))
    return max(u, 0.0) + math.log1p(e), logistic
