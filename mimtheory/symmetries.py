"""What the symmetries of a link say of C without any integral: entries that are 0 or equal up to sign.

If g(Sz) = g(z) for a signed permutation S, then C = S^T C S, and E[T z] = S^T E[T z]; if g(Sz) - c = c - g(z) and
l'(-u) + l'(u) is constant, both with a minus sign. If T(g) is constant C = 0, and C v = 0 if g does not change along v.
Proofs: docs/theory/certified.md.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, Generic, TypeVar

import flint
import numpy as np
import sympy
from numpy.typing import NDArray

from mimtheory.expressions import read_expression
from mimtheory.links import Link
from mimtheory.losses import Loss, Piece
from mimtheory.polynomials import Polynomial

__all__ = ["Pattern", "constant_T", "idle_direction", "odd_but_for_a_constant", "pattern"]

_ALL_PERMUTATIONS_UP_TO = 4
Floats = NDArray[np.float64]
Key = TypeVar("Key")


@dataclass(frozen=True)
class Pattern:
    """Exact zeros and equalities of C and of E[T z].

    Attributes
    ----------
    C : r x r nested tuple of (sign, (i, j))
        Entry = sign times entry (i, j), i <= j, of the class's representative; sign 0: it vanishes.
    first : tuple of (sign, i)
    odd : bool
        Whether a symmetry turns T into -T, so that E T = 0.
    flips : bool
        Whether a symmetry turns T into a constant minus T.
    used : tuple of str
        The symmetries that say so.
    """

    C: tuple[tuple[tuple[int, tuple[int, int]], ...], ...]
    first: tuple[tuple[int, int], ...]
    odd: bool
    flips: bool
    used: tuple[str, ...]

    @property
    def degenerate(self) -> bool:
        """Whether every matrix of this pattern has determinant 0."""
        names = {key: sympy.Symbol(f"c{key[0]}{key[1]}") for row in self.C for sign, key in row if sign}
        M = sympy.Matrix([[sign * names[key] if sign else 0 for sign, key in row] for row in self.C])
        return bool(sympy.expand(M.det(method="berkowitz")) == 0)

    @property
    def vanishing(self) -> bool:
        """Whether E T, E[T z] and C are all 0."""
        return self.odd and not any(sign for row in (*self.C, self.first) for sign, _ in row)

    def imposed(self, C: Floats, first: Floats) -> tuple[Floats, Floats]:
        """Estimates of C (r, r) and of E[T z] (r,) with exact zeros, and the mean of every class of equal entries."""
        r = len(self.first)
        entries = {(i, j): self.C[i][j] for i in range(r) for j in range(r)}
        singles = {(i,): entry for i, entry in enumerate(self.first)}
        return _averaged(C, entries), _averaged(first, singles)


def _averaged(values: Floats, classes: Mapping[Any, tuple[int, object]]) -> Floats:
    """Every entry as the mean of its class, which is as near to the truth as the farthest of them at most."""
    members: dict[object, list[float]] = {}
    for place, (sign, key) in classes.items():
        members.setdefault(key, []).append(sign * float(values[place]))
    means = np.zeros_like(values)
    for place, (sign, key) in classes.items():
        means[place] = sign * (sum(members[key]) / len(members[key])) if sign else 0.0
    return means


def pattern(g: Link, loss: Loss, centre: Fraction) -> Pattern:
    """The consequences of all signed permutations of the coordinates (of up to four; else of single exchanges)."""
    flippable, about = odd_but_for_a_constant(loss), g.polynomial - Polynomial.constant(g.r, centre)
    pairs = [(i, j) for i in range(g.r) for j in range(i, g.r)]
    entries, first = _Classes(pairs), _Classes(list(range(g.r)))
    flips, used = False, []
    for signs, order in _signed_permutations(g.r):
        flipped = _effect(about, signs, order)
        if flipped is None or (flipped < 0 and not flippable):
            continue
        news = False
        for i, j in pairs:
            image = _ordered(order[i], order[j])
            news |= entries.join((i, j), image, flipped * signs[i] * signs[j])
        for i in range(g.r):
            news |= first.join(i, order[i], flipped * signs[i])
        if flipped < 0 and not flips:
            flips = news = True
        if news:
            used.append(_name(signs, order, flipped, centre))
    rows = tuple(tuple(entries.of(_ordered(i, j)) for j in range(g.r)) for i in range(g.r))
    return Pattern(rows, tuple(first.of(i) for i in range(g.r)), flips and loss.odd, flips, tuple(used))


@lru_cache(maxsize=64)
def odd_but_for_a_constant(loss: Loss) -> bool:
    """Whether l'(-u) + l'(u) is proved to be the same for almost all u, as for quantile(tau)."""
    if loss.odd:
        return True
    if loss.pieces is not None:
        ends = [(piece.lower, piece.upper) for piece in loss.pieces]
        if ends != [tuple(None if end is None else -end for end in pair[::-1]) for pair in reversed(ends)]:
            return False
        sums = {_sum(one, other) for one, other in zip(loss.pieces, reversed(loss.pieces), strict=True)}
        return len(sums) == 1 and not any(sums.pop()[1:])
    return loss.code < 0 and not loss.kinks and _even_curvature(loss.text)


def _sum(one: Piece, other: Piece) -> tuple[Fraction, ...]:
    """Coefficients of l'(u) + l'(-u), u being in the first piece and -u in the second."""
    pairs = itertools.zip_longest(one.coefficients, other.coefficients, fillvalue=Fraction(0))
    return tuple(a + (-1) ** k * b for k, (a, b) in enumerate(pairs))


def _even_curvature(text: str) -> bool:
    """Whether l'' of a formula without kinks is proved to be even: the derivative of l'(-u) + l'(u) is then 0."""
    from mimtheory.formula_constants import mirrored
    from mimtheory.formula_pieces import pieces_of_formula

    return mirrored(pieces_of_formula(read_expression(text, "u")), 2, 1)


def _ordered(i: int, j: int) -> tuple[int, int]:
    return min(i, j), max(i, j)


def _signed_permutations(r: int) -> "Iterator[tuple[tuple[int, ...], tuple[int, ...]]]":
    plain = tuple(range(r))
    if r <= _ALL_PERMUTATIONS_UP_TO:
        orders = list(itertools.permutations(plain))
    else:
        orders = [plain]
        for i, j in itertools.combinations(range(r), 2):
            swapped = list(plain)
            swapped[i], swapped[j] = j, i
            orders.append(tuple(swapped))
    for order in orders:
        for signs in itertools.product((1, -1), repeat=r):
            if order != plain or -1 in signs:
                yield signs, order


def _effect(p: Polynomial, signs: tuple[int, ...], order: tuple[int, ...]) -> int | None:
    """1 or -1 where p(Sz) = p(z) or -p(z) with (Sz)_i = signs_i z_order(i), else None."""
    terms, effect = p.terms, 0
    for index, surd in terms.items():
        moved = [0] * p.r
        sign = 1
        for i, k in enumerate(index):
            moved[order[i]] = k
            sign *= signs[i] ** k
        other = terms.get(tuple(moved), {})
        for candidate in (1, -1):
            if other == {s: candidate * sign * value for s, value in surd.items()}:
                if effect not in (0, candidate):
                    return None
                effect = candidate
                break
        else:
            return None
    return effect


class _Classes(Generic[Key]):
    """Keys that are equal up to sign, or 0, by union of classes."""

    def __init__(self, keys: list[Key]) -> None:
        self._class = {key: (1, key) for key in keys}
        self._zero: set[Key] = set()

    def of(self, key: Key) -> tuple[int, Key]:
        """(sign, representative), sign 0 for what vanishes."""
        sign, root = self._class[key]
        return (0 if root in self._zero else sign), root

    def join(self, a: Key, b: Key, sign: int) -> bool:
        """Record a = sign b; whether that is news."""
        (s, root_a), (t, root_b) = self._class[a], self._class[b]
        if root_a == root_b:
            contradiction = s != sign * t and root_a not in self._zero
            if contradiction:
                self._zero.add(root_a)
            return contradiction
        # the root of a's class in terms of b's: s A = sign t B
        for key, (u, root) in self._class.items():
            if root == root_a:
                self._class[key] = (u * s * sign * t, root_b)
        if root_a in self._zero:
            self._zero.add(root_b)
        return True


def _name(signs: tuple[int, ...], order: tuple[int, ...], flipped: int, centre: Fraction) -> str:
    inside = ", ".join(f"{'-' if s < 0 else ''}z{k + 1}" for s, k in zip(signs, order, strict=True))
    mirrored = f"{2 * centre} - g(z)" if centre else "-g(z)"
    return f"g({inside}) = {mirrored if flipped < 0 else 'g(z)'}"


def constant_T(g: Link, loss: Loss, centre: Fraction) -> str | None:
    """Why T(g(z)) is the same constant for almost all z, or None where that is not seen.

    Between two kinks l' must be constant and c - g must stay there: c - g - kink is positive for the lower and negative
    for the upper one, all its monomials even with coefficients of that sign, or a constant times a square.
    """
    for piece in loss.pieces or ():
        if len(piece.coefficients) > 1:
            continue
        reasons = []
        for kink, sign in ((piece.lower, 1), (piece.upper, -1)):
            if kink is not None:
                found = _one_sign(Polynomial.constant(g.r, centre - kink) - g.polynomial)
                reasons.append(f"c - g - ({kink}) {found[1]}" if found and found[0] == sign else None)
        if reasons and None not in reasons:
            return "T(g(z)) is constant: " + "; ".join(map(str, reasons))
    return None


def _one_sign(v: Polynomial) -> tuple[int, str] | None:
    """Sign of a polynomial almost everywhere and why; None where that is not seen."""
    if set(v.parts) != {1}:
        return None
    (part,) = v.parts.values()
    terms = {tuple(int(k) for k in index): value for index, value in part.to_dict().items()}
    signs = {1 if value > 0 else -1 for value in terms.values()}
    if len(signs) == 1 and all(k % 2 == 0 for index in terms for k in index):
        sign = signs.pop()
        return sign, f"has only even monomials with {'positive' if sign > 0 else 'negative'} coefficients"
    constant, factors = part.factor()
    if all(multiplicity % 2 == 0 for _, multiplicity in factors):
        root = " * ".join(f"({p})" + (f"^{m // 2}" if m > 2 else "") for p, m in factors)
        return 1 if constant > 0 else -1, f"= {constant} ({root})^2 does not change its sign"
    return None


def idle_direction(g: Link) -> tuple[Fraction, ...] | None:
    """A rational direction v along which g does not change, so that C v = 0; None where there is none."""
    gradients = [g.polynomial.derivative(k).terms for k in range(g.r)]
    keys = sorted({(index, s) for terms in gradients for index, surd in terms.items() for s in surd})
    rows = [[terms.get(index, {}).get(s, flint.fmpq(0)) for terms in gradients] for index, s in keys]
    reduced, rank = flint.fmpq_mat(rows).rref()
    if rank == g.r:
        return None
    pivots = [next(k for k in range(g.r) if reduced[row, k]) for row in range(rank)]
    free = next(k for k in range(g.r) if k not in pivots)
    v = [Fraction(0)] * g.r
    v[free] = Fraction(1)
    for row, pivot in enumerate(pivots):
        value = -reduced[row, free]
        v[pivot] = Fraction(int(value.p), int(value.q))
    return tuple(v)
