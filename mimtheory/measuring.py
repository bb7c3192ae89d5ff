"""One table of claims for one draw, or for your own arrays.

`measure` checks a lemma on a draw of a Setting. `check_data` checks what can be checked on given inputs, labels and
start: claims of levels I and D, and of these only those that do not need to know the hidden subspace or the link.
"""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from scipy.sparse.linalg import ArpackError

from mimtheory.activations import Activation, activation
from mimtheory.arguments import check_delta, check_integer, check_real
from mimtheory.assumptions import Finding, check, fails
from mimtheory.experiment import Experiment
from mimtheory.html_tables import html_table
from mimtheory.input_checks import input_findings
from mimtheory.lemmas import REGISTRY, find_claim, find_lemma
from mimtheory.losses import Loss, loss
from mimtheory.operators import EmpiricalHessian, spectral_norm
from mimtheory.population import Population
from mimtheory.registry import Claim
from mimtheory.relations import Relation
from mimtheory.sample import Sample, fitted_centre
from mimtheory.setting import MOST_STEPS, Setting, kept_share
from mimtheory.stage_one import Run

__all__ = ["DataReport", "Row", "check_data", "data_experiment", "measure"]

Floats = NDArray[np.float64]
_LARGEST = 1e50  # as of the gradient: fourth moments of larger entries leave the range of doubles


@dataclass(frozen=True)
class Row:
    """One claim on one draw.

    Attributes
    ----------
    claim, level : str
    outcome : {"holds", "violated", "vacuous", "undecided", "skipped", "error"}
    measured, stated : float
        At the entry with the largest ratio; in units of `measured`, which are those of the claim's formula.
    ratio : float
        The largest measured/stated.
    reason : str
        Why it was skipped, or what the error was.
    """

    claim: str
    level: str
    outcome: str
    measured: float
    stated: float
    ratio: float
    reason: str = ""


def measure(label: str, setting: Setting, rng: int = 0, delta: float = 0.01) -> list[Row]:
    """Check a lemma ("A.4") or a claim ("A.4/max_q") on one draw.

    Parameters
    ----------
    label : str
    setting : Setting
    rng : int
        Seed of the draw, as for `numpy.random.default_rng`.
    delta : float
        Failure probability of claims of levels G and P.

    Raises
    ------
    ValueError
        For an unknown label, where the known ones are named, for what is no Setting, and for a delta out of range.
    """
    check_delta(delta)
    if not isinstance(setting, Setting):
        raise ValueError(f"setting = {setting!r}; allowed: a Setting")
    claims = [find_claim(label)] if isinstance(label, str) and "/" in label else list(find_lemma(label).claims.values())
    e = Experiment(setting, rng)
    rows = [_checked_row(claim, partial(claim.check, e, delta)) for claim in claims]
    return [
        replace(row, reason=_unmet(claim, e.population)) if row.outcome == "vacuous" else row
        for claim, row in zip(claims, rows, strict=True)
    ]


def _unmet(claim: Claim, population: Population) -> str:
    """The assumption without which this claim promises nothing, and why it fails; empty where all are met."""
    for label in claim.needs:
        if fails(label, population):
            return f"{label} fails: {check(label, population).reason.removesuffix('.')}"
    if claim.level == "P" and population.setting.centre == "fitted":
        return "a centre that is fitted to the draw promises nothing before it"
    return ""


def _row(claim: Claim, relation: Relation) -> Row:
    worst = relation.worst
    sides = (math.nan, math.nan) if worst is None else (relation.measured[worst], relation.stated[worst])
    return Row(claim.label, claim.level, relation.outcome, float(sides[0]), float(sides[1]), relation.ratio)


class _Unknown(Exception):
    """A claim asked for something that the user's arrays do not tell."""


@dataclass(frozen=True)
class _DataSetting:
    """What a Setting says, read off the arrays; there is no link."""

    loss: Loss
    activation: Activation
    d: int
    n: int
    m: int
    steps: int
    eta1: float
    beta1: float | None
    eta_last: float | None
    eps0: float
    a_scale: float
    centre: float | str


class _DataPopulation:
    """The part of a Population that does not need the link; the mean of T stands for c0, which only chooses V_hat."""

    def __init__(self, setting: _DataSetting, r: int | None, c0: float) -> None:
        self.setting, self.d, self.n, self.c0 = setting, setting.d, setting.n, c0
        self.eta1, self.T1, self._r = setting.eta1, setting.steps, r
        self.step = setting.eta1 * setting.a_scale
        self.gamma1 = kept_share(setting.eta1, setting.beta1)
        self.T = self.T1 if self.gamma1 == 0 else self.T1 - 1
        self.f_stays_zero = self.gamma1 == 0 and setting.activation.even

    @property
    def r(self) -> int:
        if self._r is None:
            raise _Unknown("the number r of hidden directions is not given")
        return self._r

    @property
    def p(self) -> int:
        return self.d - self.r

    def __getattr__(self, name: str) -> Any:
        raise _Unknown(f"{name} needs the link function, which is not given")


