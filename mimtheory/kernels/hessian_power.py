"""The Hessian-power update V -> (1/n) X^T diag(T) X V in one pass over X."""

from typing import Any

from numpy.typing import NDArray

from mimtheory.kernels.gaussians import Gaussians
from mimtheory.kernels.leaves import kind_of, one_pass, real_array, samples_of
from mimtheory.kernels.sweep import POWER

__all__ = ["hessian_power"]

Floats = NDArray[Any]


def hessian_power(X: Floats | Gaussians, T: Floats, V: Floats, *, threads: int | None = None) -> Floats:
    """Apply S_hat = (1/n) X^T diag(T) X to the rows of V.

    Parameters
    ----------
    X : (n, d) array or Gaussians
        float32 if X and V both are, else taken as float64. Blocks of other layouts than C order are copied; those of
        Gaussians are made again from the seed.
    T : (n,)
    V : (k, d)
    threads : int
        None chooses; any number gives the same bits.

    Returns
    -------
    (k, d)
        Row q is S_hat applied to V[q]. Allocates 8 k d numbers, with T > 1 threads (5 T + 18) k d; for each thread
        32 d more where X is made, n d/16 where X is copied.

    Raises
    ------
    ValueError
        If the shapes do not fit, numbers are complex or masked, or threads is neither None nor an integer from 1.
    """
    X, T, V = samples_of(X), real_array("T", T), real_array("V", V)
    if X.ndim != 2 or V.ndim != 2 or T.shape != X.shape[:1] or V.shape[1] != X.shape[1] or not X.shape[0]:
        raise ValueError(f"shapes X {X.shape}, T {T.shape}, V {V.shape} do not fit; allowed: (n, d), (n,), (k, d)")
    return one_pass(POWER, X, V.shape[0], kind_of(X, V), threads, W=V, y=T)
