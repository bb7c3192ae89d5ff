"""Claims in a test suite of your own: `parametrize_claims`, `assert_holds` and `search`.

For example, in a file of tests::

    from mimtheory import Setting
    from mimtheory.testing import assert_holds, parametrize_claims


    @parametrize_claims("A.2", level="G")
    def test_claim(claim):
        assert_holds(claim, Setting(link="h2", loss="huber(1)", d=30, n=2000))
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

try:
    from mimtheory import pytest_plugin
except ModuleNotFoundError as missing:
    if missing.name != "pytest":
        raise
    raise ImportError("mimtheory.testing needs pytest: pip install pytest", name="pytest") from missing
from mimtheory.arguments import check_trials
from mimtheory.experiment import Experiment
from mimtheory.lemmas import every_lemma, find_claim, find_lemma
from mimtheory.plan import DELTA, TRIALS, control_design, designed_cells, in_pool
from mimtheory.registry import Claim, Control, Lemma, Level
from mimtheory.search import Found, search
from mimtheory.setting import Setting
from mimtheory.tasks import seed_of
from mimtheory.verdicts import ADVICE, FALSE_ALARM, Status, Tally, cell_status, claim_status

if TYPE_CHECKING:
    import pytest

__all__ = ["Found", "Observed", "assert_holds", "parametrize_claims", "search"]


@dataclass(frozen=True)
class Observed:
    """What the draws of one claim showed.

    Attributes
    ----------
    claim, level, status
        The claim, and `holds` or what it is instead.
    trials, failures : int
    ratio_worst, ratio_median : float
        Measured over bound.
    survivors : tuple of str
        Controls that were not refuted.
    worst : (dict, int) or None
        Setting and index of the draw with the largest ratio.
    """

    claim: str
    level: Level
    status: Status
    trials: int
    failures: int
    ratio_worst: float
    ratio_median: float
    survivors: tuple[str, ...]
    worst: tuple[dict[str, Any], int] | None


def parametrize_claims(*what: "str | Lemma | Claim", level: Level | None = None) -> "pytest.MarkDecorator":
    """Mark a test function with an argument `claim`: it runs for each claim, with ids such as ``A.2/perp_block[G]``.

    Parameters
    ----------
    what : str, Lemma or Claim
        Labels ("A.2" or "A.2/perp_block") or objects; every claim of every lemma if none is given.
    level : {"I", "D", "G", "P"}
        Only claims of this level.

    Raises
    ------
    ValueError
        For an unknown label, or where no claim is left.
    """
    import pytest

    claims = [claim for x in (what or every_lemma()) for claim in _claims(x) if level in (None, claim.level)]
    if not claims:
        raise ValueError(f"level = {level!r} leaves no claim; allowed: a level that a claim has, or None")
    return pytest.mark.parametrize("claim", claims, ids=[f"{claim.label}[{claim.level}]" for claim in claims])


def _claims(what: "str | Lemma | Claim") -> list[Claim]:
    if isinstance(what, Claim):
        return [what]
    if isinstance(what, str) and "/" in what:
        return [find_claim(what)]
    return list((find_lemma(what) if isinstance(what, str) else what).claims.values())


def assert_holds(
    claim: "Claim | str",
    settings: "Setting | Sequence[Setting] | None" = None,
    *,
    trials: int | None = None,
    delta: float = DELTA,
    rng: int = 0,
    controls: bool = True,
) -> Observed:
    """Check a claim on draws with fixed seeds, and its controls on their own designs.

    Parameters
    ----------
    claim : Claim or str
    settings : Setting or sequence of Setting
        Those of the lemma's designs if not given. One that is given twice has the same draws and counts once.
    trials : int
        Draws a setting; `--mim-trials` comes first.
    delta : float
        Failure probability of a claim of level G or P. It is refuted by the exact binomial test at 1e-6.
    rng : int
        Seed.
    controls : bool
        Whether every control of the claim must be refuted, too; a claim without one is `undecided` then.

    Raises
    ------
    AssertionError
        If the status is not `holds`; the message names the draw with the largest ratio.
    ValueError
        For trials or delta out of range, and for settings that are none.
    """
    claim = find_claim(claim) if isinstance(claim, str) else claim
    cells = _cells(claim, settings, pytest_plugin.asked_trials() or trials, delta)
    tallies = [
        (setting, replace(_check(claim, setting, count, rate, rng), pooled=pooled))
        for (setting, count, rate), pooled in zip(cells, in_pool(cells), strict=True)
    ]
    survivors = tuple(c.name for c in claim.controls if not _refuted(claim, c, rng)) if controls else ()
    seen = not controls or (bool(claim.controls) and not survivors)
    observed = _observed(claim, tallies, survivors, seen)
    pytest_plugin.observe(_plain(asdict(observed)))
    if observed.status != "holds":
        lone = (
            "" if claim.controls or not controls else "\nThe claim has no control, so nothing shows that it can fail."
        )
        raise AssertionError(_message(observed, rng) + lone)
    return observed


def _cells(
    claim: Claim, settings: "Setting | Sequence[Setting] | None", trials: int | None, delta: float
) -> list[tuple[Setting, int, float]]:
    if settings is None:
        cells = [(cell[0], cell[1] if trials is None else trials, cell[2]) for cell in designed_cells(claim.lemma)]
    else:
        given = [settings] if isinstance(settings, Setting) else settings
        if not all(isinstance(setting, Setting) for setting in given):
            raise ValueError(f"settings = {str(settings)[:60]!r}; allowed: a Setting or several of them")
        cells = [(setting, TRIALS if trials is None else trials, delta) for setting in given]
    most: dict[tuple[Setting, float], int] = {}
    for setting, count, rate in cells:
        check_trials(count, rate)
        most[setting, rate] = max(count, most.get((setting, rate), 0))
    return [(setting, count, rate) for (setting, rate), count in most.items()]


def _check(
    claim: Claim, setting: Setting, trials: int, delta: float, rng: int, control: Control | None = None
) -> Tally:
    relations = [claim.check(Experiment(setting, seed_of(setting, rng, i)), delta, control) for i in range(trials)]
    return Tally(tuple(r.outcome for r in relations), tuple(r.ratio for r in relations), delta)


def _refuted(claim: Claim, control: Control, rng: int) -> bool:
    settings, trials, delta = control_design(claim, control)
    tallies = [_check(claim, setting, trials, delta, rng, control) for setting in settings]
    whole = Tally(tuple(o for t in tallies for o in t.outcomes), tuple(x for t in tallies for x in t.ratios), delta)
    return cell_status(whole, claim.level, FALSE_ALARM) == "refuted"


def _observed(claim: Claim, cells: list[tuple[Setting, Tally]], survivors: tuple[str, ...], seen: bool) -> Observed:
    """`seen`: whether what is false was seen to be refuted."""
    tallies = [tally for _, tally in cells]
    compared = [(ratio, setting.to_dict(), index) for setting, tally in cells for index, ratio in tally.compared]
    ratios = [ratio for ratio, _, _ in compared]
    worst = max(compared, key=lambda entry: entry[0], default=None)
    return Observed(
        claim=claim.label,
        level=claim.level,
        status=claim_status(tallies, claim.level, FALSE_ALARM, seen),
        trials=sum(tally.tested for tally in tallies if tally.pooled),
        failures=sum(tally.failures for tally in tallies if tally.pooled),
        ratio_worst=max(ratios, default=math.nan),
        ratio_median=float(np.median(ratios)) if ratios else math.nan,
        survivors=survivors,
        worst=worst[1:] if worst else None,
    )


def _message(observed: Observed, rng: int) -> str:
    words = [f"{observed.claim}[{observed.level}] is {observed.status}: {ADVICE[observed.status]}"]
    words += [f"{observed.failures} of {observed.trials} draws fail, the largest ratio is {observed.ratio_worst:.6g}."]
    words += [f"The control {name} survived." for name in observed.survivors]
    if observed.worst:
        setting, index = observed.worst
        words += [f"That draw again: s = mimtheory.Setting.from_dict({setting}); "]
        words += [f"e = mimtheory.Experiment(s, mimtheory.tasks.seed_of(s, {rng}, {index}))"]
    return "\n".join(words)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Numbers that JSON does not have become None."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
