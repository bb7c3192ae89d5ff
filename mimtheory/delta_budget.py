"""The delta budget: how each probabilistic claim splits its failure probability over its events.

One table for all lemmas. The parts of a claim sum to delta, exactly.
"""

from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType

__all__ = ["BUDGET", "share"]

_F = Fraction

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
    }
)


def share(claim: str, event: str, delta: float) -> float:
    """The part of delta that `claim` gives to `event`."""
    return float(BUDGET[claim][event]) * delta
