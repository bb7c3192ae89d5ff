"""Stage two: solvers against normal equations, linear programming, finite differences and each other."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.optimize import linprog

from mimtheory.experiment import Experiment
from mimtheory.losses import loss
from mimtheory.setting import Setting
from mimtheory.stage_two import (
    OuterProblem,
    Path,
    _envelope,
    accelerated_descent,
    choose_ridge,
    gradient_descent,
    held_out_start,
    minimise,
    steps_to_reach,
)
from mimtheory.training import cost_of, train

SMOOTH = ["squared", "huber(1)", "pseudo_huber(1)", "logcosh"]


def problem(name: str, beta2: float = 1e-3, n: int = 300, m: int = 6) -> OuterProblem:
    rng = np.random.default_rng(4)
    Phi = 1 - np.cos(rng.standard_normal((n, m)) + rng.standard_normal(m))
    y = Phi @ rng.standard_normal(m) + rng.standard_t(3, n)
    return OuterProblem(Phi, y, loss(name), 0.2, beta2)


@pytest.mark.parametrize("name", SMOOTH)
def test_the_gradient_is_that_of_the_objective(name: str) -> None:
    p, a = problem(name), np.random.default_rng(0).standard_normal(6)
    h = 1e-5
    differences = [(p.value(a + h * e) - p.value(a - h * e)) / (2 * h) for e in np.eye(6)]
    # central differences: h^2 times the third derivative, and 1e-16/h; jumps of l'' count 1/n each
    assert p.gradient(a) == pytest.approx(differences, rel=1e-6, abs=1e-8)


def test_the_ridge_solution_solves_the_normal_equations() -> None:
    p = problem("squared")
    A = p.Phi.T @ p.Phi / 300 + 1e-3 * np.eye(6)
    assert minimise(p) == pytest.approx(np.linalg.solve(A, p.Phi.T @ (p.y - 0.2) / 300), rel=1e-11)


@pytest.mark.parametrize("name", SMOOTH)
def test_the_minimiser_has_no_gradient(name: str) -> None:
    p = problem(name)
    a = minimise(p)
    assert np.linalg.norm(p.gradient(a)) < 1e-7 * np.linalg.norm(p.gradient(0 * a))


@pytest.mark.parametrize("name", ["l1", "quantile(0.2)"])
def test_losses_with_kinks_come_within_the_smoothing_of_the_linear_programme(name: str) -> None:
    p = problem(name, beta2=0.0)
    n, m = p.Phi.shape
    up, down = p.loss.K_plus, p.loss.K_minus
    # prediction - y = u - v with u, v >= 0: minimise mean of up u + down v
    costs = np.concatenate((np.zeros(m), np.full(n, up / n), np.full(n, down / n)))
    equal = np.hstack((p.Phi, -np.eye(n), np.eye(n)))
    bounds = [(None, None)] * m + [(0, None)] * (2 * n)
    least = linprog(costs, A_eq=equal, b_eq=p.y - p.centre, bounds=bounds).fun
    found = p.value(minimise(p))
    assert least - 1e-12 <= found <= least + 0.01 * p.y.std() * max(up, down) ** 2 / 2 + 1e-9


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("descend", [gradient_descent, accelerated_descent])
def test_descent_reaches_the_minimum(name: str, descend: Callable[[OuterProblem, int], Path]) -> None:
    p = problem(name, beta2=0.05)
    path = descend(p, 3000)
    least = p.value(minimise(p))
    assert path.values[-1] == pytest.approx(least, rel=1e-9)
    assert path.values.size == 3001
    reached = steps_to_reach(path, least, 0.01)
    assert reached is not None
    assert path.values[reached] - least <= 0.01 * (path.values[0] - least) < path.values[reached - 1] - least
    assert steps_to_reach(path, least - 1, 0.01) is None


def test_acceleration_is_faster_where_the_problem_is_ill_conditioned() -> None:
    even = problem("huber(1)")
    p = dataclasses.replace(even, Phi=even.Phi * np.logspace(0, -1.5, 6), beta2=1e-6)
    least = p.value(minimise(p))
    plain, fast = (
        steps_to_reach(descend(p, 20000), least, 1e-3) for descend in (gradient_descent, accelerated_descent)
    )
    assert plain is not None
    assert fast is not None
    assert fast < plain / 2


def test_a_loss_with_kinks_is_refused_by_descent() -> None:
    with pytest.raises(ValueError, match="loss = 'l1' has a derivative that jumps"):
        gradient_descent(problem("l1"), 3)


def test_the_ridge_is_chosen_on_held_out_samples() -> None:
    rng = np.random.default_rng(1)
    Phi = rng.standard_normal((60, 40))
    noise, clean = rng.standard_normal(60), Phi @ rng.standard_normal(40)
    assert choose_ridge(Phi, noise, loss("squared"), 0.0) > 100 * choose_ridge(Phi, clean, loss("squared"), 0.0)


def test_a_fifth_is_held_out_and_there_are_samples_on_both_sides() -> None:
    assert [held_out_start(n) for n in (1, 2, 3, 4, 5, 9, 10, 14, 2000)] == [1, 1, 2, 3, 4, 8, 8, 12, 1600]


def test_the_ridge_of_two_samples_is_chosen_on_the_second() -> None:
    # the second label asks for a = 10/11 times the least-squares weight 1 of the first, which is the largest ridge
    Phi, y = np.ones((2, 1)), np.array([1.0, 10 / 11])
    assert choose_ridge(Phi, y, loss("squared"), 0.0) == pytest.approx(0.1, rel=1e-12)
    assert choose_ridge(Phi, np.array([1.0, 1.0]), loss("squared"), 0.0) == pytest.approx(1e-9, rel=1e-12)
    # L2 = 1/2, 1 and 3: the factor max(1, L2)
    for text, factor in (("u**2/4", 1.0), ("u**2/2", 1.0), ("3*u**2/2", 3.0)):
        assert choose_ridge(Phi, np.array([1.0, 0.0]), loss(text), 0.0) == pytest.approx(0.1 * factor, rel=1e-12)


BASE = Setting(link="h2h2", loss="huber(2)", d=20, n=2000, m=32, eps0=1e-3, centre="population")


def test_training_learns_and_says_so() -> None:
    found = train(BASE, 0)
    assert float(found.test_error.value) < 0.2 * found.variance
    assert found.variance == pytest.approx(2 * (1 + 0.49))
    X = np.random.default_rng(5).standard_normal((200_000, 20))
    squares = (found.network(X) - BASE.link(X @ found.experiment.U.T)) ** 2
    assert abs(squares.mean() - float(found.test_error.value)) < 6 * squares.std() / math.sqrt(squares.size)
    assert set(found.seconds) == {"draw", "stage one", "stage two", "test"}
    assert found.T2_to_reach() is None
    assert "test error" in repr(found)
    assert "variance of g" in found._repr_html_()


@pytest.mark.parametrize("solver", ["gradient", "accelerated"])
def test_descent_is_a_solver_of_training(solver: str) -> None:
    found = train(BASE, 0, solver=solver, T2=1500, beta2=1e-2)
    exact = train(BASE, 0, beta2=1e-2)
    assert found.path is not None
    assert float(found.test_error.value) == pytest.approx(float(exact.test_error.value), rel=0.1)
    assert found.T2_to_reach(0.05) is not None
    assert found.cost.stage_two > exact.cost.stage_two


def test_training_without_sample_splitting_uses_the_first_sample_twice() -> None:
    split, joint = train(BASE, 0), train(BASE, 0, split=False)
    assert (split.experiment.X == joint.experiment.X).all()
    assert (joint.problem.y == joint.experiment.y).all()
    assert split.problem.y != pytest.approx(joint.problem.y)


def test_the_second_sample_is_independent_of_the_first() -> None:
    e = Experiment(BASE, 3)
    again = Experiment(BASE, 3)
    assert (e.outer.Phi == again.outer.Phi).all()
    # labels and hidden coordinates belong together
    assert e.outer.y == pytest.approx(BASE.link(e.outer.Z))
    assert e.outer.fresh("a").random() != e.outer.fresh("b").random()
    assert e.outer.fresh("a").random() == again.outer.fresh("a").random()


def test_operations_are_counted_as_the_theory_counts_them() -> None:
    counted = cost_of(dataclasses.replace(BASE, T1=3), 10)
    assert counted.stage_one == 3 * (4 * 2000 * 20 * 32 + 5 * 2000 * 32)
    assert counted.stage_two == pytest.approx(2 * 2000 * 20 * 32 + 4 * 64000 + 2000 * 32 * 33 + 32**3 / 3 + 40 * 64000)
    assert counted.total == counted.stage_one + counted.stage_two


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"solver": "newton"}, "solver = 'newton'; allowed: exact"),
        ({"T2": 0}, "T2 = 0"),
        ({"beta2": -1.0}, r"beta2 = -1.0"),
        ({"split": "no"}, "split = 'no'; allowed: True or False"),
    ],
)
def test_bad_input_is_named(fields: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        train(BASE, 0, **fields)


@pytest.mark.parametrize("name", ["log(1 + exp(u))", "exp(u)", "-u"])
def test_a_loss_without_a_minimum_is_trained_with_a_given_ridge_only(name: str) -> None:
    setting = Setting(link="h2", loss=name, d=5, n=60, m=4, T1=2, eta1=1.0)
    for beta2 in (None, 0.0):
        with pytest.raises(ValueError, match=r"loss = .* has no minimum for stage two, .*; allowed: a loss that grows"):
            train(setting, beta2=beta2)
    assert train(setting, beta2=1.0).problem.beta2 == 1.0


def test_what_is_no_setting_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="setting = 'h2'; allowed: a Setting, not str"):
        train("h2")


def test_a_stage_one_that_diverges_is_refused_with_what_makes_it_diverge() -> None:
    setting = dataclasses.replace(BASE, beta1=1e200, T1=4, eta1=2.0)
    with pytest.raises(
        ValueError, match=r"eta1 = 2, beta1 = 1e\+200, T1 = 4: stage one diverges: .*; allowed"
    ) as refused:
        train(setting, 0)
    assert isinstance(refused.value.__cause__, FloatingPointError)


def test_what_is_no_share_of_the_gap_is_refused_whatever_the_solver() -> None:
    trained = train(dataclasses.replace(BASE, n=60, d=5), 0)
    for left in (-1, 2, math.nan, "x"):
        with pytest.raises(ValueError, match=r"left = .*; allowed: a number from 0 to 1"):
            trained.T2_to_reach(left)


def test_too_much_memory_is_refused_before_any_work() -> None:
    with pytest.raises(ValueError, match="bytes"):
        train(dataclasses.replace(BASE, n=10**9), 0)
    with pytest.raises(ValueError, match="needs a loss with Lipschitz derivative"):
        train(dataclasses.replace(BASE, loss="l1"), 0, solver="gradient")


@pytest.mark.parametrize(("own", "zoo"), [("Abs(u)", "l1"), ("Max(-u/5, 4*u/5)", "quantile(0.2)")])
def test_the_envelope_of_a_formula_with_jumps_is_that_of_the_zoo(own: str, zoo: str) -> None:
    u = np.concatenate([np.random.default_rng(2).normal(0, 2, 300), [0.0, 0.5, -0.5]])
    for mu in (1.0, 0.01):
        found, known = (_envelope(loss(name), u, 0 * u, mu) for name in (own, zoo))
        assert np.allclose(found[0], known[0], rtol=0, atol=1e-12)
        assert np.allclose(found[1], known[1], rtol=0, atol=1e-10)


def test_the_envelope_of_a_loss_with_a_jump_aside_is_the_least_of_its_sum() -> None:
    own, x = loss("u**2/2 + Abs(u - 1) + Max(u + 2, 0)"), np.linspace(-12, 12, 480_001)
    values = own.value(x, 0.0)
    for u in (-5.0, -2.1, 0.3, 1.0, 1.4, 7.0):
        value, slope = _envelope(own, np.array([u]), np.zeros(1), 0.5)
        sums = values + (u - x) ** 2 / (2 * 0.5)
        # a grid of step h misses the least value by at most h^2/8 times the curvature 3, and its place by h
        assert value[0] - 1e-12 <= sums.min() <= value[0] + 2e-9
        assert slope[0] == pytest.approx((u - x[sums.argmin()]) / 0.5, abs=2e-4)


@pytest.mark.parametrize("name", ["squared", "logcosh", "l1"])
def test_without_features_nothing_is_learnt(name: str) -> None:
    problem = OuterProblem(np.zeros((5, 3)), np.arange(5.0), loss(name), 0.0, 0.0)
    assert (minimise(problem) == np.zeros(3)).all()
    if name != "l1":
        path = gradient_descent(problem, 4)
        assert (path.a == np.zeros(3)).all()
        assert (path.values == path.values[0]).all()
