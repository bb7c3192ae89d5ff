"""Tail bounds with explicit constants, one function each. Proofs: docs/theory/concentration.md.

Throughout, G is a Gaussian matrix with independent N(0, 1) entries and a failure probability is called delta.
"""

from mimtheory.concentration.chi_squared import (
    chernoff_quantile,
    chi_squared_upper,
    power_near,
    weighted_chi_squared_upper,
)
from mimtheory.concentration.matrices import (
    block_norm,
    chevet_excess,
    edge_upper,
    gaussian_matrix_norm,
    gaussian_product_norm,
    gordon_deficit,
    spherical_condition,
    two_to_four_norm,
)
from mimtheory.concentration.means import bernstein, bernstein_second_moment, chebyshev, hoeffding
from mimtheory.concentration.vectors import beta_lower, gaussian_norms_upper, gaussian_t, sphere_spread

__all__ = [
    "bernstein",
    "bernstein_second_moment",
    "beta_lower",
    "block_norm",
    "chebyshev",
    "chernoff_quantile",
    "chevet_excess",
    "chi_squared_upper",
    "edge_upper",
    "gaussian_matrix_norm",
    "gaussian_norms_upper",
    "gaussian_product_norm",
    "gaussian_t",
    "gordon_deficit",
    "hoeffding",
    "power_near",
    "sphere_spread",
    "spherical_condition",
    "two_to_four_norm",
    "weighted_chi_squared_upper",
]
