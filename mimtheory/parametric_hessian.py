"""E T, E[T z] and C as expressions in parameters of the link or of the loss.

Polynomial l' with symbolic coefficients for any r; huber(delta) and quantile(tau) on a line. Parameters are single
letters a to w but u, and names of Greek letters, all real. Proofs: docs/theory/symbolic.md.
"""

import ast
import itertools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import sympy

from mimtheory import links, losses
from mimtheory.closed_forms import closed_form, exact_integral
from mimtheory.expressions import MOST_BITS, exact_number, parsed
from mimtheory.links import MAX_DEGREE, MAX_R, Link
from mimtheory.losses import Loss

__all__ = ["ParametricMoments", "has_parameters", "parametric_moments"]

_GREEK = (
    *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "kappa"),
    *("lam", "mu", "nu", "rho", "sigma", "tau", "omega"),
)
_NAME = re.compile(rf"\b(?:[a-tvw]|{'|'.join(_GREEK)})\b(?!\s*=)")  # not the keyword in "huber(delta=1)"
_U = sympy.Symbol("u", real=True)
_MOST_TERMS = 5_000  # seconds for SymPy
_MOST_DEGREE = 400  # in variables and parameters together


@dataclass(frozen=True)
class ParametricMoments:
    """Expectations of T = l'(c, y) as SymPy expressions.

    Attributes
    ----------
    link, loss : str
    mean : Expr
        E T.
    first : ImmutableMatrix (r, 1)
        E[T z].
    C : ImmutableMatrix (r, r)
        E[T (z z^T - I)].
    """

    link: str
    loss: str
    mean: sympy.Expr
    first: sympy.ImmutableMatrix
    C: sympy.ImmutableMatrix

    @property
    def parameters(self) -> tuple[sympy.Symbol, ...]:
        """The parameters of link and loss by name, positive in huber and quantile, else real."""
        names = sorted({*_NAME.findall(self.link), *_NAME.findall(self.loss)})
        kind = "real" if re.search(r"\bu\b", self.loss) or not _NAME.search(self.loss) else "positive"
        return tuple(sympy.Symbol(name, **{kind: True}) for name in names)

    def substituted(self, values: Mapping[str, Any]) -> tuple[str, str]:
        """Texts of link and loss with values, numbers or expressions, in the place of parameters."""
        texts = {name: _text_of(name, value) for name, value in values.items()}

        def put(text: str, form: str) -> str:
            return _NAME.sub(lambda match: form.format(texts[match[0]]) if match[0] in texts else match[0], text)

        return put(self.link, "({})"), put(self.loss, "({})" if re.search(r"\bu\b", self.loss) else "{}")


def _text_of(name: str, value: Any) -> str:
    if isinstance(value, float | np.floating):
        if not math.isfinite(value):
            raise ValueError(f"{name} = {value!r}; allowed: finite numbers and SymPy expressions")
        return str(Fraction(repr(float(value))))
    if isinstance(value, int | np.integer | Fraction | sympy.Expr) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"{name} = {value!r}; allowed: finite numbers and SymPy expressions")


def has_parameters(source: Any) -> bool:
    """Whether a link or loss, a text or a SymPy expression, has parameters besides z1 ... z6 and u."""
    if isinstance(source, str):
        return source.strip() not in links.ZOO and bool(_NAME.search(source))
    symbols = getattr(source, "free_symbols", ())
    return any(_NAME.fullmatch(str(symbol)) for symbol in symbols)


