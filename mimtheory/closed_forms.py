"""One variable and a piecewise polynomial T: E T and E[T (z^2 - 1)] in closed form, in balls and as expressions.

For a polynomial P there are a polynomial R and a number a with P = a + R' - z R, hence, phi being the normal density,
int_s^t P phi = a (Phi(t) - Phi(s)) + R(t) phi(t) - R(s) phi(s). The line is cut at the real roots of g = c - kink.
The proof is in docs/theory/expected_hessian.md.
"""

import itertools
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import flint
import sympy

from mimtheory.balls import ball_of, midpoint_and_radius, normal_density, precision
from mimtheory.links import Link
from mimtheory.losses import Loss, Piece

__all__ = ["ClosedForm", "closed_form", "density_split", "exact_integral"]

_LARGEST_NORM = 160  # degree up to which isolating the roots of the norm takes milliseconds
_BITS = 192
_MOST_BITS = 100_000


@dataclass(frozen=True)
class ClosedForm:
    """Cuts and pieces of z -> T(g(z)).

    Attributes
    ----------
    parts : dict of int to rational polynomial
        g as a sum of sqrt(radicand) times a polynomial over Q.
    centre : Fraction
        c, exactly.
    loss : Loss
        With pieces.
    norm : fmpz_poly
        Squarefree polynomial over Z that vanishes wherever g = c - kink, that is where T may change its piece.
    """

    parts: dict[int, flint.fmpq_poly]
    centre: Fraction
    loss: Loss
    norm: flint.fmpz_poly

    def balls(self, radius: float | Fraction = 1e-18) -> tuple[flint.arb, flint.arb]:
        """E T and E[T (z^2 - 1)], enclosed in Arb balls of at most this radius."""
        mean, _, second = self.moments(radius)
        return mean, second

    def moments(self, radius: float | Fraction = 1e-18) -> tuple[flint.arb, flint.arb, flint.arb]:
        """E T, E[T z] and E[T (z^2 - 1)], enclosed in Arb balls of at most this radius."""
        limit = Fraction(radius)
        bits = max(_BITS, 64 + limit.denominator.bit_length())
        while True:
            with precision(bits):
                found = self._enclosure()
                if found is not None and all(midpoint_and_radius(ball)[1] <= limit for ball in found):
                    return found
            bits *= 2
            if bits > _MOST_BITS:
                short = "the roots of g = c - kink are not separated" if found is None else "the radius is not reached"
                raise ArithmeticError(f"{short} at {_MOST_BITS} bits")

    def _enclosure(self) -> tuple[flint.arb, flint.arb, flint.arb] | None:
        """The three balls at the working precision; None if that was too low."""
        g, cells = self._polynomial(), self._cells()
        if cells is None:
            return None
        total = [flint.arb(0)] * 3
        for start, stop, piece in cells:
            t = _in_balls(piece.coefficients, flint.arb_poly([ball_of(self.centre)]) - g)
            for k, factor in enumerate(([1], [0, 1], [-1, 0, 1])):
                total[k] += _integral(t * flint.arb_poly(factor), start, stop)
        return _on_scale(total[0]), _on_scale(total[1]), _on_scale(total[2])

    def _polynomial(self) -> flint.arb_poly:
        g = flint.arb_poly([0])
        for radicand, part in self.parts.items():
            g += flint.arb_poly(part) * flint.arb(radicand).sqrt()
        return g

    def _piece(self, y: flint.arb) -> Piece | None:
        """The piece of T that surely contains the label y."""
        u = ball_of(self.centre) - y
        assert self.loss.pieces is not None
        for piece in self.loss.pieces:
            above = piece.lower is None or u > ball_of(piece.lower)
            below = piece.upper is None or u < ball_of(piece.upper)
            if above and below:
                return piece
        return None

    def expressions(self) -> tuple[sympy.Expr, sympy.Expr, sympy.Expr]:
        """E T, E[T z] and E[T (z^2 - 1)] as SymPy expressions in erf and exp at algebraic points."""
        z = sympy.Symbol("z", real=True)
        g = sum(sympy.sqrt(s) * _sympy_polynomial(p, z) for s, p in self.parts.items())
        points = sorted(_real_roots(sympy.Poly(_coefficients(self.norm), z)), key=lambda x: sympy.N(x, 50))
        pieces = self.pieces()
        assert len(pieces) == len(points) + 1
        totals = [sympy.Integer(0)] * 3
        boundaries = [-sympy.oo, *points, sympy.oo]
        for piece, group in itertools.groupby(range(len(pieces)), key=lambda k: pieces[k]):
            indices = list(group)
            start, stop = boundaries[indices[0]], boundaries[indices[-1] + 1]
            u = sympy.Rational(self.centre) - g
            t = sum(sympy.Rational(c) * u**k for k, c in enumerate(piece.coefficients))
            for k, weight in enumerate((sympy.Integer(1), z, z**2 - 1)):
                totals[k] += exact_integral(sympy.Poly(sympy.expand(t * weight), z), start, stop)
        return totals[0], totals[1], totals[2]

    def _cells(self) -> list[tuple[flint.arb | None, flint.arb | None, Piece]] | None:
        """Start, end and piece of T between consecutive cuts; None if the precision is too low to tell."""
        roots: list[Any] = self.norm.complex_roots() if self.norm.degree() else []
        cuts = [flint.arb(x.real) for x, _ in roots if x.imag == 0]
        cuts.sort(key=lambda ball: ball.mid())
        if any(not a < b for a, b in itertools.pairwise(cuts)):
            return None
        g = self._polynomial()
        cells = []
        for start, stop in itertools.pairwise([None, *cuts, None]):
            piece = self._piece(g(_between(start, stop)))
            if piece is None:
                return None
            cells.append((start, stop, piece))
        return cells

    def pieces(self) -> list[Piece]:
        """The piece of T between consecutive cuts."""
        bits = _BITS
        while bits <= _MOST_BITS:
            with precision(bits):
                cells = self._cells()
            if cells is not None:
                return [piece for _, _, piece in cells]
            bits *= 2
        raise ArithmeticError(f"the sign of g - level is not decided at {_MOST_BITS} bits")

    def balanced_step(self) -> bool:
        """Whether T is proved to be constant between cuts and T(z) + T(-z) the same for almost all z, so that C = 0: T
        may jump at 0, and at -z as much as at z.

        Source: docs/theory/certified.md, Symmetry.
        """
        assert self.loss.pieces is not None
        if any(len(piece.coefficients) > 1 for piece in self.loss.pieces):
            return False
        # cuts at z and -z alike, and at 0, so that the cells mirror each other
        factors = [self.norm, flint.fmpz_poly([c * (-1) ** k for k, c in enumerate(self.norm.coeffs())])]
        both = _squarefree(flint.fmpq_poly(factors[0] * factors[1] * flint.fmpz_poly([0, 1])))
        values = [piece.coefficients[0] for piece in replace(self, norm=both).pieces()]
        return len({a + b for a, b in zip(values, reversed(values), strict=True)}) == 1


