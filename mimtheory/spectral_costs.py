"""What the ends of the spectrum of S_hat cost: with the d x d matrix formed, or by products with X alone.

The constants were measured on one AVX-512 core (docs/theory/kernels.md); another machine moves the crossover, not the
sides of it.
"""

__all__ = ["DENSE_LIMIT", "ends_seconds", "forming_is_cheaper"]

# Up to this dimension the whole spectrum is computed.
DENSE_LIMIT = 512

_FORM = 4.5e-11  # seconds for each of the n d^2 products of the matrix
_SOLVE, _SWEEPS = 6e-11, 2e-8  # and of its eigenvalues, for each of d^3 and of d^2
_PRODUCT, _CALL = 3.6e-10, 3e-5  # for each of the n d numbers that a product with a vector reads, and for every product
_PRODUCTS = 30.0  # of both Lanczos runs, times d^(1/3)


def ends_seconds(n: int, d: int) -> tuple[float, float]:
    """Seconds on one core for both ends, by the dense matrix and by Lanczos.

    A run of Lanczos needs about log(1/eps) (gap)^(-1/2) products, and at the edge of a bulk of d eigenvalues the gap is
    of order d^(-2/3).
    """
    dense = _FORM * n * d**2 + _SOLVE * d**3 + _SWEEPS * d**2
    return dense, _PRODUCTS * d ** (1 / 3) * (_PRODUCT * n * d + _CALL)


def forming_is_cheaper(n: int, d: int) -> bool:
    """Whether the dense matrix is predicted to give the ends sooner."""
    dense, lanczos = ends_seconds(n, d)
    return dense <= lanczos