def parametric_moments(link: Any, loss: Any, centre: Fraction, noise: Fraction) -> ParametricMoments:
    """The expectations for a link or a loss with parameters.

    Parameters
    ----------
    link : Link, text or SymPy expression
        A polynomial in z1 ... z6; parameters as coefficients only with a polynomial l'.
    loss : Loss, text or SymPy expression
        Squared, a polynomial in u with or without parameters, "huber(delta)" or "quantile(tau)" with a named parameter.
    centre, noise : Fraction
        c and the standard deviation of the label noise.

    Raises
    ------
    ValueError
        Where no closed form is known, naming what is allowed.
    """
    name = re.fullmatch(r"\s*(huber|quantile)\(\s*(\w+)\s*\)\s*", loss) if isinstance(loss, str) else None
    if name is None or not _NAME.fullmatch(name.group(2)):
        return _polynomial(link, loss, centre, noise)
    if has_parameters(link) or noise:
        raise ValueError(
            f"link = {str(link)!r}, label_noise = {float(noise):g} with loss = {loss.strip()!r}; allowed with a "
            "parameter in this loss: a link without parameters and no label noise"
        )
    kind, parameter = name.groups()
    if kind == "huber":
        return _parametric_huber(links.link(link), centre, sympy.Symbol(parameter, positive=True))
    return _parametric_quantile(links.link(link), centre, sympy.Symbol(parameter, positive=True))


def _polynomial(source: Any, loss: Any, centre: Fraction, noise: Fraction) -> ParametricMoments:
    """E Hess t, E grad t and E t for t = l'(c - g - noise xi), a polynomial whose coefficients are expressions."""
    text, g = links.ZOO.get(str(source).strip(), str(source)), _read(source)
    z = sympy.symbols(f"z1:{MAX_R + 1}", real=True)
    r = max((k + 1 for k in range(MAX_R) if g.has(z[k])), default=0)
    if r == 0 or not g.is_polynomial(*z):
        raise ValueError(f"link = {text!r}; allowed: a polynomial in z1 ... z{MAX_R} with parameters as coefficients")
    name, slope = _polynomial_slope(loss)
    xi = sympy.Symbol("xi", real=True)
    variables = (*z[:r], xi) if noise else z[:r]
    u = sympy.Rational(centre) - g - sympy.Rational(noise) * xi
    polynomial, power = sympy.Poly(g, *z[:r]), max(slope.degree(), 0)
    if polynomial.total_degree() * power > MAX_DEGREE:
        degree = polynomial.total_degree() * power
        raise ValueError(f"link = {text!r}: l'(c - g) has degree {degree}; allowed: up to {MAX_DEGREE}")
    _check_terms(text, math.comb(len(sympy.Add.make_args(g)) + 2 + power, power))
    t = sympy.Poly(sum(c * u**k for (k,), c in slope.terms()), *variables)

    def mean(p: sympy.Poly) -> sympy.Expr:
        moments = (
            c * math.prod(math.prod(range(1, k, 2)) for k in index)
            for index, c in p.terms()
            if all(k % 2 == 0 for k in index)
        )
        return sympy.expand(sum(moments, sympy.Integer(0)))

    axes = [sympy.Poly(t.diff(x), *variables) for x in z[:r]]
    C = sympy.ImmutableMatrix(r, r, lambda i, j: mean(sympy.Poly(axes[i].diff(z[j]), *variables)))
    return ParametricMoments(text, name, mean(t), sympy.ImmutableMatrix([mean(p) for p in axes]), C)


def _polynomial_slope(loss: Any) -> tuple[str, sympy.Poly]:
    """Text of a loss and its l' as a polynomial in u; ValueError where it is not one."""
    refused = f"loss = {str(loss)[:60]!r} with parameters; allowed: squared, a polynomial in u, huber or quantile"
    if not isinstance(loss, Loss) and has_parameters(loss):
        value = _read(loss, "loss")
        if not value.is_polynomial(_U) or not value.has(_U):
            raise ValueError(refused)
        return str(value), sympy.Poly(value.diff(_U), _U)
    known = losses.loss(loss)
    if known.pieces is None or len(known.pieces) != 1:
        raise ValueError(refused)
    coefficients = [sympy.Rational(c) for c in reversed(known.pieces[0].coefficients)]
    return known.text, sympy.Poly(coefficients, _U)


