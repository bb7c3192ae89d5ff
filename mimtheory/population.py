"""The population of a problem: what is known before anything is drawn.

The expectations are imported when first computed: a Setting can be validated without waiting for them.
"""

import dataclasses
import json
import math
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, wraps
from typing import TYPE_CHECKING, Any, Literal, TypeVar, TypeVarTuple

import numpy as np
from numpy.typing import NDArray

from mimtheory.activations import Activation, activation
from mimtheory.arguments import check_integer, check_noise, check_real
from mimtheory.links import Link, link
from mimtheory.losses import Loss, loss
from mimtheory.spectral_costs import DENSE_LIMIT, forming_is_cheaper

if TYPE_CHECKING:
    from mimtheory.hessian import Moments
    from mimtheory.hessian_results import ExpectedHessian

__all__ = [
    "Population",
    "Setting",
    "check_fits",
    "kept_share",
    "memory_limit",
]

Floats = NDArray[np.float64]
Arguments = TypeVarTuple("Arguments")
Value = TypeVar("Value")
_ACTIVATION = "1-cos"
_MOST_STEPS = 100_000
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
            check_integer("T1", self.T1, 1, "None or an integer from 1", _MOST_STEPS)
        if self.centre not in ("population", "fitted"):
            check_real("centre", self.centre, -math.inf, "a finite number, 'population' or 'fitted'")
            object.__setattr__(self, "centre", float(self.centre))
        check_noise(self.label_noise)
        for name, least, allowed in (("eta1", 5e-324, "> 0"), ("eta_last", 5e-324, "> 0"), ("beta1", 0.0, ">= 0")):
            if getattr(self, name) is not None:
                check_real(name, getattr(self, name), least, f"None or a finite number {allowed}")
        for name in ("eps0", "a_scale"):
            check_real(name, getattr(self, name), 1e-100, "a finite number >= 1e-100")
        self._make_plain()
        if self.eta1 is not None and self.beta1 is not None and math.isinf(self.eta1 * self.beta1):
            raise ValueError(f"eta1 = {self.eta1}, beta1 = {self.beta1}; allowed: a product below 1e308")

    def _make_plain(self) -> None:
        """Numbers of Python, so that equal settings have equal texts whatever they were given as."""
        whole = ("d", "n", "m", "T1")
        for name in (*whole, "eps0", "a_scale", "label_noise", "eta1", "eta_last", "beta1"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, int(value) if name in whole else float(value))

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
        known = {f.name for f in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ValueError(f"field {unknown[0]!r} of a setting is unknown; allowed: {', '.join(sorted(known))}")
        if missing := sorted({"link", "loss", "d", "n"} - set(values)):
            raise ValueError(f"field {missing[0]!r} of a setting is missing; needed: link, loss, d, n")
        return cls(**values)

    def to_json(self) -> str:
        """Canonical JSON: equal settings have equal texts."""
        return json.dumps(self.to_dict(), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Setting":
        """Inverse of `to_json`: the Setting of a `text`.

        Raises
        ------
        ValueError
            As `from_dict`, and for what is not JSON.
        """
        return cls.from_dict(json.loads(text))


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


class Population:
    """Expectations and suprema that belong to a Setting; nothing here depends on a draw.

    Attributes
    ----------
    setting : Setting
    C : (r, r) array
        E[T (z z^T - I)], in units of T.
    c0, radius : float
        E T, and a bound on the errors of both, in units of T.
    moments : Moments
        Gaussian moments of T up to order 2, beside z.
    K_plus, K_minus : float
        Suprema of max(T, 0) and max(-T, 0), in units of T.
    T1 : int
        Steps of stage one.

    Raises
    ------
    ValueError
        For what is no Setting.
    """

    def __init__(self, setting: Setting) -> None:
        if not isinstance(setting, Setting):
            raise ValueError(f"setting = {str(setting)[:60]!r}; allowed: a Setting, not {type(setting).__name__}")
        self.setting = setting
        self.d, self.n, self.r = setting.d, setting.n, setting.link.r
        self.p = self.d - self.r

    @cached_property
    def centre(self) -> float:
        """The centring constant c as a number, in units of y.

        The minimiser of E l(c, y) also where c is fitted to a draw.

        Raises
        ------
        ValueError
            For the centre 'population' or 'fitted' of a loss that no constant minimises.
        """
        s = self.setting
        return _centre(s.link, s.loss, s.label_noise) if isinstance(s.centre, str) else float(s.centre)

    def prepare(self) -> None:
        """Compute C, c0 and the centre now; equal links, losses and centres share them from then on. The other moments
        cost more and wait until a statement asks for them."""
        _ = self.C

    @cached_property
    def moments(self) -> "Moments":
        return _moments(self.setting.link, self.setting.loss, self.centre, self.setting.label_noise)

    @cached_property
    def _expected(self) -> "ExpectedHessian":
        return _hessian(self.setting.link, self.setting.loss, self.centre, self.setting.label_noise)

    @property
    def C(self) -> Floats:
        return self._expected.C

    @property
    def c0(self) -> float:
        return self._expected.c0

    @property
    def radius(self) -> float:
        return self._expected.radius

    @property
    def matrix_radius(self) -> float:
        """What the error of C and c0 adds to a norm of S, in units of T: r entries a row, and c0."""
        return (self.r + 1) * self.radius

    @property
    def S_norm(self) -> float:
        """|S|_op of S = c0 I + U^T C U, in units of T.

        Source: docs/theory/a2_operator_norm.md, Every draw.
        """
        return float(np.abs(self.S_ends).max())

    @property
    def K(self) -> float:
        """sup |T|, in units of T; K_plus and K_minus are the suprema of max(T, 0) and max(-T, 0)."""
        return self.setting.loss.K

    @property
    def K_plus(self) -> float:
        return self.setting.loss.K_plus

    @property
    def K_minus(self) -> float:
        return self.setting.loss.K_minus

    @property
    def variance_T(self) -> float:
        """Var T, in units of T^2, raised by the error of the moments so that a bound built on it stays a bound.

        Source: docs/theory/concentration.md, chebyshev.
        """
        return self.moments.mean_T2 - self.moments.mean_T**2 + self.moments.radius * (1 + 2 * abs(self.c0))

    @cached_property
    def V(self) -> float:
        """E[T^2 |z|^4] - |E T z z^T|_F^2, in units of T^2, raised by the error of the moments.

        Source: docs/theory/concentration.md, chebyshev.
        """
        m = self.moments
        square = float(np.sum(m.mean_Tzz**2))
        return m.T2_z4 - square + m.radius * (1 + 2 * self.r * math.sqrt(square))

    @cached_property
    def eta1(self) -> float:
        """Step size in units of w^2/T/y: given, or 1/(a_scale |S|_op), with sqrt(E T^2) for |S|_op where S = 0."""
        if self.setting.eta1 is not None:
            return self.setting.eta1
        size = self.S_norm
        if size <= 10 * self.radius:
            size = math.sqrt(max(self.moments.mean_T2, 0.0))
        return 1 / (self.setting.a_scale * size) if size > 0 else 1.0

    @property
    def step(self) -> float:
        """eta1 |a|, the factor of S_hat in H = gamma I - eta a S_hat, in units of 1/T."""
        return self.eta1 * self.setting.a_scale

    @property
    def T1(self) -> int:
        return self.setting.steps

    @property
    def T(self) -> int:
        """Number of equal steps: T1 where gamma = 0 (the last step then only has another scale), else T1 - 1."""
        return self.T1 if self.gamma1 == 0 else self.T1 - 1

    @property
    def gamma1(self) -> float:
        """gamma = 1 - eta1 beta1, dimensionless; 0 is pure power iteration."""
        return kept_share(self.eta1, self.setting.beta1)

    @property
    def f_stays_zero(self) -> bool:
        """Whether the network is 0 throughout stage one: without memory (gamma = 0) and with an even activation the
        neurons j and m+1-j stay equal up to sign, and their outputs cancel."""
        return self.gamma1 == 0 and self.setting.activation.even

    @cached_property
    def S_ends(self) -> Floats:
        """Smallest and largest eigenvalue of S, (2,), in units of T."""
        low, high = np.linalg.eigvalsh(self.C)[[0, -1]].tolist()
        return self.c0 + np.array([min(low, 0.0), max(high, 0.0)] if self.p else [low, high])

    @cached_property
    def gap(self) -> float:
        """min_k |l_k(C)| in units of T, the separation of the signal from the bulk at c0, lowered by the error of C.

        Source: A.3.
        """
        return max(0.0, float(np.abs(np.linalg.eigvalsh(self.C)).min()) - self.r * self.radius)


_COMPUTING = threading.RLock()


def _once(compute: Callable[[*Arguments], Value]) -> Callable[[*Arguments], Value]:
    """Remember values; a thread that asks for one waits while another computes it, also because the working precision
    of ball arithmetic belongs to the process."""
    remembered = lru_cache(maxsize=256)(compute)

    @wraps(compute)
    def value(*arguments: *Arguments) -> Value:
        with _COMPUTING:
            return remembered(*arguments)

    return value


@_once
def _centre(link: Link, loss: Loss, label_noise: float) -> float:
    from mimtheory.centring import population_centre

    return population_centre(link, loss, label_noise)


@_once
def _hessian(link: Link, loss: Loss, centre: float, label_noise: float) -> "ExpectedHessian":
    from mimtheory.hessian import expected_hessian

    return expected_hessian(link, loss, centre, label_noise)


@_once
def _moments(link: Link, loss: Loss, centre: float, label_noise: float) -> "Moments":
    from mimtheory.hessian import gaussian_moments

    return gaussian_moments(link, loss, centre, label_noise)
