"""How fast the kernels are, against NumPy, torch and what the machine allows, all measured in one run.

Competitors take turns, so that a machine that is busy with other things slows all of them alike; reported are medians
with the smallest and the largest value. One thread is timed by the processor time that it used. What the machine allows
is measured before each call that goes through X: other users of a processor can halve it from one second to the next.
"""

import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from mimtheory import kernels
from mimtheory.kernels.philox import fill_rows
from mimtheory.kernels.roofline import TILE_WORK, one_leaf, peak_work
from mimtheory.kernels.vector_code import WIDTH

__all__ = ["SIZES", "Benchmark", "Timing", "benchmark"]

Floats = NDArray[Any]
Call = Callable[[], object]

# d, n, m of the gradient
SIZES = ((500, 5000, 8), (500, 5000, 32), (2000, 20000, 8), (2000, 20000, 32), (2000, 20000, 64), (4000, 40000, 16))
_VECTORS = (1, 2, 4, 8, 16, 32)
_TILES = 20_000  # of the arithmetic before each call, some milliseconds
_WORK = float(_TILES * TILE_WORK)
# float32 has twice the numbers in a register, and X made again is not read
_OTHER_LIMITS = ("mimtheory, float32", "mimtheory, X made again")


@dataclass(frozen=True)
class Timing:
    """One engine in one case.

    Attributes
    ----------
    case, engine : str
    sizes : dict
        d, n, m or what there is of them.
    median, least, most : float
        Seconds.
    operations, bytes : float
        Additions and multiplications, and bytes read from memory by a single pass.
    share : float or None
        The time that one core just before needed for as much arithmetic or for reading X, whichever is longer, over the
        time of the engine: the median of the rounds, up to 2 for two threads. None where this says nothing.
    """

    case: str
    engine: str
    sizes: dict[str, int]
    median: float
    least: float
    most: float
    operations: float
    bytes: float
    share: float | None = None


@dataclass(frozen=True)
class Benchmark:
    """All timings of a run, and the machine.

    Attributes
    ----------
    timings : tuple of Timing
    work : float
        Additions and multiplications a second that one core reaches on data in its nearest cache, float64, at its best.
    bandwidth : float
        Bytes a second at which it reads the largest X of the run, from memory if no cache holds it, at its best.
    exponents : dict
        Fitted slopes of log time in log n, log d and log m, of the gradient.
    machine : dict
    """

    timings: tuple[Timing, ...]
    work: float
    bandwidth: float
    exponents: dict[str, float]
    machine: dict[str, str]

    def median(self, case: str, engine: str, **sizes: int) -> float:
        """Median seconds; not a number where that engine did not run."""
        for timing in self.timings:
            if (timing.case, timing.engine, timing.sizes) == (case, engine, sizes):
                return timing.median
        return float("nan")

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1)


class _Stopwatch:
    """Collects timings of competitors that take turns, and of the yardsticks before each of their calls."""

    def __init__(self, repeats: int) -> None:
        self.repeats, self.timings = repeats, list[Timing]()

    def race(
        self,
        case: str,
        engines: dict[str, Call],
        sizes: dict[str, int],
        operations: float = 0.0,
        X: Floats | None = None,
        clock: Callable[[], float] = time.thread_time,
    ) -> None:
        """With X, the number of operations and the time to read it limit every engine but those of _OTHER_LIMITS."""
        seconds: dict[str, list[float]] = {name: [] for name in engines}
        limits: dict[str, list[tuple[float, float]]] = {name: [] for name in engines}
        for round_of in range(self.repeats + 1):
            for name, call in engines.items():
                limit = None if X is None else _yardsticks(X)
                start = clock()
                call()
                spent = clock() - start
                if round_of:  # the first warms up
                    seconds[name].append(spent)
                    limits[name] += [limit] if limit else []
        read = 0.0 if X is None else float(X.nbytes)
        for name, values in seconds.items():
            known = [] if name in _OTHER_LIMITS else limits[name]
            self._note(case, name, sizes, values, operations, read, known)
        if X is not None:
            arithmetic, reading = zip(*(limit for some in limits.values() for limit in some), strict=True)
            self._note("arithmetic", "one tile", sizes, arithmetic, _WORK)
            self._note("memory", "largest of X", sizes, reading, read=read)

    def _note(
        self,
        case: str,
        name: str,
        sizes: dict[str, int],
        seconds: Sequence[float],
        operations: float = 0.0,
        read: float = 0.0,
        limits: Sequence[tuple[float, float]] = (),
    ) -> None:
        scale = operations / _WORK
        least = [max(scale * arithmetic, reading) for arithmetic, reading in limits]
        share = float(np.median(np.array(least) / seconds)) if least else None
        spread = float(np.median(seconds)), min(seconds), max(seconds)
        self.timings.append(Timing(case, name, sizes, *spread, operations, read, share))

    def last(self, engine: str) -> float:
        return next(timing.median for timing in reversed(self.timings) if timing.engine == engine)

    def at_best(self) -> tuple[float, float]:
        """Additions and multiplications a second, and bytes a second of the largest X, in the best rounds."""
        work = max(t.operations / t.least for t in self.timings if t.case == "arithmetic")
        memory = [t for t in self.timings if t.case == "memory"]
        largest = max(t.bytes for t in memory)
        return work, max(t.bytes / t.least for t in memory if t.bytes == largest)


