"""Micro-kernels against their plain twins, on this machine's width and on narrower ones."""

import os
import subprocess
import sys

import numpy as np
import pytest

from mimtheory.kernels import tiles
from mimtheory.kernels.compiling import kernel
from mimtheory.kernels.one_vector import BOTH_ROWS, both_tile, plain_both
from mimtheory.kernels.vector_code import WIDTH, lanes

KINDS = [np.float64, np.float32]

# What calls the tiles has no annotations: Numba types its arguments, and a tile is nothing that Python could call.


@kernel
def call_products(which, X, x, stride, W, w, w_stride, depth, Z, z, z_stride, fresh):  # type: ignore[no-untyped-def]
    if which == 2:
        tiles.products_2(X, x, stride, W, w, w_stride, depth, Z, z, z_stride, fresh, 0, fresh)
    elif which == 0:
        tiles.low_products(X, x, stride, W, w, w_stride, depth, Z, z, z_stride, fresh, 0, fresh)
    else:
        tiles.products_1(X, x, stride, W, w, w_stride, depth, Z, z, z_stride, fresh, 0, fresh)


@kernel
def call_inner(count, X, x, stride, rows, V, v, v_stride, vectors, Z, z, z_stride, fresh):  # type: ignore[no-untyped-def]
    if count == 1:
        tiles.inner_1(X, x, stride, rows, V, v, v_stride, vectors, Z, z, z_stride, fresh, 0)
    elif count == 2:
        tiles.inner_2(X, x, stride, rows, V, v, v_stride, vectors, Z, z, z_stride, fresh, 0)
    else:
        tiles.inner_4(X, x, stride, rows, V, v, v_stride, vectors, Z, z, z_stride, fresh, 0)


@kernel
def call_rank(count, whole, X, x, stride, rows, S, s, s_stride, G, g, g_stride, fresh):  # type: ignore[no-untyped-def]
    if count == 8:
        if whole:
            tiles.rank_8(X, x, stride, rows, S, s, s_stride, G, g, g_stride, fresh, 0)
        else:
            tiles.edge_8(X, x, stride, rows, S, s, s_stride, G, g, g_stride, fresh, 0)
    elif count == 4:
        tiles.rank_4(X, x, stride, rows, S, s, s_stride, G, g, g_stride, fresh, 0)
    elif count == 2:
        tiles.rank_2(X, x, stride, rows, S, s, s_stride, G, g, g_stride, fresh, 0)
    else:
        tiles.rank_1(X, x, stride, rows, S, s, s_stride, G, g, g_stride, fresh, 0)


@kernel
def call_both(X, new, old, stride, vectors, V, S, G, Z, ahead, again):  # type: ignore[no-untyped-def]
    both_tile(X, new, old, stride, vectors, V, S, G, Z, ahead, again)


@kernel
def call_copy(X, x, stride, rows, target):  # type: ignore[no-untyped-def]
    tiles.copy_8(X, x, stride, rows, target, 0)


