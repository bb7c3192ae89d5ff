"""What a result was computed with: versions, processors, threads, and the BLAS that NumPy loaded."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version

__all__ = ["blas", "optional_versions", "processors", "versions"]

_PACKAGES = ("numpy", "scipy", "sympy", "numba", "python-flint", "hypothesis")
_OPTIONAL = {
    "jinja2": "the report",
    "matplotlib": "the figures of the report",
    "latex2mathml": "the formulas of the report",
    "scikit-learn": "the estimator",
    "pytest": "mimtheory.testing",
}


def versions() -> dict[str, str]:
    """Python, platform and the libraries that every result rests on; imports none of them."""
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(terse=True),
        "processor": platform.machine(),
        **{package: version(package) for package in _PACKAGES},
    }


def optional_versions() -> dict[str, str]:
    """Versions of libraries that little needs, or what needs one that is not installed."""
    return {
        package: _version_or(package, f"not installed: needed for {use} only") for package, use in _OPTIONAL.items()
    }


def _version_or(package: str, absent: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return absent


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def blas() -> str:
    """Name, version and threads of the BLAS of NumPy, which is imported for that."""
    import numpy  # noqa: F401 - what threadpoolctl looks at is what is loaded
    from threadpoolctl import threadpool_info

    found = [
        f"{p['internal_api']} {p['version']}, {p['num_threads']} threads"
        for p in threadpool_info()
        if "blas" in p["user_api"]
    ]
    return "; ".join(dict.fromkeys(found)) or "not recognised"
