"""Link functions: polynomials g of r hidden coordinates, exact, with their Hermite expansion.

`link` reads them from text without evaluating it, from SymPy, or by name from the zoo.
"""

import difflib
import itertools
import math
import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from flint import fmpq
from numpy.typing import NDArray

from mimtheory.arguments import check_integer
from mimtheory.link_text import MAX_DEGREE, MAX_R, polynomial_of, text_of
from mimtheory.polynomials import Polynomial, Surd, surd_to_float, surd_to_sympy

if TYPE_CHECKING:
    import sympy

__all__ = ["MAX_DEGREE", "MAX_R", "ZOO", "Link", "link"]

Floats = NDArray[np.float64]
Index = tuple[int, ...]

ZOO = {
    "h2": "h2(z1)",
    "h4": "h4(z1)",
    "h6": "h6(z1)",
    "h4+h4": "h4(z1) + h4(z2)",
    "h2h2": "He2(z1) + 0.7*He2(z2)",
    "mixed": "1.2*h2(z1) - 0.9*h2(z2) + 0.5*h4(z1)",
    "r3": "0.9*He2(z1) - 0.8*He2(z2) + 0.7*He2(z3) + 0.5*z1*z2*z3",
    "product": "z1*z2",
    "skewed": "He2(z1)/2 + He3(z2)/6",
    "staircase2": "z1 + z1*z2",
    "staircase3": "z1 + z1*z2 + z1*z2*z3",
    "odd": "z1**3",
    "octic": "h8(z1) + h2(z2)/2",
}


