"""The zoo of activations sigma, and any other from a SymPy expression.

Near u = 0, where the neurons of stage one live, nothing may cancel: s(u) - 1 with s(u) = sigma'(u)/u comes from its
power series there.
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

from mimtheory.activation_zoo import (
    CONSTANTS,
    EXPRESSIONS,
    FUNCTIONS,
    OUTSIDE,
    SERIES,
    SERIES_ORDER,
    SUPREMA,
    Function,
)
from mimtheory.expressions import canonical_text, read_expression, supremum

if TYPE_CHECKING:
    import sympy

    from mimtheory.formula_pieces import FormulaPiece

__all__ = ["ACTIVATION_NAMES", "Activation", "activation"]

Floats = NDArray[np.float64]
ACTIVATION_NAMES = tuple(FUNCTIONS)

# Below 0.2 s(u) - 1 is its power series to order 20 (0.2^20 = 1e-14), beyond at most two digits cancel.
_SERIES_UP_TO = 0.2
_SERIES_BITS = 1000
_LEAST_RADIUS = 1e-15
_REACH_PARTS = 16
_REACH_ROUNDINGS = 100 * 2.0**-53


@dataclass(frozen=True)
class Activation:
    """An activation with the constants that the lemmas need.

    Attributes
    ----------
    text : str
        From which `activation` makes it again.
    code : int
        Its number in compiled code; -1 for one that is user-defined.
    even, polynomial : bool
    d3_0 : float
        sigma'''(0), in units of 1/w.
    M3 : float
        Supremum of |sigma'''|, in units of 1/w; infinite where there is none, as where sigma'' jumps, and for those of
        the zoo outside assumption_activation, where no lemma uses it.
    M4 : float
        The same of |sigma''''|, in units of 1/w^2.
    Lip : float
        The same of |sigma'|, in units of w.
    reason : str or None
        Why assumption_activation fails; None where it holds.
    supremum : float
        The same of |sigma|, in units of w^2; infinite also where none is proved.
    constants : {"exact", "certified", "numerical"}
        Whether M3, M4 and Lip are known, proven upper bounds (see `suprema`), or were searched for on a grid and proved
        by nothing.
    """

    text: str
    code: int
    even: bool
    polynomial: bool
    d3_0: float
    M3: float
    M4: float
    Lip: float
    supremum: float = math.inf
    reason: str | None = None
    constants: str = "exact"
    _functions: tuple[Function, ...] = field(default=(), repr=False, compare=False)
    _series: tuple[float, ...] = field(default=(), repr=False, compare=False)
    _near: float = field(default=_SERIES_UP_TO, repr=False, compare=False)

    def sigma(self, u: ArrayLike) -> Floats:
        """sigma(u).

        Parameters
        ----------
        u : array of any shape
            w.x + b, in units of w.

        Returns
        -------
        array of the same shape
            In units of w^2, since sigma''(0) = 1.
        """
        return self._functions[0](np.asarray(u, dtype=np.float64))

    def d1(self, u: ArrayLike) -> Floats:
        """sigma'(u).

        Parameters
        ----------
        u : array of any shape
            w.x + b, in units of w.

        Returns
        -------
        array of the same shape
            In units of w.
        """
        return self._functions[1](np.asarray(u, dtype=np.float64))

    def d2(self, u: ArrayLike) -> Floats:
        """sigma''(u).

        Parameters
        ----------
        u : array of any shape
            w.x + b, in units of w.

        Returns
        -------
        array of the same shape
            Dimensionless.
        """
        return self._functions[2](np.asarray(u, dtype=np.float64))

    def s(self, u: ArrayLike) -> Floats:
        """sigma'(u)/u, 1 at 0; not a number where assumption_activation fails.

        Parameters
        ----------
        u : array of any shape
            w.x + b, in units of w.

        Returns
        -------
        array of the same shape
            Dimensionless.
        """
        return 1 + self.s_minus_1(u)

    def s_minus_1(self, u: ArrayLike) -> Floats:
        """s(u) - 1 to a relative error of a few hundred roundings for every u.

        Parameters
        ----------
        u : array of any shape
            w.x + b, in units of w.

        Returns
        -------
        array of the same shape
            Dimensionless.
        """
        u = np.asarray(u, dtype=np.float64)
        if self.reason is not None:
            return np.full(u.shape, np.nan)
        near = np.polynomial.polynomial.polyval(np.where(np.abs(u) < self._near, u, 0.0), self._series or (0.0,))
        with np.errstate(divide="ignore", invalid="ignore"):
            far = self.d1(u) / u - 1
        result: Floats = np.where(np.abs(u) < self._near, near, far)
        return result

    def kappa(self, u: ArrayLike) -> Floats:
        """Bound on |s(v) - 1| for |v| <= |u|: min(M3 |u|/2, |sigma'''(0)||u|/2 + M4 u^2/6), by Taylor's formula.

        Parameters
        ----------
        u : array of any shape
            w.x + b, in units of w.

        Returns
        -------
        array of the same shape
            Dimensionless.

        Source: docs/theory/stage_one.md, The step is H + Q.
        """
        size = np.abs(np.asarray(u, dtype=np.float64))
        by_third = _times(self.M3 / 2, size)
        bound: Floats = np.minimum(by_third, abs(self.d3_0) * size / 2 + _times(self.M4 / 6, size * size))
        return bound

    def __reduce__(self) -> "tuple[Callable[[str], Activation], tuple[str]]":
        return activation, (self.text,)  # its functions cannot be pickled

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"activation({self.text!r})"

    @classmethod
    def from_sympy(cls, expression: "sympy.Expr | str") -> "Activation":
        """An activation from an expression of one variable.

        M3, M4 and Lip are certified where the formula is proved analytic, between kinks if it has any.

        Parameters
        ----------
        expression : SymPy expression, or text in u

        Raises
        ------
        ValueError
            If it has more or less than one variable or is not real and finite on the line.
        """
        return _from_text(canonical_text(expression, "activation"))


def _times(factor: float, size: Floats) -> Floats:
    """factor * size with inf * 0 = 0: at u = 0 a bound is 0 whatever the constant."""
    with np.errstate(invalid="ignore"):
        product: Floats = np.where(size > 0, factor * size, 0.0)
    return product


@lru_cache(maxsize=64)
def _built_in(name: str) -> Activation:
    code, inside = ACTIVATION_NAMES.index(name), name in EXPRESSIONS
    d3_0, M3, M4, Lip = CONSTANTS[name]
    series = (0.0, *(SERIES[name](k) for k in range(1, SERIES_ORDER + 1))) if inside else ()
    return Activation(
        text=name,
        code=code,
        even=inside and name != "asymmetric",
        polynomial=name == "quadratic",
        d3_0=d3_0,
        M3=M3,
        M4=M4,
        Lip=Lip,
        supremum=SUPREMA.get(name, math.inf),
        reason=OUTSIDE.get(name),
        _functions=FUNCTIONS[name],
        _series=series,
    )


def activation(name: "str | Activation | sympy.Expr") -> Activation:
    """Look an activation up by name, or make one from a text in u or a SymPy expression.

    Raises
    ------
    ValueError
        For an unknown name (the closest valid one is named) or an expression that is none.
    """
    if isinstance(name, Activation):
        return name
    if isinstance(name, str) and name.strip() in FUNCTIONS:
        return _built_in(name.strip())
    if isinstance(name, str) and re.fullmatch(r"[\w\s-]*\w[\w\s-]*", name) and not re.search(r"\bu\b", name):
        near = difflib.get_close_matches(name, ACTIVATION_NAMES, n=1, cutoff=0.0)[0]
        raise ValueError(
            f"activation = {name!r} is unknown; did you mean {near!r}? allowed: {', '.join(ACTIVATION_NAMES)}, "
            "or a formula in u"
        )
    return Activation.from_sympy(name)


# From an expression


@lru_cache(maxsize=64)
def _from_text(text: str) -> Activation:
    from mimtheory.ball_functions import U
    from mimtheory.formula_constants import by_pieces, mirrored, suprema_of_derivatives
    from mimtheory.formula_pieces import pieces_of_formula

    try:
        pieces = pieces_of_formula(read_expression(text, "u"))
        broken = _first_jump(pieces)
    except ValueError as wrong:
        raise ValueError(f"activation = {text!r}: {wrong}") from None
    functions = [by_pieces(pieces, k, "activation", text) for k in range(5)]
    proved = suprema_of_derivatives(pieces, [(1, 0), (3, 0), (4, 0)])
    kinks = [piece.stop for piece in pieces if piece.stop is not None]
    found = [supremum(functions[k], kinks) for k in (1, 3, 4)] if proved is None else [part.upper for part in proved]
    height = suprema_of_derivatives(pieces, [(0, 0)])
    # the Lipschitz constant of the derivative one below, which a jump makes infinite
    jumps = math.inf if broken is None else broken[0]
    Lip, M3, M4 = (math.inf if jumps < k else bound for k, bound in zip((1, 3, 4), found, strict=True))
    middle = next(piece for piece in pieces if piece.stop is None or piece.stop > 0)  # 0 is in it or its start
    reason = _outside(broken, middle.start == 0, middle.expression, M3)
    series = () if reason else _series_of(middle.expression.diff())
    ends = [float(abs(end)) for end in (middle.start, middle.stop) if end is not None]
    near = _reach_of(series, middle.expression.diff(), min(_SERIES_UP_TO, *ends, _SERIES_UP_TO))
    return Activation(
        text=text,
        code=-1,
        even=mirrored(pieces, 0, 1),
        polynomial=len(pieces) == 1 and bool(pieces[0].expression.is_polynomial()),
        d3_0=_at_0(middle.expression.diff(U, 3)),
        M3=M3,
        M4=M4,
        Lip=Lip,
        supremum=math.inf if height is None else height[0].upper,
        reason=reason,
        constants="numerical" if proved is None else "certified",
        _functions=tuple(functions[:3]),
        _series=series,
        _near=near,
    )


def _first_jump(pieces: "Sequence[FormulaPiece]") -> tuple[int, Fraction] | None:
    """(order, u) of the first derivative up to the fourth that jumps, and where."""
    from mimtheory.formula_constants import kinks_of

    return next(((order, u) for order in range(5) for u, sign in kinks_of(pieces, order) if sign), None)


def _at_0(expression: "sympy.Expr") -> float:
    """Its value at 0, not a number where it has none."""
    value = expression.subs(expression.free_symbols.pop(), 0) if expression.free_symbols else expression
    return float(value) if value.is_finite else math.nan


def _outside(broken: tuple[int, Fraction] | None, kink: bool, formula: "sympy.Expr", M3: float) -> str | None:
    """Why assumption_activation fails for the formula around 0; decided exactly."""
    import sympy

    from mimtheory.ball_functions import U
    from mimtheory.formula_constants import vanishes

    if broken is not None and broken[0] <= 3:
        primes = "'" * broken[0]
        return f"not in C^3 (a kink: sigma{primes} jumps at u = {broken[1]})"
    if kink:
        return "its formula changes at u = 0"
    for name, order, wanted in (("sigma'(0)", 1, 0), ("sigma''(0)", 2, 1)):
        value = formula.diff(U, order).subs(U, 0)
        if not value.is_finite:
            return f"{name} is not defined"
        if not vanishes(value - wanted):
            shown, off = f"{float(value):g}", sympy.N(value - wanted, 3)
            return f"{name} = {shown if shown != str(wanted) else f'{wanted} up to {off}'}, not {wanted}"
    return None if math.isfinite(M3) else "the third derivative is unbounded"


def _series_of(derivative: "sympy.Expr") -> tuple[float, ...]:
    """Coefficients of sigma'(u)/u - 1 up to order 20; none where they are not known."""
    from mimtheory.ball_functions import taylor
    from mimtheory.balls import double_of, precision

    with precision(_SERIES_BITS):
        known = [double_of(ball) for ball in taylor(derivative, SERIES_ORDER + 1)[2:]]
    return (0.0, *(value for value, _ in known)) if all(math.isfinite(radius) for _, radius in known) else ()


def _reach_of(series: tuple[float, ...], derivative: "sympy.Expr", near: float) -> float:
    """Up to which |u| the series may stand for s(u) - 1: halved until Lagrange's remainder, in balls over parts of the
    interval, is no more than a hundred roundings of the largest term; 0 without a series.

    Nothing is held against the quotient, which may have lost what the series keeps: that of
    1000 (log(1 + e^u) - u/2) - 249 u^2/2 has.
    """
    from mimtheory.ball_functions import taylor
    from mimtheory.balls import bounds, precision, widened

    order = SERIES_ORDER + 2
    with precision(_SERIES_BITS):
        while series and near > _LEAST_RADIUS:
            width = near / _REACH_PARTS
            points = (widened((2 * k + 1) * width - near, width) for k in range(_REACH_PARTS))
            size = max(abs(end) for point in points for end in bounds(taylor(derivative, order, point)[order]))
            terms = (abs(c) * near**k for k, c in enumerate(series))
            if size * near ** (order - 1) <= _REACH_ROUNDINGS * max(terms):
                return near
            near /= 2
    return near if series else 0.0
