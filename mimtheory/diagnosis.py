"""What `mimtheory doctor` looks at: the installation, machine, the cache of compiled kernels, and a short self-test."""

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numba.core.registry import CPUDispatcher

from mimtheory import __version__, environment
from mimtheory.experiment import Experiment
from mimtheory.kernels import hessian_power
from mimtheory.lemmas import find_claim, find_lemma
from mimtheory.links import link
from mimtheory.losses import loss
from mimtheory.setting import Setting, memory_limit

__all__ = ["Observation", "diagnose"]


@dataclass(frozen=True)
class Observation:
    """One thing that was looked at, what was seen, and whether it is in order."""

    name: str
    seen: str
    fine: bool = True


def diagnose() -> Iterator[Observation]:
    """Look at everything, one after the other; takes some seconds, a minute where no kernel is compiled yet."""
    yield Observation("mimtheory", f"{__version__} in {Path(__file__).parent}")
    for name, number in environment.versions().items():
        yield Observation(name, number)
    for name, found in environment.optional_versions().items():
        yield Observation(name, found)
    yield Observation("processors", str(environment.processors()))
    yield Observation("memory", f"{memory_limit() / 2**30:.1f} GiB")
    yield Observation("BLAS", environment.blas())
    yield _cache()
    for test in (_kernel, _statements, _control):
        yield test()


def _cache() -> Observation:
    """Where Numba keeps what it compiled, and whether it can."""
    advice = "every run compiles anew; set NUMBA_CACHE_DIR to a folder of yours"
    modules = [module for name, module in sys.modules.items() if name.startswith("mimtheory.kernels.")]
    compiled = [x for module in modules for x in vars(module).values() if isinstance(x, CPUDispatcher)]
    if not compiled:
        return Observation("kernel cache", "none: Numba is switched off, every kernel runs as plain Python", fine=False)
    paths = [x.stats.cache_path for x in compiled if x.stats.cache_path]  # parts of kernels have none
    if not paths:
        return Observation("kernel cache", f"none, for want of a folder to write to: {advice}", fine=False)
    folder = Path(paths[0])
    kept = len(list(folder.glob("*.nbc"))) if folder.is_dir() else 0
    place = folder if folder.is_dir() else folder.parent
    writable = os.access(place, os.W_OK)
    state = "" if writable else f", not writable: {advice}"
    return Observation("kernel cache", f"{kept} compiled functions in {folder}{state}", writable)


def _kernel() -> Observation:
    started = time.perf_counter()
    rng = np.random.default_rng(0)
    X, T, W = rng.standard_normal((500, 12)), rng.standard_normal(500), rng.standard_normal((4, 12))
    found = hessian_power(X, T, W, threads=1)
    same = bool((found == hessian_power(X, T, W, threads=2)).all())
    error = float(np.abs(found - W @ (X.T * T) @ X / 500).max())
    seconds = time.perf_counter() - started
    words = f"differs from NumPy by {error:.1e}, {'same' if same else 'OTHER'} bits with 2 threads, {seconds:.2f} s"
    return Observation("self-test, kernel", words, same and error < 1e-12)


def _experiment() -> Experiment:
    return Experiment(Setting(link=link("h4+h4"), loss=loss("huber(1)"), d=30, n=3000), 0)


def _statements() -> Observation:
    started = time.perf_counter()
    e, claims = _experiment(), find_lemma("A.2").claims.values()
    outcomes = {claim.label: claim.check(e, 0.01).outcome for claim in claims}
    bad = [f"{label} {outcome}" for label, outcome in outcomes.items() if outcome != "holds"]
    words = ", ".join(bad) or f"all {len(outcomes)} claims of A.2 hold on a draw"
    return Observation("self-test, statements", f"{words}, {time.perf_counter() - started:.2f} s", not bad)


def _control() -> Observation:
    claim = find_claim("A.3/weyl")
    outcome = claim.check(_experiment(), 0.01, claim.controls[0]).outcome
    return Observation("self-test, control", f"a false variant of A.3/weyl: {outcome}", outcome == "violated")