def integers(kind: type, *shape: int) -> np.ndarray:
    """Small integers: every sum is exact, so that the order does not matter and equality is the test."""
    return np.random.default_rng(sum(shape)).integers(-8, 9, shape).astype(kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("depth", [5, 8, 29, 128, 150])
@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize(
    ("which", "height", "count"), [(0, tiles.LOW_ROWS, 1), (1, tiles.PRODUCT_ROWS[1], 1), (2, tiles.PRODUCT_ROWS[2], 2)]
)
def test_products_are_those_of_the_twin(
    kind: type, depth: int, fresh: bool, which: int, height: int, count: int
) -> None:
    size = lanes(np.dtype(kind).itemsize)
    X, W = integers(kind, 17, 160), integers(kind, 3, 160, size)
    before = integers(kind, 18, 4 * size)
    ours, twin = before.copy(), before.copy()
    arguments = (X, 160 + 3, 160, W, (160 + 7) * size, 160 * size, depth)
    call_products(which, *arguments, ours, 4 * size + size, 4 * size, fresh)
    tiles.plain_products(*arguments, twin, 4 * size + size, 4 * size, fresh, 0, fresh, height, count)
    assert (ours == twin).all()
    rows = slice(1, 1 + height)
    for p in range(count):
        place = slice((1 + p) * size, (2 + p) * size)
        expected = X[rows, 3 : 3 + depth] @ W[1 + p, 7 : 7 + depth]
        assert (ours[rows, place] == expected + (0 if fresh else before[rows, place])).all()
    assert (ours[:, (1 + count) * size :] == before[:, (1 + count) * size :]).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", tiles.INNER_COUNTS)
@pytest.mark.parametrize("fresh", [True, False])
def test_inner_products_are_those_of_the_twin(kind: type, count: int, fresh: bool) -> None:
    size = lanes(np.dtype(kind).itemsize)
    X, V = integers(kind, 6, 4 * size), integers(kind, 5, 4 * size)
    ours, twin = integers(kind, 6, 7), integers(kind, 6, 7)
    for rows in (1, tiles.INNER_ROWS):
        arguments = (X, 4 * size + size, 4 * size, rows, V, 4 * size, 4 * size, 3)
        call_inner(count, *arguments, ours, 8, 7, fresh)
        tiles.plain_inner(*arguments, twin, 8, 7, fresh, 0, count)
        assert (ours == twin).all()
    if fresh:
        assert ours[1, 1] == X[1, size:] @ V[1, : 3 * size]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", list(tiles.RANK_SHAPES))
@pytest.mark.parametrize("fresh", [True, False])
def test_rank_updates_are_those_of_the_twin(kind: type, count: int, fresh: bool) -> None:
    size = lanes(np.dtype(kind).itemsize)
    vectors = tiles.RANK_SHAPES[count]
    d = (vectors + 2) * size
    X, S = integers(kind, 12, d), integers(kind, 12, 11)
    for whole, wide in ((True, vectors), (False, 1)) if count == 8 else ((True, vectors),):
        ours, twin = integers(kind, 9, d), integers(kind, 9, d)
        arguments = (X, d + size, d, 10, S, 11 + 2, 11)
        call_rank(count, whole, *arguments, ours, size, d, fresh)
        tiles.plain_rank(*arguments, twin, size, d, fresh, 0, count, wide)
        assert (ours == twin).all()
        assert (ours == integers(kind, 9, d)).sum() >= ours.size - count * wide * size


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [1, 9])
def test_copies_are_those_of_the_twin(kind: type, rows: int) -> None:
    size, columns = lanes(np.dtype(kind).itemsize), tiles.RANK_SHAPES[8] * lanes(np.dtype(kind).itemsize)
    X, ours = integers(kind, 12, 2 * columns), integers(kind, 10, columns)
    twin = ours.copy()
    arguments = (X, 2 * columns + size, 2 * columns, rows)
    call_copy(*arguments, ours)
    tiles.plain_copy(*arguments, twin, 0, tiles.RANK_SHAPES[8])
    assert (ours == twin).all()
    assert (ours[:rows] == X[1 : 1 + rows, size : size + columns]).all()
    assert (ours[rows:] == integers(kind, 10, columns)[rows:]).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("vectors", [0, 3, 64, 131])
@pytest.mark.parametrize(("ahead", "again"), [(0, 0), (4, 0), (2, 2)])
def test_both_products_are_those_of_the_twin(kind: type, vectors: int, ahead: int, again: int) -> None:
    size = lanes(np.dtype(kind).itemsize)
    d = (vectors + 1) * size
    X, V, S, twin = integers(kind, 12, d), integers(kind, 1, d), integers(kind, BOTH_ROWS), integers(kind, 1, d)
    # nothing may be read but these rows: it would show
    X[[0, 9, 10, 11]] = np.nan
    ours: np.ndarray = twin.copy()
    Z: np.ndarray = np.zeros(BOTH_ROWS, kind)
    twins: np.ndarray = np.zeros(BOTH_ROWS, kind)
    call_both(X, 5 * d, d, d, vectors, V, S, ours, Z, ahead * d, again * d)
    plain_both(X, 5 * d, d, d, vectors, V, S, twin, twins, ahead * d, again * d)
    whole = vectors * size
    assert (ours == twin).all()
    assert (Z == twins).all()
    assert (Z == X[5:9, :whole] @ V[0, :whole]).all()
    expected = integers(kind, 1, d)[0]
    expected[:whole] += S @ X[1:5, :whole]
    assert (ours == expected).all()


@pytest.mark.parametrize(
    ("features", "width"), [("+avx512f,+avx2,+avx,+fma", 512), ("+avx2,+avx,+fma", 256), ("", 128)]
)
def test_tiles_of_narrower_machines_are_right(features: str, width: int) -> None:
    if "NUMBA_CPU_FEATURES" in os.environ or WIDTH < width:
        return  # this is the narrower machine
    environment = os.environ | {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": features}
    code = f"from mimtheory.kernels.vector_code import WIDTH; assert WIDTH == {width}, WIDTH"
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", __file__]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