def _yardsticks(X: Floats) -> tuple[float, float]:
    """Seconds for the arithmetic of _TILES tiles, and for reading X: the largest of it, as a sum takes longer than
    memory does."""
    start = time.thread_time()
    X.max()
    between = time.thread_time()
    peak_work(_TILES)
    return time.thread_time() - between, between - start


def benchmark(
    *, repeats: int = 7, sizes: tuple[tuple[int, int, int], ...] = SIZES, verification: bool = True
) -> Benchmark:
    """Measure everything.

    Parameters
    ----------
    repeats : int
        Rounds of every race.
    sizes : tuple of (d, n, m)
        Of the gradient; the first are also those of the Gaussians and of stage two, and where the exponents start.
    verification : bool
        Whether the quick verification is run too, which takes minutes.

    Raises
    ------
    ValueError
        If repeats < 1.
    """
    if repeats < 1:
        raise ValueError(f"repeats = {repeats}; allowed: at least 1")
    watch = _Stopwatch(repeats)
    with threadpool_limits(limits=1), _one_torch_thread():
        kernels.warm()
        for size in sizes:
            _race_gradient(watch, *size)
        _race_threads(watch, *sizes[-2 if len(sizes) > 1 else 0][:2])
        _race_hessian_power(watch, *sizes[min(2, len(sizes) - 1)][:2])
        _race_gaussians(watch, *sizes[0][:2])
        _race_normal_equations(watch, *sizes[0])
        _race_expected_hessian(watch)
        exponents = _exponents(watch, *sizes[0])
    if verification:
        _time_verification(watch)
    return Benchmark(tuple(watch.timings), *watch.at_best(), exponents, _machine())


