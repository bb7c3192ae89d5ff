"""The generator: the published known answers, the definition of Box and Muller, any parts, and statistics over keys."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from mimtheory.kernels import Gaussians, gradient, hessian_power, inner_products, weighted_sums
from mimtheory.kernels.compiling import DISABLED, kernel
from mimtheory.kernels.philox import fill_rows, key_after, multipliers, rounds

KINDS = [np.float64, np.float32]
KEYS = 4 if DISABLED else 200


# philox4x32, 10 rounds, of the file kat_vectors published with the paper: counter, key, answer
KNOWN = [
    ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


@kernel
def answer_of(first: int, c0: Any, c1: Any, c2: Any, c3: Any, k0: Any, k1: Any) -> tuple[Any, Any, Any, Any]:
    """A way from Python into what only kernels call: `first` of the ten rounds, then the rest."""
    m0, m1 = multipliers()
    c0, c1, c2, c3 = rounds(first, c0, c1, c2, c3, k0, k1, m0, m1)
    k0, k1 = key_after(first, k0, k1)
    return rounds(10 - first, c0, c1, c2, c3, k0, k1, m0, m1)


@pytest.mark.parametrize("first", [0, 1, 6, 10])
@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_the_generator_gives_the_published_answers(
    counter: list[int], key: list[int], answer: list[int], first: int
) -> None:
    assert [int(word) & 0xFFFFFFFF for word in answer_of(first, *map(np.uint64, counter + key))] == answer


def words(seed: int, call: int, precision: int, row: int) -> list[int]:
    """Philox4x32-10 written down once more, in integers without a width."""
    c, k = [call, precision, row & 0xFFFFFFFF, row >> 32], [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        p, q = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(q >> 32) ^ c[1] ^ k[0], q & 0xFFFFFFFF, (p >> 32) ^ c[3] ^ k[1], p & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def box_muller(u: float, angle: float, quarter: int) -> list[float]:
    radius = math.sqrt(-2 * math.log(u)) * (-1 if quarter & 2 else 1)
    x, y = radius * math.cos(angle), radius * math.sin(angle)
    return [y, x] if quarter & 1 else [x, y]


@pytest.mark.parametrize("row", [0, 5, 2**40 + 3])
def test_every_entry_is_that_of_its_definition(row: int) -> None:
    # rows are made in pieces of 256 calls
    seed, d = 0x0123456789ABCDEF, 2061
    double, single = (Gaussians(seed, row + 1, d, kind).rows(row, row + 1)[0] for kind in KINDS)
    for call in (*range(5), 255, 256, 511, 512, 1029):
        w = words(seed, call, 0, row)
        first, second = w[0] | w[1] << 32, w[2] | w[3] << 32
        pair = box_muller(1 - (first >> 12) / 2**52, ((second % 2**52) / 2**52 - 0.5) * math.pi / 2, second >> 62)
        # the radius where u is next to 1 carries the rounding of log u relative to u
        assert np.abs(double[2 * call : 2 * call + 2] - pair).max() <= 1e-15 * 9
    for call in (0, 1, 255, 256, 514):
        w = words(seed, call, 1, row)
        for k in (0, 1):
            u = (w[k] >> 1) / 2**31 + 2**-32
            pair = box_muller(min(u, 1.0), ((w[k + 2] % 2**23) / 2**23 - 0.5) * math.pi / 2, w[k + 2] >> 30)
            # u carries 2^-25 of its conversion and R^2 = -2 log u twice that, so R that over R or its root, 2^-12
            allowed = 2**-22 * 9 + 2**-24 / max(math.hypot(*pair), 2**-12)
            assert np.abs(single[4 * call + 2 * k : 4 * call + 2 * k + 2] - pair).max() <= allowed


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_the_same_in_any_parts_and_on_any_thread(kind: type) -> None:
    whole = Gaussians(7, 40, 23, kind)
    X = np.asarray(whole)
    assert X.shape == (40, 23)
    assert X.dtype == kind
    assert (np.concatenate([whole.rows(k, min(k + 7, 40)) for k in range(0, 40, 7)]) == X).all()
    assert (whole.rows(0, 40, threads=2) == X).all()
    assert (Gaussians(7, 5, 60, kind).rows(0, 5)[:, :23] == X[:5]).all()
    assert not (Gaussians(8, 40, 23, kind).rows(0, 40) == X).any()
    assert (np.asarray(whole, dtype=np.float64) == X).all()


@pytest.mark.parametrize("kind", KINDS)
def test_no_kind_of_integer_compiles_the_generator_again(kind: type) -> None:
    made = Gaussians(np.uint64(7), np.int8(40), np.uint32(23), kind)
    rows = made.rows(1, 5)
    before = list(getattr(fill_rows, "signatures", ()))
    for integer in (np.uint64, np.int32, np.uint8):
        assert (made.rows(integer(1), integer(5)) == rows).all()
    assert list(getattr(fill_rows, "signatures", ())) == before


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("n", "d", "m"), [(1, 1, 1), (50, 7, 2), (61, 33, 1), (500, 33, 1), (90, 37, 4), (61, 33, 5), (70, 16, 8)]
)
def test_sums_over_rows_made_again_have_the_bits_of_those_over_stored_ones(kind: type, n: int, d: int, m: int) -> None:
    made = Gaussians(3, n, d, kind)
    X, rng = np.asarray(made), np.random.default_rng(0)
    y, a = rng.standard_normal(n), rng.standard_normal(m)
    W: np.ndarray = rng.standard_normal((m, d)).astype(kind)
    S: np.ndarray = rng.standard_normal((n, m)).astype(kind)
    for loss in ("huber(1)", "log(cosh(u))"):
        for threads in (1, 2):
            ours, stored = (gradient(x, y, W, a, activation="sqrt", loss=loss, threads=threads) for x in (made, X))
            assert (ours.gradient == stored.gradient).all()
            assert (ours.outputs == stored.outputs).all()
    assert (hessian_power(made, y, W) == hessian_power(X, y, W)).all()
    assert (inner_products(made, W) == inner_products(X, W)).all()
    assert (weighted_sums(made, S) == weighted_sums(X, S)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_moments_tails_and_correlations_are_those_of_gaussians(kind: type) -> None:
    """200 keys, 9 statistics each, standardised: none beyond its limit, and the sums of the squares of those that are
    all but Gaussian within the quantiles of chi squared. False alarms: 1800 P(|N| > 6.4) < 3e-7, the other limits being
    as improbable or more, and 7 x 1e-8, for each precision."""
    n, d = 64, 64
    size, scores = n * d, []
    for key in range(KEYS):
        X = np.asarray(Gaussians(1000 + key, n, d, kind)).astype(float)
        flat = X.ravel()
        scores.append(
            [
                flat.sum() / math.sqrt(size),
                (flat**2 - 1).sum() / math.sqrt(2 * size),
                (flat**3).sum() / math.sqrt(15 * size),
                (flat**4 - 3).sum() / math.sqrt(96 * size),
                (X[:, 1:] * X[:, :-1]).sum() / math.sqrt(n * (d - 1)),
                (X[1:] * X[:-1]).sum() / math.sqrt((n - 1) * d),
                (X[:, 2:] * X[:, :-2]).sum() / math.sqrt(n * (d - 2)),
                ((X[:, 1::2] ** 2 - 1) * (X[:, ::2] ** 2 - 1)).sum() / math.sqrt(4 * size / 2),
                (np.sum(np.abs(flat) > 2) - size * (p := 2 * stats.norm.sf(2))) / math.sqrt(size * p * (1 - p)),
            ]
        )
    # sums of 4096 products are Gaussian this far out but for the fourth powers, whose tail is heavier
    limits = np.array([6.4, 6.8, 7.5, 12, 6.8, 6.8, 6.8, 10, 6.8])
    assert (np.abs(scores) <= limits).all()
    squares = (np.array(scores) ** 2).sum(axis=0)
    low, high = stats.chi2.ppf([5e-9, 1 - 5e-9], KEYS)
    assert (squares[[0, 1, 2, 4, 5, 6, 8]] >= low).all()
    assert (squares[[0, 1, 2, 4, 5, 6, 8]] <= high).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_distribution_is_gaussian_by_kolmogorov_and_smirnov(kind: type) -> None:
    # one test of a million numbers, and one of the p-values of 200 keys; each alarms falsely once in 10^7
    big = np.asarray(Gaussians(5, 64 if DISABLED else 1024, 16 if DISABLED else 1024, kind), dtype=float).ravel()
    assert stats.kstest(big, "norm").pvalue > 1e-7
    p = [
        stats.kstest(np.asarray(Gaussians(key, 32, 32, kind), dtype=float).ravel(), "norm").pvalue
        for key in range(KEYS)
    ]
    assert stats.kstest(p, "uniform").pvalue > 1e-7


@pytest.mark.parametrize(
    ("fields", "name"),
    [((-1, 2, 2), "seed"), ((2**64, 2, 2), "seed"), ((0, 0, 2), "n"), ((0, 2, 0), "d"), ((0.5, 2, 2), "seed")],
)
def test_bad_matrices_are_refused(fields: tuple[int, int, int], name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} = .*allowed"):
        Gaussians(*fields)
    with pytest.raises(ValueError, match="dtype"):
        Gaussians(0, 2, 2, np.int64)
    with pytest.raises(ValueError, match="start, stop"):
        Gaussians(0, 2, 2).rows(1, 3)


@pytest.mark.parametrize("dtype", ["nonsense", int, np.float16, "c16", object()])
def test_what_is_no_precision_is_refused_by_name(dtype: Any) -> None:
    with pytest.raises(ValueError, match=r"^dtype = .*; allowed: float64, float32$"):
        Gaussians(0, 2, 2, dtype)


def test_an_array_without_a_copy_is_refused() -> None:
    made = Gaussians(0, 2, 2)
    with pytest.raises(ValueError, match=r"^copy = False; allowed"):
        made.__array__(copy=False)
    assert (np.asarray(made) == made.rows(0, 2)).all()
    assert (made.__array__(copy=True) == made.rows(0, 2)).all()
