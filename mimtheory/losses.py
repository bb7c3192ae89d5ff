"""The zoo of losses l(t, y), convex in the prediction t; T_y = l'(c, y) preprocesses the labels.

Every loss here is a function of the error u = t - y, so one derivative in u describes it.
"""

import difflib
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mimtheory.expressions import canonical_text, read_expression, supremum

if TYPE_CHECKING:
    import sympy

    from mimtheory.formula_pieces import FormulaPiece

__all__ = ["LOSS_NAMES", "Loss", "Piece", "logcosh", "loss"]

Floats = NDArray[np.float64]
Function = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Piece:
    """l'(u) = sum_k coefficients[k] u**k for lower < u < upper; None stands for an infinite end."""

    lower: Fraction | None
    upper: Fraction | None
    coefficients: tuple[Fraction, ...]


@dataclass(frozen=True)
class Loss:
    """A convex loss l(t, y) of the error u = t - y.

    Attributes
    ----------
    name, parameter
        Its entry in the zoo and the exact parameter (None where there is none).
    K_plus, K_minus : float
        Suprema of max(l', 0) and max(-l', 0), in units of T; infinite where l' is unbounded.
    L2 : float
        Lipschitz constant of l', in units of T/y (infinite for l1 and quantile).
    kinks : tuple of Fraction
        Values of u at which l' is not smooth.
    pieces : tuple of Piece or None
        l' as a piecewise polynomial of u, in order; None where it is not one.
    constants : {"exact", "certified", "numerical"}
        Whether K and L2 are known, proven upper bounds (see `suprema`), or were searched for on a grid and proved by
        nothing.
    """

    name: str
    parameter: Fraction | None
    K_plus: float
    K_minus: float
    L2: float
    kinks: tuple[Fraction, ...]
    pieces: tuple[Piece, ...] | None
    _functions: tuple[Function, ...] = field(default=(), repr=False, compare=False)
    constants: str = "exact"

    @property
    def text(self) -> str:
        """The text from which `loss` makes this loss again; the formula itself for a user-defined one."""
        return self.name if self.parameter is None else f"{self.name}({_number(self.parameter)})"

    @property
    def code(self) -> int:
        """Number of the loss in compiled code; -1 for a user-defined one."""
        return LOSS_NAMES.index(self.name) if self.name in _SHAPES else -1

    @property
    def odd(self) -> bool:
        """Whether l' is known to be an odd function of the error."""
        if self.code < 0:
            return _odd(self.text)
        return self.name in ("squared", "l1", "huber", "pseudo_huber", "logcosh") or self.text == "quantile(0.5)"

    @property
    def K(self) -> float:
        """Supremum of the absolute value of l', in units of T."""
        return max(self.K_plus, self.K_minus)

    def dl(self, t: ArrayLike, y: ArrayLike) -> Floats:
        """Derivative l'(t, y) in the prediction t; at a jump of l' the value is the middle one.

        Parameters
        ----------
        t, y : arrays of any shape
            Predictions and labels, in units of y; they broadcast.

        Returns
        -------
        array of their common shape
            In units of T.
        """
        if self._functions:
            return self._functions[1](_error(t, y))
        return _SHAPES[self.name][1](_error(t, y), self._scale)

    def value(self, t: ArrayLike, y: ArrayLike) -> Floats:
        """The loss l(t, y) itself.

        Parameters
        ----------
        t, y : arrays of any shape
            Predictions and labels, in units of y; they broadcast.

        Returns
        -------
        array of their common shape
            In units of T*y.
        """
        if self._functions:
            return self._functions[0](_error(t, y))
        return _SHAPES[self.name][0](_error(t, y), self._scale)

    @classmethod
    def from_sympy(cls, expression: "sympy.Expr | str") -> "Loss":
        """A convex loss from an expression of one variable, the error u = t - y.

        It may have kinks at rational u: Abs, sign, Max, Min, Piecewise. K and L2 are exact where l' is piecewise linear
        with rational coefficients, certified where the formula is proved analytic between its kinks, else searched for.

        Raises
        ------
        ValueError
            If it has more or less than one variable, is not finite on the line, has a kink that is not located at a
            rational u, or is not convex.
        """
        return _from_text(canonical_text(expression, "loss"))

    @property
    def _scale(self) -> float:
        return math.nan if self.parameter is None else float(self.parameter)

    def __reduce__(self) -> "tuple[Callable[[str], Loss], tuple[str]]":
        return loss, (self.text,)  # its functions cannot be pickled

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"loss({self.text!r})"


