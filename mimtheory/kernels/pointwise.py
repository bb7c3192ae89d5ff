"""Losses and activations inside compiled loops, chosen by the integer codes of `losses` and `activations`.

A Python callable as an argument would defeat the cache; a switch outside the loop over a block costs nothing. The
activations of the assumptions are free of branches and of calls, so that their loops become vector code. The
definitions are those of the two zoos; tests compare them on the whole line.
"""

import math

import numpy as np
from numpy.typing import NDArray

from mimtheory.kernels.compiling import inlined, kernel, part
from mimtheory.kernels.elementary import (
    SIN_COS_LIMIT,
    bell,
    exponential,
    falling,
    log1p,
    polynomial,
    sin_cos,
    tail_ratio,
    tanh,
    tanh_from,
)

__all__ = ["activate", "defects", "loss_slope", "slope_change"]

Floats = NDArray[np.float64]

_PHI_0 = 1 / math.sqrt(2 * math.pi)
_LOG2 = math.log(2)
# of v^k in (u - sin u)/u^3, v = u^2
_SINE = tuple((-1) ** k / math.factorial(2 * k + 3) for k in range(7))


@inlined
def _sign(u: float) -> float:
    """-1, 0 or 1; not a number stays one."""
    return math.copysign(1.0, u) if abs(u) > 0 else u


@kernel
def loss_slope(code: int, u: float, parameter: float) -> float:
    """l'(t, y) at the error u = t - y for squared, l1, huber, pseudo_huber, logcosh, quantile (codes 0 to 5).

    Not a number where u is infinite: a bounded slope would hide it.
    """
    if not abs(u) < math.inf:
        return u - u
    if code == 0:
        return u
    if code == 1:
        return _sign(u)
    if code == 2:
        return min(max(u, -parameter), parameter)
    if code == 3:
        far = 2.0**60 * parameter  # from there on the slope is the parameter, and u/parameter might overflow
        inside = min(max(u, -far), far)
        return inside / math.hypot(1.0, inside / parameter)
    if code == 4:
        return tanh(u)
    return 0.5 * _sign(u) + 0.5 - parameter


@kernel
def slope_change(code: int, u: float, f: float, parameter: float) -> float:
    """l' at the error u + f less that at u, to a few roundings of itself or of f: slopes near each other would cancel.

    Where codes are not named the slope has two or three values, and a difference of two loses nothing.
    """
    moved = u + f
    if not (abs(u) < math.inf and abs(moved) < math.inf):
        return moved - moved
    if code == 0:
        return f
    if code == 2:
        low, high = -parameter - u, parameter - u
        return min(max(f, low), high) - min(max(0.0, low), high)
    if code == 3 and (u > 0) == (moved > 0) and max(abs(u), abs(moved)) < 2.0**200 * parameter:
        return _change_of_pseudo_huber(u, f, moved, parameter)
    if code == 4:
        return _change_of_tanh(u, f, moved)
    return loss_slope(code, moved, parameter) - loss_slope(code, u, parameter)


@inlined
def _change_of_pseudo_huber(u: float, f: float, moved: float, parameter: float) -> float:
    """With v and w of one sign: w/sqrt(1 + w^2) - v/sqrt(1 + v^2), the numerator made rational."""
    v, w = u / parameter, moved / parameter
    below, above = math.hypot(1.0, v), math.hypot(1.0, w)
    share = w * below + v * above
    return f * ((v + w) / share) / (below * above) if share != 0 else f


@inlined
def _change_of_tanh(u: float, f: float, moved: float) -> float:
    """sinh f/(cosh(u + f) cosh u), of exponentials that do not overflow."""
    e, _ = falling(abs(f))
    power = exponential(abs(f) - abs(u) - abs(moved))
    size = -2 * e * power / ((1 + exponential(-2 * abs(u))) * (1 + exponential(-2 * abs(moved))))
    return math.copysign(size, f)


@inlined
def _u_minus_sin(u: float, sine: float) -> float:
    """u - sin u; the series below 1/2 ends where its terms are below one unit in the last place."""
    v = u * u
    near = u * v * polynomial(v, _SINE)
    return near if abs(u) < 0.5 else u - sine


# (sigma, sigma') of the activations, each without cancellation at u = 0


@inlined
def _one_minus_cos(u: float) -> tuple[float, float]:
    s, c = sin_cos(u / 2)
    return 2 * s * s, 2 * s * c


@inlined
def _asymmetric(u: float) -> tuple[float, float]:
    s, c = sin_cos(u / 2)
    even, sine = 2 * s * s, 2 * s * c
    return even + _u_minus_sin(u, sine), sine + even


@part
def _far_sine(code: int, u: float) -> tuple[float, float]:
    """1-cos and asymmetric where |u| is beyond the range of `sin_cos`."""
    half = math.sin(u / 2)
    even, sine = 2 * half * half, math.sin(u)
    return (even, sine) if code == 1 else (even + u - sine, sine + even)


# log cosh and softplus take two loops, the logarithm in the second: the chain of an exponential and a logarithm is
# longer than what a processor looks ahead


