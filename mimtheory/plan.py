"""Plans: which settings are checked how often, and which status each row expects."""

import itertools
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.resources import files
from typing import Any

from mimtheory.arguments import check_integer, check_trials
from mimtheory.lemmas import find_lemma
from mimtheory.registry import Claim, Control, Lemma
from mimtheory.setting import Setting
from mimtheory.verdicts import Status

__all__ = [
    "DELTA",
    "EXAMPLES",
    "PROFILES",
    "TRIALS",
    "Plan",
    "PlanRow",
    "control_design",
    "designed_cells",
    "designed_rows",
    "in_pool",
    "read_plan",
    "read_rows",
]

PROFILES = ("quick", "full")
_CONTROL_TRIALS, _CONTROL_DELTA = 20, 0.01
TRIALS, DELTA = 24, 0.01  # of a row that does not say
EXAMPLES = 50
_DESIGN: Mapping[str, Any] = {"link": "h4+h4", "loss": "huber(1)", "d": 100, "n": 4000}
_ROW_FIELDS = ("lemma", "trials", "delta", "expect")
_STATUSES = ("holds", "refuted", "vacuous", "undecided", "skipped", "error")


def _plain(trials: Any, delta: Any) -> tuple[int, float]:
    """Both as numbers of Python, so that equal rows have equal texts whatever they were given as."""
    check_trials(trials, delta)
    return int(trials), float(delta)


@dataclass(frozen=True)
class PlanRow:
    """One setting for one lemma. `expect` maps claim names to the status they expect; the others expect `holds`.

    Raises
    ------
    ValueError
        For trials < 1, delta outside (0, 1), an unknown lemma, claim or status.
    """

    lemma: str
    setting: Setting
    trials: int
    delta: float
    expect: Mapping[str, Status] = field(default_factory=dict)

    def __post_init__(self) -> None:
        trials, delta = _plain(self.trials, self.delta)
        object.__setattr__(self, "trials", trials)
        object.__setattr__(self, "delta", delta)
        claims = find_lemma(self.lemma).claims
        for name, status in self.expect.items():
            if name not in claims:
                raise ValueError(f"expect = {name!r} is no claim of {self.lemma}; allowed: {', '.join(claims)}")
            if status not in _STATUSES:
                raise ValueError(f"expect of {name} = {status!r}; allowed: {', '.join(_STATUSES)}")


@dataclass(frozen=True)
class Plan:
    """Rows, the seed, how many examples a search for counterexamples of levels I and D may try, and the setting whose
    stage one the report draws.

    Rows of the same lemma, setting and delta have the same draws: they are one row, of the most trials.

    Raises
    ------
    ValueError
        For a seed that is none, and for rows that are one but expect different statuses.
    """

    profile: str
    rows: tuple[PlanRow, ...]
    rng: int = 0
    examples: int = EXAMPLES
    portrait: Setting | None = None

    def __post_init__(self) -> None:
        check_integer("rng", self.rng, 0, "an integer from 0", math.inf)
        object.__setattr__(self, "rows", _merged(self.rows))

    def with_lemmas(self, labels: Sequence[str]) -> "Plan":
        """These rows, and those of the lemmas among `labels` that have none here: lemmas from outside."""
        planned = {row.lemma for row in self.rows}
        brought = [find_lemma(label) for label in dict.fromkeys(labels)]
        more = [row for lemma in brought if lemma.label not in planned for row in designed_rows(lemma)]
        return replace(self, rows=(*self.rows, *more))

    def restricted(self, lemmas: Sequence[str]) -> "Plan":
        """The rows of these lemmas only (all rows for an empty sequence)."""
        labels = {find_lemma(label).label for label in lemmas}
        return replace(self, rows=tuple(row for row in self.rows if not labels or row.lemma in labels))

    def with_overrides(self, *, trials: int | None, delta: float | None, examples: int | None, rng: int) -> "Plan":
        """Every row with these trials and delta, and this many examples of a search, where given."""
        given: dict[str, Any] = {
            name: value for name, value in (("trials", trials), ("delta", delta)) if value is not None
        }
        rows = tuple(replace(row, **given) for row in self.rows)
        return replace(self, rows=rows, rng=rng, examples=self.examples if examples is None else examples)


def _merged(rows: Sequence[PlanRow]) -> tuple[PlanRow, ...]:
    kept: dict[tuple[str, Setting, float], PlanRow] = {}
    for row in rows:
        key = row.lemma, row.setting, row.delta
        first = kept.setdefault(key, row)
        if dict(first.expect) != dict(row.expect):
            raise ValueError(
                f"rows of {row.lemma} repeat {row.setting} at delta = {row.delta} and expect {dict(first.expect)} and "
                f"{dict(row.expect)}; allowed: one expectation"
            )
        if row.trials > first.trials:
            kept[key] = row
    return tuple(kept.values())


