"""Portrait of stage one on one draw: spectrum, norms, alignments and coverage for every number of steps, with bounds.

The bounds are those of the claims: the recursion of A.1 and the Chernoff form of A.6 for the norms, A.7 for the
tangents and A.8 for the condition number.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimtheory.advisor import Window, window
from mimtheory.experiment import Experiment
from mimtheory.growth import envelope
from mimtheory.lemmas import find_claim
from mimtheory.lemmas.a6_norm_after_t1 import crossing, data_given
from mimtheory.operators import DENSE_LIMIT
from mimtheory.setting import Setting

__all__ = ["Portrait", "Trail", "portrait"]

_DELTA = 0.01
_MOST_STEPS = 24


@dataclass(frozen=True)
class Trail:
    """A quantity after each number of steps: `values` of all neurons, between `lower` and `upper` bounds."""

    values: tuple[tuple[float, ...], ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]


@dataclass(frozen=True)
class Portrait:
    """What `portrait` measured; the entries of a trail belong to the numbers of equal steps in `steps`.

    Attributes
    ----------
    setting, rng
        Fields of the Setting, and the seed of the draw.
    eigenvalues : (d,)
        Of S_hat, increasing.
    expected : (r,)
        c0 + eigenvalues of C; c0 is the expected bulk.
    bulk : (2,) or empty
        A.2's ends of the bulk given the labels, delta = 0.01.
    norms : Trail
        |w_j|/eps0 for a_j > 0, between A.6's lower bound for one neuron (delta = 0.01) and that of A.1's recursion.
    tangents : Trail
        |P_perp w_j|/|P w_j| for a_j > 0, between the least lower and the largest upper bound of A.7.
    conditions : Trail
        cond(B) between the bounds of A.8.
    window : Window
    crossing : int or None
        A.6's T*, from which the signal carries more of the mean square of the norm than the bulk.
    """

    setting: dict[str, Any]
    rng: int
    eigenvalues: tuple[float, ...]
    expected: tuple[float, ...]
    c0: float
    bulk: tuple[float, ...]
    steps: tuple[int, ...]
    norms: Trail
    tangents: Trail
    conditions: Trail
    window: Window
    crossing: int | None


def portrait(setting: Setting, rng: int = 0) -> Portrait:
    """Measure stage one after every number of steps, on one draw and from one start.

    Parameters
    ----------
    setting : Setting
        d up to 512, of which the whole spectrum is computed; T1 only sets how far to look.
    rng : int
        Seed of the draw.

    Raises
    ------
    ValueError
        For larger d.
    """
    if setting.d > DENSE_LIMIT:
        raise ValueError(f"d = {setting.d}; allowed: up to {DENSE_LIMIT}, where the whole spectrum is computed")
    found, first = window(setting), Experiment(setting, rng)
    last = min(_MOST_STEPS, max(2 * setting.steps, (found.T_max or 0) + 2))
    # for weight decay other than 1/eta1 the last step is not one of the equal steps
    extra = 0 if first.population.gamma1 == 0 else 1
    draws = [Experiment(dataclasses.replace(setting, T1=T + extra), rng) for T in range(1, last + 1)]
    return Portrait(
        setting=setting.to_dict(),
        rng=rng,
        eigenvalues=_floats(np.linalg.eigvalsh(np.asarray(first.S_hat.matrix))),
        expected=_floats(first.population.c0 + np.linalg.eigvalsh(first.population.C)),
        c0=first.population.c0,
        bulk=_bulk(first),
        steps=tuple(range(1, last + 1)),
        norms=_norms(draws),
        tangents=_between("A.7", draws),
        conditions=_between("A.8", draws),
        window=found,
        crossing=crossing(first.sample),
    )


def _bulk(e: Experiment) -> tuple[float, ...]:
    ends = find_claim("A.2/perp_edge").check(e, _DELTA).stated
    return (e.labels.T_mean - float(ends[1]), e.labels.T_mean + float(ends[0])) if ends.size else ()


def _norms(draws: list[Experiment]) -> Trail:
    eps0, half = draws[0].setting.eps0, draws[0].setting.m // 2
    lower = [find_claim("A.6/chernoff").check(e, _DELTA).stated for e in draws]
    upper = [envelope(e.population, data_given(e.sample, _DELTA), e.population.T).omega[-1] for e in draws]
    return Trail(
        values=tuple(_floats(np.asarray(np.linalg.norm(e.run.final.value[:half], axis=1) / eps0)) for e in draws),
        lower=_floats(np.array([min(stated, default=-math.inf) for stated in lower]) / eps0),
        upper=_floats(np.array(upper) / eps0),
    )


def _between(lemma: str, draws: list[Experiment]) -> Trail:
    """Both bounds of a lemma, for every draw; where neurons differ, the least and the largest."""
    lower = [find_claim(f"{lemma}/lower").check(e, _DELTA) for e in draws]
    upper = [find_claim(f"{lemma}/upper").check(e, _DELTA) for e in draws]
    return Trail(
        values=tuple(_floats(relation.measured) for relation in upper),
        lower=tuple(float(min(relation.stated, default=-math.inf)) for relation in lower),
        upper=tuple(float(max(relation.stated, default=math.inf)) for relation in upper),
    )


def _floats(values: NDArray[Any]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
