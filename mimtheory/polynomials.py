"""Exact polynomials in z1 ... zr over Q extended by square roots, and their Gaussian calculus.

A polynomial is kept as a sum of sqrt(s) times a rational polynomial over squarefree integers s: everything linear acts
on the parts, and products need only sqrt(s) sqrt(t) = gcd(s, t) sqrt(st/gcd(s, t)^2). Proofs: docs/theory/hermite.md.
"""

import functools
import math
import operator
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from flint import Ordering, fmpq, fmpq_mpoly, fmpq_mpoly_ctx
from numpy.typing import NDArray

if TYPE_CHECKING:
    import sympy

__all__ = ["Polynomial", "Surd", "hermite_polynomial", "squarefree_root", "surd_to_float", "surd_to_sympy"]

Floats = NDArray[np.float64]
Index = tuple[int, ...]
# A number of Q(sqrt 2, sqrt 3, ...): squarefree radicand -> rational factor.
Surd = Mapping[int, fmpq]


@lru_cache(maxsize=8)
def _context(r: int) -> fmpq_mpoly_ctx:
    return fmpq_mpoly_ctx.get(tuple(f"z{k}" for k in range(1, r + 1)), Ordering.lex)


def squarefree_root(number: Fraction) -> tuple[Fraction, int]:
    """(q, s) with sqrt(number) = q sqrt(s), s squarefree.

    Raises
    ------
    ValueError
        For a negative number or one beyond 10^12 (whose factors would have to be searched).
    """
    product = number.numerator * number.denominator
    if number < 0 or product > 10**12:
        raise ValueError(f"sqrt({number}); allowed: a rational from 0, numerator times denominator up to 10^12")
    outside, rest, k = 1, product, 2
    while k * k <= rest:
        while rest % (k * k) == 0:
            rest //= k * k
            outside *= k
        k += 1
    return Fraction(outside, number.denominator), rest


class Polynomial:
    """An exact polynomial; immutable.

    Parameters
    ----------
    r : int
        Number of variables.
    parts : dict of int to fmpq_mpoly
        Squarefree radicand s -> the rational polynomial that stands at sqrt(s); zero parts are dropped.
    """

    def __init__(self, r: int, parts: Mapping[int, fmpq_mpoly]) -> None:
        self.r = r
        self.parts = {s: part for s, part in sorted(parts.items()) if part}

    @classmethod
    def constant(cls, r: int, value: Fraction, radicand: int = 1) -> "Polynomial":
        """The constant value * sqrt(radicand), radicand squarefree."""
        return cls.from_terms(r, {(0,) * r: {radicand: fmpq(value.numerator, value.denominator)}})

    @classmethod
    def variable(cls, r: int, k: int) -> "Polynomial":
        """The coordinate z_{k+1}."""
        return cls(r, {1: _context(r).gens()[k]})

    @classmethod
    def from_terms(cls, r: int, terms: Mapping[Index, Surd]) -> "Polynomial":
        """The polynomial with these coefficients at the monomials."""
        parts: dict[int, dict[Index, fmpq]] = {}
        for index, surd in terms.items():
            for s, value in surd.items():
                parts.setdefault(s, {})[index] = value
        return cls(r, {s: _context(r).from_dict(part) for s, part in parts.items()})

    @property
    def degree(self) -> int:
        """Total degree; -1 for the zero polynomial."""
        return max((int(part.total_degree()) for part in self.parts.values()), default=-1)

    @property
    def size(self) -> int:
        """Number of terms, those at different square roots counted apart."""
        return sum(len(part) for part in self.parts.values())

    @cached_property
    def terms(self) -> dict[Index, dict[int, fmpq]]:
        """Coefficient of each monomial."""
        terms: dict[Index, dict[int, fmpq]] = {}
        for s, part in self.parts.items():
            for index, value in part.to_dict().items():
                terms.setdefault(tuple(int(k) for k in index), {})[s] = value
        return terms

    @property
    def height(self) -> int:
        """Bits of the longest numerator or denominator."""
        values = [value for surd in self.terms.values() for value in surd.values()]
        return max((max(int(v.p).bit_length(), int(v.q).bit_length()) for v in values), default=0)

    def __add__(self, other: "Polynomial") -> "Polynomial":
        parts = dict(self.parts)
        for s, part in other.parts.items():
            parts[s] = parts[s] + part if s in parts else part
        return Polynomial(self.r, parts)

    def __neg__(self) -> "Polynomial":
        return Polynomial(self.r, {s: -part for s, part in self.parts.items()})

    def __sub__(self, other: "Polynomial") -> "Polynomial":
        return self + (-other)

    def __mul__(self, other: "Polynomial") -> "Polynomial":
        parts: dict[int, fmpq_mpoly] = {}
        for s, left in self.parts.items():
            for t, right in other.parts.items():
                common = math.gcd(s, t)
                radicand = s * t // common**2
                product = left * right * common
                parts[radicand] = parts[radicand] + product if radicand in parts else product
        return Polynomial(self.r, parts)

    def __pow__(self, exponent: int) -> "Polynomial":
        result = Polynomial.constant(self.r, Fraction(1))
        for _ in range(exponent):
            result = result * self
        return result

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Polynomial):
            return NotImplemented
        return self.r == other.r and self.parts == other.parts

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> "tuple[Any, ...]":
        # FLINT's numbers cannot be pickled
        terms = {index: {s: (int(v.p), int(v.q)) for s, v in surd.items()} for index, surd in self.terms.items()}
        return _from_integers, (self.r, terms)

    def derivative(self, k: int) -> "Polynomial":
        """Partial derivative in z_{k+1}."""
        return Polynomial(self.r, {s: part.derivative(k) for s, part in self.parts.items()})

    def heat(self, sign: int) -> "Polynomial":
        """exp(sign Laplacian/2), exactly: along each axis
        z^n -> sum_j sign^j n!/(2^j j! (n - 2j)!) z^(n - 2j). Sign +1 takes Gaussian averages of translates."""
        parts = {}
        for s, part in self.parts.items():
            for axis in range(self.r):
                # exp(sign D^2/2) = sum_j (sign/2)^j D^(2j)/j!, each term from the one before
                term, j = part, 1
                while term := term.derivative(axis).derivative(axis) * fmpq(sign, 2 * j):
                    part, j = part + term, j + 1
            parts[s] = part
        return Polynomial(self.r, parts)

    def gaussian_mean(self) -> Surd:
        """E of the polynomial at z ~ N(0, I_r)."""
        return self.heat(1).terms.get((0,) * self.r, {})

    def substitute(self, values: Sequence["Polynomial"]) -> "Polynomial":
        """The polynomial at values[k] in the place of z_{k+1}."""
        one = Polynomial.constant(values[0].r, Fraction(1))
        powers = [[one] for _ in values]
        for k, value in enumerate(values):
            for _ in range(max((index[k] for index in self.terms), default=0)):
                powers[k].append(powers[k][-1] * value)
        result = Polynomial(values[0].r, {})
        for index, surd in self.terms.items():
            product = Polynomial.from_terms(values[0].r, {(0,) * values[0].r: surd})
            for power, exponent in zip(powers, index, strict=True):
                product = product * power[exponent] if exponent else product
            result = result + product
        return result

    def extended(self, r: int) -> "Polynomial":
        """The same polynomial in r >= self.r variables."""
        pad = (0,) * (r - self.r)
        return Polynomial.from_terms(r, {(*index, *pad): surd for index, surd in self.terms.items()})

    def __call__(self, Z: Floats) -> Floats:
        """Values at the rows of Z (n, r); allocates (degree + 2) vectors of length n for each variable."""
        Z = np.asarray(Z, dtype=np.float64)
        powers = [[np.ones(len(Z))] for _ in range(self.r)]
        for k in range(self.r):
            column = np.ascontiguousarray(Z[:, k])
            for _ in range(max((index[k] for index in self.terms), default=0)):
                powers[k].append(powers[k][-1] * column)
        total = np.zeros(len(Z))
        for index, coefficient in self._float_terms:
            factors = [powers[k][exponent] for k, exponent in enumerate(index) if exponent]
            total += functools.reduce(operator.mul, factors, coefficient)
        return total

    @cached_property
    def _float_terms(self) -> list[tuple[Index, float]]:
        return [(index, surd_to_float(surd)) for index, surd in sorted(self.terms.items())]

    def to_sympy(self) -> "sympy.Expr":
        """The same polynomial as a SymPy expression in z1 ... zr."""
        import sympy

        z = sympy.symbols(f"z1:{self.r + 1}")
        return sympy.Add(*(surd_to_sympy(surd) * _monomial(z, index) for index, surd in self.terms.items()))


