"""The delta budget: how each probabilistic claim splits its failure probability over its events.

One table for all lemmas. The parts of a claim sum to delta, exactly.
"""

from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType

__all__ = ["BUDGET", "share"]

_F = Fraction

# The events of the recursion of `growth`: the spectrum of S_hat, |X|_op, max |x_i|, and the spread of the start.
_GROWTH = {event: _F(1, 4) for event in ("S_hat", "s_X", "R", "spread")}
_GROWN = ("A.1/recursion", "A.4/prior")

# claim -> event -> part of delta. The perp events cost a bound far more than the others where n/d is large, but
# every event enters through log(1/delta): equal parts lose little and are easy to check.
BUDGET: Mapping[str, Mapping[str, Fraction]] = MappingProxyType(
    {
        "A.2/perp_block": {"up_+": _F(1, 4), "up_-": _F(1, 4), "lo_+": _F(1, 4), "lo_-": _F(1, 4)},
        "A.2/perp_edge": {"top": _F(1, 2), "bottom": _F(1, 2)},
        "A.2/perp": {"block": _F(1, 2), "edge": _F(1, 2)},
        "A.2/cross_block": {"cross": _F(1)},
        "A.2/total": {"perp": _F(1, 2), "cross": _F(1, 2)},
        "A.2/signal_block": {"signal": _F(1)},
        "A.2/mean": {"mean": _F(1)},
        "A.2/total_prior": {
            "signal": _F(1, 6),
            "mean": _F(1, 6),
            "m_+": _F(1, 12),
            "m_-": _F(1, 12),
            "perp": _F(1, 6),
            "cross": _F(1, 6),
            "B_op": _F(1, 12),
            "B_F": _F(1, 12),
        },
        "A.3/prior": {"total": _F(1)},
        **dict.fromkeys(_GROWN, _GROWTH),
        "A.4/given_labels": {
            "total": _F(1, 4),
            "s_X": _F(1, 8),
            "cross": _F(1, 8),
            "R": _F(1, 4),
            "spread": _F(1, 4),
        },
        "A.4/two_to_four": {"S_hat": _F(1, 2), "X": _F(1, 2)},
        # one slope serves all norms, wherever the start points: no event of its spread
        "A.5/step_size": {event: _F(1, 3) for event in ("S_hat", "s_X", "R")},
        "A.5/even_step_size": {"S_hat": _F(1, 2), "X": _F(1, 2)},
        "A.6/chernoff": {"start": _F(1, 2), "spread": _F(1, 2)},
        "A.6/prior": {"start": _F(1, 5), **{event: _F(1, 5) for event in _GROWTH}},
        "A.6/prior_of_all": {"start": _F(1, 5), **{event: _F(1, 5) for event in _GROWTH}},
        "A.7/initial_overlap": {"start": _F(1)},
        "A.7/late": {"ratio": _F(1, 3), "start": _F(1, 3), "spread": _F(1, 3)},
        "A.7/too_early": {"ratio": _F(1, 3), "start": _F(1, 3), "spread": _F(1, 3)},
        "A.7/prior": {"start": _F(1, 5), **{event: _F(1, 5) for event in _GROWTH}},
        "A.8/start": {"condition": _F(1)},
        "B.2/interval": {"mean": _F(1)},
        "B.4/uniform": {"D2": _F(1)},
    }
)


def share(claim: str, event: str, delta: float) -> float:
    """The part of delta that `claim` gives to `event`."""
    return float(BUDGET[claim][event]) * delta