def _machine() -> dict[str, str]:
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text(encoding="utf-8").splitlines() if cpu.exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    packages = [name for name in ("numpy", "numba", "scipy", "torch") if find_spec(name)]
    return {
        "processor": model,
        "vector registers": f"{WIDTH} bits",
        "load": _load(),
        "platform": platform.platform(terse=True),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def _load() -> str:
    """How busy the machine was: runnable processes in the last minute, and processors."""
    runnable = f"{os.getloadavg()[0]:.0f}" if hasattr(os, "getloadavg") else "unknown"
    noun = "process" if runnable == "1" else "processes"
    return f"{runnable} runnable {noun} on {os.cpu_count()} processors"


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    if not find_spec("torch"):
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _data(d: int, n: int, m: int) -> tuple[Floats, Floats, Floats, Floats]:
    rng = np.random.default_rng(0)
    X = np.asarray(kernels.Gaussians(0, n, d))
    return X, rng.standard_normal(n), rng.standard_normal((m, d)) / np.sqrt(d), np.repeat([1.0, -1.0], m // 2) / m


def _ours(X: "Floats | kernels.Gaussians", y: Floats, W: Floats, a: Floats, threads: int = 1) -> Call:
    return lambda: kernels.gradient(X, y, W, a, activation="1-cos", loss="huber(1)", threads=threads)


def _race_gradient(watch: _Stopwatch, d: int, n: int, m: int) -> None:
    X, y, W, a = _data(d, n, m)

    def numpy() -> object:
        Z = W @ X.T
        slope = np.clip(a @ (1 - np.cos(Z)) - y, -1, 1)
        return (a[:, None] * np.sin(Z) * slope) @ X / n

    def plain_numpy() -> object:
        Z = X @ W.T
        slope = np.clip((1 - np.cos(Z)) @ a - y, -1, 1)
        return (np.sin(Z) * a * slope[:, None]).T @ X / n

    engines = {"mimtheory": _ours(X, y, W, a), "numpy": numpy, "numpy, plain": plain_numpy}
    engines |= _torch_engines(X, y, W, a) if find_spec("torch") else {}
    single = X.astype(np.float32)
    engines["mimtheory, float32"] = _ours(single, y, W.astype(np.float32), a)
    engines["mimtheory, X made again"] = _ours(kernels.Gaussians(0, n, d), y, W, a)
    watch.race("gradient", engines, {"d": d, "n": n, "m": m}, 4.0 * n * d * m, X)


def _torch_engines(X: Floats, y: Floats, W: Floats, a: Floats) -> dict[str, Call]:
    import torch

    n = X.shape[0]
    x, t, w, v = (torch.from_numpy(array) for array in (X, y, W, a))

    def manual() -> object:
        Z = w @ x.T
        slope = torch.clip(v @ (1 - torch.cos(Z)) - t, -1, 1)
        return (v[:, None] * torch.sin(Z) * slope) @ x / n

    def autograd() -> object:
        weights = w.clone().requires_grad_(True)
        f = v @ (1 - torch.cos(weights @ x.T))
        (slopes,) = torch.autograd.grad(torch.nn.functional.huber_loss(f, t), weights)
        return slopes

    return {"torch": manual, "torch, autograd": autograd}


def _race_threads(watch: _Stopwatch, d: int, n: int) -> None:
    """Two threads against one, by the clock on the wall; and what the partition costs, against one leaf of all rows."""
    m = 32
    X, y, W, a = _data(d, n, m)
    sizes = {"d": d, "n": n, "m": m}
    engines = {f"{count} threads" if count > 1 else "1 thread": _ours(X, y, W, a, count) for count in (1, 2)}
    watch.race("threads", engines, sizes, 4.0 * n * d * m, X, time.perf_counter)
    partition: dict[str, Call] = {
        "leaves in order": lambda: kernels.hessian_power(X, y, W, threads=1),
        "one leaf": lambda: one_leaf(X, y, W),
    }
    watch.race("partition", partition, sizes, 4.0 * n * d * m, X)


def _race_hessian_power(watch: _Stopwatch, d: int, n: int) -> None:
    for k in _VECTORS:
        X, T, V, _ = _data(d, n, k)
        watch.race("hessian power", _power_engines(X, T, V), {"d": d, "n": n, "k": k}, 4.0 * n * d * k, X)


def _power_engines(X: Floats, T: Floats, V: Floats) -> dict[str, Call]:
    n = X.shape[0]
    return {
        "mimtheory": lambda: kernels.hessian_power(X, T, V, threads=1),
        "numpy, V X^T": lambda: ((V @ X.T) * T) @ X / n,
        "numpy, X V^T": lambda: ((X @ V.T) * T[:, None]).T @ X / n,
        "numpy, X^T (X V^T)": lambda: X.T @ ((X @ V.T) * T[:, None]) / n,
    }


def _race_gaussians(watch: _Stopwatch, d: int, n: int) -> None:
    for name in ("float64", "float32"):
        watch.race(f"gaussians, {name}", _gaussian_engines(n, d, np.dtype(name)), {"n": n, "d": d})


def _gaussian_engines(n: int, d: int, kind: np.dtype[Any]) -> dict[str, Call]:
    rng, place, made = np.random.default_rng(0), np.empty((n, d), kind), kernels.Gaussians(0, n, d, kind)
    return {
        "mimtheory": lambda: fill_rows(place, 0, *made.key),
        "numpy": lambda: rng.standard_normal(out=place, dtype=kind.type),
    }


def _race_normal_equations(watch: _Stopwatch, d: int, n: int, m: int) -> None:
    X, y, W, b = _data(d, n, m)

    def numpy() -> object:
        Phi = 1 - np.cos(W @ X.T + b[:, None])
        return Phi @ Phi.T / n, Phi @ y / n

    engines = {"mimtheory": lambda: kernels.normal_equations(X, y, W, b, activation="1-cos", threads=1), "numpy": numpy}
    watch.race("stage two", engines, {"d": d, "n": n, "m": m}, 2.0 * n * m * (d + m), X)


def _race_expected_hessian(watch: _Stopwatch) -> None:
    from mimtheory.hessian import expected_hessian

    for link, loss in (("h4+h4", "huber(1)"), ("z1*z2", "logcosh"), ("h2h2", "squared")):
        call = partial(expected_hessian, link, loss)
        watch.race(f"expected Hessian of {link}, {loss}", {"mimtheory": call}, {})


def _exponents(watch: _Stopwatch, d: int, n: int, m: int) -> dict[str, float]:
    """Slopes of log time of the gradient in log n, log d and log m, each from these sizes over a factor of 8."""
    base, slopes = {"n": n, "d": d, "m": m}, {}
    for name in base:
        times = []
        factors = (1, 2, 4, 8)
        for factor in factors:
            sizes = base | {name: factor * base[name]}
            X, y, W, a = _data(sizes["d"], sizes["n"], sizes["m"])
            watch.race(f"scaling in {name}", {"mimtheory": _ours(X, y, W, a)}, sizes)
            times.append(watch.last("mimtheory"))
        slopes[name] = float(np.polyfit(np.log(factors), np.log(times), 1)[0])
    return slopes


def _time_verification(watch: _Stopwatch) -> None:
    from mimtheory.harness import run
    from mimtheory.plan import read_plan
    from mimtheory.store import Store

    with TemporaryDirectory() as folder:
        store, start = Store(Path(folder)), time.perf_counter()
        run(read_plan("quick"), store, command="mimtheory bench")
        spent = time.perf_counter() - start
        store.close()
    watch.timings.append(Timing("quick verification", "mimtheory", {}, spent, spent, spent, 0.0, 0.0))
