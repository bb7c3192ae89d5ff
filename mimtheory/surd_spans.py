"""Spans of vectors over Q extended by square roots, and their complements, exactly.

A number is a constant `Polynomial`: a rational at each of its squarefree radicands. No primitive element of the field
is formed, whose degree doubles with every prime. Proofs: docs/theory/exponents.md.
"""

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction

from mimtheory.polynomials import Polynomial, Surd

__all__ = ["Row", "combined", "complement", "number", "reduced"]

Row = list[Polynomial]


def number(value: Surd) -> Polynomial:
    """A number of the field from its rationals at the radicands."""
    return Polynomial.from_terms(1, {(0,): value})


_ZERO, _ONE = Polynomial(1, {}), Polynomial.constant(1, Fraction(1))


def reduced(rows: Iterable[Sequence[Polynomial]], columns: int) -> tuple[list[Row], list[int]]:
    """A basis of the span of `rows`, each of which is 1 in a column where all others are 0, and these columns."""
    basis: list[Row] = []
    pivots: list[int] = []
    for row in rows:
        if len(basis) == columns:
            break
        rest = list(row)
        for known, pivot in zip(basis, pivots, strict=True):
            rest = _minus(rest, known, pivot)
        found = [k for k, x in enumerate(rest) if x.parts]
        if not found:
            continue
        # few radicands are divided by fast, and one by a product
        pivot = min(found, key=lambda k: len(rest[k].parts))
        inverse = _inverse(rest[pivot])
        rest = [x * inverse for x in rest]
        basis = [*(_minus(known, rest, pivot) for known in basis), rest]
        pivots.append(pivot)
    return basis, pivots


def complement(rows: Iterable[Sequence[Polynomial]], columns: int) -> list[Row]:
    """A basis of the vectors orthogonal to all `rows`."""
    basis, pivots = reduced(rows, columns)
    free = [k for k in range(columns) if k not in pivots]
    found = []
    for k in free:
        vector = [_ONE if j == k else _ZERO for j in range(columns)]
        for row, pivot in zip(basis, pivots, strict=True):
            vector[pivot] = -row[k]
        found.append(vector)
    return found


def combined(coefficients: Sequence[Polynomial], rows: Sequence[Row]) -> Row:
    """The sum of the rows with these coefficients."""
    pairs = list(zip(coefficients, rows, strict=True))
    return [sum((c * row[k] for c, row in pairs), _ZERO) for k in range(len(rows[0]))]


def _minus(row: Row, other: Row, pivot: int) -> Row:
    """`row` without its entry at the pivot of `other`."""
    factor = row[pivot]
    return [x - factor * y for x, y in zip(row, other, strict=True)] if factor.parts else row


def _inverse(x: Polynomial) -> Polynomial:
    """1/x by conjugates: for a prime q that divides some of the radicands and not all, sqrt(s) -> -sqrt(s) for the
    multiples s of q is an automorphism of the field, and x times its image is free of q."""
    above = _ONE
    while len(x.parts) > 1:
        s, t, *_ = x.parts
        q = _prime_factor(s * t // math.gcd(s, t) ** 2)
        image = Polynomial(1, {s: -part if s % q == 0 else part for s, part in x.parts.items()})
        above, x = above * image, x * image
    ((s, part),) = x.terms[(0,)].items()
    return above * Polynomial.constant(1, Fraction(int(part.q), int(part.p) * s), s)


def _prime_factor(n: int) -> int:
    k = 2
    while n % k:
        k = k + 1 if k * k < n else n
    return k
