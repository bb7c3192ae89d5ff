"""C as an expression in parameters: polynomial l' with symbolic coefficients, and huber(delta) on a line.

Parameters are single letters a to w and the names of Greek letters, all real. Proofs: docs/theory/symbolic.md.
"""

import ast
import itertools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import sympy

from mimtheory import links, losses
from mimtheory.closed_forms import exact_integral
from mimtheory.expressions import parsed
from mimtheory.links import MAX_DEGREE, MAX_R, Link
from mimtheory.losses import Loss

__all__ = ["SymbolicHessian", "has_parameters", "symbolic_hessian"]

_GREEK = (
    *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "kappa"),
    *("lam", "mu", "nu", "rho", "sigma", "tau", "omega"),
)
_NAME = re.compile(rf"\b(?:[a-w]|{'|'.join(_GREEK)})\b")


@dataclass(frozen=True)
class SymbolicHessian:
    """C and moments as SymPy expressions.

    Attributes
    ----------
    C_exact : ImmutableMatrix (r, r)
        E[T (z z^T - I)].
    mean : Expr
        E T.
    first_moment : ImmutableMatrix (r, 1)
        E[T z].
    link, loss : str
    """

    C_exact: sympy.ImmutableMatrix
    mean: sympy.Expr
    first_moment: sympy.ImmutableMatrix
    link: str
    loss: str

    @property
    def parameters(self) -> tuple[sympy.Symbol, ...]:
        """The free symbols, by name."""
        return tuple(
            sorted(self.C_exact.free_symbols | self.mean.free_symbols | self.first_moment.free_symbols, key=str)
        )

    def subs(self, values: Mapping[Any, Any]) -> sympy.ImmutableMatrix:
        """C with parameters replaced: `values` leads from symbols or names to numbers or expressions."""
        named = {str(key): sympy.sympify(value) for key, value in values.items()}
        return self.C_exact.subs({symbol: named[str(symbol)] for symbol in self.parameters if str(symbol) in named})

    def __repr__(self) -> str:
        return f"C = {self.C_exact.tolist()}, c0 = {self.mean}, exact in {', '.join(map(str, self.parameters))}"

    def _repr_latex_(self) -> str:
        return rf"$C = {sympy.latex(self.C_exact, mat_delim='(')},\quad c_0 = {sympy.latex(self.mean)}$"


def has_parameters(source: Any) -> bool:
    """Whether a text or SymPy expression has parameters besides z1 ... z6."""
    if isinstance(source, str):
        return bool(_NAME.search(source))
    symbols = getattr(source, "free_symbols", ())
    return any(_NAME.fullmatch(str(symbol)) for symbol in symbols)


def symbolic_hessian(link: Any, loss: Loss | str, centre: float = 0.0) -> SymbolicHessian:
    """C, E T and E[T z] as expressions in the parameters of the link or of the loss.

    Parameters
    ----------
    link : text or SymPy expression
        A polynomial in z1 ... z6 with parameters as coefficients, for a polynomial l' (squared loss); or without
        parameters for "huber(delta)".
    loss : Loss or str
        squared, a polynomial in u, or huber with a named parameter, such as "huber(delta)".
    centre : float
        c; a float is taken exactly.

    Raises
    ------
    ValueError
        Where no closed form is known, naming what is allowed.

    Examples
    --------
    >>> symbolic_hessian("a*h2(z1) + b*h4(z1)", "squared").C_exact
    Matrix([[-sqrt(2)*a]])
    """
    exact = Fraction(float(centre))
    name = re.fullmatch(r"\s*huber\(\s*(\w+)\s*\)\s*", loss) if isinstance(loss, str) else None
    if name is not None and _NAME.fullmatch(name.group(1)):
        return _parametric_huber(links.link(link), exact, sympy.Symbol(name.group(1), positive=True))
    return _polynomial(link, losses.loss(loss), exact)


def _polynomial(source: Any, loss: Loss, centre: Fraction) -> SymbolicHessian:
    """E Hess t, E grad t and E t for t = l'(c - g), a polynomial whose coefficients are expressions."""
    if loss.pieces is None or len(loss.pieces) != 1:
        raise ValueError(f"loss = {loss.text!r} with symbolic coefficients; allowed: squared or a polynomial in u")
    text, g = str(source), _read(source)
    z = sympy.symbols(f"z1:{MAX_R + 1}", real=True)
    r = max((k + 1 for k in range(MAX_R) if g.has(z[k])), default=0)
    if r == 0 or not g.is_polynomial(*z):
        raise ValueError(f"link = {text!r}; allowed: a polynomial in z1 ... z{MAX_R} with parameters as coefficients")
    u = _rational(centre) - g
    t = sympy.Poly(sum(_rational(c) * u**k for k, c in enumerate(loss.pieces[0].coefficients)), *z[:r])
    if t.total_degree() > MAX_DEGREE:
        raise ValueError(f"link = {text!r}: l'(c - g) has degree {t.total_degree()}; allowed: up to {MAX_DEGREE}")

    def mean(p: sympy.Poly) -> sympy.Expr:
        moments = (
            c * math.prod(math.prod(range(1, k, 2)) for k in index)
            for index, c in p.terms()
            if all(k % 2 == 0 for k in index)
        )
        return sympy.expand(sum(moments, sympy.Integer(0)))

    axes = [sympy.Poly(t.diff(x), *z[:r]) for x in z[:r]]
    C = sympy.ImmutableMatrix(r, r, lambda i, j: mean(sympy.Poly(axes[i].diff(z[j]), *z[:r])))
    return SymbolicHessian(C, mean(t), sympy.ImmutableMatrix([mean(p) for p in axes]), text, loss.text)