def _parametric_quantile(g: Link, centre: Fraction, tau: sympy.Symbol) -> ParametricMoments:
    """T = 1(u > 0) - tau: only E T depends on tau, and the rest is that of tau = 1/2."""
    form = closed_form(g, losses.loss("quantile(0.5)"), centre)
    if form is None:
        raise ValueError(f"link = {g.text!r} with a parameter in quantile; allowed: one variable, few square roots")
    mean, first, second = form.expressions()
    matrices = (sympy.ImmutableMatrix([[x]]) for x in (first, second))
    return ParametricMoments(g.text, f"quantile({tau})", mean + sympy.Rational(1, 2) - tau, *matrices)


def _parametric_huber(g: Link, centre: Fraction, delta: sympy.Symbol) -> ParametricMoments:
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
    c = sympy.Rational(centre)
    turning = [x for x in sympy.roots(p.diff(z), multiple=True) if abs(complex(x).imag) < 1e-12]
    critical = {sympy.Abs(sympy.radsimp(sympy.expand(c - p.eval(x)))) for x in turning} - {sympy.Integer(0)}
    ends = sorted(critical, key=lambda x: float(x))
    samples = [float(a + b) / 2 for a, b in itertools.pairwise([sympy.Integer(0), *ends])]
    samples.append(2 * float(ends[-1]) if ends else 1.0)
    cells = [_between(p, z, c, delta, sample) for sample in samples]
    conditions = [*(delta < end for end in ends), True]
    moments = [sympy.Piecewise(*zip(column, conditions, strict=True)) for column in zip(*cells, strict=True)]
    C, first = sympy.ImmutableMatrix([[moments[2]]]), sympy.ImmutableMatrix([moments[1]])
    return ParametricMoments(g.text, f"huber({delta})", moments[0], first, C)


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


def _read(source: Any, argument: str = "link") -> sympy.Expr:
    """The expression of a text in z1 ... z6 (u for a loss) and parameters, parsed and never evaluated; real symbols."""
    text = links.ZOO.get(str(source).strip(), str(source))
    value = _Reader(argument, text).value(parsed(text, argument, "a polynomial with parameters"))
    _check_terms(text, _most_terms(value))
    return sympy.expand(value)


def _most_terms(value: sympy.Expr) -> int:
    """Bound on the number of terms after expansion."""
    if value.is_Add:
        return sum(map(_most_terms, value.args))
    if value.is_Mul:
        return math.prod(map(_most_terms, value.args))
    if value.is_Pow and value.exp.is_Integer and value.exp > 0:
        k = int(value.exp)
        return math.comb(_most_terms(value.base) + k - 1, k)
    return 1


def _growth(value: sympy.Expr) -> tuple[int, int, int]:
    """Bounds on the bits of numerators and of denominators, and on the degree, that in parameters included, after
    expansion."""
    if value.is_Rational:
        return int(abs(value.p)).bit_length(), (int(value.q) - 1).bit_length(), 0
    if value.is_Pow and value.exp.is_Rational:
        p, q, degree = (math.ceil(size * abs(value.exp)) for size in _growth(value.base))
        return (p, q, degree) if value.exp > 0 else (q, p, degree)
    if not value.args:
        return 0, 0, 1
    over, under, degrees = zip(*map(_growth, value.args), strict=True)
    if value.is_Mul:
        return sum(over), sum(under), sum(degrees)
    # over the product of the denominators
    return max(over) + sum(under) + len(over).bit_length(), sum(under), max(degrees)


def _check_terms(text: str, count: int) -> None:
    if count > _MOST_TERMS:
        raise ValueError(f"{text[:60]!r} expands to as many as {count:,} terms; allowed: up to {_MOST_TERMS:,}")


