"""Compile every kernel before it is needed, or find it in the cache."""

import time

import numpy as np

from mimtheory.activations import activation
from mimtheory.kernels.elementwise import network_outputs, s_minus_1
from mimtheory.kernels.first_layer import gradient
from mimtheory.kernels.gaussians import Gaussians

__all__ = ["warm"]


def warm() -> float:
    """Compile all kernels in both precisions, or load them from the cache; returns the seconds that it took."""
    started = time.perf_counter()
    for kind in (np.float64, np.float32):
        made = Gaussians(0, 2, 2, kind)
        X, W = made.rows(0, 2, threads=1), np.ones((1, 2), kind)
        for samples in (made, X):
            gradient(samples, np.ones(2), W, np.ones(1), activation="1-cos", loss="squared", threads=1)
    sigma, one = activation("1-cos"), np.ones(1)
    s_minus_1(sigma, one)
    network_outputs(sigma, np.ones((1, 1)), one, one)
    return time.perf_counter() - started
