"""Polynomials of hidden coordinates as text: read from it without evaluating it, and written as it."""

import ast
import difflib
import math
import re
from fractions import Fraction

from flint import fmpq

from mimtheory.expressions import syntax_tree
from mimtheory.polynomials import Polynomial, hermite_polynomial, squarefree_root

__all__ = ["MAX_DEGREE", "MAX_R", "polynomial_of", "text_of"]

MAX_R, MAX_DEGREE = 6, 20
_MAX_BITS = 4000
_MAX_TEXT = 2000
_HERMITE = re.compile(r"(h|He)(\d{1,3})")
_POLYNOMIAL = f"a polynomial in z1 ... z{MAX_R}, with h<k>(...), He<k>(...), sqrt(number)"
_MAX_TERMS = 20_000  # what the integrals can work with, and less than a second to read


def polynomial_of(text: str) -> Polynomial:
    """The polynomial that a text in z1 ... z6 says.

    Raises
    ------
    ValueError
        For anything that is not such a polynomial, or is one of too high a degree, too many terms or too large numbers;
        the message names the part.
    """
    return _Reader(text).read()


def text_of(polynomial: Polynomial) -> str:
    """Monomial form, from which `polynomial_of` reads the same polynomial."""
    text = ""
    for index, surd in sorted(polynomial.terms.items(), reverse=True):
        monomial = [f"z{k + 1}**{e}" if e > 1 else f"z{k + 1}" for k, e in enumerate(index) if e]
        for s, value in sorted(surd.items()):
            factors = [f"sqrt({s})", *monomial] if s > 1 else monomial
            if abs(value) != 1 or not factors:
                factors = [str(abs(value)), *factors]
            plus, minus = (" + ", " - ") if text else ("", "-")
            text += (minus if value < 0 else plus) + "*".join(factors)
    return text