def in_pool(cells: Sequence[tuple[Setting, int, float]]) -> list[bool]:
    """Which of the cells, each a setting, its trials and delta, the pooled test of a claim counts.

    Cells of one setting look at the same draws, for a seed does not know of delta, and so are not independent. The
    pool takes each draw once: in the setting's cell of the most trials, of these the one of the largest delta, which
    no outcome decides. Its trials are then independent and fail with probability at most the largest delta among
    these cells, so that the binomial dominates. The other cells have tests of their own, which with their share of the
    false-alarm rate need no independence.
    """
    chosen: dict[Setting, tuple[int, float]] = {}
    for setting, trials, delta in cells:
        chosen[setting] = max((trials, delta), chosen.get(setting, (0, 0.0)))
    return [(trials, delta) == chosen[setting] for setting, trials, delta in cells]


def read_plan(profile: str) -> Plan:
    """The plan of that name from the package's data."""
    if profile not in PROFILES:
        raise ValueError(f"profile = {profile!r} is unknown; allowed: {', '.join(PROFILES)}")
    raw = _raw(profile)
    return Plan(profile, read_rows(profile), examples=raw["examples"], portrait=Setting.from_dict(raw["portrait"]))


def read_rows(name: str) -> tuple[PlanRow, ...]:
    """The rows of a file of the package's plans."""
    return tuple(row for entry in _raw(name)["row"] for row in _expand(entry))


def _raw(name: str) -> dict[str, Any]:
    return tomllib.loads((files("mimtheory") / "plans" / f"{name}.toml").read_text(encoding="utf-8"))


def _expand(entry: dict[str, Any]) -> list[PlanRow]:
    """The rows of one entry: the product over its fields that are lists, for each of its lemmas.

    `expect` has labels such as "A.2/total" as keys; "A.2" alone is every claim of that lemma.
    """
    lemmas = [entry["lemma"]] if isinstance(entry["lemma"], str) else entry["lemma"]
    expect = {label: _expected(entry.get("expect", {}), label) for label in lemmas}
    return [
        PlanRow(label, setting, entry["trials"], entry["delta"], expect[label])
        for setting in _product(entry, _ROW_FIELDS)
        for label in lemmas
    ]


def _expected(expect: Mapping[str, Status], lemma: str) -> dict[str, Status]:
    claims: dict[str, Status] = {}
    for key, status in expect.items():
        label, _, name = key.partition("/")
        if label == lemma:
            claims |= {name: status} if name else dict.fromkeys(find_lemma(lemma).claims, status)
    return claims


def designed_cells(lemma: Lemma) -> list[tuple[Setting, int, float, Mapping[str, Status]]]:
    """(setting, trials, delta, expect) of the designs of a lemma from outside, or one default if it has none."""
    with _named(f"a design of {lemma.label}"):
        return [
            (setting, *_plain(design.get("trials", TRIALS), design.get("delta", DELTA)), design.get("expect", {}))
            for design in lemma.designs or [_DESIGN]
            for setting in _product(design, ("trials", "delta", "expect"))
        ]


def designed_rows(lemma: Lemma) -> tuple[PlanRow, ...]:
    """The rows of a lemma from outside, which is loaded."""
    return tuple(PlanRow(lemma.label, *cell) for cell in designed_cells(lemma))


def control_design(claim: Claim, control: Control) -> tuple[tuple[Setting, ...], int, float]:
    """(settings, trials a setting, delta) on which a control of a claim must be refuted."""
    design = control.design
    with _named(f"the design of {claim.label}/{control.name}"):
        trials, delta = _plain(design.get("trials", _CONTROL_TRIALS), design.get("delta", _CONTROL_DELTA))
        return tuple(_product(design, ("trials", "delta"))), trials, delta


def _product(entry: Mapping[str, Any], other: Sequence[str]) -> list[Setting]:
    """The settings of all combinations of the fields that are lists."""
    axes = {
        key: value if isinstance(value, list | tuple) else [value] for key, value in entry.items() if key not in other
    }
    settings = (Setting.from_dict(dict(zip(axes, values, strict=True))) for values in itertools.product(*axes.values()))
    return list(dict.fromkeys(settings))  # the same draws would count as more of them


@contextmanager
def _named(what: str) -> Iterator[None]:
    """Say whose, if a value is refused."""
    try:
        yield
    except ValueError as refused:
        raise ValueError(f"{what}: {refused}") from None
