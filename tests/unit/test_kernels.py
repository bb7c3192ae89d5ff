"""Kernels: exact rationals, extended precision within the derived bound on rounding, the same bits for any threads."""

import math
import subprocess
import sys
import weakref
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any

import flint
import mpmath
import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from mimtheory.activations import ACTIVATION_NAMES, Activation, activation
from mimtheory.kernels import gradient, hessian_power, inner_products, normal_equations, weighted_sums
from mimtheory.kernels.compiling import DISABLED, kernel
from mimtheory.kernels.elementary import (
    _C,
    _L,
    _S,
    _T,
    bell,
    exponential,
    falling,
    log1p,
    logarithm,
    sin_cos,
    tail_ratio,
    tanh,
)
from mimtheory.kernels.leaves import _writeable
from mimtheory.kernels.partition import DEPTH, GROUP, LEAVES, ROWS, leaf_start, product_roundings, roundings
from mimtheory.kernels.pointwise import _u_minus_sin, activate, loss_slope, slope_change
from mimtheory.kernels.sweep import LINE, at_a_line, sweep
from mimtheory.losses import LOSS_NAMES, Loss, loss
from mimtheory.relations import gamma

SIZES = [
    (1, 1, 1),
    (3, 2, 1),
    (64, 9, 1),
    (79, 33, 1),
    (700, 21, 1),
    (15, 7, 2),
    (16, 8, 1),
    (17, 9, 3),
    (100, 33, 4),
    (300, 5, 2),
    (70, 70, 5),
    (40, 26, 9),
    (40, 26, 17),
    (35, 150, 40),
]
SMOOTH = ["logcosh", "pseudo_huber(1)", "squared"]
Long = np.longdouble


def draw(n: int, d: int, k: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)), rng.standard_normal(n), rng.standard_normal((k, d))


# The Hessian-power update


def test_hessian_power_is_exact_on_small_integers() -> None:
    rng = np.random.default_rng(1)
    X, T, V = (rng.integers(-3, 4, size).astype(float) for size in ((32, 5), (32,), (2, 5)))
    for q in range(2):
        for j in range(5):
            exact = Fraction(0)
            for i in range(32):
                exact += (
                    Fraction(T[i]) * sum(Fraction(X[i, k]) * Fraction(V[q, k]) for k in range(5)) * Fraction(X[i, j])
                )
            # all sums are exact integers and 1/32 is a power of two
            assert Fraction(hessian_power(X, T, V)[q, j]) == exact / 32


@pytest.mark.parametrize(("n", "d", "k"), SIZES)
def test_hessian_power_is_within_its_rounding_of_extended_precision(n: int, d: int, k: int) -> None:
    X, T, V = draw(n, d, k)
    before = X.copy(), T.copy(), V.copy()
    found = hessian_power(X, T, V)
    exact = ((V.astype(Long) @ X.astype(Long).T) * T) @ X.astype(Long) / n
    sizes = ((np.abs(V) @ np.abs(X).T) * np.abs(T)) @ np.abs(X) / n
    # the longdouble side has 2^-11 of the same bound
    assert (np.abs(found - exact) <= gamma(roundings(n, d)) * sizes * (1 + 2**-10)).all()
    for given_array, original in zip((X, T, V), before, strict=True):
        assert (given_array == original).all()


@pytest.mark.parametrize(("n", "d", "k"), SIZES)
def test_results_have_the_same_bits_for_any_number_of_threads_and_any_layout(n: int, d: int, k: int) -> None:
    X, T, V = draw(n, d, k)
    wide = np.zeros((2 * n, 2 * d))
    wide[::2, ::2] = X
    S = np.random.default_rng(9).standard_normal((n, k))
    for call in (
        lambda X, threads: hessian_power(X, T, V, threads=threads),
        lambda X, threads: inner_products(X, V, threads=threads),
        lambda X, threads: weighted_sums(X, S, threads=threads),
        lambda X, threads: gradient(X, T, V, T[:1].repeat(k), activation="1-cos", loss="l1", threads=threads).gradient,
    ):
        found = call(X, 1)
        assert (call(X, 2) == found).all()
        assert (call(np.asfortranarray(X), 1) == found).all()
        assert (call(wide[::2, ::2], 2) == found).all()
        assert (call(X.astype(">f8"), 1) == found).all()


