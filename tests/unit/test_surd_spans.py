"""Spans over Q extended by square roots: bases, complements and quotients are exact."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from flint import fmpq

from mimtheory.polynomials import Polynomial, surd_to_float
from mimtheory.surd_spans import Row, combined, complement, number, reduced

ROOTS = (1, 2, 3, 5, 6, 10, 35, 77)


def random_rows(rng: np.random.Generator, rows: int, columns: int, size: int) -> list[Row]:
    def entry() -> Polynomial:
        return number({int(s): fmpq(int(rng.integers(1, 9)), 7) for s in rng.choice(ROOTS, size, replace=False)})

    return [[entry() for _ in range(columns)] for _ in range(rows)]


def product(a: Row, b: Row) -> Polynomial:
    return sum((x * y for x, y in zip(a, b, strict=True)), Polynomial(1, {}))


@pytest.mark.parametrize(("rank", "size"), [(1, 1), (1, 4), (2, 2), (3, 1), (2, 3)])
def test_a_basis_is_reduced_and_the_complement_orthogonal(rank: int, size: int) -> None:
    rng = np.random.default_rng([rank, size])
    rows = random_rows(rng, rank, 4, size)
    mixed = [combined(row, rows) for row in random_rows(rng, 5, rank, 1)]
    basis, pivots = reduced(mixed, 4)
    assert len(basis) == len(set(pivots)) == rank
    for i, row in enumerate(basis):
        assert [row[p] == Polynomial.constant(1, Fraction(1)) for p in pivots] == [i == k for k in range(rank)]
        assert all(not row[p].parts for k, p in enumerate(pivots) if k != i)
    others = complement(rows, 4)
    assert len(others) == 4 - rank
    assert all(not product(a, b).parts for a in [*rows, *mixed, *basis] for b in others)


def test_dividing_by_a_sum_of_many_roots_is_exact() -> None:
    x = number({s: fmpq(s + 1, 3) for s in ROOTS})
    (row,), (pivot,) = reduced([[x, x * x]], 2)
    assert pivot == 0
    assert row == [Polynomial.constant(1, Fraction(1)), x]


def test_numbers_that_differ_little_are_not_equal() -> None:
    # convergents p/q of sqrt 2 are within 1/q^2 of it, and no row of them is a multiple of (sqrt 2, 1)
    p, q = 1, 1
    for _ in range(60):
        p, q = p + 2 * q, p + q
    rows = [[number({2: fmpq(1)}), number({1: fmpq(1)})], [number({1: fmpq(p, q)}), number({1: fmpq(1)})]]
    values = [surd_to_float(row[0].terms[(0,)]) for row in rows]
    assert all(a == pytest.approx(b, rel=1e-15) for a, b in pairwise(values))
    assert len(reduced(rows, 2)[0]) == 2
