"""What `explore` finds without a draw, all together, and how it is shown: as text, as HTML and as plain values."""

import io
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mimtheory.advisor import Bound, Window, bounds, findings, required_n, window
from mimtheory.arguments import check_delta, check_integer
from mimtheory.assumptions import Finding, fails
from mimtheory.hessian import expected_hessian
from mimtheory.hessian_results import ExpectedHessian
from mimtheory.html_tables import html_table
from mimtheory.population import Population
from mimtheory.setting import Setting

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["Exploration", "explore"]

_SAMPLES_PER_DIMENSION = 40
_WIDTH = 100  # of text that is not for a terminal
_FITTED = "A fitted centre depends on the draw: bounds without a draw are stated for a number or 'population'."
_NO_WINDOW = "The window of steps is not stated: assumption_activation fails."
_STYLE = {"holds": "green", "fails": "bold red", "undecided": "magenta"}
_COLUMNS = ("assumption", "status", "why"), ("claim", "bound", "finite from n")


@dataclass(frozen=True)
class Exploration:
    """What is known of a problem before anything is drawn; printed, it is what `mimtheory explore` prints.

    Attributes
    ----------
    setting : Setting
    delta : float
    """

    setting: Setting
    delta: float

    @cached_property
    def hessian(self) -> ExpectedHessian:
        """The expected Hessian, at this centre and noise."""
        s = self.setting
        return expected_hessian(s.link, s.loss, Population(s).centre, s.label_noise)

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """The assumptions."""
        return findings(self.setting, self.delta)

    @cached_property
    def bounds(self) -> tuple[Bound, ...]:
        """The bounds of every lemma without a draw."""
        return bounds(self.setting, self.delta)

    @cached_property
    def window(self) -> Window | None:
        """The steps that stage one should take; None where assumption_activation fails, without which no rate is
        known."""
        return None if fails("assumption_activation", Population(self.setting)) else window(self.setting)

    @cached_property
    def required_n(self) -> dict[str, int | None]:
        """For each bound the smallest n at which it is finite."""
        return {
            bound.claim.label: None if bound.unmet else required_n(bound.claim.label, self.setting, self.delta)
            for bound in self.bounds
        }

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values.

        A number that is infinite is None, with a `reason` beside it.
        """
        s, H = self.setting, self.hessian
        return {
            "setting": s.to_dict(),
            "delta": self.delta,
            "hermite_coefficients": {str(alpha): str(value) for alpha, value in s.link.hermite_coefficients.items()},
            "information_exponent": s.link.information_exponent,
            "second_moment": str(s.link.second_moment),
            "C": [[_plain(x) for x in row] for row in H.C.tolist()],
            "eigenvalues": [_plain(x) for x in _eigenvalues(H)],
            "c0": _plain(H.c0),
            "radius": _plain(H.radius),
            "method": H.method,
            "findings": [{"label": x.label, "status": x.status, "reason": x.reason} for x in self.findings],
            "bounds": [self._plain_bound(bound) for bound in self.bounds],
            "window": None if self.window is None else _plain_window(self.window),
            "window_of_negative_a": None if (other := self._other_window) is None else _plain_window(other),
            "window_reason": "" if self.window is not None else _NO_WINDOW,
        }

    def to_json(self) -> str:
        """`to_dict` as JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False)

    def _plain_bound(self, bound: Bound) -> dict[str, Any]:
        n = self.required_n[bound.claim.label]
        values = [_plain(value) for value in bound.values]
        return {"claim": bound.claim.label, "values": values, "finite_from_n": n, "reason": self._why_none(bound)}

    def _why_none(self, bound: Bound) -> str:
        """Why a bound is not finite, or not at any n; "" where it is."""
        if self.setting.centre == "fitted":
            return _FITTED
        if bound.unmet:
            return f"needs {', '.join(bound.unmet)}"
        if self.required_n[bound.claim.label] is None:
            # most bounds are stated with K = sup |l'|, whose being finite is this assumption
            unbounded = fails("assumption_loss", Population(self.setting))
            return "none up to 10^9: assumption_loss fails" if unbounded else "more than 10^9"
        return "" if bound.speaks else f"not finite at n = {self.setting.n}"

    @cached_property
    def _other_window(self) -> Window | None:
        """For a_j < 0, where it may differ: with memory."""
        return None if self.window is None or Population(self.setting).gamma1 == 0 else window(self.setting, -1)

    def _head(self) -> tuple[str, str]:
        """The problem, and what else was chosen or follows for it."""
        s, population = self.setting, Population(self.setting)
        chosen = {"activation": s.activation.text, "m": s.m, "T1": s.steps, "eps0": s.eps0, "centre": s.centre}
        chosen |= {"label noise": s.label_noise, "eta1": population.eta1, "gamma1": population.gamma1}
        told = (
            f"{name} = {value:.6g}" if isinstance(value, float) else f"{name} = {value}"
            for name, value in chosen.items()
        )
        return f"g = {s.link}, loss {s.loss.text}, d = {s.d}, n = {s.n}", ", ".join(told)

    def _expansion(self) -> Iterator[str]:
        link, H = self.setting.link, self.hessian
        coefficients = ", ".join(f"{alpha}: {value}" for alpha, value in link.hermite_coefficients.items())
        yield f"Hermite coefficients: {coefficients}"
        yield f"Information exponent {link.information_exponent}, E g^2 = {link.second_moment}"
        values = ", ".join(_known(value, len(H.C) * H.radius) for value in _eigenvalues(H))
        yield f"C has eigenvalues {values}; c0 = {_known(H.c0, H.radius)}; error at most {H.radius:.1g} ({H.method})."

    def _title_of_bounds(self) -> str:
        return (
            f"Bounds without a draw, delta = {self.delta:g}: their values, and the smallest n at which they are finite"
        )

    def _rows(self) -> Iterator[tuple[str, str, str]]:
        """Claim, bound, and from which n on it is finite or what it needs; none for a fitted centre."""
        for bound in self.bounds if self.setting.centre != "fitted" else ():
            label, n = bound.claim.label, self.required_n[bound.claim.label]
            values = ", ".join(f"{value:.3g}" for value in bound.values) if bound.speaks else "infinite"
            least = self._why_none(bound) if n is None else "any" if n == 1 else f"{n:,}"
            yield label, "none" if bound.unmet else values, least

    def _closing(self) -> Iterator[str]:
        """What to say of the steps."""
        if self.window is None:
            yield _NO_WINDOW
            return
        yield _window_sentence(self.window)
        if self._other_window is not None:
            yield f"That is for a > 0. For a < 0: {_window_sentence(self._other_window)}"

    def __rich__(self) -> "RenderableType":
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        assumptions, bound_table = Table(*_COLUMNS[0]), Table(_COLUMNS[1][0])
        for finding in self.findings:
            status = Text(finding.status, style=_STYLE[finding.status])
            assumptions.add_row(finding.label, status, Text(_shortened(finding.reason)))
        for column in _COLUMNS[1][1:]:
            bound_table.add_column(column, justify="right")
        for row in self._rows():
            bound_table.add_row(*map(Text, row))
        headline, chosen = self._head()
        # a title of a table would be wrapped to its width
        about = (Text(headline, style="bold"), *map(Text, (chosen, *self._expansion(), "", "Assumptions")))
        stated = (Text(_FITTED),) if self.setting.centre == "fitted" else (bound_table,)
        title = Text(f"\n{self._title_of_bounds()}")
        return Group(*about, assumptions, title, *stated, Text(), *map(Text, self._closing()))

    def __str__(self) -> str:
        from rich.console import Console

        text = io.StringIO()
        Console(file=text, width=_WIDTH, color_system=None).print(self)
        return "\n".join(line.rstrip() for line in text.getvalue().splitlines())

    def _repr_html_(self) -> str:
        from html import escape

        headline, chosen = self._head()
        found = ((finding.label, finding.status, _shortened(finding.reason)) for finding in self.findings)
        fitted = self.setting.centre == "fitted"
        stated = f"<p>{_FITTED}</p>" if fitted else html_table(self._rows(), self._title_of_bounds(), _COLUMNS[1])
        about = f"<p><b>{escape(headline)}</b><br>{escape(chosen)}</p>{self.hessian._repr_html_()}"
        steps = escape(" ".join(self._closing()))
        return f"{about}{html_table(found, 'Assumptions', _COLUMNS[0])}{stated}<p>{steps}</p>"