def longest_path(n: int, d: int) -> int:
    """Additions on the way of the first term, by walking through the partition."""
    inner = min(d, DEPTH) + -(-d // DEPTH)
    rows = max(leaf_start(leaf + 1, n) - leaf_start(leaf, n) for leaf in range(LEAVES))
    blocks = [min(ROWS, rows - start) for start in range(0, rows, ROWS)]
    groups = [blocks[start : start + GROUP] for start in range(0, len(blocks), GROUP)]
    sections = [groups[start : start + GROUP] for start in range(0, len(groups), GROUP)]
    return inner + max(blocks) + max(map(len, groups)) + max(map(len, sections)) + len(sections) + LEAVES


@pytest.mark.parametrize(("n", "d"), [(1, 1), (1000, 100), (17, 9), (5000, 4000), (10**6, 64), (10**7, 3)])
def test_roundings_counts_at_least_the_longest_sum(n: int, d: int) -> None:
    # and the products: of a term, with the factor between the sums (3 in a gradient), with x; and the division by n
    longest = longest_path(n, d)
    assert longest + 6 <= roundings(n, d) <= longest + 12
    assert product_roundings(d) >= 1 + min(d, DEPTH) + d / DEPTH


def test_the_inner_products_of_one_vector_have_no_more_roundings() -> None:
    for size in (2, 4, 8, 16):
        for d in range(1, 6000):
            vectors = d // size
            across = math.log2(size) if vectors else 0
            additions = min(vectors, DEPTH) + -(-vectors // DEPTH) + across + d - vectors * size
            assert 1 + additions <= product_roundings(d)


def test_the_sums_of_a_million_samples_are_bounded_by_1e_14() -> None:
    # without the inner product, the four products around it and the division
    assert gamma(roundings(10**6, 1) - product_roundings(1) - 5) <= 1e-14


@pytest.mark.parametrize("m", [1, 2, 4, 5, 8, 9])
@pytest.mark.parametrize("apart", [2, 4, 8])
def test_data_made_to_be_lost_loses_no_more_than_the_partition_allows(m: int, apart: int) -> None:
    # in the first leaf a 1, and then what is just too small for it wherever a piece of `apart` rows may begin
    n = LEAVES * ROWS * GROUP
    X: np.ndarray = np.ones((n, 2)) * [1.0, 0.0]
    X[: ROWS * GROUP : apart, 1] = X[:apart, 1] = 2.0**-53 * (1 - 2.0**-20)
    X[0, 1] = 1.0
    exact = sum(map(Fraction, X[:, 1]))
    allowed = Fraction(gamma(roundings(n, 1) - product_roundings(1) - 5)) * exact
    # the inner products with (1, 0) are 1, so that both are sums of X[:, 1] alone; n is a power of two
    for found in (weighted_sums(X, np.ones((n, m))), hessian_power(X, np.ones(n), np.eye(1, 2).repeat(m, 0)) * n):
        assert abs(Fraction(found[0, 1]) - exact) <= allowed


@pytest.mark.parametrize("n", [8191, 8193, 9000, 20_480, 140_000])
@pytest.mark.parametrize("k", [1, 2, 5, 16])
def test_blocks_groups_and_sections_lose_no_row(n: int, k: int) -> None:
    n = n // 64 if DISABLED else n
    rng = np.random.default_rng(n)
    X: np.ndarray = rng.integers(-8, 9, (n, 9)).astype(float)
    T: np.ndarray = rng.integers(-8, 9, n).astype(float)
    V: np.ndarray = rng.integers(-8, 9, (k, 9)).astype(float)
    # sums of small integers are exact in any order, and only the division rounds
    assert (hessian_power(X, T, V) == ((V @ X.T) * T) @ X / n).all()


@pytest.mark.parametrize("row", [0, 1, 6, 7, 48, 109, 111])
def test_a_row_that_is_infinite_makes_the_same_of_one_vector_as_of_two(row: int) -> None:
    X: np.ndarray = np.ones((112, 9))
    X[row, 0] = np.inf
    found = [hessian_power(X, np.ones(112), np.ones((k, 9)))[0] for k in (1, 2)]
    assert (found[0] == np.inf).all()
    assert (found[1] == np.inf).all()


def test_arrays_that_cannot_be_written_are_read_where_they_are() -> None:
    X, T, V = draw(50, 9, 1)
    expected = hessian_power(X, T, V)
    for array in (X, T, V):
        array.setflags(write=False)
    assert (hessian_power(X, T, V) == expected).all()
    assert (inner_products(X, V) == inner_products(X.copy(), V)).all()


def read_only(array: np.ndarray) -> np.ndarray:
    return np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape)


def misaligned(array: np.ndarray) -> np.ndarray:
    return np.frombuffer(bytearray(b"0" + array.tobytes()), array.dtype, offset=1).reshape(array.shape)


def other_bytes(array: np.ndarray) -> np.ndarray:
    return array.astype(array.dtype.newbyteorder())


def all_passes(X: Any, y: Any, W: Any, S: Any, b: Any) -> list[np.ndarray]:
    found = gradient(X, y, W, b, b, activation="sqrt", loss="squared", quantities=True)
    equations = normal_equations(X, y, W, b, activation="sqrt")
    sums = hessian_power(X, y, W), hessian_power(X, y, W[:1]), inner_products(X, W), weighted_sums(X, S)
    return [found.gradient, found.outputs, equations.gram, equations.target, *sums]


@pytest.mark.parametrize("kind", [np.float64, np.float32])
@pytest.mark.parametrize("layout", [read_only, misaligned, other_bytes, np.asfortranarray])
def test_no_layout_of_an_argument_changes_bits_or_compiles_the_passes_again(
    layout: Callable[[np.ndarray], np.ndarray], kind: type
) -> None:
    X, y, W = draw(70, 9, 3)
    arguments = [X.astype(kind), y, W.astype(kind), X[:, :3].astype(kind), y[:3]]
    expected = all_passes(*arguments)
    before = list(getattr(sweep, "signatures", ()))
    for k, argument in enumerate(arguments):
        changed = [*arguments]
        changed[k] = layout(argument)
        for found, right in zip(all_passes(*changed), expected, strict=True):
            assert found.dtype == right.dtype
            assert (found == right).all()
    assert list(getattr(sweep, "signatures", ())) == before


def test_numbers_that_may_be_read_alone_live_as_long_as_what_reads_them() -> None:
    array = read_only(np.ones(3))
    seen, found = weakref.ref(array), _writeable(array)
    del array
    assert seen() is not None
    assert (found == 1).all()


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_a_long_sum_of_one_sign_is_as_good_as_the_partition_promises(kind: type) -> None:
    n = 2000 if DISABLED else 10**6
    rng = np.random.default_rng(3)
    X: np.ndarray = rng.uniform(0.5, 1, (n, 3)).astype(kind)
    S: np.ndarray = rng.uniform(0.5, 1, (n, 1)).astype(kind)
    exact = S.astype(Long).T @ X.astype(Long)
    error = np.abs(weighted_sums(X, S) - exact) / exact
    # |S|^T |X| is the sum itself here
    assert error.max() <= (1e-14 if kind is np.float64 else 1e-14 * 2.0**29)


def test_a_row_that_is_not_a_number_shows() -> None:
    X, T, V = draw(40, 6, 2)
    for bad in (np.nan, np.inf):
        X[7, 3] = bad
        assert not np.isfinite(hessian_power(X, T, V)).any()
        for name in ACTIVATION_NAMES:
            found = gradient(X, T, V, np.ones(2), activation=name, loss="squared", quantities=True)
            assert not np.isfinite(found.gradient[:, 3]).any(), name
            assert not np.isfinite(found.outputs[7]) or name in ("relu", "gelu", "silu", "softplus", "tanh")
            assert found.peaks is not None
            assert not np.isfinite(found.peaks).any()
    assert np.isfinite(hessian_power(X[8:], T[8:], V)).all()


@pytest.mark.parametrize("m", [*range(1, 10), 12, 15, 16, 31, 33])
@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_products_and_sums_come_out_in_rows(m: int, kind: type) -> None:
    """Small integers, so that sums are exact: of columns that fill no vector, one tile and less or more."""
    rng = np.random.default_rng(m)
    S: np.ndarray = rng.integers(-8, 9, (70, m)).astype(kind)
    for d in (1, 7, 16, 33, 48, 63, 127, 130, 200, 257):
        X: np.ndarray = rng.integers(-8, 9, (70, d)).astype(kind)
        V: np.ndarray = rng.integers(-8, 9, (m, d)).astype(kind)
        assert (weighted_sums(X, S) == S.T @ X).all()
        assert (inner_products(X, V) == X @ V.T).all()


@pytest.mark.parametrize("m", [8, 31, 32, 47])
@pytest.mark.parametrize("kind", [np.float64, np.float32])
@pytest.mark.parametrize("lines", [31, 32, 64, 96])
def test_rows_that_share_places_of_a_cache_have_the_bits_of_others(m: int, kind: type, lines: int) -> None:
    """A column of zeros more moves the rows apart; pieces of the rows are copied or not, and nothing else changes."""
    rng = np.random.default_rng(0)
    d, n = 64 * lines // np.dtype(kind).itemsize, 40 if DISABLED else 600
    X: np.ndarray = rng.standard_normal((n, d)).astype(kind)
    W: np.ndarray = rng.standard_normal((m, d)).astype(kind)
    y = X[:, 0]
    apart, weights = (np.column_stack((A, np.zeros(len(A), kind))) for A in (X, W))
    arguments = {"activation": "1-cos", "loss": "squared", "quantities": True}
    one = gradient(X, y, W, np.ones(m) / m, **arguments)
    other = gradient(apart, y, weights, np.ones(m) / m, **arguments)
    assert (one.gradient == other.gradient[:, :d]).all()
    assert (one.outputs == other.outputs).all()
    assert not other.gradient[:, d].any()


# X ends where the memory of the process does, and starts there too
AT_AN_EDGE = """
import ctypes, mmap
import numpy as np
from mimtheory.kernels import gradient, hessian_power, inner_products, weighted_sums
page, library = mmap.PAGESIZE, ctypes.CDLL(None, use_errno=True)
for kind in (np.float64, np.float32):
    for n, d in ((1, 5), (7, 33), (8, 64), (9, 200), (40, 24), (63, 24), (64, 24), (130, 17), (300, 65)):
        size = n * d * np.dtype(kind).itemsize
        pages = -(-size // page)
        for end in (True, False):
            memory = mmap.mmap(-1, (pages + 2) * page)
            start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
            for closed in (start, start + (pages + 1) * page):
                if library.mprotect(ctypes.c_void_p(closed), ctypes.c_size_t(page), 0):
                    raise OSError(ctypes.get_errno())
            X = np.frombuffer(memory, kind, n * d, page + (pages * page - size if end else 0)).reshape(n, d)
            X[:] = np.random.default_rng(n).standard_normal((n, d))
            for m in (1, 3, 8, 17, 33):
                W, S = np.ones((m, d), kind), np.ones((n, m), kind)
                gradient(X, np.ones(n), W, np.ones(m), activation="1-cos", loss="squared")
                hessian_power(X, np.ones(n), W), inner_products(X, W), weighted_sums(X, S)
print("read nothing else")
"""


@pytest.mark.skipif(sys.platform == "win32" or DISABLED, reason="pages without access, and compiled code")
def test_nothing_beside_the_samples_is_read() -> None:
    """Rows that follow a block are multiplied with it; after the last of all there are none."""
    done = subprocess.run([sys.executable, "-c", AT_AN_EDGE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "read nothing else\n"), done.stderr


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_what_a_pass_works_in_starts_at_a_line_of_the_cache(kind: type) -> None:
    for count in (*range(40), 1000, 100_000):
        numbers = np.arange(count + LINE, dtype=kind)
        part = at_a_line(numbers)
        start = int(part[0]) if count else 0
        assert (part == numbers[start : start + count]).all()
        assert part.shape == (count,)
        assert not count or part.ctypes.data % 64 == 0
        assert start * numbers.itemsize < 64


@pytest.mark.parametrize("kind", [np.float64, np.float32])
@pytest.mark.parametrize("m", [3, 8, 33])
def test_a_sample_says_nothing_about_the_outputs_of_others(kind: type, m: int) -> None:
    """Leaves of 5 to 6 rows end within a tile, so that the next rows are multiplied with theirs."""
    rng = np.random.default_rng(0)
    X: np.ndarray = rng.standard_normal((90, 30)).astype(kind)
    W: np.ndarray = rng.standard_normal((m, 30)).astype(kind)
    other = X.copy()
    other[40], other[41] = np.nan, 1e30
    found, changed = (
        gradient(A, np.ones(90), W, np.ones(m), activation="sqrt", loss="squared").outputs for A in (X, other)
    )
    same = np.delete(np.arange(90), [40, 41])
    assert (found[same] == changed[same]).all()
    assert np.isnan(changed[40])


@pytest.mark.parametrize(
    ("X", "T", "V", "threads"),
    [
        (np.ones((3, 2)), np.ones(4), np.ones((1, 2)), 1),
        (np.ones((3, 2)), np.ones(3), np.ones((1, 3)), 1),
        (np.ones((3, 2)), np.ones(3), np.ones(2), 1),
        (np.ones((0, 2)), np.ones(0), np.ones((1, 2)), 1),
        (np.ones((3, 2)), np.ones(3), np.ones((1, 2)), 0),
    ],
)
def test_shapes_that_do_not_fit_are_refused(X, T, V, threads) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="allowed"):
        hessian_power(X, T, V, threads=threads)
    if threads:
        with pytest.raises(ValueError, match="allowed"):
            inner_products(X, V if V.shape != (1, 2) else np.ones((1, 5)))
        with pytest.raises(ValueError, match="allowed"):
            weighted_sums(X, np.ones((7, 1)))


@pytest.mark.parametrize(("n", "d", "m"), [(0, 2, 1), (3, 0, 1), (3, 2, 0)])
def test_nothing_is_made_of_no_samples_columns_or_neurons(n: int, d: int, m: int) -> None:
    """Without columns the factors of the block before would be taken for products."""
    X, y, W = np.ones((n, d)), np.ones(n), np.ones((m, d))
    with pytest.raises(ValueError, match=r"allowed: .* with n, d, m at least 1"):
        gradient(X, y, W, np.ones(m), np.ones(m), activation="1-cos", loss="squared")
    with pytest.raises(ValueError, match=r"allowed: .* with n, d, m at least 1"):
        normal_equations(X, y, W, np.ones(m), activation="1-cos")


# Pointwise functions


# ways from Python into functions that only kernels call


@kernel
def ours_sin(x: float) -> float:
    return sin_cos(x)[0]


@kernel
def ours_cos(x: float) -> float:
    return sin_cos(x)[1]


@kernel
def ours_exp(x: float) -> float:
    return exponential(x)


@kernel
def ours_tanh(x: float) -> float:
    return tanh(x)


@kernel
def ours_log(x: float) -> float:
    return logarithm(x)


@kernel
def ours_log1p(x: float) -> float:
    return log1p(x)


@kernel
def ours_ratio(x: float) -> float:
    return tail_ratio(x)


@kernel
def ours_bell(x: float) -> float:
    return bell(x)


@kernel
def ours_expm1(x: float) -> float:
    return falling(x)[0]


@kernel
def ours_falling(x: float) -> float:
    return falling(x)[1]


@kernel
def ours_u_minus_sin(x: float) -> float:
    return _u_minus_sin(x, x)


def ulps(found: float, exact: mpmath.mpf) -> float:
    """Error in units of 2^-53 of the result."""
    return float(abs((mpmath.mpf(found) - exact) / exact)) * 2.0**53


@pytest.mark.parametrize(
    ("ours", "exact", "largest", "smallest", "allowed"),
    [
        (ours_sin, mpmath.sin, 1e9, 1e-300, 4),
        (ours_cos, mpmath.cos, 1e9, 1e-300, 4),
        (ours_exp, mpmath.exp, 700, 1e-300, 4),
        (ours_tanh, mpmath.tanh, 700, 1e-300, 4),
    ],
)
def test_elementary_functions_are_right_to_the_last_places(ours, exact, largest, smallest, allowed) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    x = np.exp(rng.uniform(np.log(smallest), np.log(largest), 300)) * rng.choice([-1, 1], 300)
    multiples = rng.integers(1, 10**5, 50) * (np.pi / 2)
    with mpmath.workdps(60):
        for point in [*x, *rng.uniform(-4, 4, 300), *multiples[multiples < largest]]:
            assert ulps(ours(float(point)), exact(mpmath.mpf(float(point)))) <= allowed, point
    assert np.isnan(ours(np.nan))


@pytest.mark.parametrize(("ours", "exact"), [(ours_log, mpmath.log), (ours_log1p, mpmath.log1p)])
def test_logarithms_are_right_to_the_last_places(ours, exact) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    x = 10.0 ** rng.uniform(-300, 300 if ours is ours_log else 0, 300)
    with mpmath.workdps(60):
        for point in [*x, *rng.uniform(0.5, 2 if ours is ours_log else 1, 300)]:
            assert ulps(ours(float(point)), exact(mpmath.mpf(float(point)))) <= 4, point


@pytest.mark.parametrize(
    ("ours", "exact", "end", "allowed"),
    [
        # Horner's rule takes up to 1.6 units, beyond 1 up to 5.3 (at 38, where its terms cancel), the rounding of t^2
        # and of t 1.3, beyond 1 up to 1.6, products 2
        (ours_ratio, lambda x: mpmath.exp(x * x / 2) * mpmath.ncdf(-x), 1, 5),
        (ours_ratio, lambda x: mpmath.exp(x * x / 2) * mpmath.ncdf(-x), 38, 9),
        (ours_bell, lambda x: mpmath.exp(-x * x / 2), 37, 4),
        (ours_expm1, lambda x: mpmath.expm1(-2 * x), 20, 4),
        (ours_falling, lambda x: mpmath.exp(-2 * x), 350, 4),
    ],
)
def test_functions_that_fall_are_right_to_the_last_places(
    ours: Callable[[float], float], exact: Callable[[mpmath.mpf], mpmath.mpf], end: float, allowed: float
) -> None:
    rng = np.random.default_rng(0)
    x = [0.0, *10.0 ** rng.uniform(-300, 0, 100), *rng.uniform(0, end, 500), *rng.uniform(0, 1, 200)]
    with mpmath.workdps(60):
        for point in x:
            right = exact(mpmath.mpf(float(point)))
            if right:
                assert ulps(ours(float(point)), right) <= allowed, point
            else:
                assert ours(float(point)) == 0
    assert ours_bell(37.0) == ours_bell(-1e200) == 0
    assert ours_ratio(1e200) == ours_ratio(38.0)
    assert ours_falling(1e200) == ours_falling(350.0)


def test_u_minus_sin_u_is_right_to_the_last_places_below_a_half() -> None:
    rng = np.random.default_rng(0)
    with mpmath.workdps(300):
        for point in [*10.0 ** rng.uniform(-90, -1, 100), *rng.uniform(0, 0.5, 400), 0.49]:
            exact = mpmath.mpf(float(point)) - mpmath.sin(mpmath.mpf(float(point)))
            assert ulps(ours_u_minus_sin(float(point)), exact) <= 4, point


def test_the_polynomial_of_the_tail_is_within_2_to_the_minus_54() -> None:
    """In balls: on intervals of t, halved where that does not show it, the Taylor series of P(t) - (x + 5) M(x), M(x) =
    exp(x^2/2) Phi(-x), with coefficients at the middle and the last one on the whole interval."""
    terms = 9  # a series keeps ten coefficients

    def series(t: Any) -> Any:
        """(P - (x + 5) M, (x + 5) M) as power series in the distance from t."""
        step = flint.arb_series([t, 1], terms + 1)
        x = 10 / (1 - step) - 5  # 1/(x + 5) = (1 - t)/10
        target = (x + 5) * (x * x / 2).exp() * (x / flint.arb(2).sqrt()).erfc() / 2
        P = flint.arb_series([0], terms + 1)
        for coefficient in reversed(_T):
            P = P * step + flint.arb(coefficient)
        return P - target, target

    def shown(middle: Any, half: Any) -> bool:
        (at, _), (around, values) = series(middle), series(middle + half * flint.arb(0, 1))
        difference = around[terms]
        for k in reversed(range(terms)):
            difference = at[k] + half * flint.arb(0, 1) * difference
        return bool(difference.abs_upper() < values[0].abs_lower() * flint.arb(2) ** -54)

    with flint.ctx.workprec(200):
        whole = flint.arb(38 - 5) / (38 + 5) + 1
        left = [(-1 + (2 * k + 1) * whole / 128, whole / 128) for k in range(64)]
        while left:
            middle, half = left.pop()
            if not shown(middle, half):
                assert half > 1e-7, middle
                left += [(middle - half / 2, half / 2), (middle + half / 2, half / 2)]


def in_powers_about(coefficients: list[Fraction], middle: Fraction) -> list[Fraction]:
    """Coefficients in powers of v - middle, by repeated synthetic division."""
    shifted = list(coefficients)
    for start in range(len(shifted)):
        for k in range(len(shifted) - 2, start - 1, -1):
            shifted[k] += middle * shifted[k + 1]
    return shifted


@pytest.mark.parametrize(
    ("ours", "series", "end", "least"),
    [
        # sin r/r and cos r for |r| <= 0.7854 > pi/4, atanh(s)/s for |s| <= 0.17158 > (sqrt 2 - 1)/(sqrt 2 + 1)
        (
            [1, *_S],
            lambda k: Fraction((-1) ** k, math.factorial(2 * k + 1)),
            Fraction(7854, 10**4) ** 2,
            Fraction(9, 10),
        ),
        ([1, *_C], lambda k: Fraction((-1) ** k, math.factorial(2 * k)), Fraction(7854, 10**4) ** 2, Fraction(7, 10)),
        (
            [1, *(Fraction(c) / 2 for c in _L)],
            lambda k: Fraction(1, 2 * k + 1),
            Fraction(17158, 10**5) ** 2,
            Fraction(1),
        ),
    ],
)
def test_polynomials_are_within_2_to_the_minus_57_of_their_functions(
    ours: list[Any], series: Callable[[int], Fraction], end: Fraction, least: Fraction
) -> None:
    # in v = r^2 or s^2: the difference to 24 terms of the power series, exact, on 256 intervals by its powers about
    # the middle; what the series leaves is below a geometric series, as its coefficients fall
    terms, pieces = 24, 256
    difference = [(Fraction(ours[k]) if k < len(ours) else 0) - series(k) for k in range(terms)]
    left, radius = abs(series(terms)) * end**terms / (1 - end), end / (2 * pieces)
    largest = left + max(
        sum(abs(c) * radius**k for k, c in enumerate(in_powers_about(difference, (2 * piece + 1) * radius)))
        for piece in range(pieces)
    )
    assert largest / least <= Fraction(1, 2**57)


@pytest.mark.parametrize("name", LOSS_NAMES)
def test_compiled_losses_are_those_of_the_zoo(name: str) -> None:
    candidate = loss(name)
    parameter = 0.0 if candidate.parameter is None else float(candidate.parameter)
    u = np.concatenate((np.linspace(-5, 5, 2001), [0.0, 1e-9, -1e-9, 1e3, -1e3]))
    compiled = np.array([loss_slope(candidate.code, x, parameter) for x in u])
    # tanh, hypot and the division differ by a few units in the last place between libraries
    assert np.abs(compiled - candidate.dl(u, 0.0)).max() <= 8 * 2**-53 * max(1.0, np.abs(candidate.dl(u, 0.0)).max())


@pytest.mark.parametrize("delta", [1e-100, 1e-3, 1.0, 1e99])
def test_the_compiled_slope_of_pseudo_huber_is_delta_far_out(delta: float) -> None:
    for size in (1e10 * delta, 2e286, 5.2e306, 1.7e308):
        for sign in (1, -1):
            assert loss_slope(3, sign * size, delta) == pytest.approx(sign * delta, rel=8 * 2**-53)
    assert np.isnan(loss_slope(3, np.nan, delta))


@pytest.mark.parametrize("text", LOSS_NAMES)
def test_the_slope_at_an_infinite_error_is_not_a_number(text: str) -> None:
    found = loss(text)
    parameter = 0.0 if found.parameter is None else float(found.parameter)
    for u in (math.inf, -math.inf, math.nan):
        assert np.isnan(loss_slope(found.code, u, parameter))
        assert np.isnan(slope_change(found.code, u, 1.0, parameter))
        assert np.isnan(slope_change(found.code, 1.0, u, parameter))


def exact_slope(text: str, u: mpmath.mpf) -> mpmath.mpf:
    """l' of the zoo in many digits, with delta = 1 and tau = 1/4."""
    sign = mpmath.sign(u)
    return {
        "squared": u,
        "l1": sign,
        "huber(1)": max(min(u, mpmath.mpf(1)), mpmath.mpf(-1)),
        "pseudo_huber(1)": u / mpmath.sqrt(1 + u * u),
        "logcosh": mpmath.tanh(u),
        "quantile(0.25)": (sign + 1) / 2 - mpmath.mpf(1) / 4,
    }[text]


EXACT_LOSSES = ["squared", "l1", "huber(1)", "pseudo_huber(1)", "logcosh", "quantile(0.25)"]


@pytest.mark.parametrize("text", EXACT_LOSSES)
def test_a_change_of_slope_does_not_cancel(text: str) -> None:
    """However small f is: to a few roundings of the change itself, of huber of f.

    Squared and the losses of signs are exact. Of huber 1 - u, f less that and nothing else round. Pseudo_huber has 14
    roundings with two of hypot. The exponent of logcosh is a sum of three, whose two roundings are relative to them;
    exponentials are within 4 units each, quotients and products another 8.
    """
    found, rng = loss(text), np.random.default_rng(0)
    parameter = 0.0 if found.parameter is None else float(found.parameter)
    sizes = 10.0 ** rng.uniform(-200, 2, 400)
    f = sizes * rng.choice([-1, 1], 400)
    u = np.concatenate((rng.uniform(-4, 4, 200), -f[200:300] * rng.uniform(0, 2, 100), rng.uniform(-40, 40, 100)))
    u[5:40] = np.linspace(0.5, 3, 35)  # to nearly the same on the other side
    f[5:40] = -2 * u[5:40] * (1 + 1e-9)
    u[:5], f[:5] = [0.0, 0.0, -3.0, 2.0, -0.5], [0.0, -0.25, 3.0, -2.0, 0.5]
    with mpmath.workdps(700):
        for point, step in zip(u.tolist(), f.tolist(), strict=True):
            if text in ("l1", "quantile(0.25)") and point + step == 0 != mpmath.mpf(point) + step:
                continue  # whose sign is lost
            exact = exact_slope(text, mpmath.mpf(point) + step) - exact_slope(text, mpmath.mpf(point))
            error = abs(slope_change(found.code, point, step, parameter) - exact) * 2**53
            far = 3 * (abs(point) + abs(step) + abs(point + step))
            size = abs(mpmath.mpf(step)) if text == "huber(1)" else abs(exact)
            allowed = {"huber(1)": 3, "pseudo_huber(1)": 16, "logcosh": 20 + far}.get(text, 0)
            assert error <= allowed * size, (point, step)


def test_a_change_of_slope_bears_any_number() -> None:
    for size in (5e-324, 1e-310, 1e10, 1e155, 1e300, 1.7e308):
        for delta in (1e-100, 1.0, 1e99):
            for code, most in ((2, 2 * delta), (3, 2 * delta), (4, 2.0)):
                for u, f in ((size, -size), (size, size / 3), (-size, size), (1.0, size), (size, 1.0)):
                    change = slope_change(code, u, f, delta)
                    if math.isfinite(u + f):
                        assert abs(change) <= most * (1 + 2**-50)
                        assert change == 0 or (change > 0) == (f > 0)
    # 2^-53 of the slope is all that can be known so far out
    assert abs(slope_change(3, 2.0**150, 2.0**210, 1.0)) <= 2**-52


@pytest.mark.parametrize("name", ACTIVATION_NAMES)
def test_compiled_activations_are_those_of_the_zoo(name: str) -> None:
    candidate = activation(name)
    u = np.concatenate((np.linspace(-6, 6, 1201), [1e-3, -1e-3, 1e-8, 30.0, -30.0, 3e9, -3e9]))
    value, slope = np.empty_like(u), np.empty_like(u)
    activate(candidate.code, u.size, u, value, slope)
    # inside the assumptions relative near 0, where nothing may cancel; libraries differ by a few last places
    allowed = 16 * 2**-53 * np.maximum(1.0, np.minimum(np.abs(u), 30.0))
    near = (np.abs(u) < 1) & (candidate.reason is None)
    for found, expected in ((value, candidate.sigma(u)), (slope, candidate.d1(u))):
        size = np.abs(expected)
        assert (np.abs(found - expected) <= allowed * np.where(near, size, np.maximum(1.0, size))).all()


@pytest.mark.parametrize(
    ("name", "parts", "allowed"),
    [
        # below 0.8, e^2/(4 exp(-2|u|)) of three numbers within 2 units, two roundings, and log(1 + v) within 4; beyond,
        # |u| + log(1 + exp(-2|u|)) is at most 3.4 times log cosh u, with two roundings
        ("logcosh", lambda u: [mpmath.log(mpmath.cosh(u))], 12),
        # an exponential and log(1 + v), each within 4
        ("softplus", lambda u: [mpmath.log1p(mpmath.exp(u))], 8),
        # the ratio within 9, the bell within 4, two products
        ("gelu", lambda u: [u * mpmath.ncdf(u)], 15),
        # relative to both parts, which cancel at -2.41. Below 1/2 the second is within 4. From there sin u = 2 s c is
        # taken from u exactly; s and c of u/2 carry half a last place and 0.03 to 0.1 units of their polynomials, the
        # products 2 s c and 2 s^2 half a last place more. Most where s and sin u have just passed powers of two, at
        # pi/6: s 1.0, c 0.62, sin u 2.6, 2 s^2 2.9 units, and (2.6 x 0.5 + 2.9 x 0.134)/(0.134 + 0.024) + 1 = 11.8
        ("asymmetric", lambda u: [1 - mpmath.cos(u), u - mpmath.sin(u)], 12),
    ],
)
def test_compiled_activations_are_right_to_the_last_places(
    name: str, parts: Callable[[mpmath.mpf], list[mpmath.mpf]], allowed: float
) -> None:
    rng = np.random.default_rng(0)
    small = 10.0 ** rng.uniform(-150, 0, 100)
    u = np.concatenate((small, -small, rng.uniform(-36, 36, 400), rng.uniform(-1, 1, 400)))
    value, slope = np.empty_like(u), np.empty_like(u)
    activate(activation(name).code, u.size, u, value, slope)
    with mpmath.workdps(330):
        for point, found in zip(u, value, strict=True):
            exact = parts(mpmath.mpf(float(point)))
            assert abs(mpmath.mpf(float(found)) - sum(exact)) * 2**53 <= allowed * sum(map(abs, exact)), point


@pytest.mark.parametrize(
    ("name", "exact"),
    [
        ("tanh", lambda u: 1 / mpmath.cosh(u) ** 2),
        ("utanh", lambda u: (mpmath.tanh(u) + u / mpmath.cosh(u) ** 2) / 2),
        ("softplus", lambda u: 1 / (1 + mpmath.exp(-u))),
    ],
)
def test_slopes_that_saturate_are_right_to_the_last_places(
    name: str, exact: Callable[[mpmath.mpf], mpmath.mpf]
) -> None:
    """An exponential is within 4 units, one more of it that stands in the square of a denominator as much again."""
    u = np.random.default_rng(0).uniform(-345, 345, 500)
    u[:200] /= 20
    value, slope = np.empty_like(u), np.empty_like(u)
    activate(activation(name).code, u.size, u, value, slope)
    with mpmath.workdps(330):
        for point, found in zip(u.tolist(), slope.tolist(), strict=True):
            assert ulps(found, exact(mpmath.mpf(point))) <= 14, point


def test_far_out_nothing_is_left_of_what_an_exponential_ends_with() -> None:
    """The last one that is computed, 1e-304, is no value of these."""
    u = np.array([351.0, 701.0, 1e5, np.inf])
    for name, kept in (("tanh", u), ("softplus", u[1:])):
        value, slope = np.empty_like(kept), np.empty_like(kept)
        activate(activation(name).code, kept.size, -kept, value, slope)
        assert (slope == 0).all()
        assert (value == (-1 if name == "tanh" else 0)).all()


@pytest.mark.parametrize("name", ACTIVATION_NAMES)
def test_compiled_activations_of_huge_numbers_are_those_of_the_zoo(name: str) -> None:
    candidate = activation(name)
    sizes = [36.9, 37.1, 699.0, 701.0, 1e10, 1e100, 1e150, 1e200, 1e290, 1e305, 1e308, sys.float_info.max]
    u = np.array(sizes + [-size for size in sizes])
    value, slope = np.empty_like(u), np.empty_like(u)
    activate(candidate.code, u.size, u, value, slope)
    with np.errstate(over="ignore"):  # u^2/2 is too large for a double from 1e155 on, as it should be
        expected = candidate.sigma(u), candidate.d1(u)
    for found, right in zip((value, slope), expected, strict=True):
        assert np.isfinite(found).all() or name == "quadratic"
        # libraries differ by a few last places, of 1 where a sine or a slope is the difference of larger numbers
        assert np.allclose(found, right, rtol=16 * 2**-53, atol=16 * 2**-53)


@pytest.mark.parametrize("name", ACTIVATION_NAMES)
def test_compiled_activations_bear_any_number(name: str) -> None:
    huge = 1e150 if name == "quadratic" else 1e308  # whose square overflows
    u = np.array([0.0, 5e-324, -5e-324, 1e-310, huge, -huge, np.nan])
    many = np.zeros((3, 100))  # in vector code too
    many[0] = np.nan
    activate(activation(name).code, 100, *many)
    assert np.isnan(many).all()
    value, slope = np.empty_like(u), np.empty_like(u)
    activate(activation(name).code, u.size, u, value, slope)
    assert np.isfinite(value[:-1]).all()
    assert np.isfinite(slope[:-1]).all()
    assert np.isnan(value[-1])
    assert np.isnan(slope[-1])
    if name in ("sqrt", "logcosh"):
        assert (slope[4:6] == [1, -1]).all()
    if activation(name).even:
        again = np.empty_like(u), np.empty_like(u)
        activate(activation(name).code, u.size, -u, *again)
        assert (again[0][:-1] == value[:-1]).all()
        assert (again[1][:-1] == -slope[:-1]).all()


# The gradient


def plain_gradient(X, y, W, a, b, c, l: Loss, sigma: Activation):  # type: ignore[no-untyped-def]  # noqa: E741
    """From the definition, the products in extended precision."""
    u = np.asarray(X.astype(Long) @ W.astype(Long).T + b, dtype=float)
    f = np.asarray(sigma.sigma(u).astype(Long) @ a, dtype=float)
    S = a * sigma.d1(u) * l.dl(c + f, y)[:, None]
    return np.asarray(S.astype(Long).T @ X.astype(Long) / len(y), dtype=float), f, u


def moved_by_rounding(X: Any, W: Any, b: Any, u: Any, unit: float) -> Any:
    """A relative error of k units in u moves sigma and sigma' by at most 3 (1 + |u|) times that, (n, m)."""
    sizes = (np.abs(X) @ np.abs(W).T + np.abs(b)).astype(float)
    return (product_roundings(X.shape[1]) + 40) * unit * (1 + sizes) * 3 * (1 + np.abs(u))


def gradient_rounding(X, y, W, a, b, l: Loss, sigma: Activation, f, u, unit: float):  # type: ignore[no-untyped-def]  # noqa: E741
    """What rounding can do to f, by the sum over j, and to the gradient, as l' moves by as much as f; c = 0.3."""
    n, d = X.shape
    moved = moved_by_rounding(X, W, b, u, unit)
    outputs = np.abs(a) @ moved.T + len(a) * unit * (np.abs(a) @ np.abs(sigma.sigma(u)).T)
    slopes = np.abs(l.dl(0.3 + f, y))
    factor = np.abs(a) * (moved * slopes[:, None] + np.abs(sigma.d1(u)) * (outputs + 8 * unit * slopes)[:, None])
    terms = np.abs(a) * np.abs(sigma.d1(u)) * slopes[:, None]
    return outputs, (factor + (roundings(n, d) * unit) * terms).T @ np.abs(X) / n


@given(
    n=st.integers(1, 70),
    d=st.integers(1, 40),
    m=st.integers(1, 19),
    name=st.sampled_from(ACTIVATION_NAMES),
    formula=st.sampled_from(SMOOTH),
    single=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_gradient_is_the_plain_one(
    n: int, d: int, m: int, name: str, formula: str, single: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    kind = np.float32 if single else np.float64
    X, W = rng.standard_normal((n, d)).astype(kind), (rng.standard_normal((m, d)) / np.sqrt(d)).astype(kind)
    y, a, b = rng.standard_normal(n), rng.standard_normal(m), rng.standard_normal(m)
    sigma, l = activation(name), loss(formula)  # noqa: E741 - the theory's symbol
    found = gradient(X, y, W, a, b, activation=name, loss=formula, centre=0.3, quantities=True)
    G, f, u = plain_gradient(X, y, W, a, b, 0.3, l, sigma)
    assert found.gradient.dtype == kind
    unit = np.finfo(kind).eps / 2
    moved = moved_by_rounding(X, W, b, u, unit)
    outputs, allowed = gradient_rounding(X, y, W, a, b, l, sigma, f, u, unit)
    if name == "relu":
        assume((np.abs(u) > moved).all())  # else a sign may flip
    assert (np.abs(found.outputs - f) <= outputs).all()
    assert (np.abs(found.gradient - G) <= allowed + 1e-300).all()
    assert found.loss == pytest.approx(l.value(0.3 + found.outputs, y).mean())
    assert found.peaks is not None
    assert (np.abs(found.peaks[0] - np.abs(u).max(axis=0)) <= moved.max(axis=0)).all()
    if sigma.reason is None:
        slope = l.dl(0.3 + f, y)
        q = slope[:, None] * sigma.s_minus_1(u) + (slope - l.dl(0.3, y))[:, None]
        assert (np.abs(found.peaks[1] - np.abs(q).max(axis=0)) <= (4 * moved + 2 * outputs[:, None]).max(axis=0)).all()
    else:
        assert np.isnan(found.peaks[1]).all()


@pytest.mark.parametrize("name", ACTIVATION_NAMES)
@pytest.mark.parametrize("text", LOSS_NAMES)
def test_every_loss_and_activation_of_the_zoo_has_its_code(name: str, text: str) -> None:
    X, y, W = draw(25, 7, 4, seed=3)
    a, b = np.random.default_rng(4).standard_normal((2, 4))
    found = gradient(X, y, W, a, b, activation=name, loss=text, centre=0.3)
    G, f, _ = plain_gradient(X, y, W, a, b, 0.3, loss(text), activation(name))
    assert np.abs(found.outputs - f).max() <= 1e-13 * (1 + np.abs(f).max())
    assert np.abs(found.gradient - G).max() <= 1e-13 * (1 + np.abs(G).max())


@pytest.mark.parametrize("m", [1, 6, 7])
def test_user_defined_functions_are_called_on_blocks_and_agree(m: int) -> None:
    X, y, W = draw(50, 9, m, seed=5)
    a, b = np.random.default_rng(4).standard_normal((2, m))
    compiled = gradient(X, y, W, a, b, activation="logcosh", loss="logcosh", centre=0.1, quantities=True)
    own = gradient(X, y, W, a, b, activation="log(cosh(u))", loss="log(cosh(u))", centre=0.1, quantities=True)
    for name in ("gradient", "outputs", "peaks", "norms", "loss"):
        assert np.abs(getattr(own, name) - getattr(compiled, name)).max() <= 1e-13, name
    plain = gradient(X, y, W, a, b, activation="log(cosh(u))", loss="log(cosh(u))")
    assert plain.peaks is None


TORCH: dict[str, Callable[[Any, Any], Any]] = {
    "quadratic": lambda t, u: u * u / 2,
    "1-cos": lambda t, u: 1 - t.cos(u),
    "logcosh": lambda t, u: u.abs() + t.nn.functional.softplus(-2 * u.abs()) - math.log(2),
    "sqrt": lambda t, u: t.sqrt(1 + u * u) - 1,
    "utanh": lambda t, u: u * t.tanh(u) / 2,
    "tanh": lambda t, u: t.tanh(u),
    "silu": lambda t, u: t.nn.functional.silu(u),
    "gelu": lambda t, u: t.nn.functional.gelu(u),
    "softplus": lambda t, u: t.nn.functional.softplus(u),
    "squared": lambda t, u: u * u / 2,
    "pseudo_huber(1)": lambda t, u: t.sqrt(1 + u * u) - 1,
}


@given(
    n=st.integers(1, 40),
    d=st.integers(1, 20),
    m=st.integers(1, 9),
    name=st.sampled_from([name for name in ACTIVATION_NAMES if name in TORCH]),
    formula=st.sampled_from(["squared", "logcosh", "pseudo_huber(1)"]),
    seed=st.integers(0, 2**32 - 1),
)
@example(n=1, d=1, m=2, name="1-cos", formula="squared", seed=0)
def test_the_gradient_is_that_of_automatic_differentiation(
    n: int, d: int, m: int, name: str, formula: str, seed: int
) -> None:
    """Whose functions are within a few roundings of 1 + |u| of ours, and its sums of those of any order."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    X, W = rng.standard_normal((n, d)), rng.standard_normal((m, d)) / np.sqrt(d)
    y, a, b = rng.standard_normal(n), rng.standard_normal(m), rng.standard_normal(m)
    found = gradient(X, y, W, a, b, activation=name, loss=formula, centre=0.3)
    inputs, weights = torch.tensor(X), torch.tensor(W, requires_grad=True)
    outputs = TORCH[name](torch, inputs @ weights.T + torch.tensor(b)) @ torch.tensor(a)
    mean = TORCH[formula](torch, 0.3 + outputs - torch.tensor(y)).mean()
    mean.backward()
    sigma, l = activation(name), loss(formula)  # noqa: E741 - the theory's symbol
    _, f, u = plain_gradient(X, y, W, a, b, 0.3, l, sigma)
    off, allowed = gradient_rounding(X, y, W, a, b, l, sigma, f, u, 2.0**-53)
    assert (np.abs(found.outputs - outputs.detach().numpy()) <= 2 * off).all()
    assert (np.abs(found.gradient - weights.grad.numpy()) <= 2 * allowed).all()


@given(n=st.integers(1, 40), d=st.integers(1, 20), m=st.integers(1, 9), seed=st.integers(0, 2**32 - 1))
@example(n=1, d=1, m=2, seed=0)
def test_the_gradient_is_what_five_values_of_the_loss_say(n: int, d: int, m: int, seed: int) -> None:
    """u^2/2 under the squared loss is a polynomial of degree 4 on a line, of which they give the derivative exactly."""
    rng = np.random.default_rng(seed)
    X, W, D = rng.standard_normal((n, d)), rng.standard_normal((m, d)), rng.standard_normal((m, d))
    y, a, b = rng.standard_normal(n), rng.standard_normal(m), rng.standard_normal(m)

    def at(weights: np.ndarray) -> Any:
        return gradient(X, y, weights, a, b, activation="quadratic", loss="squared", centre=0.3)

    stencil = {-1.0: 1 / 6, -0.5: -8 / 6, 0.5: 8 / 6, 1.0: -1 / 6}
    difference = sum(weight * at(W + t * D).loss for t, weight in stencil.items())
    # sizes of all terms at the farthest point: |u| with |W| + |D|, f, the error; of their products each has the
    # roundings of two inner products, of the sums over j and i, and some of its own
    u = np.abs(X) @ (np.abs(W) + np.abs(D)).T + np.abs(b)
    error = 0.3 + u**2 / 2 @ np.abs(a) + np.abs(y)
    rounding = gamma(4 * product_roundings(d) + roundings(n, d) + 2 * m + n + 40)
    slope = float((at(W).gradient * D).sum())
    sizes = 3 * (error**2).mean() + (np.abs(a) * error[:, None] * u * (np.abs(X) @ np.abs(D).T)).sum(axis=1).mean()
    assert abs(slope - difference) <= rounding * sizes


@pytest.mark.parametrize("text", [*LOSS_NAMES, "log(cosh(u))"])
@pytest.mark.parametrize("name", ["1-cos", "log(cosh(u))"])
@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_a_label_or_a_centre_that_is_no_number_shows(text: str, name: str, bad: float) -> None:
    X, y, W = draw(40, 6, 2)
    y[7] = bad
    for labels, centre in ((y, 0.0), (np.zeros(40), bad)):
        found = gradient(X, labels, W, np.ones(2), activation=name, loss=text, centre=centre, quantities=True)
        assert np.isnan(found.gradient).all()
        assert found.peaks is not None
        assert np.isnan(found.peaks[1]).all()


@pytest.mark.parametrize("text", ["l1", "huber(1)"])
def test_an_output_that_overflows_shows(text: str) -> None:
    X, y, W = draw(40, 6, 2)
    found = gradient(X, y, 1e160 * W, np.ones(2), activation="quadratic", loss=text)
    assert np.isinf(found.outputs).all()
    assert np.isnan(found.gradient).all()


def test_an_infinite_weight_has_limits_where_the_docstring_says_so() -> None:
    X, y, W = draw(40, 6, 2)
    X[:, 0], W[0, 0] = -np.abs(X[:, 0]), np.inf
    for name in ACTIVATION_NAMES:
        found = gradient(X, y, W, np.ones(2), activation=name, loss="squared").gradient
        assert np.isfinite(found).all() == (name in ("relu", "tanh", "softplus")), name
        assert np.isfinite(found).any() == (name in ("relu", "tanh", "softplus")), name


@pytest.mark.parametrize("text", EXACT_LOSSES)
@pytest.mark.parametrize("size", [1e-2, 1e-6, 1e-8, 1e-100])
def test_the_peak_of_q_is_known_to_its_last_places_however_small_the_neurons(text: str, size: float) -> None:
    rng = np.random.default_rng(0)
    X, y, W = rng.standard_normal((20, 5)), rng.standard_normal(20), size * rng.standard_normal((3, 5))
    a = np.array([1.0, 0.7, 0.4])
    found = gradient(X, y, W, a, activation="1-cos", loss=text, centre=0.3, quantities=True).peaks
    assert found is not None
    with mpmath.workdps(700):
        u = [[mpmath.fdot(map(mpmath.mpf, x), map(mpmath.mpf, w)) for w in W.tolist()] for x in X.tolist()]
        lengths = np.abs(X) @ np.abs(W).T
        for j in range(3):
            largest = sizes = mpmath.mpf(0)
            for i in range(20):
                f = sum(mpmath.mpf(a[k]) * (1 - mpmath.cos(u[i][k])) for k in range(3))
                e = mpmath.mpf(0.3) - mpmath.mpf(y[i])
                bent = exact_slope(text, e + f) * (mpmath.sin(u[i][j]) / u[i][j] - 1)
                change = exact_slope(text, e + f) - exact_slope(text, e)
                largest = max(largest, abs(bent + change))
                # both grow like u^2, whose rounding is that of the sizes of the terms of u; c - y and c + f - y round
                # once or twice and l' turns that into as much of l' at most, tanh' into 2 |e| <= 8 units of itself
                share = max(lengths[i] ** 2 / np.abs(np.array(u[i], dtype=float)) ** 2)
                sizes = max(sizes, (abs(bent) + abs(change)) * share)
            allowed = (2 * product_roundings(5) + 100) * sizes * mpmath.mpf(2) ** -53
            assert abs(found[1, j] - largest) <= allowed, j


def test_where_s_has_no_value_an_infinite_u_has_none_either() -> None:
    X, y, W = draw(20, 4, 2)
    found = gradient(X, y, W, np.ones(2), np.array([0, -np.inf]), activation="relu", loss="squared", quantities=True)
    assert found.peaks is not None
    assert np.isnan(found.peaks[1]).all()
    assert found.peaks[0][1] == np.inf


@pytest.mark.parametrize("kind", [np.float64, np.float32])
@pytest.mark.parametrize("power", [-1, 1])
def test_norms_are_ordinary_where_the_gradient_is(kind: type, power: int) -> None:
    """Their squares are not: of 2^(+-550), in single precision 2^(+-80)."""
    X, y, W = draw(40, 6, 3)
    a = np.full(3, 2.0 ** (power * (550 if kind is np.float64 else 80)))
    found = gradient(X.astype(kind), y, W.astype(kind), a, activation="tanh", loss="l1")
    exact = [float(mpmath.norm(row)) for row in found.gradient.tolist()]
    assert found.norms.dtype == np.float64
    assert found.norms == pytest.approx(exact, rel=8 * 2**-53, abs=0)  # of a root of a sum of six squares
    assert (np.abs(np.log2(found.norms / a)) < 10).all()


@pytest.mark.parametrize("names", [("1-cos", "squared"), ("log(cosh(u))", "log(cosh(u))")])
@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_the_loss_is_that_of_the_labels_of_the_call(names: tuple[str, str], kind: type) -> None:
    X, y, W = draw(20, 4, 2)
    y = y.astype(kind)
    first, later = (gradient(X, y, W, np.ones(2), activation=names[0], loss=names[1]) for _ in range(2))
    expected = first.loss
    y[:] = 7
    assert later.loss == expected


def test_subnormal_and_huge_numbers_are_computed_with_like_others() -> None:
    """Small integers times powers of two, so that no sum rounds: products of the smallest and the largest are there."""
    rng = np.random.default_rng(0)
    X: np.ndarray = rng.integers(-3, 4, (32, 5)).astype(float)
    W: np.ndarray = rng.integers(-3, 4, (3, 5)).astype(float)
    y: np.ndarray = rng.integers(-3, 4, 32).astype(float)
    tiny, large = np.ldexp(X, -1030), np.ldexp(W, 1020)
    assert (np.abs(tiny[X != 0]) < sys.float_info.min).all()
    for k in (1, 3):
        expected = np.ldexp(hessian_power(X, y, W[:k]), -1030 + 1020 - 1030 + 1000)
        assert (hessian_power(tiny, np.ldexp(y, 1000), large[:k]) == expected).all()
    arguments = {"activation": "quadratic", "loss": "squared", "centre": 1.0}
    ordinary = gradient(X, y, np.ldexp(W, -10), np.ones(3), **arguments)
    found = gradient(tiny, y, large, np.ones(3), **arguments)
    assert (found.outputs == ordinary.outputs).all()
    assert (found.gradient == np.ldexp(ordinary.gradient, -1030)).all()
    huge = gradient(np.ldexp(X, 1000), y, np.ldexp(W, -1010), np.ones(3), **arguments)
    assert (huge.gradient == np.ldexp(ordinary.gradient, 1000)).all()
    usual = normal_equations(X, y, np.ldexp(W, -10), activation="relu")
    others = normal_equations(tiny, np.ldexp(y, 900), large, activation="relu")
    assert (others.gram == usual.gram).all()
    assert (others.target == np.ldexp(usual.target, 900)).all()


@pytest.mark.parametrize("name", ["1-cos", "utanh", "log(cosh(u))", "gelu"])
@pytest.mark.parametrize("half", [1, 3, 5, 9])
def test_mirrored_neurons_cancel_exactly(name: str, half: int) -> None:
    X, y, W = draw(50, 9, half, seed=5)
    W, a = np.concatenate((W, W[::-1])), np.repeat([0.7, -0.7], half)
    found = gradient(X, y, W, a, activation=name, loss="squared")
    assert (found.outputs == 0).all()
    assert (found.gradient == -found.gradient[::-1]).all()


@pytest.mark.parametrize("name", ["relu", "Max(u, 0)"])
def test_a_bias_of_minus_infinity_switches_a_neuron_off(name: str) -> None:
    X, y, W = draw(50, 9, 3)
    found = gradient(X, y, W, np.ones(3), np.array([0, -np.inf, 0]), activation=name, loss="squared")
    without = gradient(X, y, W[::2], np.ones(2), activation=name, loss="squared")
    assert (found.gradient[1] == 0).all()
    # one addition more in each output moves a slope by as much, weighted by the mean of |x|; the two sums of 50 terms
    # of size 10 round by some six last places each
    off = 4 * 2**-53 * float(np.abs(without.outputs).max())
    assert np.abs(found.outputs - without.outputs).max() <= off
    assert (
        np.abs(found.gradient[::2] - without.gradient).max() <= off * float(np.abs(X).mean(axis=0).max()) + 64 * 2**-53
    )


def test_the_gradient_does_not_change_its_arguments() -> None:
    X, y, W = draw(50, 9, 3, seed=5)
    a, b = np.ones(3), np.ones(3)
    before = [v.copy() for v in (X, y, W, a, b)]
    gradient(X, y, W, a, b, activation="1-cos", loss="squared")
    for array, original in zip((X, y, W, a, b), before, strict=True):
        assert (array == original).all()


@pytest.mark.parametrize("names", [("1-cos", "squared"), ("log(cosh(u))", "log(cosh(u))")])
def test_the_centre_is_one_real_number(names: tuple[str, str]) -> None:
    X, y, W = draw(10, 4, 2)
    kinds = dict(zip(("activation", "loss"), names, strict=True))
    for centre in ("0.5", np.array([0.5]), np.array(0.5), 1 + 0j, None, True, 10**400):
        with pytest.raises(ValueError, match=r"^centre = .*; allowed: one real number$"):
            gradient(X, y, W, np.ones(2), centre=centre, **kinds)
    right = gradient(X, y, W, np.ones(2), centre=0.5, **kinds)
    for half in (Fraction(1, 2), np.float64(0.5), np.float32(0.5)):
        found = gradient(X, y, W, np.ones(2), centre=half, **kinds)
        assert (found.gradient == right.gradient).all()
        assert found.loss == right.loss
    shown = gradient(X, y, W, np.ones(2), centre=np.nan, **kinds)
    assert np.isnan(shown.gradient).all()
    assert np.isnan(shown.loss)


X_, T_, V_ = draw(12, 4, 2)
PASSES: list[tuple[Callable[..., Any], dict[str, Any]]] = [
    *(
        (partial(gradient, activation=name, loss="squared"), {"X": X_, "y": T_, "W": V_, "a": V_[:, 0], "b": V_[:, 1]})
        for name in ("1-cos", "log(cosh(u))")
    ),
    (partial(normal_equations, activation="1-cos"), {"X": X_, "y": T_, "W": V_, "b": V_[:, 0]}),
    (hessian_power, {"X": X_, "T": T_, "V": V_}),
    (inner_products, {"X": X_, "W": V_}),
    (weighted_sums, {"X": X_, "S": X_}),
]


@pytest.mark.parametrize(("call", "arguments"), PASSES)
def test_what_is_complex_or_masked_is_refused_by_name(call: Callable[..., Any], arguments: dict[str, Any]) -> None:
    for name, array in arguments.items():
        masked = np.ma.masked_array(array, np.zeros(array.shape, bool))
        call(**arguments | {name: masked})
        masked[0] = np.ma.masked
        for what, wrong in (("complex", array + 0j), ("complex", (array + 0j).tolist()), ("masked", masked)):
            with pytest.raises(ValueError, match=f"^{name} has {what} entries; allowed: real numbers"):
                call(**arguments | {name: wrong})


@pytest.mark.parametrize(("call", "arguments"), PASSES)
def test_lists_are_taken_for_arrays(call: Callable[..., Any], arguments: dict[str, Any]) -> None:
    found, right = call(**{name: array.tolist() for name, array in arguments.items()}), call(**arguments)
    for one, other in zip(*(getattr(v, "__dict__", {"": v}).values() for v in (found, right)), strict=True):
        assert not isinstance(other, np.ndarray) or (one == other).all()


def test_the_gradient_refuses_shapes_and_threads_that_do_not_fit() -> None:
    X, y, W = draw(10, 4, 2)
    names = {"activation": "1-cos", "loss": "squared"}
    for arguments in (
        (X, y[:-1], W, np.ones(2)),
        (X, y, W[:, :3], np.ones(2)),
        (X, y, W, np.ones(3)),
        (X, y, W, np.ones(2), np.ones(3)),
        (X[:0], y[:0], W, np.ones(2)),
        (X, y, W[:0], np.ones(0)),
        (X[0], y, W, np.ones(2)),
    ):
        with pytest.raises(ValueError, match="shapes"):
            gradient(*arguments, **names)
    with pytest.raises(ValueError, match="threads"):
        gradient(X, y, W, np.ones(2), threads=0, **names)
    with pytest.raises(ValueError, match="activation"):
        gradient(X, y, W, np.ones(2), activation="relux", loss="squared")