def closed_form(g: Link, loss: Loss, centre: float | Fraction) -> ClosedForm | None:
    """The closed form of a link of one variable, the centre being taken exactly.

    None where T has no pieces or g has too many square roots.
    """
    if g.r != 1 or loss.pieces is None:
        return None
    parts = {}
    for radicand, part in g.polynomial.parts.items():
        terms = {int(exponent[0]): coefficient for exponent, coefficient in part.to_dict().items()}
        parts[radicand] = flint.fmpq_poly([terms.get(k, 0) for k in range(max(terms, default=0) + 1)])
    c = Fraction(centre)
    norm = flint.fmpz_poly([1])
    for kink in loss.kinks:
        factor = _norm(parts, c - kink)
        if factor is None:
            return None
        norm = _squarefree(flint.fmpq_poly(norm * factor))
    return ClosedForm(parts, c, loss, norm)


def _norm(parts: dict[int, flint.fmpq_poly], level: Fraction) -> flint.fmpz_poly | None:
    """Squarefree integer polynomial that vanishes where g = level: the product over the signs of the square roots."""
    shifted = {s: p for s, p in parts.items() if not p.is_zero()}
    rational = shifted.get(1, flint.fmpq_poly([0])) - flint.fmpq(level.numerator, level.denominator)
    shifted[1] = rational
    shifted = {s: p for s, p in shifted.items() if not p.is_zero()}
    if len(shifted) == 1:
        return _squarefree(next(iter(shifted.values())))
    primes = sorted({p for s in shifted for p, _ in flint.fmpz(s).factor()}, key=int)
    degree = max(p.degree() for p in shifted.values())
    for prime in primes:
        if len(shifted) == 1:
            break
        degree *= 2
        if degree > _LARGEST_NORM:
            return None
        shifted = _without(int(prime), shifted)
    return _squarefree(next(iter(shifted.values())))