def _error(t: ArrayLike, y: ArrayLike) -> Floats:
    return np.asarray(t, dtype=np.float64) - np.asarray(y, dtype=np.float64)


def _huber_value(u: Floats, delta: float) -> Floats:
    size = np.abs(u)
    value: Floats = np.where(size <= delta, u * u / 2, delta * (size - delta / 2))
    return value


def logcosh(u: Floats) -> Floats:
    """log cosh u without overflow at large and without cancellation at small |u|."""
    size = np.abs(u)
    near = -0.5 * np.log1p(-(np.tanh(np.minimum(size, 1.0)) ** 2))
    value: Floats = np.where(size < 1, near, size + np.log1p(np.exp(-2 * size)) - math.log(2))
    return value


def _pseudo_huber_value(u: Floats, delta: float) -> Floats:
    # delta^2 (sqrt(1 + v^2) - 1) with v = u/delta, without cancellation at small v; then a line of slope delta
    near = _within_far(u, delta)
    v = near / delta
    value: Floats = delta * near * (v / (1 + np.hypot(1, v))) + delta * (np.abs(u) - np.abs(near))
    return value


def _pseudo_huber_derivative(u: Floats, delta: float) -> Floats:
    near = _within_far(u, delta)
    slope: Floats = near / np.hypot(1, near / delta)
    return slope


def _within_far(u: Floats, delta: float) -> Floats:
    """u up to where the slope of pseudo_huber is delta to the last place, and u/delta might overflow."""
    near: Floats = np.clip(u, -(2.0**60) * delta, 2.0**60 * delta)
    return near


def _quantile_derivative(u: Floats, tau: float) -> Floats:
    slope: Floats = np.where(u > 0, 1 - tau, np.where(u < 0, -tau, np.where(u == 0, 0.5 - tau, u)))
    return slope


# name -> (loss, derivative), both of (u, parameter)
_SHAPES: dict[str, tuple[Callable[[Floats, float], Floats], Callable[[Floats, float], Floats]]] = {
    "squared": (lambda u, _: u * u / 2, lambda u, _: u),
    "l1": (lambda u, _: np.abs(u), lambda u, _: np.sign(u)),
    "huber": (_huber_value, lambda u, delta: np.clip(u, -delta, delta)),
    "pseudo_huber": (_pseudo_huber_value, _pseudo_huber_derivative),
    "logcosh": (lambda u, _: logcosh(u), lambda u, _: np.tanh(u)),
    "quantile": (lambda u, tau: np.where(u > 0, (1 - tau) * u, -tau * u), _quantile_derivative),
}
LOSS_NAMES = tuple(_SHAPES)
_ALLOWED = f"allowed: {', '.join(LOSS_NAMES)}, or a convex formula in u"
_PARAMETER = {"huber": "delta", "pseudo_huber": "delta", "quantile": "tau"}


def loss(name: "str | Loss", **parameter: "float | int | str | Fraction") -> Loss:
    """Look a loss up by name and parameter, or by text such as ``"huber(1)"``.

    Parameters
    ----------
    name : str or Loss
        One of squared, l1, huber, pseudo_huber, logcosh, quantile, with or without its parameter in
        parentheses, or a convex formula in the error u; a Loss is returned as it is.
    **parameter
        ``delta`` > 0, in units of y, for huber (default 1) and pseudo_huber (default 1); 0 < ``tau`` < 1 for quantile
        (default 1/2). A float is read by its shortest decimal text, so 0.1 means exactly 1/10.

    Raises
    ------
    ValueError
        For an unknown name (the closest valid one is named), a parameter outside its range, or a formula that is not
        convex.
    """
    if isinstance(name, Loss) or hasattr(name, "free_symbols"):
        _refuse_keywords(str(name), parameter)
        return name if isinstance(name, Loss) else Loss.from_sympy(name)
    if not isinstance(name, str):
        raise ValueError(f"loss = {name!r}: a text such as 'huber(1)' is needed, not {type(name).__name__}")
    return _named(name, parameter) if parameter else _written(name)