class _DataSample(Sample):
    """A Sample made of given arrays; U is unknown."""

    def __init__(self, population: _DataPopulation, X: Floats, y: Floats, c: float) -> None:
        self.population, self.X, self.y, self.centre = population, X, y, c  # type: ignore[assignment]
        self.T = population.setting.loss.dl(c, y)
        self.S_hat = EmpiricalHessian(X, self.T)

    def __getattr__(self, name: str) -> Any:
        if name in ("U", "Z"):
            raise _Unknown("the hidden subspace is not given")
        raise AttributeError(name)


class _DataRun(Run):
    """Stage one from a given start."""

    def __init__(self, sample: _DataSample, a: Floats, W: Floats) -> None:
        super().__init__(sample, np.random.default_rng(0))
        self.a, self.start = a, W


@dataclass(frozen=True, eq=False)
class _DataExperiment:
    """What the claims read of an Experiment, as far as arrays tell it."""

    setting: _DataSetting
    population: _DataPopulation
    sample: _DataSample
    run: _DataRun

    def __getattr__(self, name: str) -> Any:
        if name == "outer":
            raise _Unknown("stage two needs the link function, which is not given")
        return self.sample if name == "labels" else getattr(self.run if name == "a" else self.sample, name)


@dataclass(frozen=True)
class DataReport:
    """What `check_data` found.

    Attributes
    ----------
    inputs : tuple of Finding
        Whether X looks centred, white and Gaussian, as the theory assumes.
    rows : tuple of Row
        The claims of levels I and D.
    """

    inputs: tuple[Finding, ...]
    rows: tuple[Row, ...]

    def _repr_html_(self) -> str:
        inputs = [(found.label, found.status, found.reason) for found in self.inputs]
        rows = [(row.claim, row.outcome, row.reason or f"measured/stated {row.ratio:.3g}") for row in self.rows]
        return html_table([*inputs, *rows])

    def __repr__(self) -> str:
        inputs = Counter(found.status for found in self.inputs)
        rows = Counter(row.outcome for row in self.rows)
        told = (", ".join(f"{count} {answer}" for answer, count in some.items()) for some in (inputs, rows))
        return "DataReport(inputs: {}; claims: {})".format(*told)


def check_data(
    X: Floats,
    y: Floats,
    W: Floats,
    *,
    loss: "str | Loss" = "squared",
    activation: "str | Activation" = "1-cos",
    a_scale: float = 1.0,
    centre: "float | str" = "fitted",
    T1: int = 4,
    eta1: float | None = None,
    beta1: float | None = None,
    r: int | None = None,
) -> DataReport:
    """Check the statements that hold for every draw on your own data, stage one started from W.

    Parameters
    ----------
    X : (n, d)
    y : (n,)
        In units of y.
    W : (m, d)
        Rows of the first layer at the start, in units of w; m even. The first half of the neurons has a_j = a_scale,
        the second -a_scale.
    loss, activation
        As for `Setting`.
    a_scale : float
        In units of y/w^2.
    centre : float or "fitted"
        In units of y.
    T1 : int
        Steps of stage one.
    eta1 : float
        In units of w^2/T/y; 1/(a_scale |S_hat|) if not given.
    beta1 : float
        In units of T*y/w^2; as for `Setting`.
    r : int
        Number of hidden directions, if known: without it claims about how many there are, as those of A.7, are skipped.

    Raises
    ------
    ValueError
        Naming the array, its shape or value, and what is allowed.
    """
    e = data_experiment(
        *_checked(X, y, W),
        loss=loss,
        activation=activation,
        a_scale=a_scale,
        centre=centre,
        T1=T1,
        eta1=eta1,
        beta1=beta1,
        r=r,
    )
    claims = [claim for lemma in REGISTRY for claim in lemma.claims.values() if not claim.probabilistic]
    return DataReport(
        input_findings(e.sample.X), tuple(_checked_row(claim, partial(_compared, claim, e)) for claim in claims)
    )


