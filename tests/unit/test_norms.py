"""Norms of numbers whose squares are no doubles, and of those that are none."""

import numpy as np
import pytest

from mimtheory.norms import euclidean_norm


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_norms_are_those_of_numpy_at_any_scale(kind: type) -> None:
    """A power of two rounds nothing: the same bits as in double precision, at its scale."""
    A: np.ndarray = np.random.default_rng(0).standard_normal((7, 9)).astype(kind)
    doubles, most = A.astype(np.float64), 1000 if kind is np.float64 else 100
    for power in (-most, -80, 0, 80, most):
        scaled = np.ldexp(A, power)
        assert scaled.dtype == kind
        expected = np.ldexp(np.linalg.norm(doubles, axis=1), power)
        # NumPy adds up what is not scaled by the largest entry in another order of magnitude, and rounds alike
        assert euclidean_norm(scaled, axis=1) == pytest.approx(expected, rel=2 * 2**-53, abs=0)
        assert float(euclidean_norm(scaled)) == pytest.approx(np.ldexp(np.linalg.norm(doubles), power), rel=2 * 2**-53)


def test_each_row_has_its_own_scale() -> None:
    rows = np.array([[3e-170, 4e-170], [3e200, -4e200], [0, 0], [5e-324, 0], [1.7e308, 0], [np.nan, 1], [np.inf, 1]])
    found = euclidean_norm(rows, axis=1)
    assert found[:2] == pytest.approx([5e-170, 5e200], rel=4 * 2**-53)
    assert found[2:5].tolist() == [0, 5e-324, 1.7e308]
    assert np.isnan(found[5])
    assert found[6] == np.inf
    assert float(euclidean_norm(np.zeros((0, 3)))) == 0
