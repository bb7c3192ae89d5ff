"""Operators: products, spectra and restrictions against explicit matrices, and bounds on their rounding."""

import math

import numpy as np
import pytest
from scipy.linalg import null_space
from scipy.sparse.linalg import aslinearoperator

from mimtheory import operators
from mimtheory.operators import (
    EmpiricalHessian,
    extreme_eigenvalues,
    largest_eigenvalue,
    outer_eigenpairs,
    perp_restriction,
    spectral_norm,
)


def draw(n: int = 60, d: int = 12, one_signed: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X, T = rng.standard_normal((n, d)), rng.standard_normal(n)
    T = np.abs(T) + 0.5 if one_signed else T
    return X, T, (X * T[:, None]).T @ X / n


def test_products_are_those_of_the_matrix() -> None:
    X, T, A = draw()
    S = EmpiricalHessian(X, T)
    V = np.random.default_rng(1).standard_normal((12, 3))
    bound = S.roundoff * np.linalg.norm(V)
    assert np.abs(S @ V[:, 0] - A @ V[:, 0]).max() <= bound
    assert np.abs(S @ V - A @ V).max() <= bound
    assert np.abs(S.H @ V - A @ V).max() <= bound
    assert isinstance(S.matrix, np.ndarray)
    assert np.linalg.norm(S.matrix - A, 2) <= S.roundoff
    assert (S.matrix == S.matrix.T).all()


def test_roundoff_bounds_the_error_of_everything_against_extended_precision() -> None:
    X, T, _ = draw(n=500, d=40)
    long = X.astype(np.longdouble)
    exact = (long * T[:, None]).T @ long / 500
    S = EmpiricalHessian(X, T)
    assert np.linalg.norm((S.matrix - exact).astype(float), 2) <= S.roundoff
    columns = np.asarray(S @ np.eye(40))
    assert np.linalg.norm((columns - exact).astype(float), 2) <= S.roundoff
    assert S.solver_roundoff < S.roundoff
    # and it is not so large that nothing could be seen
    assert S.roundoff < 1e-9


@pytest.mark.parametrize("forming", [False, True])
def test_both_routes_to_the_ends_of_a_spectrum_agree(forming: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of S_hat, of H = gamma I - eta S_hat and of Q, whose weights are any; also where n < d."""
    monkeypatch.setattr(operators, "forming_is_cheaper", lambda n, d: forming)
    for n, d in ((300, 80), (50, 80)):
        X, T, A = draw(n=n, d=d)
        S = EmpiricalHessian(X, T)
        assert isinstance(S.for_ends, np.ndarray) == forming
        ends = extreme_eigenvalues(S.for_ends)
        allowed = ends.error + S.roundoff + S.solver_error(S.for_ends)
        assert np.abs(ends.value - np.linalg.eigvalsh(A)[[0, -1]]).max() <= allowed < 1e-9
        H = 0.3 * (np.eye(d) if forming else aslinearoperator(np.eye(d))) - 0.7 * S.for_ends
        norm = spectral_norm(H)
        rounding = norm.error + 0.7 * (S.roundoff + S.solver_error(S.for_ends)) + 20 * d * 2.0**-52 * 0.3
        assert abs(float(norm.value) - np.linalg.norm(0.3 * np.eye(d) - 0.7 * A, 2)) <= rounding < 1e-9


@pytest.mark.parametrize("one_signed", [False, True])
def test_lanczos_finds_what_the_dense_solver_finds(one_signed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    X, T, A = draw(n=300, d=80, one_signed=one_signed)
    dense = extreme_eigenvalues(A)
    monkeypatch.setattr(operators, "DENSE_LIMIT", 10)
    S = EmpiricalHessian(X, T)
    assert S.matrix is S
    lanczos = extreme_eigenvalues(S.matrix)
    allowed = lanczos.error + S.roundoff
    assert np.abs(lanczos.value - dense.value).max() <= allowed < 1e-9
    assert abs(float(spectral_norm(S.matrix).value) - np.linalg.norm(A, 2)) <= allowed
    values, vectors = outer_eigenpairs(S, 3)
    expected = np.linalg.eigvalsh(A)[[0, 1, 2, -3, -2, -1]]
    assert np.abs(np.sort(values.value) - expected).max() <= values.error + S.roundoff < 1e-9
    assert np.linalg.norm(A @ vectors - vectors * values.value, axis=0).max() <= values.error + S.roundoff
    assert S.solver_roundoff == S.roundoff


def test_the_spectral_norm_counts_both_ends() -> None:
    assert float(spectral_norm(np.diag([-3.0, 1.0, 2.0])).value) == 3.0
    assert float(spectral_norm(np.diag([-1.0, 1.0, 2.0])).value) == 2.0


@pytest.mark.parametrize("one_signed", [False, True])
@pytest.mark.parametrize("as_operator", [False, True])
def test_the_restriction_has_the_spectrum_of_the_perp_block(one_signed: bool, as_operator: bool) -> None:
    X, T, A = draw(one_signed=one_signed)
    U = np.linalg.qr(np.random.default_rng(2).standard_normal((12, 2)))[0].T
    basis = null_space(U)
    expected = np.linalg.eigvalsh(basis.T @ A @ basis)
    restricted = perp_restriction(EmpiricalHessian(X, T) if as_operator else A, U)
    matrix = restricted if isinstance(restricted, np.ndarray) else np.asarray(restricted @ np.eye(12))
    found = np.linalg.eigvalsh((matrix + matrix.T) / 2)
    # the r extra eigenvalues lie inside: both ends are those of the block (zeros would not be, for one sign)
    assert np.abs(found[[0, -1]] - expected[[0, -1]]).max() <= 1e-12
    if one_signed:
        assert expected[0] > 0.1


@pytest.mark.parametrize(("n", "d"), [(1, 1), (50, 3), (47, 7), (5, 9)])
def test_the_matrix_is_the_sum_over_all_blocks_of_rows(n: int, d: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 8 rows or fewer, the last one short; within the roundoff that the operator states."""
    monkeypatch.setattr(operators, "_BLOCK", 24)
    rng = np.random.default_rng(d)
    X, T = rng.standard_normal((n, d)), rng.standard_normal(n)
    S_hat = EmpiricalHessian(X, T)
    assert np.linalg.norm(S_hat.matrix - (X * T[:, None]).T @ X / n, 2) <= S_hat.roundoff
    assert (S_hat.matrix == S_hat.matrix.T).all()


class Counted(EmpiricalHessian):
    """One that counts its products."""

    products = 0

    def _matvec(self, v: np.ndarray) -> np.ndarray:
        self.products += 1
        return super()._matvec(v)


def test_a_hard_edge_does_not_stop_lanczos() -> None:
    """With T = 1 and n = d the smallest eigenvalues are of order d^-2 apart: thousands of products for one."""
    X, ones = np.random.default_rng(0).standard_normal((600, 600)), np.ones(600)
    S, top = Counted(X, ones), Counted(X, ones)
    exact = np.linalg.eigvalsh(X.T @ X / 600)
    ends = extreme_eigenvalues(S)
    assert np.abs(ends.value - exact[[0, -1]]).max() <= ends.error + S.roundoff
    assert S.products < 2 * 40 * operators._RESTARTS
    largest = largest_eigenvalue(top)
    assert abs(float(largest.value) - exact[-1]) <= largest.error + top.roundoff
    assert top.products < 300
    values, vectors = outer_eigenpairs(S, 2)
    assert np.abs(values.value - exact[[0, 1, -2, -1]]).max() <= values.error + S.roundoff
    assert np.abs(vectors.T @ vectors - np.eye(4)).max() <= 8 * 600 * 2**-53  # of a backward stable eigensolver


def test_operators_that_are_zero_or_no_number_or_small_have_ends_too() -> None:
    X = np.random.default_rng(0).standard_normal((3, 90))
    zero, unknown = EmpiricalHessian(X, np.zeros(3)), EmpiricalHessian(X, np.array([1.0, np.nan, 0.0]))
    assert extreme_eigenvalues(zero).value.tolist() == [0, 0]
    values, vectors = outer_eigenpairs(zero, 2)
    assert values.value.tolist() == [0, 0, 0, 0]
    assert (vectors.T @ vectors == np.eye(4)).all()
    assert np.isnan(extreme_eigenvalues(unknown).value).all()
    values, vectors = outer_eigenpairs(unknown, 2)
    assert np.isnan(values.value).all()
    assert np.isnan(vectors).all()
    single = EmpiricalHessian(X[:, :1], np.ones(3))
    assert extreme_eigenvalues(single).value == pytest.approx([(X[:, 0] ** 2).mean()] * 2, rel=16 * 2**-53)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_ends_of_what_is_not_finite_are_not_a_number(bad: float) -> None:
    """In a matrix and an operator: no solver raises what would end more than a row."""
    A = np.eye(90)
    A[3, 4] = A[4, 3] = bad
    for made in (A, aslinearoperator(A)):
        assert np.isnan(extreme_eigenvalues(made).value).tolist() == [True, True]
        assert np.isnan(largest_eigenvalue(made).value)
        assert np.isnan(spectral_norm(made).value)
    large = EmpiricalHessian(np.full((3, 5), 1e10), np.full(3, 1e300))  # whose weights are finite
    with np.errstate(over="ignore", invalid="ignore"):
        assert np.isnan(extreme_eigenvalues(large.matrix).value).all()


@pytest.mark.parametrize("power", [-1000, -600, -100, 500, 900])
@pytest.mark.parametrize(("n", "d"), [(300, 80), (90, 90)])
def test_no_power_of_two_changes_a_digit(n: int, d: int, power: int) -> None:
    """Products and sums of scaled numbers are scaled, and Lanczos finds the same; at n = d by the whole spectrum."""
    X, T, _ = draw(n=n, d=d, one_signed=n == d)
    S, scaled = EmpiricalHessian(X, T), EmpiricalHessian(X, np.ldexp(T, power))
    for find in (extreme_eigenvalues, largest_eigenvalue, spectral_norm):
        one, other = find(S), find(scaled)
        assert (np.ldexp(one.value, power) == other.value).all()
        assert 0 < math.ldexp(one.error, power) == other.error
    (values, vectors), (others, same) = outer_eigenpairs(S, 2), outer_eigenpairs(scaled, 2)
    assert (np.ldexp(values.value, power) == others.value).all()
    assert (np.ldexp(values.errors, power) == others.errors).all()
    assert (vectors == same).all()
    dense, other_dense = S.matrix, scaled.matrix
    assert S.solver_error(dense) > 0
    # a sum of squares and its root, rounded in any order
    assert scaled.solver_error(other_dense) == pytest.approx(math.ldexp(S.solver_error(dense), power), rel=1e-12)


def test_residuals_are_those_of_the_pairs_and_of_no_others() -> None:
    X, T, _ = draw(n=300, d=80)
    S = EmpiricalHessian(X, T)
    values, vectors = outer_eigenpairs(S, 3)
    # at another power of two, which rounds nothing
    assert (values.errors == np.linalg.norm(S @ vectors - vectors * values.value, axis=0)).all()
    assert values.errors.shape == (6,)
