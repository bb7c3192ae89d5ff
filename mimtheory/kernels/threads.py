"""A pool of threads for compiled code that has let go of the interpreter's lock.

Idle threads sleep, so that they take nothing from a BLAS at work; kernels themselves call no BLAS.
"""

import math
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise

from mimtheory.arguments import check_integer
from mimtheory.environment import processors

__all__ = ["across_parts", "thread_count"]

_VARIABLES = ("MIMTHEORY_NUM_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS")
# multiply-adds below which a second thread costs more than it saves
_SMALL = 4_000_000


def thread_count(threads: int | None, work: float) -> int:
    """Threads for `work` multiply-adds: as many as asked for, at most as there are processors.

    Without a wish: MIMTHEORY_NUM_THREADS, NUMBA_NUM_THREADS or OMP_NUM_THREADS, whichever is set first, else all
    processors, and one where the work is small. Of a list, one number for each level of nested loops, the first counts.

    Raises
    ------
    ValueError
        If threads is neither None nor an integer from 1.
    """
    if threads is not None:
        check_integer("threads", threads, 1, "None or an integer from 1", math.inf)
        return min(int(threads), processors())
    if work < _SMALL:
        return 1
    for name in _VARIABLES:
        text = os.environ.get(name, "").partition(",")[0].strip()
        if text.isdecimal() and int(text) > 0:
            return min(int(text), processors())
    return processors()


@lru_cache(maxsize=1)
def _pool(process: int, size: int) -> ThreadPoolExecutor:
    """One pool for a process: a forked child makes its own."""
    return ThreadPoolExecutor(size, thread_name_prefix="mimtheory")


def _taken(work: Callable[[int, int], None], ranges: list[tuple[int, int]]) -> list[Future[None]]:
    """What threads of the pool do, from the last range on; nothing from when the interpreter ends, as in `atexit`."""
    pool, futures = _pool(os.getpid(), processors()), list[Future[None]]()
    try:
        for low, high in reversed(ranges):
            futures.append(pool.submit(work, low, high))
    except RuntimeError as problem:
        if "cannot schedule new futures" not in str(problem):
            raise
    return futures


def across_parts(work: Callable[[int, int], None], parts: int, threads: int) -> None:
    """Call work(low, high) on ranges that make up 0 ... parts - 1, one a thread."""
    if threads == 1:
        work(0, parts)
        return
    bounds = [k * parts // threads for k in range(threads + 1)]
    futures = _taken(work, list(pairwise(bounds[1:])))
    try:
        work(0, bounds[threads - len(futures)])
    finally:
        for future in futures:
            future.result()
