"""Every compiled function of the project: arrays and small integer codes in, no Python callables.

Sums run over a fixed partition of the rows into leaves and are added in leaf order, so that results are
identical for any number of threads.
"""

from mimtheory.kernels.elementwise import activated, network_outputs, s_minus_1
from mimtheory.kernels.first_layer import Gradient, gradient, inner_products, weighted_sums
from mimtheory.kernels.gaussians import Gaussians
from mimtheory.kernels.hessian_power import hessian_power
from mimtheory.kernels.second_layer import NormalEquations, normal_equations
from mimtheory.kernels.warming import warm

__all__ = [
    "Gaussians",
    "Gradient",
    "NormalEquations",
    "activated",
    "gradient",
    "hessian_power",
    "inner_products",
    "network_outputs",
    "normal_equations",
    "s_minus_1",
    "warm",
    "weighted_sums",
]
