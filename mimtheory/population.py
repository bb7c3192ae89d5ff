"""The population of a problem: what is known before anything is drawn.

The expectations are imported when first computed: what needs none of them does not wait for a second.
"""

import math
import threading
from collections.abc import Callable
from functools import cached_property, lru_cache, wraps
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

import numpy as np
from numpy.typing import NDArray

from mimtheory.html_tables import html_table
from mimtheory.links import Link
from mimtheory.losses import Loss
from mimtheory.setting import Setting, kept_share

if TYPE_CHECKING:
    from mimtheory.hessian import Moments
    from mimtheory.hessian_results import ExpectedHessian

__all__ = ["Population"]

Floats = NDArray[np.float64]
Arguments = TypeVarTuple("Arguments")
Value = TypeVar("Value")


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

    def __repr__(self) -> str:
        return f"Population({self.setting!r})"

    def _repr_html_(self) -> str:
        numbers = {"centre": self.centre, "K": self.K, "|S|_op": self.S_norm, "gap": self.gap, "eta1": self.eta1}
        rows = [(name, f"{value:.6g}") for name, value in numbers.items()]
        return html_table(rows, repr(self)) + self._expected._repr_html_()

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