def _shortened(reason: str) -> str:
    """A reason for a cell of a table: of many symmetries the first two."""
    symmetry = r"g\([^()]*\) = -?g\(z\)"
    many = rf"({symmetry}; {symmetry})((?:; {symmetry}){{2,}})"
    return re.sub(many, lambda found: f"{found[1]} and {found[2].count(';')} more", reason)


def _eigenvalues(H: ExpectedHessian) -> list[float]:
    values: list[float] = np.linalg.eigvalsh(H.C).tolist()
    return values


def _known(value: float, error: float) -> str:
    """A number that its error tells from 0, else 0."""
    return f"{value:.6g}" if abs(value) > error else "0"


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _plain_window(found: Window) -> dict[str, Any]:
    return {
        "T_min": found.T_min,
        "T_max": found.T_max,
        "rho_1": _plain(found.rho_1),
        "rho_r": _plain(found.rho_r),
        "rho_b": _plain(found.rho_b),
        "reason": _window_sentence(found),
    }


def _window_sentence(found: Window) -> str:
    rates = f"rho_1 = {found.rho_1:.3g}, rho_r = {found.rho_r:.3g}, rho_b = {found.rho_b:.3g}"
    if found.T_min is None:
        return f"No number of steps aligns the neurons: the bulk grows at least as fast as the signal ({rates})."
    end = "no limit" if found.T_max is None else str(found.T_max)
    verdict = "The window is empty" if found.empty else f"Steps from T_min = {found.T_min} to T_max = {end}"
    return f"{verdict}, by the expected rates {rates}."


class _Text(str):
    """A default that is told from an equal text that was given."""


class _Whole(int):
    """The same for a number."""


_LOSS, _DIMENSION = _Text("huber(1)"), _Whole(100)


def explore(
    link: Any, loss: Any = _LOSS, *, d: int = _DIMENSION, n: int | None = None, delta: float = 0.01, **fields: object
) -> Exploration:
    """Everything that the theory says of a problem without a draw.

    Parameters
    ----------
    link : str, Link or Setting
        As for `Setting`; or a whole Setting, beside which only delta may be given.
    loss : str or Loss
        As for `Setting`.
    d, n : int
        n = 40 d if not given.
    delta : float
        Failure probability.
    **fields
        Other fields of `Setting`.

    Raises
    ------
    ValueError
        For a delta out of range, for what `Setting` refuses, and for a field beside a Setting.
    """
    check_delta(delta)
    if isinstance(link, Setting):
        usual = {"loss": _LOSS, "d": _DIMENSION, "n": None}
        for name, value in ({"loss": loss, "d": d, "n": n} | fields).items():
            if name not in usual or value is not usual[name]:
                raise ValueError(f"{name} = {value!r} beside a Setting; allowed: a Setting and delta alone")
        return Exploration(link, float(delta))
    check_integer("d", d, 1, "an integer from 1")
    problem = {"link": link, "loss": loss, "d": d, "n": _SAMPLES_PER_DIMENSION * d if n is None else n}
    return Exploration(Setting.from_dict(problem | fields), float(delta))