@lru_cache(maxsize=64)
def _written(text: str) -> Loss:
    """The loss of a text that says all: it is read once, as small calls of the kernels would feel it."""
    return _named(text, {})


def _refuse_keywords(text: str, parameter: "dict[str, float | int | str | Fraction]") -> None:
    for key, value in parameter.items():
        raise ValueError(f"{key} = {value!r} beside loss = {text[:60]!r}; allowed: beside a name without its parameter")


def _named(name: str, parameter: "dict[str, float | int | str | Fraction]") -> Loss:
    if re.search(r"\bu\b", name):
        _refuse_keywords(name, parameter)
        return Loss.from_sympy(name)
    match = re.fullmatch(r"\s*([A-Za-z]\w*)\s*(?:\(\s*(?:(\w+)\s*=)?([^()=]*)\))?\s*", name)
    if match is None:
        raise ValueError(f"loss = {name[:60]!r}: write a name with its parameter, such as 'huber(1)'; {_ALLOWED}")
    base, keyword, inside = match.group(1), match.group(2), match.group(3)
    if base not in _SHAPES:
        near = difflib.get_close_matches(base, LOSS_NAMES, n=1, cutoff=0.0)
        raise ValueError(f"loss = {base!r} is unknown; did you mean {near[0]!r}? {_ALLOWED}")
    given = dict(parameter)
    if inside is not None and inside.strip():
        _refuse_keywords(name, parameter)
        given[keyword or _PARAMETER.get(base, "parameter")] = inside.strip()
    return _build(base, _checked_parameter(base, given))


def _checked_parameter(base: str, given: "dict[str, float | int | str | Fraction]") -> Fraction | None:
    allowed = _PARAMETER.get(base)
    for key in given:
        if key != allowed:
            takes = f"takes {allowed}" if allowed else "takes no parameter"
            raise ValueError(f"loss {base!r} got {key} = {given[key]!r}, but it {takes}")
    if allowed is None:
        return None
    raw = given.get(allowed, Fraction(1, 2) if allowed == "tau" else 1)
    interval = "0 < tau < 1" if allowed == "tau" else "a number > 0 (1e-100 to 1e100)"
    try:
        # the double comes first: Fraction("1e999999999") would try to write that integer down
        size = float(raw) if not (isinstance(raw, str) and "/" in raw) else 1.0
        value = Fraction(str(raw)) if 0 < size < math.inf else Fraction(-1)
    except (ValueError, ZeroDivisionError, TypeError):
        raise ValueError(f"{allowed} = {raw!r} of loss {base!r} is not a number; allowed: {interval}") from None
    within = value < 1 if allowed == "tau" else value <= 10**100
    if not within or value < Fraction(1, 10**100):
        raise ValueError(f"{allowed} = {raw} of loss {base!r} is out of range; allowed: {interval}")
    return value


def _build(base: str, parameter: Fraction | None) -> Loss:
    zero, one = Fraction(0), Fraction(1)
    if base == "squared":
        return Loss(base, None, math.inf, math.inf, 1.0, (), (Piece(None, None, (zero, one)),))
    if base == "l1":
        jump = (Piece(None, zero, (-one,)), Piece(zero, None, (one,)))
        return Loss(base, None, 1.0, 1.0, math.inf, (zero,), jump)
    if base == "logcosh":
        return Loss(base, None, 1.0, 1.0, 1.0, (), None)
    assert parameter is not None
    size = float(parameter)
    if base == "huber":
        clipped = (
            Piece(None, -parameter, (-parameter,)),
            Piece(-parameter, parameter, (zero, one)),
            Piece(parameter, None, (parameter,)),
        )
        return Loss(base, parameter, size, size, 1.0, (-parameter, parameter), clipped)
    if base == "pseudo_huber":
        return Loss(base, parameter, size, size, 1.0, (), None)
    jump = (Piece(None, zero, (-parameter,)), Piece(zero, None, (one - parameter,)))
    return Loss(base, parameter, 1 - size, size, math.inf, (zero,), jump)


def _number(value: Fraction) -> str:
    """Shortest exact text: a decimal where there is one, else a fraction."""
    if value.denominator == 1:
        return str(value.numerator)
    decimal = repr(float(value))
    return decimal if Fraction(decimal) == value else str(value)


