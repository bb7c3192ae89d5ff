"""A pool of threads for compiled code that has let go of the interpreter's lock.

Idle threads sleep, so that they take nothing from a BLAS at work; kernels themselves call no BLAS.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise

from mimtheory.environment import processors

__all__ = ["across_parts", "thread_count"]

_VARIABLES = ("MIMTHEORY_NUM_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS")
# multiply-adds below which a second thread costs more than it saves
_SMALL = 4_000_000


def thread_count(threads: int | None, work: float) -> int:
    """Threads for `work` multiply-adds: as many as asked for, at most as there are processors.

    Without a wish: MIMTHEORY_NUM_THREADS, NUMBA_NUM_THREADS or OMP_NUM_THREADS, whichever is set first, else all
    processors, and one where the work is small.

    Raises
    ------
    ValueError
        If threads < 1.
    """
    if threads is not None:
        if threads < 1:
            raise ValueError(f"threads = {threads}; allowed: None or at least 1")
        return min(threads, processors())
    if work < _SMALL:
        return 1
    for name in _VARIABLES:
        if (text := os.environ.get(name, "")).isdigit() and int(text) > 0:
            return min(int(text), processors())
    return processors()


@lru_cache(maxsize=1)
def _pool(process: int, size: int) -> ThreadPoolExecutor:
    """One pool for a process: a forked child makes its own."""
    return ThreadPoolExecutor(size, thread_name_prefix="mimtheory")


def across_parts(work: Callable[[int, int], None], parts: int, threads: int) -> None:
    """Call work(low, high) on ranges that make up 0 ... parts - 1, one a thread."""
    if threads == 1:
        work(0, parts)
        return
    bounds = [k * parts // threads for k in range(threads + 1)]
    pool = _pool(os.getpid(), processors())
    futures = [pool.submit(work, *part) for part in pairwise(bounds[1:])]
    try:
        work(bounds[0], bounds[1])
    finally:
        for future in futures:
            future.result()
