"""The parameters of a problem, validated, and whether a draw of it fits into memory."""

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mimtheory.activations import Activation, activation
from mimtheory.arguments import check_integer, check_noise, check_real
from mimtheory.links import Link, link
from mimtheory.losses import Loss, loss
from mimtheory.spectral_costs import DENSE_LIMIT, forming_is_cheaper

__all__ = ["MOST_STEPS", "Setting", "check_fits", "kept_share", "memory_limit"]

Floats = NDArray[np.float64]
_ACTIVATION = "1-cos"
MOST_STEPS = 100_000
_LARGEST_DECAY = 1e100
_ROUNDED_TO_ZERO = 2**-52  # the quotient 1/eta1 and its product with eta1 are off by half of this each


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The parameters of a problem, validated; the names are those of docs/theory.

    Attributes
    ----------
    link : Link
        g, a polynomial of r hidden coordinates; may be given as text or name.
    loss : Loss
        l; may be given as text.
    d, n : int
        Input dimension (at least r) and number of samples (at least 1).
    activation : Activation
        sigma; may be given as text.
    m, T1 : int
        Number of neurons, even, and of steps of stage one (None: ceil(2 sqrt(log d)), at least 2).
    eta1 : float
        Step size, in units of w^2/T/y (None: 1/(a_scale |S|_op)).
    beta1 : float
        Weight decay, in units of T*y/w^2 (None: 1/eta1, pure power iteration).
    eta_last : float
        Step size of the last step, in units of w^2/T/y, with weight decay 1/eta_last (None: such that rms |w_j| = 1).
    eps0 : float
        Norm of the neurons at the start, in units of w.
    a_scale : float
        |a_j|, in units of y/w^2.
    centre : float, "population" or "fitted"
        The centring constant c in units of y, the minimiser of E l(c, y), or that of the mean of l(c, y_i).
    label_noise : float
        Standard deviation of the Gaussian noise on the labels, in units of y, at least 0.

    Raises
    ------
    ValueError
        Naming the argument, its value and what is allowed.
    """

    link: Link
    loss: Loss
    d: int
    n: int
    activation: Activation = field(default_factory=lambda: activation(_ACTIVATION))
    m: int = 64
    T1: int | None = None
    eta1: float | None = None
    beta1: float | None = None
    eta_last: float | None = None
    eps0: float = 0.01
    a_scale: float = 1.0
    centre: float | Literal["population", "fitted"] = 0.0
    label_noise: float = 0.0

    def __post_init__(self) -> None:
        # texts are accepted for link and loss; the stored fields are always the objects
        object.__setattr__(self, "link", link(self.link))
        object.__setattr__(self, "loss", loss(self.loss))
        object.__setattr__(self, "activation", activation(self.activation))
        check_integer("d", self.d, self.link.r, f"an integer from r = {self.link.r} (of link {self.link.text})")
        check_integer("n", self.n, 1, "an integer from 1")
        check_integer("m", self.m, 2, "an even integer from 2")
        if self.m % 2:
            raise ValueError(f"m = {self.m}; allowed: an even integer, for the symmetric start")
        if self.T1 is not None:
            check_integer("T1", self.T1, 1, "None or an integer from 1", MOST_STEPS)
        if not (isinstance(self.centre, str) and self.centre in ("population", "fitted")):
            check_real("centre", self.centre, -math.inf, "a finite number, 'population' or 'fitted'")
            object.__setattr__(self, "centre", float(self.centre) + 0.0)
        check_noise(self.label_noise)
        for name, least, allowed in (("eta1", 5e-324, "> 0"), ("eta_last", 5e-324, "> 0"), ("beta1", 0.0, ">= 0")):
            if getattr(self, name) is not None:
                check_real(name, getattr(self, name), least, f"None or a finite number {allowed}")
        for name in ("eps0", "a_scale"):
            check_real(name, getattr(self, name), 1e-100, "a finite number >= 1e-100")
        self._make_plain()
        if self.beta1 is not None:
            self._check_memory(self.beta1)

    def _check_memory(self, beta1: float) -> None:
        """Refuse what leaves no number for 1 - eta1 beta1; the step size that is not given is 1/(a_scale |S|_op)."""
        if self.eta1 is None and beta1 / self.a_scale > _LARGEST_DECAY:
            allowed = f"beta1/a_scale up to {_LARGEST_DECAY:g} where eta1 is not given"
            raise ValueError(f"beta1 = {beta1}, a_scale = {self.a_scale}; allowed: {allowed}")
        if self.eta1 is not None and math.isinf(self.eta1 * beta1):
            raise ValueError(f"eta1 = {self.eta1}, beta1 = {beta1}; allowed: a product below 1e308")

    def _make_plain(self) -> None:
        """Numbers of Python, so that equal settings have equal texts whatever these were given as; no zero has a
        sign."""
        whole = ("d", "n", "m", "T1")
        for name in (*whole, "eps0", "a_scale", "label_noise", "eta1", "eta_last", "beta1"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, int(value) if name in whole else float(value) + 0.0)

    def __repr__(self) -> str:
        return f"Setting({', '.join(f'{name}={value!r}' for name, value in self.told().items())})"

    @property
    def steps(self) -> int:
        """T1 as a number."""
        return max(2, math.ceil(2 * math.sqrt(math.log(self.d)))) if self.T1 is None else self.T1

    def labels(self, Z: Floats, rng: np.random.Generator) -> Floats:
        """Labels of samples.

        Parameters
        ----------
        Z : (n, r)
            Hidden coordinates, dimensionless.
        rng : numpy Generator
            Draws n Gaussians, or nothing where there is no label noise.

        Returns
        -------
        (n,) array
            g(z_i) + label noise, in units of y.
        """
        y = self.link(Z)
        return y + self.label_noise * rng.standard_normal(y.size) if self.label_noise else y

    @property
    def constants(self) -> dict[str, str]:
        """How the suprema that bounds use are known: exact, certified, or numerical, which is no proof."""
        return {"loss": self.loss.constants, "activation": self.activation.constants}

    @property
    def peak_bytes(self) -> int:
        """Predicted peak memory of one draw and its run: X, one product of its size, the dense d x d work matrices,
        the accumulators of the kernels and three trajectories."""
        formed = self.d <= DENSE_LIMIT or forming_is_cheaper(self.n, self.d)
        dense = 6 * self.d * self.d if formed else 0
        run = (16 + 3 * (self.steps + 1)) * self.m * self.d + self.n * (3 * self.m + self.steps)
        return 8 * (2 * self.n * self.d + self.n * (2 * self.link.r + 8) + dense + 64 * self.d + run)

    def to_dict(self) -> dict[str, Any]:
        """Plain values from which `from_dict` makes an equal Setting."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return values | {"link": self.link.text, "loss": self.loss.text, "activation": self.activation.text}

    def told(self) -> dict[str, Any]:
        """What `to_dict` has beyond the defaults, link, loss, d and n first: from these an equal Setting is made."""
        defaults = {f.name: f.default for f in dataclasses.fields(self)} | {"activation": _ACTIVATION}
        return {name: value for name, value in self.to_dict().items() if value != defaults[name]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Setting":
        """Inverse of `to_dict`: a Setting of these `values`.

        Raises
        ------
        ValueError
            For a field that is unknown or missing, or a value that is not allowed.
        """
        if not isinstance(values, Mapping):
            raise ValueError(f"values = {str(values)[:60]!r}; allowed: the fields of a setting by name")
        known = {f.name for f in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ValueError(f"field {unknown[0]!r} of a setting is unknown; allowed: {', '.join(sorted(known))}")
        if missing := sorted({"link", "loss", "d", "n"} - set(values)):
            raise ValueError(f"field {missing[0]!r} of a setting is missing; needed: link, loss, d, n")
        return cls(**values)

    def to_json(self) -> str:
        """JSON from which `from_json` makes an equal Setting, with the link as it was written."""
        return json.dumps(self.to_dict(), sort_keys=True)

    @cached_property
    def canonical(self) -> str:
        """A text that equal settings share, of which seeds and the keys of rows are made; it need not be readable back.

        `to_json` for a link of the zoo or one that is written in monomials as `Link.canonical` does.
        """
        return json.dumps(self.to_dict() | {"link": self.link.canonical}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Setting":
        """Inverse of `to_json`: the Setting of a `text`.

        Raises
        ------
        ValueError
            As `from_dict`, and for what is not JSON of fields.
        """
        try:
            values = json.loads(text)
        except (ValueError, TypeError) as problem:
            raise ValueError(f"text = {str(text)[:60]!r}; allowed: the JSON of a setting ({problem})") from problem
        return cls.from_dict(values)


def kept_share(eta: float, beta: float | None) -> float:
    """gamma = 1 - eta beta, the share of a neuron that a step keeps; 0 also where beta is 1/eta but for rounding."""
    gamma = 0.0 if beta is None else 1 - eta * beta
    return 0.0 if abs(gamma) <= _ROUNDED_TO_ZERO else gamma


def memory_limit() -> int:
    """Bytes of memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def check_fits(setting: Setting, more: int = 0) -> None:
    """Refuse, with a ValueError, a draw whose predicted bytes, and `more` beside them, this machine does not have."""
    needed = setting.peak_bytes + more
    if needed > memory_limit():
        raise ValueError(
            f"d = {setting.d}, n = {setting.n}, m = {setting.m} needs {needed:,} bytes; "
            f"allowed: at most the {memory_limit():,} of this machine"
        )
