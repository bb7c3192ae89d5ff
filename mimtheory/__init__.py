"""Numerics-first verification of the theory of learning multi-index models by gradient descent.

Public names are loaded on first use (PEP 562), so that ``import mimtheory`` stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mimtheory.hessian import ExpectedHessian, expected_hessian
    from mimtheory.links import Link, link
    from mimtheory.losses import Loss, loss
    from mimtheory.population import Population, Setting
    from mimtheory.store import rows

__version__ = "0.1.0"

_HOME = {
    "ExpectedHessian": "hessian",
    "Link": "links",
    "Loss": "losses",
    "Population": "population",
    "Setting": "population",
    "expected_hessian": "hessian",
    "link": "links",
    "loss": "losses",
    "rows": "store",
}

__all__ = [
    "ExpectedHessian",
    "Link",
    "Loss",
    "Population",
    "Setting",
    "__version__",
    "expected_hessian",
    "link",
    "loss",
    "rows",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'mimtheory' has no attribute {name!r}")
    value = getattr(import_module(f"mimtheory.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
