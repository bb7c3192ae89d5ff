"""Comparisons that know their rounding error: `at_most`, `at_least` and `equals` make a `Relation`.

Two sides are compared with an allowance that is the sum of their rounding errors, each derived where the number
was computed. A violation within the allowance does not count, and a comparison whose allowance hides more than a
thousandth of the larger side is `undecided`: it could not have seen a violation worth the name.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mimtheory.rounding import EPS, gamma

__all__ = ["EPS", "Kind", "Outcome", "Relation", "Rounded", "at_least", "at_most", "equals", "gamma", "says_nothing"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Kind = Literal["at_most", "at_least", "equals"]
Outcome = Literal["holds", "violated", "vacuous", "undecided", "skipped", "error"]

_RESOLUTION = 1e-3
_DEFAULT_ULPS = 8


class Rounded:
    """A computed number or array with a bound on its rounding error.

    Parameters
    ----------
    value : float or (k,) array
        In any units.
    error : float or (k,) array
        Absolute, in units of `value`; one for all entries or one for each.
    """

    def __init__(self, value: ArrayLike, error: "float | Floats" = 0.0) -> None:
        self.value: Floats = np.asarray(value, dtype=np.float64)
        self.errors: Floats = np.broadcast_to(np.asarray(error, dtype=np.float64), self.value.shape)

    @property
    def error(self) -> float:
        """The largest error of an entry, in units of `value`."""
        return float(self.errors.max(initial=0.0))

    def resolved(self, sizes: "Floats | None" = None) -> Bools:
        """Which entries a comparison can decide: those (k,) well above their errors; all, where it can decide none.

        Parameters
        ----------
        sizes : (k,) array, optional
            Of rows of which the entries are parts, in units of `value`; the entries themselves if not given.
        """
        sizes, errors = (np.abs(self.value), self.errors) if sizes is None else (sizes, np.asarray(self.error))
        decided: Bools = sizes > 2 * errors / _RESOLUTION
        return decided if decided.any() else ~decided

    def __repr__(self) -> str:
        return f"Rounded({self.value.tolist()}, error={self.error:.1e})"


@dataclass(frozen=True)
class Relation:
    """Both sides of a claim, entry by entry, and what their comparison shows.

    Attributes
    ----------
    kind : {"at_most", "at_least", "equals"}
    measured, stated : (k,) arrays
        Both sides, each in units of `measured`.
    allowance : (k,) array
        The sum of their rounding errors, in units of `measured`.
    """

    kind: Kind
    measured: Floats
    stated: Floats
    allowance: Floats

    @property
    def excess(self) -> Floats:
        """How far each entry (k,) is on the wrong side, before the allowance, in units of `measured`."""
        difference = self.measured - self.stated
        if self.kind == "equals":
            return np.abs(difference)
        return difference if self.kind == "at_most" else -difference

    @property
    def outcome(self) -> Outcome:
        """What this one comparison shows; `error` comes first and `holds` last, `skipped` if there is no entry."""
        if self.measured.size == 0:
            return "skipped"
        if np.isnan(self.stated).any() or np.isnan(self.allowance).any() or not np.isfinite(self.measured).all():
            return "error"
        with np.errstate(invalid="ignore"):
            if (self.excess > self.allowance).any():
                return "violated"
        says = np.isfinite(self.stated)
        if not says.any():
            return "vacuous"
        scale = np.maximum(np.abs(self.measured), np.abs(self.stated))
        if (self.allowance > _RESOLUTION * scale)[says].any():
            return "undecided"
        return "holds"

    @property
    def ratios(self) -> Floats:
        """Tightness of each entry (k,), dimensionless: measured/stated, or its inverse for `at_least` and where both
        are negative.

        For an identity the discrepancy over its allowance. At most 1 where the claim holds, up to rounding; 0 where
        the bound is 0 and what is measured is 0 within its rounding; infinite on the wrong side of 0.
        """
        if self.kind == "equals":
            above, below = self.excess, self.allowance
        elif self.kind == "at_most":
            above, below = self.measured, self.stated
        else:
            above, below = self.stated, self.measured
        with np.errstate(divide="ignore", invalid="ignore"):
            at_0 = np.where(above > self.allowance, np.inf, 0.0)
            under_0 = np.where(above < 0, below / above, np.inf)
            ratios: Floats = np.where(below == 0, at_0, np.where(below < 0, under_0, above / below))
        return ratios

    @property
    def worst(self) -> int | None:
        """Index of the entry with the largest ratio; None where nothing could be compared."""
        return None if self.outcome in ("error", "skipped") else int(np.argmax(self.ratios))

    @property
    def ratio(self) -> float:
        """The largest of `ratios`, the tightness of the comparison; dimensionless."""
        return float("nan") if self.worst is None else float(self.ratios[self.worst])


def at_most(measured: "Rounded | ArrayLike", stated: "Rounded | ArrayLike") -> Relation:
    """State that every measured entry is at most the stated one.

    Parameters
    ----------
    measured, stated : Rounded, float or array of any shape
        Broadcast to a common shape, and compared in units of `measured`. A bare number carries a few roundings.

    Raises
    ------
    ValueError
        Where both have several entries and not as many.
    """
    return _relation("at_most", measured, stated)


def at_least(measured: "Rounded | ArrayLike", stated: "Rounded | ArrayLike") -> Relation:
    """State that every measured entry is at least the stated one.

    Parameters
    ----------
    measured, stated : Rounded, float or array of any shape
        Broadcast to a common shape, and compared in units of `measured`. A bare number carries a few roundings.

    Raises
    ------
    ValueError
        Where both have several entries and not as many.
    """
    return _relation("at_least", measured, stated)


def equals(measured: "Rounded | ArrayLike", stated: "Rounded | ArrayLike") -> Relation:
    """State that both sides are equal in exact arithmetic.

    Parameters
    ----------
    measured, stated : Rounded, float or array of any shape
        Broadcast to a common shape, and compared in units of `measured`. A bare number carries a few roundings.

    Raises
    ------
    ValueError
        Where both have several entries and not as many.
    """
    return _relation("equals", measured, stated)


def says_nothing() -> Relation:
    """The relation of a claim that promises nothing: vacuous, whatever would be measured."""
    return Relation("at_most", np.zeros(1), np.full(1, np.inf), np.zeros(1))


def _relation(
    kind: Kind,
    measured: "Rounded | ArrayLike",
    stated: "Rounded | ArrayLike",
) -> Relation:
    left, left_error = _sides(measured)
    right, right_error = _sides(stated)
    if left.size != right.size and 1 not in (left.size, right.size):
        raise ValueError(f"measured has {left.size} entries, stated {right.size}; allowed: as many, or one")
    left, right, allowance = np.broadcast_arrays(left, right, left_error + right_error)
    return Relation(kind, left, right, allowance)


def _sides(side: "Rounded | ArrayLike") -> tuple[Floats, Floats]:
    """Values and errors of one side; a bare number carries the few roundings of a short scalar formula."""
    if isinstance(side, Rounded):
        value = side.value.ravel()
        return value, side.errors.ravel()
    value = np.asarray(side, dtype=np.float64).ravel()
    finite = np.where(np.isfinite(value), np.abs(value), 0.0)
    return value, gamma(_DEFAULT_ULPS) * finite