def _parametric_huber(g: Link, centre: Fraction, delta: sympy.Symbol) -> SymbolicHessian:
    """huber(delta) with a symbolic delta > 0 for a link of one variable of degree 2, or even of degree 4.

    The cuts are square roots that keep their order between two values of delta at which c + delta or c - delta is a
    critical value of g; the result is a Piecewise over those.

    Raises
    ------
    ValueError
        For other links.
    """
    z = sympy.Symbol("z", real=True)
    p = sympy.Poly(g.to_sympy().subs(sympy.Symbol("z1"), z), z) if g.r == 1 else None
    if p is None or not (p.degree() <= 2 or (p.degree() == 4 and not any(p.all_coeffs()[1::2]))):
        raise ValueError(
            f"link = {g.text!r} with a parameter in huber; allowed: one variable, degree 2, or even of degree 4"
        )
    c = _rational(centre)
    turning = [x for x in sympy.roots(p.diff(z), multiple=True) if abs(complex(x).imag) < 1e-12]
    critical = {sympy.Abs(sympy.radsimp(sympy.expand(c - p.eval(x)))) for x in turning} - {sympy.Integer(0)}
    ends = sorted(critical, key=lambda x: float(x))
    samples = [float(a + b) / 2 for a, b in itertools.pairwise([sympy.Integer(0), *ends])]
    samples.append(2 * float(ends[-1]) if ends else 1.0)
    cells = [_between(p, z, c, delta, sample) for sample in samples]
    conditions = [*(delta < end for end in ends), True]
    moments = [sympy.Piecewise(*zip(column, conditions, strict=True)) for column in zip(*cells, strict=True)]
    C, first = sympy.ImmutableMatrix([[moments[2]]]), sympy.ImmutableMatrix([moments[1]])
    return SymbolicHessian(C, moments[0], first, g.text, f"huber({delta})")


def _between(
    p: sympy.Poly, z: sympy.Symbol, c: sympy.Expr, delta: sympy.Symbol, sample: float
) -> tuple[sympy.Expr, ...]:
    """E T, E[T z], E[T (z^2 - 1)] for the order of the cuts at this value of delta."""
    u = c - p.as_expr()
    cuts = []
    for level in (c - delta, c + delta):
        for root in sympy.roots(sympy.Poly(p.as_expr() - level, z), multiple=True):
            value = complex(root.subs(delta, sample))
            if abs(value.imag) < 1e-12:
                cuts.append((value.real, root))
    cuts.sort(key=lambda cut: cut[0])
    ends = [-sympy.oo, *(root for _, root in cuts), sympy.oo]
    values = [-math.inf, *(value for value, _ in cuts), math.inf]
    totals = [sympy.Integer(0)] * 3
    for (start, stop), (low, high) in zip(itertools.pairwise(ends), itertools.pairwise(values), strict=True):
        inside = low + 1 if math.isinf(high) else high - 1 if math.isinf(low) else (low + high) / 2
        at = float(u.subs(z, 0.0 if math.isinf(inside) else inside))
        t = delta if at > sample else -delta if at < -sample else u
        for k, weight in enumerate((sympy.Integer(1), z, z**2 - 1)):
            totals[k] += exact_integral(sympy.Poly(sympy.expand(t * weight), z), start, stop)
    return tuple(totals)


def _rational(x: Fraction) -> sympy.Rational:
    return sympy.Rational(x.numerator, x.denominator)


def _read(source: Any) -> sympy.Expr:
    """The expression of a text in z1 ... z6 and parameters, parsed and never evaluated; real symbols."""
    text = str(source)
    return sympy.expand(_value(parsed(text, "link", "a polynomial with parameters"), text))


def _value(node: ast.expr, text: str) -> sympy.Expr:
    match node:
        case ast.Constant(value=int() | float()) if not isinstance(node.value, bool):
            return _rational(Fraction(ast.get_source_segment(text.strip(), node) or "0"))
        case ast.Name(id=name) if _NAME.fullmatch(name) or re.fullmatch(rf"z[1-{MAX_R}]", name):
            return sympy.Symbol(name, real=True)
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return -_value(inner, text)
        case ast.BinOp(left=left, op=ast.Pow(), right=ast.Constant(value=int(k))) if 0 <= k <= MAX_DEGREE:
            return _value(left, text) ** k
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _value(left, text) + _value(right, text)
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            return _value(left, text) - _value(right, text)
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _value(left, text) * _value(right, text)
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            divisor = _value(right, text)
            if divisor == 0:
                raise ValueError(f"link = {text[:60]!r} divides by 0; allowed: division by numbers and parameters")
            return _value(left, text) / divisor
        case ast.Call(func=ast.Name(id="sqrt"), args=[inner], keywords=[]):
            return sympy.sqrt(_value(inner, text))
        case ast.Call(func=ast.Name(id=name), args=[inner], keywords=[]) if re.fullmatch(r"(h|He)\d{1,2}", name):
            k = int(name.lstrip("He").lstrip("h"))
            if k > MAX_DEGREE:
                raise ValueError(f"link = {text[:60]!r} has degree {k}; allowed: degree up to {MAX_DEGREE}")
            x = sympy.Symbol("x")
            plain = sympy.hermite_prob(k, x).subs(x, _value(inner, text))
            return plain if name.startswith("He") else plain / sympy.sqrt(sympy.factorial(k))
    part = ast.get_source_segment(text.strip(), node) or text
    raise ValueError(
        f"link = {text[:60]!r}: {part[:40]!r} is not allowed; allowed: z1 ... z{MAX_R}, letters a to w and Greek names "
        "as parameters, + - * / **, sqrt, h<k>, He<k>"
    )