def _from_integers(r: int, terms: Mapping[Index, Mapping[int, tuple[int, int]]]) -> Polynomial:
    return Polynomial.from_terms(r, {index: {s: fmpq(*v) for s, v in surd.items()} for index, surd in terms.items()})


def surd_to_float(surd: Surd) -> float:
    """The nearest double or a neighbour of it."""
    return math.fsum(float(Fraction(int(v.p), int(v.q))) * math.sqrt(s) for s, v in surd.items())


def surd_to_sympy(surd: Surd) -> "sympy.Expr":
    """The number as a SymPy expression."""
    import sympy

    return sympy.Add(*(sympy.Rational(int(v.p), int(v.q)) * sympy.sqrt(s) for s, v in sorted(surd.items())))


def _monomial(z: Sequence[Any], index: Index) -> Any:
    product = 1
    for symbol, exponent in zip(z, index, strict=True):
        product = product * symbol**exponent
    return product


def hermite_polynomial(k: int, normalised: bool) -> Polynomial:
    """He_k in one variable, or h_k = He_k/sqrt(k!) if normalised."""
    plain = (Polynomial.variable(1, 0) ** k).heat(-1)
    if not normalised:
        return plain
    outside, radicand = _inverse_root_of_factorial(k)
    return plain * Polynomial.constant(1, outside, radicand)


def _inverse_root_of_factorial(k: int) -> tuple[Fraction, int]:
    """(q, s) with 1/sqrt(k!) = q sqrt(s), from the prime exponents of k!."""
    outside, radicand = Fraction(1), 1
    for prime in (p for p in range(2, k + 1) if all(p % q for q in range(2, p))):
        exponent, power = 0, prime
        while power <= k:
            exponent += k // power
            power *= prime
        # p^(-e/2) = p^(-(e+1)/2) sqrt(p) for odd e
        outside /= prime ** ((exponent + 1) // 2)
        radicand *= prime ** (exponent % 2)
    return outside, radicand
