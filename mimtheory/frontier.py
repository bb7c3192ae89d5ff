"""The tightness frontier: for every bound, the largest measured/bound ratio that is known, and where.

At level D it is what a search over the whole space found, and a ratio above 1 refutes. At levels G and P it is the
(1 - delta) quantile over draws with fixed seeds, the largest over structures that are fixed beforehand; a quantile
near 1 is tight, and only the exact binomial test refutes. Identities have no tightness and are left out. The frontier
is stored with the package, and tests hold the code against it: a change after which a bound is looser than before by
more than `SLACK` is noticed.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from mimtheory import __version__
from mimtheory.experiment import Experiment
from mimtheory.lemmas import REGISTRY, find_claim, find_lemma
from mimtheory.plan import read_rows
from mimtheory.registry import Claim, Level
from mimtheory.relations import Relation
from mimtheory.search import search
from mimtheory.setting import Setting
from mimtheory.store import fingerprint
from mimtheory.tasks import seed_of
from mimtheory.verdicts import FALSE_ALARM, p_value

__all__ = ["SLACK", "Tightest", "bounds", "known", "measure", "measured_again", "write"]

SLACK = 1.2
SCHEMA = 1
_EXAMPLES = 1000
_RNG = 0


@dataclass(frozen=True)
class Tightest:
    """The frontier at one bound.

    Attributes
    ----------
    claim : str
    level : {"D", "G", "P"}
    ratio : float
        Largest ratio found at level D; largest (1 - delta) quantile otherwise.
    setting : dict
        Where.
    seed : int or None
        At level D, that of the draw.
    trials, delta : int, float
        The number of draws, and the failure probability of the claim; 1 and 0 at level D.
    failures : int
        Draws with a ratio above 1.
    code : str
        Fingerprint of the code that made the entry; empty where it was made before that was stored.
    """

    claim: str
    level: Level
    ratio: float
    setting: dict[str, Any]
    seed: int | None
    trials: int = 1
    delta: float = 0.0
    failures: int = 0
    code: str = ""

    @property
    def refuted(self) -> bool:
        """Whether the claim is: by one violation at level D, by the exact binomial test otherwise."""
        if self.level == "D":
            return self.failures > 0
        return p_value(self.failures, self.trials, self.delta) <= FALSE_ALARM


def bounds(labels: Sequence[str] = ()) -> list[Claim]:
    """The claims of this package that are bounds: of the lemmas with these `labels`, or of all.

    Raises
    ------
    ValueError
        For an unknown label.
    """
    lemmas = [find_lemma(label) for label in labels] or REGISTRY
    return [claim for lemma in lemmas for claim in lemma.claims.values() if claim.kind != "equals"]


@lru_cache(maxsize=1)
def known() -> Mapping[str, Tightest]:
    """The stored frontier, by label of the claim."""
    return _read((files("mimtheory") / "plans" / "frontier.json").read_text(encoding="utf-8"))


def _read(text: str) -> dict[str, Tightest]:
    return {entry["claim"]: Tightest(**entry) for entry in json.loads(text)["bounds"]}


def measure(labels: Sequence[str] = (), progress: Callable[[str], None] = lambda label: None) -> list[Tightest]:
    """Find the frontier anew; all of it takes minutes. At level D, what is stored stays where it is still true and the
    search finds less.

    Parameters
    ----------
    labels : sequence of str
        Lemmas; all if none is given.
    progress : callable
        Called with the label of every claim or setting before it is computed.
    """
    claims = bounds(labels)
    found = _over_structures([claim for claim in claims if claim.probabilistic], progress)
    for claim in claims:
        if not claim.probabilistic:
            progress(claim.label)
            entries = [*_searched(claim), *_still(claim)]
            if entries:
                found[claim.label] = max(entries, key=lambda entry: entry.ratio)
    made = fingerprint()
    return [replace(found[claim.label], code=made) for claim in claims if claim.label in found]


def _searched(claim: Claim) -> list[Tightest]:
    best = search(claim, _EXAMPLES)
    if best.tightest is None:
        return []
    setting, seed = best.tightest["setting"], best.tightest["seed"]
    failed = int(best.counterexample is not None)
    return [Tightest(claim.label, claim.level, best.ratio_worst, setting, seed, failures=failed)]


def _still(claim: Claim) -> list[Tightest]:
    """The stored entry of a claim of level D, as the code of today measures it."""
    if claim.label not in known():
        return []
    again = measured_again(known()[claim.label])
    return [again] if math.isfinite(again.ratio) else []


def _over_structures(claims: list[Claim], progress: Callable[[str], None]) -> dict[str, Tightest]:
    found: dict[str, Tightest] = {}
    cells: dict[tuple[Setting, int, float], list[Claim]] = {}
    for row in read_rows("frontier"):
        mine = [claim for claim in claims if claim.lemma.label == row.lemma]
        cells.setdefault((row.setting, row.trials, row.delta), []).extend(mine)
    for (setting, trials, delta), present in cells.items():
        progress(f"{setting.link.text}, {setting.loss.text}, d = {setting.d}")
        for entry in _quantiles(present, setting, trials, delta):
            if entry.claim not in found or entry.ratio > found[entry.claim].ratio:
                found[entry.claim] = entry
    return found


def _quantiles(claims: list[Claim], setting: Setting, trials: int, delta: float) -> list[Tightest]:
    """The entries of these claims at one structure; the claims share the draws. A claim that says nothing there has
    none."""
    relations: dict[str, list[Relation]] = {claim.label: [] for claim in claims}
    for index in range(trials if claims else 0):
        e = Experiment(setting, seed_of(setting, _RNG, index))
        for claim in claims:
            relations[claim.label].append(claim.check(e, delta))
    return [
        _entry(claim, setting, delta, relations[claim.label])
        for claim in claims
        if all(relation.outcome in ("holds", "violated") for relation in relations[claim.label])
    ]


def _entry(claim: Claim, setting: Setting, delta: float, relations: list[Relation]) -> Tightest:
    ratios = sorted(relation.ratio for relation in relations)
    quantile = ratios[math.ceil((1 - delta) * len(ratios)) - 1]
    failures = sum(relation.outcome == "violated" for relation in relations)
    return Tightest(claim.label, claim.level, quantile, setting.to_dict(), None, len(ratios), delta, failures)


def measured_again(entry: Tightest) -> Tightest:
    """The entry with the code of today, on its own structure and seeds.

    Raises
    ------
    ValueError
        If the claim says nothing there any more.
    """
    claim, setting = find_claim(entry.claim), Setting.from_dict(entry.setting)
    if entry.seed is None:
        found = _quantiles([claim], setting, entry.trials, entry.delta)
        if not found:
            raise ValueError(f"claim = {entry.claim}: says nothing where its frontier was; allowed: a finite bound")
        return found[0]
    relation = claim.check(Experiment(setting, entry.seed), 0.5)
    failed = int(relation.outcome == "violated")
    return Tightest(entry.claim, claim.level, relation.ratio, entry.setting, entry.seed, failures=failed)


def write(entries: list[Tightest], path: Path) -> None:
    """Store `entries` at `path` as JSON, one bound a line so that a change of one is seen; entries of other bounds
    that the file holds are kept."""
    merged = _read(path.read_text(encoding="utf-8")) if path.is_file() else {}
    merged |= {entry.claim: entry for entry in entries}
    kept = [merged[claim.label] for claim in bounds() if claim.label in merged]
    lines = ",\n".join(f"  {json.dumps(asdict(entry))}" for entry in kept)
    text = f'{{\n "schema": {SCHEMA},\n "version": "{__version__}",\n "bounds": [\n{lines}\n ]\n}}\n'
    path.write_text(text, encoding="utf-8")
