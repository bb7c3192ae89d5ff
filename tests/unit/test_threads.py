"""How many threads are taken, and what they do when the interpreter ends."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from mimtheory.kernels import threads
from mimtheory.kernels.threads import across_parts, thread_count

MUCH = 1e9


@pytest.fixture(autouse=True)
def eight_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in threads._VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(threads, "processors", lambda: 8)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        *(("3", 3), (" 1", 1), ("1\n", 1), ("4,2", 4), (" 2 , 1", 2), ("99", 8), ("", 8)),
        *((text, 8) for text in ("0", "-1", "\u00b2", "many", ",2", "2.0")),
    ],
)
def test_variables_say_how_many_in_every_way_that_openmp_allows(
    text: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in reversed(threads._VARIABLES):
        monkeypatch.setenv(name, text)
        assert thread_count(None, MUCH) == count
        monkeypatch.delenv(name)
    assert thread_count(None, MUCH) == 8


def test_the_first_variable_that_says_a_number_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in zip(threads._VARIABLES, ("\u00b2", "3,1", "5"), strict=True):
        monkeypatch.setenv(name, text)
    assert thread_count(None, MUCH) == 3
    assert thread_count(None, 1.0) == 1


@pytest.mark.parametrize("wish", [0, -1, 2.0, float("nan"), "2", True, np.float64(2), np.array([2])])
def test_what_is_no_number_of_threads_is_refused_by_name(wish: Any) -> None:
    with pytest.raises(ValueError, match=r"^threads = .*; allowed: None or an integer from 1$"):
        thread_count(wish, MUCH)


@pytest.mark.parametrize("wish", [2, np.int8(2), np.uint64(2)])
def test_a_number_of_threads_is_an_integer_of_python(wish: Any) -> None:
    assert thread_count(wish, MUCH) == 2
    assert type(thread_count(wish, MUCH)) is int
    assert thread_count(10**30, MUCH) == 8


AT_EXIT = """
import atexit
from mimtheory.kernels import threads
threads.processors = lambda: 2
def work():
    seen = []
    threads.across_parts(lambda low, high: seen.extend(range(low, high)), 16, 2)
    print(sorted(seen) == list(range(16)))
atexit.register(work)
"""


@pytest.mark.parametrize("before", ["", "work()"])
def test_a_handler_at_the_end_of_the_interpreter_computes_by_itself(before: str) -> None:
    done = subprocess.run([sys.executable, "-c", AT_EXIT + before], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("True\n" * (1 + bool(before)), "")


class EndingPool(ThreadPoolExecutor):
    """Takes so many parts and then refuses."""

    def __init__(self, parts: int, says: str) -> None:
        super().__init__(4)
        self.left, self.says = parts, says

    def submit(self, work: Any, /, *arguments: Any, **keywords: Any) -> Any:
        if not self.left:
            raise RuntimeError(self.says)
        self.left -= 1
        return super().submit(work, *arguments, **keywords)


# what pools say before and after one of their threads has seen that the interpreter ends
ENDS = [f"cannot schedule new futures after {what}" for what in ("interpreter shutdown", "shutdown")]


@pytest.mark.parametrize("says", ENDS)
@pytest.mark.parametrize("taken", [0, 1, 2, 3])
def test_every_part_is_done_once_though_threads_take_only_some(
    taken: int, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    with EndingPool(taken, says) as pool:
        monkeypatch.setattr(threads, "_pool", lambda process, size: pool)
        across_parts(lambda low, high: seen.extend(range(low, high)), 16, 4)
    assert sorted(seen) == list(range(16))


def test_that_no_thread_can_be_had_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with EndingPool(1, "can't start new thread") as pool:
        monkeypatch.setattr(threads, "_pool", lambda process, size: pool)
        with pytest.raises(RuntimeError, match="can't start"):
            across_parts(lambda low, high: None, 16, 4)