@dataclass(frozen=True)
class _Reader:
    """Reads the syntax tree of the text of a link or a loss."""

    argument: str
    text: str

    @property
    def variables(self) -> str:
        """Regular expression of the variables."""
        return "u" if self.argument == "loss" else rf"z[1-{MAX_R}]"

    def value(self, node: ast.expr) -> sympy.Expr:
        """The expression of a node; ValueError naming what is not allowed."""
        match node:
            case ast.Constant(value=int() | float()) if not isinstance(node.value, bool):
                number = exact_number(ast.get_source_segment(self.text.strip(), node) or "0")
                if number is None:
                    raise self._error(node, "is out of range", "decimals with exponents up to 1024")
                return sympy.Rational(number)
            case ast.Name(id=name) if _NAME.fullmatch(name) or re.fullmatch(self.variables, name):
                return sympy.Symbol(name, real=True)
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                return -self.value(inner)
            case ast.BinOp(left=left, op=ast.Pow(), right=ast.Constant(value=int(k))) if 0 <= k <= MAX_DEGREE:
                base = self.value(left)
                self._check_size(node, base, k, math.comb(_most_terms(base) + max(k, 1) - 1, k))
                return base**k
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return self.value(left) + self.value(right)
            case ast.BinOp(left=left, op=ast.Sub(), right=right):
                return self.value(left) - self.value(right)
            case ast.BinOp(left=left, op=ast.Mult(), right=right):
                return self._product(node, self.value(left), self.value(right))
            case ast.BinOp(left=left, op=ast.Div(), right=right):
                divisor = self.value(right)
                if divisor == 0:
                    raise self._error(node, "divides by 0", "division by numbers and parameters")
                return self._product(node, self.value(left), 1 / divisor)
            case ast.Call(func=ast.Name(id="sqrt"), args=[inner], keywords=[]):
                return sympy.sqrt(self.value(inner))
            case ast.Call(func=ast.Name(id=name), args=[inner], keywords=[]) if re.fullmatch(r"(h|He)\d{1,2}", name):
                return self._hermite(node, name, self.value(inner))
        raise self._error(
            node,
            "is not allowed",
            f"{'u' if self.argument == 'loss' else f'z1 ... z{MAX_R}'}, letters a to w but u and Greek names as "
            "parameters, + - * / **, sqrt, h<k>, He<k>",
        )

    def _hermite(self, node: ast.expr, name: str, inner: sympy.Expr) -> sympy.Expr:
        k = int(name.lstrip("He").lstrip("h"))
        if k > MAX_DEGREE:
            raise self._error(node, f"has degree {k}", f"degree up to {MAX_DEGREE}")
        self._check_size(node, inner, k, math.comb(_most_terms(inner) + k, k))
        x = sympy.Symbol("x")
        plain = sympy.hermite_prob(k, x).subs(x, inner)
        return plain if name.startswith("He") else plain / sympy.sqrt(sympy.factorial(k))

    def _product(self, node: ast.expr, left: sympy.Expr, right: sympy.Expr) -> sympy.Expr:
        self._check_size(node, left, 1, _most_terms(left) * _most_terms(right), _growth(right))
        return left * right

    def _check_size(
        self, node: ast.expr, base: sympy.Expr, k: int, terms: int, beside: tuple[int, int, int] = (0, 0, 0)
    ) -> None:
        """Refuse base**k, times something that grows as `beside`, before it is made."""
        over, under, degree = (k * size + more for size, more in zip(_growth(base), beside, strict=True))
        if max(over, under) > MOST_BITS:
            raise self._error(node, "has too long a number", f"numerators and denominators up to {MOST_BITS} bits")
        if degree > _MOST_DEGREE:
            raise self._error(node, f"has degree {degree}", f"degree up to {_MOST_DEGREE}")
        if terms > _MOST_TERMS:
            raise self._error(node, f"expands to as many as {terms:,} terms", f"up to {_MOST_TERMS:,}")

    def _error(self, node: ast.expr, problem: str, allowed: str) -> ValueError:
        part = (ast.get_source_segment(self.text.strip(), node) or self.text)[:40]
        return ValueError(f"{self.argument} = {self.text[:60]!r}: {part!r} {problem}; allowed: {allowed}")