@inlined
def _before_logcosh(u: float) -> tuple[float, float]:
    """v of log(1 + v), and sigma'. log cosh u = log(1 + sinh^2 u)/2 below 0.8, where sinh^2 u = e^2/(4 exp(-2|u|)) is
    below 1; else |u| + log(1 + exp(-2|u|)) - log 2."""
    e, power = falling(abs(u))
    return (e * e / (4 * power) if abs(u) < 0.8 else power), tanh_from(e, u)


@inlined
def _logcosh(u: float, v: float) -> float:
    log = log1p(v)
    return 0.5 * log if abs(u) < 0.8 else abs(u) + log - _LOG2


@inlined
def _sqrt(u: float) -> tuple[float, float]:
    # beyond 2^30 the root is |u| to the last place, and u^2 might overflow
    root = math.sqrt(1 + u * u) if abs(u) < SIN_COS_LIMIT else abs(u)
    return u / (1 + root) * u, (u / root if abs(u) < math.inf else _sign(u))


@inlined
def _tanh(u: float) -> tuple[float, float]:
    """tanh u and 1 - tanh^2 u = 4 p/(1 + p)^2, p = exp(-2|u|), which does not cancel."""
    e, power = falling(abs(u))
    slope = 4 * (0.0 if abs(u) > 350 else power) / ((2 + e) * (2 + e))
    return tanh_from(e, u), slope


@inlined
def _utanh(u: float) -> tuple[float, float]:
    t, slope = _tanh(u)
    return u * t / 2, (t + u * slope) / 2


@inlined
def _gelu(u: float) -> tuple[float, float]:
    power = bell(u)
    tail = power * tail_ratio(abs(u))
    Phi = 1 - tail if u > 0 else tail
    return u * Phi, Phi + u * (power * _PHI_0)


@inlined
def _silu(u: float) -> tuple[float, float]:
    # u may be larger than one over what `exponential` gives beyond
    e = 0.0 if abs(u) > 700 else exponential(-abs(u))
    logistic = (1.0 if u >= 0 else e) / (1 + e)
    return u * logistic, logistic + u * e / ((1 + e) * (1 + e))


@inlined
def _before_softplus(u: float) -> tuple[float, float]:
    """v of log(1 + v), and sigma'."""
    e = 0.0 if abs(u) > 700 else exponential(-abs(u))
    return e, (1.0 if u >= 0 else e) / (1 + e)


@kernel
def activate(code: int, k: int, u: Floats, value: Floats, slope: Floats) -> None:
    """(sigma, sigma') at the first k entries of u; codes 0 to 10: quadratic, 1-cos, logcosh, sqrt, utanh, asymmetric,
    relu, gelu, silu, tanh, softplus. The three arrays are different ones."""
    if code == 0:
        for i in range(k):
            value[i], slope[i] = u[i] * u[i] / 2, u[i]
    elif code == 1 or code == 5:
        _activate_sine(code, k, u, value, slope)
    elif code == 2:
        for i in range(k):
            value[i], slope[i] = _before_logcosh(u[i])
        for i in range(k):
            value[i] = _logcosh(u[i], value[i])
    elif code == 3:
        for i in range(k):
            value[i], slope[i] = _sqrt(u[i])
    elif code == 4:
        for i in range(k):
            value[i], slope[i] = _utanh(u[i])
    elif code == 6:
        for i in range(k):
            value[i], slope[i] = max(u[i], 0.0), 1.0 if u[i] > 0 else 0.0 if u[i] <= 0 else u[i]
    elif code == 7:
        for i in range(k):
            value[i], slope[i] = _gelu(u[i])
    elif code == 8:
        for i in range(k):
            value[i], slope[i] = _silu(u[i])
    elif code == 9:
        for i in range(k):
            value[i], slope[i] = _tanh(u[i])
    else:
        for i in range(k):
            value[i], slope[i] = _before_softplus(u[i])
        for i in range(k):
            value[i] = max(u[i], 0.0) + log1p(value[i])


@kernel
def defects(k: int, u: Floats, slope: Floats, series: Floats, near: float, out: Floats) -> None:
    """s(u) - 1 with s(u) = sigma'(u)/u at the first k entries of u.

    Up to `near` its power series, the coefficient of u^0 first, because the quotient would cancel there. One
    coefficient at a time for all entries: a loop within a loop would not become vector code.
    """
    top = series.shape[0] - 1
    for i in range(k):
        out[i] = series[top]
    for j in range(top - 1, -1, -1):
        coefficient = series[j]
        for i in range(k):
            out[i] = out[i] * u[i] + coefficient
    for i in range(k):
        out[i] = out[i] if abs(u[i]) <= near else slope[i] / u[i] - 1


@part
def _activate_sine(code: int, k: int, u: Floats, value: Floats, slope: Floats) -> None:
    far = 0
    if code == 1:
        for i in range(k):
            value[i], slope[i] = _one_minus_cos(u[i])
            far += SIN_COS_LIMIT < abs(u[i]) < math.inf
    else:
        for i in range(k):
            value[i], slope[i] = _asymmetric(u[i])
            far += SIN_COS_LIMIT < abs(u[i]) < math.inf
    if far:
        for i in range(k):
            if SIN_COS_LIMIT < abs(u[i]) < math.inf:
                value[i], slope[i] = _far_sine(code, u[i])