class Link:
    """A polynomial link function g on R^r; equal and hashed by its polynomial.

    Attributes
    ----------
    text : str
        From which `link` makes an equal Link.
    polynomial : Polynomial
        g in the monomials, exactly.
    r, degree : int
    """

    def __init__(self, text: str, polynomial: Polynomial) -> None:
        self.text = text
        self.polynomial = polynomial
        self.r = polynomial.r
        self.degree = polynomial.degree

    @cached_property
    def canonical(self) -> str:
        """A text that equal links share, however they were written: that of the zoo, or else the monomials.

        Longer than `link` reads where there are very many of them.
        """
        return next((text for text, polynomial in _zoo() if polynomial == self.polynomial), text_of(self.polynomial))

    def __call__(self, Z: Floats) -> Floats:
        """g at the rows of Z, shape (n, r) -> (n,).

        Raises
        ------
        ValueError
            For another shape.
        """
        Z = np.asarray(Z, dtype=np.float64)
        if Z.ndim != 2 or Z.shape[1] != self.r:
            raise ValueError(f"Z has shape {Z.shape}; allowed: (n, {self.r}), a column for each variable of the link")
        return self.polynomial(Z)

    @cached_property
    def _hermite(self) -> dict[Index, dict[int, fmpq]]:
        """Coefficients in the basis He_alpha: those of exp(Laplacian/2) g in the monomials."""
        return self.polynomial.heat(1).terms

    @cached_property
    def hermite_coefficients(self) -> "dict[Index, sympy.Expr]":
        """c_alpha, in units of y, of g = sum c_alpha He_alpha (plain He), exact; zero ones are left out.

        Source: docs/theory/hermite.md, Hermite expansion of a polynomial.
        """
        return {index: surd_to_sympy(surd) for index, surd in sorted(self._hermite.items())}

    def hermite_tensor(self, k: int) -> "sympy.ImmutableDenseNDimArray":
        """E of the k-th derivative tensor of g, in units of y, shape (r,)*k: entries alpha! c_alpha.

        Parameters
        ----------
        k : int
            0 to 20; all entries are 0 beyond the degree.

        Raises
        ------
        ValueError
            For k out of range.

        Source: docs/theory/hermite.md, Hermite expansion of a polynomial.
        """
        import sympy

        check_integer("k", k, 0, "an integer from 0", MAX_DEGREE)
        entries = []
        for position in itertools.product(range(self.r), repeat=k):
            alpha = tuple(position.count(axis) for axis in range(self.r))
            factor = math.prod(math.factorial(a) for a in alpha)
            entries.append(factor * self.hermite_coefficients.get(alpha, sympy.Integer(0)))
        return sympy.ImmutableDenseNDimArray(entries, (self.r,) * k)

    @property
    def mean(self) -> "sympy.Expr":
        """E g(z), exact, in units of y.

        Source: docs/theory/hermite.md, Hermite expansion of a polynomial.
        """
        return surd_to_sympy(self._hermite.get((0,) * self.r, {}))

    @cached_property
    def second_moment(self) -> "sympy.Expr":
        """E g(z)^2 = sum alpha! c_alpha^2 (Parseval), exact, in units of y^2.

        Source: docs/theory/hermite.md, Hermite expansion of a polynomial.
        """
        total = Polynomial(1, {})
        for alpha, surd in self._hermite.items():
            factor = math.prod(math.factorial(a) for a in alpha)
            c = Polynomial.from_terms(1, {(0,): surd})
            total = total + c * c * Polynomial.constant(1, Fraction(factor))
        return surd_to_sympy(total.terms.get((0,), {}))

    @property
    def fourth_moment(self) -> "sympy.Expr":
        """E g(z)^4, exact, in units of y^4."""
        return surd_to_sympy((self.polynomial**4).gaussian_mean())

    @property
    def variance(self) -> "sympy.Expr":
        """Var g(z), exact, in units of y^2."""
        import sympy

        return sympy.expand(self.second_moment - self.mean**2)

    @property
    def mean_hessian(self) -> "sympy.ImmutableMatrix":
        """E Hess g(z), exact, shape (r, r), in units of y.

        Source: docs/theory/hermite.md, Hermite expansion of a polynomial.
        """
        import sympy

        return sympy.ImmutableMatrix(self.r, self.r, lambda j, k: self.hermite_tensor(2)[j, k])

    @property
    def odd(self) -> bool:
        """Whether g(-z) = -g(z)."""
        return all(sum(alpha) % 2 for alpha in self.hermite_coefficients)

    @property
    def information_exponent(self) -> int:
        """Smallest k >= 1 such that g has a Hermite component of degree k.

        Source: docs/theory/exponents.md, Exponents of a link.
        """
        return min(sum(alpha) for alpha in self._hermite if any(alpha))

    def rotate(self, Q: "Sequence[Sequence[Any]]") -> "Link":
        """The link z -> g(Q^T z) for an exactly orthogonal rational matrix Q, shape (r, r).

        Raises
        ------
        ValueError
            If Q is not rational, not r x r or not orthogonal.
        """
        rows = [[_rational(entry) for entry in row] for row in Q]
        if len(rows) != self.r or any(len(row) != self.r for row in rows):
            raise ValueError(f"Q has shape {len(rows)} x {len(rows[0]) if rows else 0}; allowed: {self.r} x {self.r}")
        for j, k in itertools.product(range(self.r), repeat=2):
            if sum(a * b for a, b in zip(rows[j], rows[k], strict=True)) != (j == k):
                raise ValueError(f"Q = {Q!r} is not orthogonal; allowed: rational with Q Q^T = I exactly")
        z = [Polynomial.variable(self.r, k) for k in range(self.r)]
        values = []
        for k in range(self.r):
            value = Polynomial(self.r, {})
            for j in range(self.r):
                value = value + z[j] * Polynomial.constant(self.r, rows[j][k])
            values.append(value)
        return _from_polynomial(self.polynomial.substitute(values))

    def with_noise(self, sigma: float) -> "Link":
        """g(z) + sigma z_{r+1} on R^{r+1}: label noise as one more Gaussian coordinate.

        Parameters
        ----------
        sigma : float
            Standard deviation, in units of y, at least 0; of a float, the decimal that it is printed as.

        Returns
        -------
        Link
            Of r = 6 one of seven variables, whose text `link` does not read.

        Raises
        ------
        ValueError
            If sigma is no finite number, or negative.
        """
        deviation = _rational(sigma, "sigma = ")
        if deviation < 0:
            raise ValueError(f"sigma = {sigma!r}; allowed: a finite number >= 0")
        noise = Polynomial.variable(self.r + 1, self.r) * Polynomial.constant(self.r + 1, deviation)
        polynomial = self.polynomial.extended(self.r + 1) + noise
        return Link(text_of(polynomial), polynomial)

    def to_sympy(self) -> "sympy.Expr":
        """g as a SymPy expression in z1 ... zr, in units of y."""
        return self.polynomial.to_sympy()

    def _sympy_(self) -> "sympy.Expr":
        return self.to_sympy()

    def lambdify(self) -> "Callable[..., Any]":
        """g as a function of r arrays z1, ..., zr."""
        import sympy

        function: Callable[..., Any] = sympy.lambdify(sympy.symbols(f"z1:{self.r + 1}"), self.to_sympy(), "numpy")
        return function

    def derivative(self, k: int) -> "Link":
        """The partial derivative in z_k.

        Parameters
        ----------
        k : int
            From 1 to r.

        Raises
        ------
        ValueError
            Where the derivative is constant, which is no link.
        """
        check_integer("k", k, 1, "an integer from 1", self.r)
        return _from_polynomial(self.polynomial.derivative(k - 1))

    def __add__(self, other: "Link") -> "Link":
        if not isinstance(other, Link):
            return NotImplemented
        r = max(self.r, other.r)
        return _from_polynomial(self.polynomial.extended(r) + other.polynomial.extended(r))

    def __mul__(self, factor: Any) -> "Link":
        if isinstance(factor, Link):
            return NotImplemented
        return _from_polynomial(self.polynomial * Polynomial.constant(self.r, _rational(factor)))

    __rmul__ = __mul__

    def __neg__(self) -> "Link":
        return self * -1

    def __sub__(self, other: "Link") -> "Link":
        return self + (-other) if isinstance(other, Link) else NotImplemented

    def pretty(self) -> str:
        """Mathematics in text for a terminal."""
        import sympy

        text: str = sympy.pretty(self.to_sympy(), use_unicode=True)
        return text

    def __eq__(self, other: object) -> bool:
        return self.polynomial == other.polynomial if isinstance(other, Link) else NotImplemented

    @cached_property
    def _hash(self) -> int:
        return hash((self.r, tuple((a, tuple(sorted((s, str(v)) for s, v in t.items()))) for a, t in self._sorted)))

    @property
    def _sorted(self) -> list[tuple[Index, dict[int, fmpq]]]:
        return sorted(self.polynomial.terms.items())

    def __hash__(self) -> int:
        return self._hash

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"link({self.text!r})"

    def _repr_latex_(self) -> str:
        import sympy

        return f"${sympy.latex(self.to_sympy())}$"


