"""Jobs in a few threads, each kept as soon as it is done, so that an interrupt or a kill loses nothing finished."""

import itertools
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from threadpoolctl import threadpool_limits

__all__ = ["run_jobs"]

Job = TypeVar("Job")
Result = TypeVar("Result")


def run_jobs(
    jobs: Iterable[Job], execute: Callable[[Job], Result], keep: Callable[[Job, Result], None], workers: int
) -> bool:
    """Execute the jobs, `workers` at a time, with BLAS held to one thread each.

    Parameters
    ----------
    jobs : iterable
        Taken in order, a few ahead of what runs.
    execute : callable
        Called in a thread.
    keep : callable
        Called with each job and its result in the calling thread, in the order in which they finish.
    workers : int

    Returns
    -------
    bool
        False if Ctrl-C stopped it. Then, and where a job fails, what was running is finished and kept.
    """
    pending, waiting = iter(jobs), dict[Future[Result], Job]()
    with threadpool_limits(limits=1), ThreadPoolExecutor(workers) as pool:
        try:
            while True:
                # few futures at a time: an interrupt then has little to wait for
                for job in itertools.islice(pending, 2 * workers - len(waiting)):
                    waiting[pool.submit(execute, job)] = job
                if not waiting:
                    return True
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    result = future.result()
                    keep(waiting.pop(future), result)
        except BaseException as problem:
            pool.shutdown(cancel_futures=True)
            for future, job in waiting.items():
                if not future.cancelled() and future.exception() is None:
                    keep(job, future.result())
            if isinstance(problem, KeyboardInterrupt):
                return False
            raise
