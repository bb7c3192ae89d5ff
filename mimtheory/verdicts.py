"""From outcomes of trials to verdicts: exact binomial tests, the power of a design, and the sentence of advice.

Levels I and D: one violation refutes. Levels G and P state "fails with probability at most delta", and trials are
independent, so the number of failures is dominated by a binomial(N, delta): the claim is refuted when so many
failures have probability at most alpha under that law. All tests of a run share the false-alarm rate 1e-6.
"""

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy.special import bdtrc, betaincinv

from mimtheory.registry import Level, Provenance
from mimtheory.relations import Kind, Outcome

if TYPE_CHECKING:
    from mimtheory.portrait import Portrait

__all__ = [
    "ADVICE",
    "FALSE_ALARM",
    "PROVENANCE",
    "SCHEMA",
    "CellVerdict",
    "ClaimVerdict",
    "ControlVerdict",
    "LemmaVerdict",
    "Report",
    "Status",
    "Tally",
    "advice",
    "cell_status",
    "check_schema",
    "claim_status",
    "detectable_rate",
    "p_value",
]

Status = Literal["holds", "refuted", "vacuous", "undecided", "skipped", "error"]

SCHEMA = 2  # of reports and rows; 1 had neither lemmas from outside nor the tightest case of a search
FALSE_ALARM = 1e-6
_POWER = 0.95
_DOUBT = 1e-4  # p-value of the failures in one cell from which on it is not green

ADVICE: dict[Status, str] = {
    "holds": "Nothing to do: one violation, or the failure rate printed beside it, would have been caught.",
    "refuted": "The statement is false as implemented, or the code is: reproduce the worst row and look at both sides.",
    "vacuous": "The bound says nothing here: raise n/d; only where K is infinite, take a loss of bounded derivative.",
    "undecided": "This design could not have refuted the claim: add trials, or a control if there is none, "
    "or look at the one that survived, or at the cell where more draws fail than delta allows.",
    "skipped": "The claim does not apply to this design (for example no perp block where d = r).",
    "error": "A number was not finite: look at the row and the sizes of its inputs.",
}

PROVENANCE: dict[Provenance, str] = {
    "title": "named in arXiv 2511.15120; the explicit constants and the proof are this project's",
    "numbered": "numbered in arXiv 2511.15120. This project does not have its wording; the statement here is what the "
    "chain of lemmas needs at this place",
    "reading": "stated in arXiv 2511.15120. This project does not have its wording; this finite reading and its "
    "constants are this project's, measured and not proved",
    "ours": "a statement of this project",
    "own": "a statement from outside this project; it and its proof are its author's",
}


def advice(status: Status, level: Level) -> str:
    """The sentence of advice for a claim of this level."""
    if status != "holds":
        return ADVICE[status]
    caught = "one violation" if level in ("I", "D") else "the failure rate printed beside it"
    return f"Nothing to do: {caught} would have been caught."


@dataclass(frozen=True)
class Tally:
    """What the trials of one claim in one cell showed; ratios are measured/stated, one a trial.

    `pooled`: whether the pooled test counts these draws, and not the same draws in another cell (`plan.in_pool`).
    """

    outcomes: tuple[Outcome, ...]
    ratios: tuple[float, ...]
    delta: float
    pooled: bool = True

    @property
    def compared(self) -> list[tuple[int, float]]:
        """Trial and ratio where there was something to compare."""
        return [(i, self.ratios[i]) for i, outcome in enumerate(self.outcomes) if outcome in ("holds", "violated")]

    @property
    def counts(self) -> Counter[Outcome]:
        return Counter(self.outcomes)

    @property
    def tested(self) -> int:
        """Trials in which the claim said something and could be compared."""
        return self.counts["holds"] + self.counts["violated"]

    @property
    def spoken(self) -> int:
        """Trials in which the claim said something: of these, and not of those alone whose outcome is known, at most a
        share delta fails."""
        return self.tested + self.counts["undecided"]

    @property
    def failures(self) -> int:
        return self.counts["violated"]