@cache
def _zoo() -> tuple[tuple[str, Polynomial], ...]:
    return tuple((text, link(text).polynomial) for text in ZOO.values())


def link(source: Any) -> Link:
    """Make a Link from text, a name of the zoo, a SymPy expression, or a Link.

    Parameters
    ----------
    source : str, SymPy expression or Link
        Text uses z1 ... z6, numbers (0.7 means exactly 7/10), + - * / **, sqrt of a rational, h4(...) for the
        normalised and He4(...) for the plain Hermite polynomial. It is parsed, never evaluated.

    Raises
    ------
    ValueError
        For anything that is not a polynomial in z1 ... z6 of degree 1 to 20; the message names the part.
    """
    if isinstance(source, Link):
        return source
    if isinstance(source, str):
        text = ZOO.get(source.strip(), source.strip())
        if text.isidentifier() and not re.fullmatch(r"[xyz]\d*", text):
            known = [*ZOO, *(f"z{k}" for k in range(1, MAX_R + 1))]
            near = difflib.get_close_matches(text.lower(), known, 1, 0.6)
            meant = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(
                f"link = {text[:60]!r} is unknown; {meant}allowed: {', '.join(ZOO)}, or a polynomial in z1 ... z{MAX_R}"
            )
        return _checked(text, polynomial_of(text))
    if type(source).__module__.partition(".")[0] == "sympy":
        text = str(source)
        return _checked(text, polynomial_of(text))
    shown = str(source) if len(str(source)) <= 60 else f"{str(source)[:60]}..."
    raise ValueError(f"link = {shown}; allowed: a text, a SymPy expression or a Link, not {type(source).__name__}")


def _checked(text: str, polynomial: Polynomial) -> Link:
    if polynomial.degree < 1:
        raise ValueError(f"link = {text!r} is constant; allowed: a polynomial of degree 1 to {MAX_DEGREE}")
    last = max(k for index in polynomial.terms for k, exponent in enumerate(index) if exponent)
    terms = {index[: last + 1]: surd for index, surd in polynomial.terms.items()}
    reduced = Polynomial.from_terms(last + 1, terms)
    if not all(map(_is_double, reduced.terms.values())):
        raise ValueError(f"link = {text[:60]!r} has a coefficient beyond 1e308; allowed: finite doubles")
    return Link(text, reduced)


def _is_double(surd: Surd) -> bool:
    try:
        return math.isfinite(surd_to_float(surd))
    except OverflowError:  # a rational that is none
        return False


def _from_polynomial(polynomial: Polynomial) -> Link:
    return _checked(text_of(polynomial) or "0", polynomial)


def _rational(value: Any, name: str = "") -> Fraction:
    try:
        text = str(value)
        # `Fraction("1e999999999")` would write that integer down
        return Fraction("out of range" if re.search(r"e[+-]?\d{4}", text.lower()) else text)
    except (ValueError, ZeroDivisionError):
        raise ValueError(
            f"{name}{value!r} is not rational; allowed: finite integers, fractions, decimals with exponents up to 999"
        ) from None
