"""Both stages of Algorithm 1, with what they cost and the test error they reach."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mimtheory.arguments import check_flag, check_integer, check_real, generator_of
from mimtheory.experiment import Experiment
from mimtheory.generalisation import Network, test_error
from mimtheory.html_tables import html_table
from mimtheory.relations import Rounded
from mimtheory.setting import Setting, check_fits
from mimtheory.stage_two import (
    Outer,
    OuterProblem,
    Path,
    accelerated_descent,
    gradient_descent,
    minimise,
    steps_to_reach,
)

__all__ = ["Cost", "Trained", "cost_of", "train"]

Floats = NDArray[np.float64]

SOLVERS = ("exact", "gradient", "accelerated")


@dataclass(frozen=True)
class Cost:
    """Operations and bytes of the algorithm as the theory counts it: every sample has d coordinates.

    Attributes
    ----------
    stage_one, stage_two : float
        Additions and multiplications; a value of sigma or l' counts as one.
    bytes : float
        Read from X in both stages, one pass a step.
    """

    stage_one: float
    stage_two: float
    bytes: float

    @property
    def total(self) -> float:
        return self.stage_one + self.stage_two


def cost_of(setting: Setting, T2: int) -> Cost:
    """Counted operations: 4 n d m + 5 n m a step of stage one; features, normal equations and their solution (for any
    solver that is not a descent, the ridge solution stands here), and 4 n m a step of T2."""
    n, d, m, T1 = setting.n, setting.d, setting.m, setting.steps
    one = T1 * (4.0 * n * d * m + 5.0 * n * m)
    two = 2.0 * n * d * m + 4 * n * m + n * m * (m + 1.0) + m**3 / 3 + T2 * 4.0 * n * m
    return Cost(one, two, 8.0 * n * d * (T1 + 1))


@dataclass(frozen=True, eq=False)
class Trained:
    """What `train` returns.

    Attributes
    ----------
    setting : Setting
    experiment : Experiment
        D1 and stage one, with `.trajectory` and `.alignments`.
    network : Network
    problem : OuterProblem
    path : Path or None
        The objective along gradient descent, where that was the solver.
    test_error : Rounded
        E (network - g)^2 for fresh x, in units of y^2, from the law of (U x, W x), with its error: rounding, and for
        activations other than 1-cos the change from 40 to 56 nodes of quadrature.
    variance : float
        Var g, the error of the best constant, in units of y^2.
    cost : Cost
    seconds : dict
        Time of each phase.
    """

    setting: Setting
    experiment: Experiment
    network: Network
    problem: OuterProblem
    path: Path | None
    test_error: Rounded
    variance: float
    cost: Cost
    seconds: dict[str, float]

    @cached_property
    def least(self) -> float:
        """The smallest objective, in units of T*y."""
        return self.problem.value(minimise(self.problem))

    def T2_to_reach(self, left: float = 0.01) -> int | None:
        """First step of stage two that is near the minimum; None if T2 was too small, or the solver was exact.

        Parameters
        ----------
        left : float
            How near: the share of the gap between a = 0 and the minimum that is still left, 0 to 1, dimensionless.

        Raises
        ------
        ValueError
            For another share.
        """
        check_real("left", left, 0.0, "a number from 0 to 1", most=1.0)
        return None if self.path is None else steps_to_reach(self.path, self.least, left)

    def __repr__(self) -> str:
        error = self.test_error
        return (
            f"Trained({self.setting.link.text!r}, {self.setting.loss.text!r}, d={self.setting.d}, n={self.setting.n}: "
            f"test error {float(error.value):.4g} +- {error.error:.1g}, variance {self.variance:.4g})"
        )

    def _repr_html_(self) -> str:
        error = self.test_error
        rows = {
            "test error": f"{float(error.value):.4g} ± {error.error:.1g}",
            "variance of g": f"{self.variance:.4g}",
            "median alignment": f"{float(np.median(self.experiment.alignments[-1])):.4g}",
            "operations": f"{self.cost.total:.3g}",
            **{f"seconds, {phase}": f"{spent:.3g}" for phase, spent in self.seconds.items()},
        }
        return html_table(rows.items())


def train(
    setting: Setting,
    rng: "int | np.random.SeedSequence | np.random.Generator" = 0,
    *,
    solver: str = "exact",
    T2: int = 500,
    beta2: float | None = None,
    split: bool = True,
) -> Trained:
    """Train both layers and measure the test error.

    Parameters
    ----------
    setting : Setting
        n samples for each stage.
    rng : int, SeedSequence or Generator
        As for `numpy.random.default_rng`.
    solver : {"exact", "gradient", "accelerated"}
        Of stage two: ridge or SciPy's solver, or T2 steps of (accelerated) gradient descent.
    T2 : int
        Steps of gradient descent.
    beta2 : float
        Ridge, in units of T*w^4/y; None chooses it on the last 20 per cent of D2.
    split : bool
        Whether stage two has samples of its own; otherwise both stages use D1.

    Raises
    ------
    ValueError
        Naming the argument, its value and what is allowed; for a loss with kinks and a descent; for a loss that no
        constant minimises, without a ridge beta2 > 0; where stage one diverges.

    Source: docs/theory/stage_one.md, The step is H + Q; docs/theory/stage_two.md, B.1; docs/theory/stage_two.md, What
    is proved of Theorem 1, and what is measured.
    """
    generator = generator_of(rng)
    e = Experiment(setting, generator)  # which refuses what is no Setting
    check_flag("split", split)
    _check(setting, solver, T2, beta2)
    seconds: dict[str, float] = {}
    with _timed("draw", seconds):
        _ = e.sample
    with _timed("stage one", seconds):
        _run_stage_one(e)
    with _timed("stage two", seconds):
        outer = e.outer if split else Outer(e.run, generator, split=False)
        problem = outer.problem(beta2)
        path = _descend(problem, solver, T2)
        network = outer.network(minimise(problem) if path is None else path.a)
    with _timed("test", seconds):
        error = test_error(network, setting.link, e.U)
    steps = 0 if path is None else T2
    variance = float(setting.link.variance)
    return Trained(setting, e, network, problem, path, error, variance, cost_of(setting, steps), seconds)


def _run_stage_one(e: Experiment) -> None:
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            _ = e.trajectory
    except FloatingPointError as diverged:
        s, p = e.setting, e.population
        raise ValueError(
            f"eta1 = {p.eta1:g}, beta1 = {s.beta1 if s.beta1 is None else f'{s.beta1:g}'}, T1 = {p.T1}: {diverged}; "
            "allowed: smaller steps, or fewer of them"
        ) from diverged


def _descend(problem: OuterProblem, solver: str, T2: int) -> Path | None:
    if solver == "exact":
        return None
    return gradient_descent(problem, T2) if solver == "gradient" else accelerated_descent(problem, T2)


def _check(setting: Setting, solver: str, T2: int, beta2: float | None) -> None:
    if solver not in SOLVERS:
        raise ValueError(f"solver = {solver!r}; allowed: {', '.join(SOLVERS)}")
    check_integer("T2", T2, 1, "an integer from 1")
    if beta2 is not None:
        check_real("beta2", beta2, 0.0, "None or a finite number >= 0")
    if solver != "exact" and not math.isfinite(setting.loss.L2):
        raise ValueError(
            f"solver = {solver!r} needs a loss with Lipschitz derivative, not {setting.loss.text}; allowed: exact"
        )
    if not beta2:
        _check_minimised(setting)
    check_fits(setting, 8 * setting.n * (3 * setting.m + setting.link.r))


def _check_minimised(setting: Setting) -> None:
    """Without a ridge stage two has no minimiser where no constant has one, and a smaller ridge always seems better."""
    from mimtheory.centring import has_minimum  # takes longer to import than everything else here

    if not has_minimum(setting.loss):
        raise ValueError(
            f"loss = {setting.loss.text!r} has no minimum for stage two, since its derivative does not take both "
            "signs; allowed: a loss that grows on both sides, or a ridge beta2 > 0"
        )


@contextmanager
def _timed(phase: str, seconds: dict[str, float]) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[phase] = time.perf_counter() - start
