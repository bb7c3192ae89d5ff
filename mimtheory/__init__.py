"""Numerics-first verification of the theory of learning multi-index models by gradient descent.

Public names are loaded on first use (PEP 562), so that ``import mimtheory`` stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mimtheory.activations import Activation, activation
    from mimtheory.advisor import findings, required_n
    from mimtheory.assumptions import Finding
    from mimtheory.certificate import Certificate, check_certificate
    from mimtheory.estimator import MultiIndexRegressor
    from mimtheory.experiment import Experiment
    from mimtheory.exploration import explore
    from mimtheory.hessian import expected_hessian
    from mimtheory.hessian_results import ExpectedHessian, ParametricHessian
    from mimtheory.lemmas import load_lemmas
    from mimtheory.link_exponents import Exponents, exponents
    from mimtheory.links import Link, link
    from mimtheory.losses import Loss, loss
    from mimtheory.measuring import DataReport, Row, check_data, measure
    from mimtheory.population import Population
    from mimtheory.registry import Lemma
    from mimtheory.relations import Rounded, at_least, at_most, equals
    from mimtheory.setting import Setting
    from mimtheory.store import rows
    from mimtheory.training import Trained, train

__version__ = "0.1.0"

_HOME = {
    "Activation": "activations",
    "Certificate": "certificate",
    "DataReport": "measuring",
    "Experiment": "experiment",
    "ExpectedHessian": "hessian_results",
    "Exponents": "link_exponents",
    "Finding": "assumptions",
    "Lemma": "registry",
    "Link": "links",
    "Loss": "losses",
    "MultiIndexRegressor": "estimator",
    "ParametricHessian": "hessian_results",
    "Population": "population",
    "Rounded": "relations",
    "Row": "measuring",
    "Setting": "setting",
    "Trained": "training",
    "activation": "activations",
    "at_least": "relations",
    "at_most": "relations",
    "check_certificate": "certificate",
    "check_data": "measuring",
    "equals": "relations",
    "expected_hessian": "hessian",
    "explore": "exploration",
    "exponents": "link_exponents",
    "findings": "advisor",
    "link": "links",
    "load_lemmas": "lemmas",
    "loss": "losses",
    "measure": "measuring",
    "required_n": "advisor",
    "rows": "store",
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
    "Lemma",
    "Link",
    "Loss",
    "MultiIndexRegressor",
    "ParametricHessian",
    "Population",
    "Rounded",
    "Row",
    "Setting",
    "Trained",
    "__version__",
    "activation",
    "at_least",
    "at_most",
    "check_certificate",
    "check_data",
    "equals",
    "expected_hessian",
    "explore",
    "exponents",
    "findings",
    "link",
    "load_lemmas",
    "loss",
    "measure",
    "required_n",
    "rows",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        import difflib

        close = difflib.get_close_matches(name, _HOME, 1)
        hint = f"; did you mean {close[0]!r}?" if close and not name.startswith("_") else ""
        raise AttributeError(f"module 'mimtheory' has no attribute {name!r}{hint}")
    value = getattr(import_module(f"mimtheory.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