@dataclass(frozen=True)
class CellVerdict:
    """One claim on one row of the plan.

    `ratios`, `measured` and `stated` hold the trials that could be compared, in order, with the worst entry of a vector
    claim; `worst_trial` is the index of the trial (among all) with the largest ratio. `constants` says how K, L2 of the
    loss and M3, M4, Lip of the activation are known: exact, certified, or numerical, which is no proof.
    """

    row: int
    setting: dict[str, Any]
    delta: float
    trials: int
    planned: int
    failures: int
    status: Status
    expected: Status
    ratios: tuple[float, ...]
    measured: tuple[float, ...]
    stated: tuple[float, ...]
    worst_trial: int | None
    command: str
    constants: dict[str, str] = field(default_factory=dict)

    @property
    def as_expected(self) -> bool:
        return self.status == self.expected and self.trials == self.planned


@dataclass(frozen=True)
class ControlVerdict:
    """One control on its own design."""

    name: str
    why: str
    design: tuple[dict[str, Any], ...]
    delta: float
    trials: int
    failures: int
    refuted: bool
    p_value: float
    ratio_worst: float
    ratio_median: float


@dataclass(frozen=True)
class ClaimVerdict:
    """One claim pooled over its cells."""

    label: str
    level: Level
    kind: Kind
    statement: str
    summary: str
    status: Status
    advice: str
    delta: float | None
    trials: int
    failures: int
    p_value: float | None
    detectable_rate: float | None
    ratio_worst: float
    ratio_median: float
    searched: int
    counterexample: dict[str, Any] | None
    cells: tuple[CellVerdict, ...]
    controls: tuple[ControlVerdict, ...]

    @property
    def badly_refuted(self) -> bool:
        """Whether it is refuted on a row that does not expect it, or as a whole while no row does."""
        unexpected = [cell for cell in self.cells if cell.expected != "refuted"]
        whole = self.status == "refuted" and len(unexpected) == len(self.cells)
        return whole or any(cell.status == "refuted" for cell in unexpected)


@dataclass(frozen=True)
class LemmaVerdict:
    """The claims of one lemma; `module` names where it comes from, if from outside this package."""

    label: str
    title: str
    provenance: Provenance
    doc: str
    uses: tuple[str, ...]
    claims: tuple[ClaimVerdict, ...]
    module: str | None = None


@dataclass(frozen=True)
class Report:
    """What one run of `verify` found, and everything needed to repeat it."""

    command: str
    profile: str
    rng: int
    started: str
    seconds: float
    rows_computed: int
    rows_reused: int
    lemmas: tuple[LemmaVerdict, ...]
    not_run: tuple[str, ...]
    environment: dict[str, str]
    version: str
    code: str
    portrait: "Portrait | None" = None

    @property
    def claims(self) -> tuple[ClaimVerdict, ...]:
        return tuple(claim for lemma in self.lemmas for claim in lemma.claims)

    @property
    def exit_code(self) -> int:
        """0: every row as expected and every control refuted. 1: a claim is refuted that no row expects to be, or on a
        row that does not expect it. 3: anything else (undecided, a surviving control, an unexpected status, rows not
        run)."""
        claims = self.claims
        if any(claim.badly_refuted for claim in claims):
            return 1
        green = all(cell.as_expected for claim in claims for cell in claim.cells) and not self.not_run
        controls = all(control.refuted for claim in claims for control in claim.controls)
        # where every row is as expected, a pool may say what its rows say
        expected = all(claim.status in ("holds", "vacuous", "skipped", "refuted") for claim in claims)
        return 0 if green and controls and expected else 3

    def to_json(self) -> str:
        """Strict JSON: numbers that are not finite become null."""
        return json.dumps(_finite({"schema": SCHEMA, **dataclasses.asdict(self)}), indent=1, allow_nan=False)