@lru_cache(maxsize=64)
def _from_text(text: str) -> Loss:
    from mimtheory.formula_constants import by_pieces, kinks_of, negative_at, polynomial_pieces
    from mimtheory.formula_pieces import pieces_of_formula

    try:
        parts = pieces_of_formula(read_expression(text, "u"))
        gaps = [k for k, sign in kinks_of(parts, 0) if sign]
        turns = kinks_of(parts, 1)
    except ValueError as wrong:
        raise ValueError(f"loss = {text!r}: {wrong}") from None
    value, slope, curvature = (by_pieces(parts, k, "loss", text) for k in range(3))
    exactly = polynomial_pieces(parts)
    # of polynomials it is known where they are negative
    falls = [_seen_to_fall(parts, curvature)] if exactly is None else [negative_at(part, 2) for part in parts]
    bad = [*gaps, *(k for k, sign in turns if sign < 0), *(u for u in falls if u is not None)]
    if bad:
        raise ValueError(f"loss = {text!r} is not convex at u = {float(bad[0]):g}; allowed: l''(u) >= 0")
    pieces = (
        None
        if exactly is None
        else tuple(Piece(part.start, part.stop, known) for part, known in zip(parts, exactly, strict=True))
    )
    (K_plus, K_minus, L2), constants = _constants_of(parts, pieces, slope, curvature)
    if any(sign for _, sign in turns):
        L2 = math.inf
    kinks = tuple(k for k, _ in turns)
    return Loss(text, None, K_plus, K_minus, L2, kinks, pieces, (value, slope), constants)


def _seen_to_fall(parts: "Sequence[FormulaPiece]", curvature: Function) -> Fraction | float | None:
    """A point at which l'' is negative, on a grid or found by search, proved by balls."""
    from mimtheory.formula_constants import proved_negative_at, seen_negative

    seen = seen_negative(parts, 2, curvature)
    return proved_negative_at(parts, 2) if seen is None else seen


def _constants_of(
    parts: "Sequence[FormulaPiece]", pieces: tuple[Piece, ...] | None, slope: Function, curvature: Function
) -> tuple[tuple[float, float, float], str]:
    """K_plus, K_minus and L2 without the jumps of l', and whether they are exact, certified or numerical."""
    from mimtheory.formula_constants import double_from, suprema_of_derivatives

    if pieces is not None and all(len(piece.coefficients) <= 2 for piece in pieces):
        # l' is monotone: its ends are those of its first and last piece
        first, last = ((*piece.coefficients, Fraction(0))[:2] for piece in (pieces[0], pieces[-1]))
        K_plus = math.inf if last[1] else max(0.0, double_from(last[0]))
        K_minus = math.inf if first[1] else max(0.0, double_from(-first[0]))
        return (K_plus, K_minus, double_from(max((*p.coefficients, Fraction(0))[1] for p in pieces))), "exact"
    proved = suprema_of_derivatives(parts, [(1, 1), (1, -1), (2, 0)])
    if proved is None:
        return _searched(slope, curvature, [part.stop for part in parts if part.stop is not None]), "numerical"
    K_plus, K_minus, L2 = (found.upper for found in proved)
    return (K_plus, K_minus, L2), "certified"


@lru_cache(maxsize=64)
def _odd(text: str) -> bool:
    """Whether the derivative of a formula is proved to be odd."""
    from mimtheory.formula_constants import mirrored
    from mimtheory.formula_pieces import pieces_of_formula

    return mirrored(pieces_of_formula(read_expression(text, "u")), 1, -1)


def _searched(slope: Function, curvature: Function, kinks: Sequence[Fraction]) -> tuple[float, float, float]:
    """K_plus, K_minus and L2 by search, where no proof was found."""
    unbounded = math.isinf(supremum(slope))
    K_plus, K_minus = (math.inf if unbounded else _farthest(slope, sign) for sign in (1, -1))
    return K_plus, K_minus, supremum(curvature, kinks)


def _farthest(slope: Function, sign: int) -> float:
    """sup max(sign l', 0) of a convex loss, which is approached far out: the largest finite value up to |u| = 10^4,
    raised by 1e-6."""
    values = np.nan_to_num(sign * slope(sign * np.geomspace(1, 1e4, 400)), nan=0.0)
    return float(max(0.0, values.max())) * (1 + 1e-6)
