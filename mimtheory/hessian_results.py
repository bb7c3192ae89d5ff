"""What is known of C = E[T (z z^T - I)]: numbers with a radius, or expressions in parameters.

Every result prints only the digits that its radius supports, and can be asked for a certificate.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import sympy
from flint import arb, arb_mat
from numpy.typing import NDArray

from mimtheory.arguments import check_time
from mimtheory.balls import certified_text
from mimtheory.certificate import Certificate, certify
from mimtheory.enclosures import Enclosure, Problem, enclose_fourth
from mimtheory.gaussian_moments import gaussian_moments
from mimtheory.html_tables import html_table
from mimtheory.parametric_hessian import ParametricMoments

__all__ = ["TIME_LIMIT", "Exact", "ExpectedHessian", "ParametricHessian"]

Floats = NDArray[np.float64]
TIME_LIMIT = 60.0  # seconds
_FOURTH_RADIUS, _FOURTH_SECONDS = 1e-3, 10.0

Exact = tuple[sympy.Expr, sympy.ImmutableMatrix, sympy.ImmutableMatrix]  # E T, E[T z], C


@dataclass(frozen=True, eq=False)
class ExpectedHessian:
    """C and c0 with what is known about their error.

    Attributes
    ----------
    C : (r, r) array
        E[T (z z^T - I)], symmetric, in units of T. Not a number where nothing is known; infinite, as the radius, where
        an entry is beyond the doubles, which `C_exact` and `C_ball` are not.
    c0 : float
        E T, in units of T.
    first_moment : (r,) array
        E[T z], in units of T.
    radius : float
        Bound on the error of every entry of C and of c0, in units of T: proved where `status` is exact or certified,
        an estimate (see `gaussian_integrals.Averages`) where it is estimated.
    method : str
        How C was computed.
    status : {"exact", "certified", "estimated", "undecided"}
        undecided: balls, but wider than was asked for.
    problem : Problem
        Link, loss, centre and label noise.
    enclosure : Enclosure or None
        The balls, where there are any.
    asked : int or None
        Decimal places that were asked for; balls are printed to eighteen, or to these if they are more.
    """

    C: Floats
    c0: float
    first_moment: Floats
    radius: float
    method: str
    status: Literal["exact", "certified", "estimated", "undecided"]
    problem: Problem
    enclosure: Enclosure | None = field(repr=False)
    _exact: Callable[[], Exact | None] = field(repr=False)
    asked: int | None = None

    @cached_property
    def _forms(self) -> Exact | None:
        return self._exact()

    @property
    def C_exact(self) -> sympy.ImmutableMatrix | None:
        """C (r, r) as SymPy expressions, in units of T, where a closed form is known, else None; computed on demand."""
        return self._forms and self._forms[2]

    @property
    def mean_exact(self) -> sympy.Expr | None:
        """E T in the same way, in units of T."""
        return self._forms and self._forms[0]

    @property
    def first_moment_exact(self) -> sympy.ImmutableMatrix | None:
        """E[T z] in the same way, shape (r, 1), in units of T."""
        return self._forms and self._forms[1]

    @property
    def parameters(self) -> tuple[sympy.Symbol, ...]:
        """Symbols that have no values yet, by name; () where everything is a number."""
        return ()

    def subs(self, values: Mapping[Any, Any]) -> "ExpectedHessian":
        """The same with values for parameters, which are given as symbols or by name.

        Values are numbers (0.1 means exactly 1/10) or expressions. Once no parameter is left the result has all that
        `expected_hessian` gives for numbers: balls, certificates, a radius.

        Raises
        ------
        ValueError
            For a name that is no parameter, or a value that gives no valid link or loss.
        """
        known = [str(symbol) for symbol in self.parameters]
        for name in map(str, values):
            if name not in known:
                raise ValueError(f"values has {name!r}; allowed: {', '.join(known) or 'nothing, all are numbers'}")
        return self

    def lambdify(self) -> Callable[..., Floats]:
        """C as a function of the parameters, in their order: arrays that broadcast to a shape s give (*s, r, r)."""
        return lambda: self.C

    @property
    def C_ball(self) -> arb_mat | None:
        """Arb enclosures of the entries of C (r, r), in units of T, or None."""
        return None if self.enclosure is None else self.enclosure.C

    @cached_property
    def T2_z4(self) -> float:
        r"""E[T^2 |z|^4], in units of T^2, on which the error of the empirical signal block depends; computed on demand.

        Source: docs/theory/certified.md, The fourth moment $\mathbb E[T^2|z|^4]$.
        """
        p = self.problem
        return gaussian_moments(p.link, p.loss, float(p.centre), float(p.noise)).T2_z4

    @cached_property
    def T2_z4_ball(self) -> arb | None:
        """An Arb enclosure of E[T^2 |z|^4], in units of T^2, or None where no method is known; at most ten seconds."""
        return enclose_fourth(self.problem, _FOURTH_RADIUS, time.monotonic() + _FOURTH_SECONDS)

    def certificate(self, time_limit: float = TIME_LIMIT) -> Certificate:
        """What can be proved of rank and eigenvalues within `time_limit` seconds.

        Raises
        ------
        ValueError
            If `time_limit` is not a positive number.
        """
        check_time(time_limit)
        return certify(self.problem, time_limit, known=self.enclosure)

    def is_degenerate(self, time_limit: float = TIME_LIMIT) -> bool | None:
        """True with an exact argument, False with a certificate of full rank, None where neither was found within
        `time_limit` seconds.

        Raises
        ------
        ValueError
            If `time_limit` is not a positive number.
        """
        status = self.certificate(time_limit).status
        return None if status == "undecided" else status == "degenerate"

    @property
    def digits(self) -> int:
        """Decimal places that the radius supports, at most 15."""
        if self.radius == 0:
            return 15
        return max(0, min(15, math.floor(-math.log10(2 * self.radius)))) if math.isfinite(self.radius) else 0

    def __repr__(self) -> str:
        rows = "; ".join("  ".join(row) for row in self._entries())
        return f"C = [{rows}], c0 = {self._mean()}, radius {self.radius:.1e}, {self.method}"

    def _repr_latex_(self) -> str:
        if self.status == "exact" and self.C_exact is not None:
            body = sympy.latex(self.C_exact, mat_delim="(")
        else:
            rows = r" \\ ".join(" & ".join(row) for row in self._entries())
            body = rf"\begin{{pmatrix}} {rows} \end{{pmatrix}}".replace("±", r"\pm ")
        return rf"$C = {body},\quad c_0 = {self._mean()}$ ({self.method})".replace("±", r"\pm ")

    def _repr_html_(self) -> str:
        about = f"c0 = {self._mean()}, error at most {self.radius:.1e}, {self.method}"
        return html_table(self._entries(), f"Expected Hessian C: {about}")

    def _entries(self) -> list[list[str]]:
        r = len(self.C)
        if self.C_ball is not None:
            return [[self._ball(self.C_ball[i, j]) for j in range(r)] for i in range(r)]
        return [[self._number(float(x)) for x in row] for row in self.C]

    def _mean(self) -> str:
        return self._number(self.c0) if self.enclosure is None else self._ball(self.enclosure.mean)

    def _number(self, x: float) -> str:
        text = f"{x:.{self.digits}f}"
        return text.lstrip("-") if float(text) == 0 else text

    def _ball(self, ball: arb) -> str:
        return certified_text(ball, max(18, self.asked or 0))


class ParametricHessian(ExpectedHessian):
    """C for a link or a loss with parameters: expressions, from which numbers come by `subs` or `lambdify`.

    `C_exact`, `mean_exact` and `first_moment_exact` are the expressions. What needs numbers (`C`, `c0`, `first_moment`,
    `T2_z4`, `certificate`, `is_degenerate`) raises a ValueError that names the parameters. `expected_hessian` makes it.

    Parameters
    ----------
    found : ParametricMoments
        The expressions.
    restart : callable
        Computes anew from texts of a link and a loss.

    Raises
    ------
    ValueError
        When what needs numbers is asked for; the message names the parameters.
    """

    _found: ParametricMoments
    _restart: Callable[[str, str], ExpectedHessian]

    def __init__(self, found: ParametricMoments, restart: Callable[[str, str], ExpectedHessian]) -> None:
        fixed = {"radius": 0.0, "method": "exact", "status": "exact", "enclosure": None}
        fixed |= {"_found": found, "_restart": restart, "_exact": lambda: (found.mean, found.first, found.C)}
        for name, value in fixed.items():
            object.__setattr__(self, name, value)

    @property
    def parameters(self) -> tuple[sympy.Symbol, ...]:
        """Symbols that have no values yet, by name."""
        return self._found.parameters

    def subs(self, values: Mapping[Any, Any]) -> ExpectedHessian:
        super().subs(values)
        return self._restart(*self._found.substituted({str(name): value for name, value in values.items()}))

    def lambdify(self) -> Callable[..., Floats]:
        entries = sympy.lambdify(self.parameters, self._found.C.tolist(), ["scipy", "numpy"])

        def function(*values: Any) -> Floats:
            with np.errstate(all="ignore"):  # branches of a Piecewise that do not apply
                rows = entries(*(np.asarray(value, dtype=np.float64) for value in values))
            C = np.array(np.broadcast_arrays(*(x for row in rows for x in row), *values)[: len(rows) ** 2])
            return np.moveaxis(C, 0, -1).reshape(*C.shape[1:], len(rows), len(rows))

        return function

    def _needs_numbers(self) -> Any:
        names = [symbol.name for symbol in self.parameters]
        raise ValueError(
            f"this needs numbers for the parameters {', '.join(names)}; allowed: .subs({{{names[0]!r}: 1.5, ...}}) "
            "first, .lambdify(), or the expressions .C_exact, .mean_exact, .first_moment_exact"
        )

    C = c0 = first_moment = problem = property(_needs_numbers)

    def __repr__(self) -> str:
        names = ", ".join(symbol.name for symbol in self.parameters)
        return f"C = {self._found.C.tolist()}, c0 = {self._found.mean}, exact in {names}"

    def _repr_latex_(self) -> str:
        return rf"$C = {sympy.latex(self._found.C, mat_delim='(')},\quad c_0 = {sympy.latex(self._found.mean)}$"

    def _repr_html_(self) -> str:
        return f"<p>{self._repr_latex_()}</p>"
