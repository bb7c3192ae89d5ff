"""Importing the package and asking for help is immediate and pulls in nothing heavy."""

import subprocess
import sys
import time

import pytest

HEAVY = ("numba", "sympy", "matplotlib", "scipy", "flint")


def modules_after(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(' '.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def best_of(count: int, *command: str) -> float:
    times = []
    for _ in range(count):
        start = time.perf_counter()
        subprocess.run([sys.executable, *command], capture_output=True, check=True)
        times.append(time.perf_counter() - start)
    return min(times)


def test_importing_pulls_in_nothing_heavy() -> None:
    loaded = modules_after("import mimtheory")
    assert not [name for name in HEAVY if name in loaded]


def test_a_loss_needs_neither_numba_nor_sympy() -> None:
    assert not {"numba", "sympy"} & modules_after("import mimtheory; mimtheory.loss('huber(1)')")


def test_what_the_commands_print_needs_no_sympy() -> None:
    """`list` and `explain` took twice as long with it."""
    assert "sympy" not in modules_after("import mimtheory.terminal")


def test_importing_costs_less_than_a_fifth_of_a_second() -> None:
    assert best_of(5, "-c", "import mimtheory") - best_of(5, "-c", "pass") < 0.2


def test_help_takes_less_than_six_tenths_of_a_second() -> None:
    assert best_of(5, "-m", "mimtheory", "--help") < 0.6


def test_every_public_name_loads() -> None:
    import mimtheory

    for name in mimtheory.__all__:
        assert getattr(mimtheory, name) is not None
    assert set(mimtheory.__all__) <= set(dir(mimtheory))


def test_a_mistyped_name_is_answered_with_the_closest() -> None:
    import mimtheory

    with pytest.raises(AttributeError, match=r"no attribute 'Settings'; did you mean 'Setting'\?"):
        _ = mimtheory.Settings
    assert not hasattr(mimtheory, "__wrapped__")