def _without(prime: int, parts: dict[int, flint.fmpq_poly]) -> dict[int, flint.fmpq_poly]:
    """A^2 - prime B^2 for A + sqrt(prime) B, both as radicand -> polynomial: its radicands are free of the prime."""
    a = {s: p for s, p in parts.items() if s % prime}
    b = {s // prime: p for s, p in parts.items() if s % prime == 0}
    if not a:
        return b  # sqrt(prime) is a common factor
    if not b:
        return a
    product: dict[int, flint.fmpq_poly] = {}
    for terms, factor in ((a, 1), (b, -prime)):
        for (s, p), (t, q) in itertools.product(terms.items(), repeat=2):
            common = int(flint.fmpz(s).gcd(t))
            key = s * t // common**2
            product[key] = product.get(key, flint.fmpq_poly([0])) + p * q * common * factor
    return {s: p for s, p in product.items() if not p.is_zero()}


def _squarefree(p: flint.fmpq_poly) -> flint.fmpz_poly:
    whole = p.numer()
    return whole if whole.degree() < 1 else whole // whole.gcd(whole.derivative())


def _between(start: flint.arb | None, stop: flint.arb | None) -> flint.arb:
    """A point strictly between two cuts (None: infinity)."""
    if start is None:
        return flint.arb(0) if stop is None else stop.mid() - 1
    return start.mid() + 1 if stop is None else (start.mid() + stop.mid()) / 2


def _on_scale(ball: flint.arb) -> flint.arb:
    """A ball that contains this one, wider by what is far below every radius that is asked for, and around 0 if its
    midpoint is as small: as a fraction a number such as e^(-10^40) would fill the memory."""
    small, middle = flint.arb(2) ** (-4 * flint.ctx.prec), ball.mid()
    return flint.arb(flint.arb(0) if abs(middle) < small else middle, (ball.rad() + small).upper())


def _in_balls(coefficients: tuple[Fraction, ...], u: flint.arb_poly) -> flint.arb_poly:
    value = flint.arb_poly([0])
    for c in reversed(coefficients):
        value = value * u + flint.arb_poly([ball_of(c)])
    return value


def density_split(coefficients: list[Any]) -> tuple[Any, list[Any]]:
    """(a, R) with P = a + R' - z R, coefficients from the constant up; for any kind of number."""
    p = list(coefficients)
    r: list[Any] = [0] * (len(p) + 1)
    for k in range(len(p) - 1, 0, -1):
        r[k - 1] = (k + 1) * r[k + 1] - p[k]
    return p[0] - r[1], r[: max(len(p) - 1, 1)]


def _integral(p: flint.arb_poly, start: flint.arb | None, stop: flint.arb | None) -> flint.arb:
    a, r = density_split(p.coeffs() or [flint.arb(0)])
    root = flint.arb_poly(r)
    two = flint.arb(2)

    def at(x: flint.arb) -> flint.arb:
        value: flint.arb = a * (x / two.sqrt()).erf() / 2 + root(x) * normal_density(x)
        return value

    upper: flint.arb = a / 2 if stop is None else at(stop)
    lower = -a / 2 if start is None else at(start)
    return upper - lower


def _coefficients(p: flint.fmpz_poly) -> list[int]:
    """From the leading coefficient down, as SymPy wants them."""
    return [int(c) for c in p.coeffs()][::-1]


def _sympy_polynomial(p: flint.fmpq_poly, z: sympy.Symbol) -> sympy.Expr:
    return sum(sympy.Rational(int(c.p), int(c.q)) * z**k for k, c in enumerate(p.coeffs()))


def _real_roots(p: sympy.Poly) -> list[sympy.Expr]:
    """Distinct real roots; those of an even polynomial through square roots, which keeps many of them radicals."""
    coefficients = p.all_coeffs()
    if p.degree() < 1:
        return []
    if p.degree() > 1 and p.degree() % 2 == 0 and not any(coefficients[1::2]):
        squares = _real_roots(sympy.Poly(coefficients[::2], p.gen))
        positive = [sympy.sqrt(s) for s in squares if s.is_positive]
        return [-x for x in positive] + positive + [s for s in squares if s.is_zero]
    return list(dict.fromkeys(sympy.real_roots(p)))


def exact_integral(p: sympy.Poly, start: sympy.Expr, stop: sympy.Expr) -> sympy.Expr:
    """The integral of p phi from start to stop, which may be infinite, as an expression."""
    a, r = density_split(p.all_coeffs()[::-1])
    root = sympy.Poly(r[::-1], p.gen)

    def at(x: sympy.Expr) -> sympy.Expr:
        if x.is_infinite:
            return a * sympy.sign(x) / 2
        density = sympy.exp(-sympy.expand(x**2) / 2) / sympy.sqrt(2 * sympy.pi)
        return a * sympy.erf(x / sympy.sqrt(2)) / 2 + sympy.expand(root.eval(x)) * density

    return sympy.expand(at(stop) - at(start))