def check_schema(what: str, schema: Any, version: Any) -> None:
    """Refuse what a later version wrote, with a ValueError that names it; what an older one wrote stays readable."""
    if isinstance(schema, bool) or not isinstance(schema, int) or schema < 1:
        raise ValueError(f"{what} has schema {schema!r}; allowed: what mimtheory wrote, in schema 1 to {SCHEMA}")
    if schema > SCHEMA:
        allowed = f"schema 1 to {SCHEMA}, or that version"
        raise ValueError(f"{what} was written by mimtheory {version} in schema {schema}; allowed: {allowed}")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def p_value(failures: int, trials: int, delta: float) -> float:
    """P(binomial(trials, delta) >= failures): how surprising so many failures are if the claim is true."""
    return float(bdtrc(failures - 1, trials, delta)) if failures > 0 else 1.0


def detectable_rate(trials: int, delta: float, alpha: float) -> float | None:
    """Smallest failure rate that the exact test at `alpha` refutes with probability 0.95; None if it never can.

    With k the fewest failures that refute, P(binomial(trials, q) >= k) is the regularised incomplete beta function
    I_q(k, trials - k + 1), which is inverted for q.

    Parameters
    ----------
    trials : int
    delta, alpha : float
        Failure probability stated by the claim, and false-alarm rate of the test.
    """
    refuting = np.flatnonzero([p_value(k, trials, delta) <= alpha for k in range(1, trials + 1)])
    if refuting.size == 0:
        return None
    k = int(refuting[0]) + 1
    return float(betaincinv(k, trials - k + 1, _POWER))


def cell_status(tally: Tally, level: Level, alpha: float) -> Status:
    """Status of one claim in one cell. A cell need not have power of its own: the pooled test has to.

    That test may miss a claim that is false in one cell of few draws. So a cell whose failures would be seen once in
    10^4 cells if the claim were true is undecided; it takes nothing of the rate of false alarms, which is that of
    `refuted`.
    """
    counts = tally.counts
    if counts["error"]:
        return "error"
    if _refutes(tally.failures, tally.spoken, level, tally.delta, alpha):
        return "refuted"
    if counts["undecided"] or _doubtful(tally):
        return "undecided"
    if counts["vacuous"]:
        return "vacuous"
    return "holds" if tally.tested else "skipped"


def claim_status(tallies: Sequence[Tally], level: Level, alpha: float, controls_refuted: bool) -> Status:
    """Status of a claim pooled over its cells; a surviving control or a design without power is undecided.

    Each draw is counted once, in the cells that are `pooled`. One violation of a claim of level I or D refutes in any.
    """
    counts = sum((tally.counts for tally in tallies), Counter[Outcome]())
    pool = [tally for tally in tallies if tally.pooled]
    tested, spoken = sum(tally.tested for tally in pool), sum(tally.spoken for tally in pool)
    failures = sum(tally.failures for tally in (pool if level in ("G", "P") else tallies))
    delta = max((tally.delta for tally in pool), default=0.0)
    if counts["error"]:
        return "error"
    if _refutes(failures, spoken, level, delta, alpha):
        return "refuted"
    if tested == 0:
        for status in ("undecided", "vacuous"):
            if counts[status]:
                return status
        return "skipped"
    powerless = level in ("G", "P") and detectable_rate(tested, delta, alpha) is None
    # trials that could not have refuted do not count as tested; their cells show them
    return "undecided" if powerless or any(map(_doubtful, tallies)) or not controls_refuted else "holds"


def _doubtful(tally: Tally) -> bool:
    return p_value(tally.failures, tally.spoken, tally.delta) <= _DOUBT


def _refutes(failures: int, spoken: int, level: Level, delta: float, alpha: float) -> bool:
    if level in ("I", "D"):
        return failures > 0
    return failures > 0 and p_value(failures, spoken, delta) <= alpha