class _Reader:
    """Reads a polynomial from the syntax tree of a text; limits are checked before every multiplication."""

    def __init__(self, text: str) -> None:
        self.text = text

    def read(self) -> Polynomial:
        if not self.text or len(self.text) > _MAX_TEXT:
            raise ValueError(f"link has {len(self.text)} characters; allowed: 1 to {_MAX_TEXT}")
        allowed = "such as 'h4(z1) + 2*z1*z2**2', with * between factors and ** before powers"
        try:
            self.text.encode()  # a lone surrogate is no text, which the parser says without naming the argument
            return self._value(syntax_tree(self.text))
        except (SyntaxError, MemoryError, RecursionError, UnicodeEncodeError):
            raise self._error(self.text, "cannot be read", allowed) from None

    def _error(self, part: "str | ast.AST", problem: str, allowed: str) -> ValueError:
        shown = part if isinstance(part, str) else (ast.get_source_segment(self.text, part) or "?")
        stop = "" if problem.endswith("?") else ";"
        return ValueError(f"link: {shown[:60]!r} {problem}{stop} allowed: {allowed}")

    def _value(self, node: ast.AST) -> Polynomial:
        match node:
            case ast.Constant(value=int() | float()) if not isinstance(node.value, bool):
                return self._number(node)
            case ast.Name():
                return self._variable(node)
            case ast.UnaryOp(op=ast.USub()):
                return -self._value(node.operand)
            case ast.UnaryOp(op=ast.UAdd()):
                return self._value(node.operand)
            case ast.BinOp():
                return self._operation(node)
            case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]):
                return self._call(node, name, argument)
        allowed = "numbers, z1 ... z6, + - * / **, sqrt(number), h<k>(...), He<k>(...)"
        raise self._error(node, "is not part of a polynomial", allowed)

    def _number(self, node: ast.Constant) -> Polynomial:
        shown = (ast.get_source_segment(self.text, node) or repr(node.value)).replace("_", "")
        size = float(shown) if not shown.lower().startswith(("0x", "0o", "0b")) else math.nan
        written_zero = not re.search(r"[1-9]", shown.lower().partition("e")[0])
        if not ((written_zero and size == 0) or 1e-300 < size < 1e300):
            raise self._error(node, "is out of range", "decimals, 0 or above 1e-300 and below 1e300")
        return Polynomial.constant(MAX_R, Fraction(shown))

    def _variable(self, node: ast.Name) -> Polynomial:
        names = [f"z{k}" for k in range(1, MAX_R + 1)]
        if node.id in names:
            return Polynomial.variable(MAX_R, names.index(node.id))
        if node.id in ("pi", "e", "E"):
            raise self._error(node, "is not rational", "rational numbers and their square roots")
        if _HERMITE.fullmatch(node.id):
            raise self._error(node, f"needs an argument: write {node.id}(z1)", _POLYNOMIAL)
        digits = re.sub(r"\D", "", node.id)
        near = [f"z{digits}"] if f"z{digits}" in names else difflib.get_close_matches(node.id, names, 1, 0.5)
        if near:
            raise self._error(node, f"is unknown; did you mean {near[0]!r}?", f"z1 ... z{MAX_R}")
        raise self._error(node, "is unknown", _POLYNOMIAL)

    def _operation(self, node: ast.BinOp) -> Polynomial:
        if isinstance(node.op, ast.Pow):
            return self._power(node)
        left, right = self._value(node.left), self._value(node.right)
        match node.op:
            case ast.Add():
                return left + right
            case ast.Sub():
                return left - right
            case ast.Mult():
                return self._product(node, left, right)
            case ast.Div():
                return self._product(node, left, self._inverse(node, right))
            case ast.BitXor():
                raise self._error(node, "has the operator ^: write ** for powers", "+ - * / **")
        raise self._error(node, "is not part of a polynomial", "+ - * / **")

    def _product(self, node: ast.AST, left: Polynomial, right: Polynomial) -> Polynomial:
        if left.degree + right.degree > MAX_DEGREE:
            raise self._error(node, f"has degree {left.degree + right.degree}", f"degree up to {MAX_DEGREE}")
        if left.height + right.height > _MAX_BITS:
            raise self._error(node, "has too long a coefficient", f"numerators and denominators up to {_MAX_BITS} bits")
        self._check_terms(node, left.size * right.size, [left, right])
        return left * right

    def _check_terms(self, node: ast.AST, pairs: int, factors: list[Polynomial], least: int | None = None) -> None:
        """Refuse a product of more terms than allowed: neither its pairs of terms nor the monomials of these degrees
        in these variables are few. `least` is the lowest degree, if not that of the product."""
        if pairs <= _MAX_TERMS:
            return
        seen = [index for factor in {id(f): f for f in factors}.values() for index in factor.terms]
        variables = max(1, sum(any(index[k] for index in seen) for k in range(MAX_R)))
        lowest = sum(min(map(sum, factor.terms)) for factor in factors) if least is None else least
        degrees = range(lowest, sum(factor.degree for factor in factors) + 1)
        count = min(pairs, sum(math.comb(d + variables - 1, d) for d in degrees))
        if count > _MAX_TERMS:
            raise self._error(node, f"expands to as many as {count:,} terms", f"up to {_MAX_TERMS:,} terms")

    def _power(self, node: ast.BinOp) -> Polynomial:
        base, exponent = self._value(node.left), self._value(node.right)
        value = exponent.terms.get((0,) * MAX_R, {}).get(1, fmpq(0))
        if exponent.degree > 0 or len(exponent.parts) > 1 or int(value.q) != 1 or not 0 <= int(value.p) <= MAX_DEGREE:
            raise self._error(node, "has an exponent out of range", f"an integer from 0 to {MAX_DEGREE}")
        k = int(value.p)
        if base.degree * k <= MAX_DEGREE:
            self._check_terms(node, math.comb(base.size + k - 1, k), [base] * k)
        result = Polynomial.constant(MAX_R, Fraction(1))
        for _ in range(k):
            result = self._product(node, result, base)
        return result

    def _inverse(self, node: ast.AST, divisor: Polynomial) -> Polynomial:
        terms = divisor.terms.get((0,) * MAX_R, {})
        if divisor.degree > 0:
            raise self._error(node, "is not a polynomial", "division by a number")
        if len(terms) != 1:
            raise self._error(node, "divides by 0 or by a sum with square roots", "division by q or by q*sqrt(s)")
        ((s, value),) = terms.items()
        return Polynomial.constant(MAX_R, Fraction(int(value.q), int(value.p) * s), s)

    def _call(self, node: ast.Call, name: str, argument: ast.AST) -> Polynomial:
        hermite = _HERMITE.fullmatch(name)
        if name == "sqrt":
            return self._root(node, self._value(argument))
        if hermite is None:
            near = difflib.get_close_matches(name, ["h2", "h4", "He2", "He4", "sqrt"], 1, 0.6)
            meant = f"; did you mean {near[0]!r}?" if near else ""
            raise self._error(node, f"is not a polynomial{meant}", _POLYNOMIAL)
        k = int(hermite.group(2))
        inner = self._value(argument)
        if k > MAX_DEGREE or k * max(inner.degree, 0) > MAX_DEGREE or k * inner.height > _MAX_BITS:
            raise self._error(node, f"has degree {k * max(inner.degree, 1)}", f"degree up to {MAX_DEGREE}")
        self._check_terms(node, math.comb(inner.size + k, k), [inner] * k, least=0)
        return hermite_polynomial(k, hermite.group(1) == "h").substitute([inner])

    def _root(self, node: ast.AST, inner: Polynomial) -> Polynomial:
        terms = inner.terms.get((0,) * MAX_R, {})
        if inner.degree > 0 or set(terms) - {1}:
            raise self._error(node, "is not a polynomial", "sqrt of a rational number")
        value = terms.get(1, fmpq(0))
        outside, radicand = squarefree_root(Fraction(int(value.p), int(value.q)))
        return Polynomial.constant(MAX_R, outside, radicand)
