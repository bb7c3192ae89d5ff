"""Numerics-first verification of the theory of learning multi-index models by gradient descent.

Public names are loaded on first use (PEP 562), so that ``import mimtheory`` stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mimtheory.activations import Activation, activation
    from mimtheory.advisor import explore, findings, required_n
    from mimtheory.assumptions import Finding
    from mimtheory.certificate import Certificate, check_certificate
    from mimtheory.experiment import Experiment
    from mimtheory.hessian import ExpectedHessian, expected_hessian
    from mimtheory.link_exponents import Exponents, exponents
    from mimtheory.links import Link, link
    from mimtheory.losses import Loss, loss
    from mimtheory.measuring import DataReport, Row, check_data, measure
    from mimtheory.parametric_hessian import SymbolicHessian, symbolic_hessian
    from mimtheory.population import Population, Setting
    from mimtheory.store import rows
    from mimtheory.training import Trained, train

__version__ = "0.1.0"

_HOME = {
    "Activation": "activations",
    "Certificate": "certificate",
    "DataReport": "measuring",
    "Experiment": "experiment",
    "ExpectedHessian": "hessian",
    "Exponents": "link_exponents",
    "Finding": "assumptions",
    "Link": "links",
    "Loss": "losses",
    "Population": "population",
    "Row": "measuring",
    "Setting": "population",
    "SymbolicHessian": "parametric_hessian",
    "Trained": "training",
    "activation": "activations",
    "check_certificate": "certificate",
    "check_data": "measuring",
    "expected_hessian": "hessian",
    "explore": "advisor",
    "exponents": "link_exponents",
    "findings": "advisor",
    "link": "links",
    "loss": "losses",
    "measure": "measuring",
    "required_n": "advisor",
    "rows": "store",
    "symbolic_hessian": "parametric_hessian",
    "train": "training",
}

__all__ = [
    "Activation",
    "Certificate",
    "DataReport",
    "ExpectedHessian",
    "Experiment",
    "Exponents",
    "Finding",
    "Link",
    "Loss",
    "Population",
    "Row",
    "Setting",
    "SymbolicHessian",
    "Trained",
    "__version__",
    "activation",
    "check_certificate",
    "check_data",
    "expected_hessian",
    "explore",
    "exponents",
    "findings",
    "link",
    "loss",
    "measure",
    "required_n",
    "rows",
    "symbolic_hessian",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'mimtheory' has no attribute {name!r}")
    value = getattr(import_module(f"mimtheory.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