def data_experiment(
    X: Floats,
    y: Floats,
    W: Floats,
    *,
    loss: "str | Loss",
    activation: "str | Activation",
    a_scale: float = 1.0,
    centre: "float | str" = "fitted",
    T1: int,
    eta1: float | None = None,
    beta1: float | None = None,
    r: int | None = None,
) -> _DataExperiment:
    """Stage one on given arrays (finite, contiguous doubles), started from W; parameters as for `check_data`."""
    _check_numbers(X.shape[1], a_scale, centre, T1, eta1, beta1, r)
    l, sigma = _loss(loss), _activation(activation)  # noqa: E741 - the theory's symbol
    c = fitted_centre(l, y) if centre == "fitted" else float(centre)
    S_norm = float(spectral_norm(EmpiricalHessian(X, l.dl(c, y)).matrix).value)
    step = eta1 if eta1 is not None else 1 / (a_scale * S_norm) if S_norm > 0 else 1.0
    (n, d), eps0 = X.shape, float(np.linalg.norm(W, axis=1).max())
    setting = _DataSetting(l, sigma, d, n, W.shape[0], T1, step, beta1, None, eps0, a_scale, centre)
    population = _DataPopulation(setting, r, float(l.dl(c, y).mean()))
    sample = _DataSample(population, X, y, c)
    a = np.repeat([a_scale, -a_scale], W.shape[0] // 2)
    return _DataExperiment(setting, population, sample, _DataRun(sample, a, W))


def _loss(given: "str | Loss") -> Loss:
    return loss(given)


def _activation(given: "str | Activation") -> Activation:
    found = activation(given)
    if found.reason is not None:
        raise ValueError(f"activation = {found.text!r}: {found.reason}; allowed: those within assumption_activation")
    return found


def _checked(X: Floats, y: Floats, W: Floats) -> tuple[Floats, Floats, Floats]:
    X, y, W = (_doubles(name, array) for name, array in (("X", X), ("y", y), ("W", W)))
    if X.ndim != 2 or not X.size or y.shape != X.shape[:1]:
        hint = "; y.ravel() has one axis" if y.shape == (*X.shape[:1], 1) else ""
        allowed = f"(n, d) and (n,), the same n, with n and d at least 1{hint}"
        raise ValueError(f"X has shape {X.shape}, y {y.shape}; allowed: {allowed}")
    if W.ndim != 2 or W.shape[1] != X.shape[1] or W.shape[0] % 2 or not W.shape[0]:
        raise ValueError(f"W has shape {W.shape}; allowed: (m, {X.shape[1]}) with m even")
    for name, array in (("X", X), ("y", y), ("W", W)):
        if not np.isfinite(array).all():
            where = tuple(int(k) for k in np.argwhere(~np.isfinite(array))[0])
            raise ValueError(f"{name}{list(where)} = {array[where]}; allowed: finite numbers")
        if (size := float(np.abs(array).max())) > _LARGEST:
            raise ValueError(f"{name} has an entry of size {size:g}; allowed: up to {_LARGEST:g}, in other units")
    return X, y, W


def _doubles(name: str, array: Any) -> Floats:
    if issparse(array):
        raise ValueError(f"{name} is sparse; allowed: a dense array, such as {name}.toarray()")
    try:
        given = np.asanyarray(array)
        # NumPy would drop what is imaginary, and read what is masked
        bad = "complex" if np.iscomplexobj(given) else "masked" if np.ma.is_masked(given) else ""
        strange = _no_numbers(given)
        doubles = np.empty(0) if bad or strange else np.ascontiguousarray(given, dtype=np.float64)
    except (TypeError, ValueError) as problem:
        raise ValueError(f"{name} is no array of numbers; allowed: rows of one length, of real numbers") from problem
    if bad:
        raise ValueError(f"{name} has {bad} entries; allowed: real numbers, none of them masked")
    if strange:
        raise ValueError(f"{name} is no array of numbers, it has {strange}; allowed: real numbers")
    return doubles


def _no_numbers(given: NDArray[Any]) -> str:
    """What NumPy would read as numbers though it is none."""
    kinds = {"U": "text", "S": "text", "M": "dates", "m": "times"}
    if given.dtype.kind != "O":
        return kinds.get(given.dtype.kind, "")
    entries = given.ravel().tolist()
    return "text" if any(isinstance(x, str | bytes) for x in entries) else "None" if None in entries else ""


def _check_numbers(
    d: int,
    a_scale: float,
    centre: float | str,
    T1: int,
    eta1: float | None,
    beta1: float | None,
    r: int | None,
) -> None:
    check_real("a_scale", a_scale, 1e-100, "a finite number >= 1e-100")
    check_integer("T1", T1, 1, "an integer from 1", most=MOST_STEPS)
    if centre != "fitted":
        check_real("centre", centre, -math.inf, "a finite number or 'fitted'")
    if eta1 is not None:
        check_real("eta1", eta1, 5e-324, "None or a finite number > 0")
    if beta1 is not None:
        check_real("beta1", beta1, 0.0, "None or a finite number >= 0")
    if r is not None:
        check_integer("r", r, 1, "None or an integer from 1", most=d)


def _checked_row(claim: Claim, check: Callable[[], Relation]) -> Row:
    nothing = (math.nan, math.nan, math.nan)
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # what leaves the range of doubles is an error of its row
            return _row(claim, check())
    except _Unknown as unknown:
        return Row(claim.label, claim.level, "skipped", *nothing, str(unknown))
    except (ArithmeticError, np.linalg.LinAlgError, ArpackError) as problem:
        return Row(claim.label, claim.level, "error", *nothing, f"{type(problem).__name__}: {problem}")


def _compared(claim: Claim, e: Any) -> Relation:
    return claim.compare(claim.measured(e), claim.stated(e))
