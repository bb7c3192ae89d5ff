"""From rows to verdicts: cells, controls and claims of a plan are judged together, under one rate of false alarms."""

import numpy as np

from mimtheory.own_lemmas import home_of
from mimtheory.plan import Plan, PlanRow, control_design, in_pool
from mimtheory.registry import Claim, Control, Lemma
from mimtheory.relations import Outcome
from mimtheory.tasks import Row, Task, command_of, lemmas_of
from mimtheory.verdicts import (
    FALSE_ALARM,
    CellVerdict,
    ClaimVerdict,
    ControlVerdict,
    LemmaVerdict,
    Tally,
    advice,
    cell_status,
    claim_status,
    detectable_rate,
    p_value,
)

__all__ = ["judge"]


def judge(plan: Plan, rows: dict[Task, Row]) -> tuple[LemmaVerdict, ...]:
    """The verdicts of a plan from the rows that were computed."""
    lemmas = lemmas_of(plan)
    # pooled claims, cells and controls of all lemmas share the rate of false alarms
    alpha = FALSE_ALARM / sum(_tests(lemma, _planned(lemma, plan)) for lemma in lemmas)
    return tuple(_judge_lemma(lemma, plan, rows, alpha) for lemma in lemmas)


def _planned(lemma: Lemma, plan: Plan) -> list[PlanRow]:
    return [row for row in plan.rows if row.lemma == lemma.label]


def _tests(lemma: Lemma, planned: list[PlanRow]) -> int:
    return len(lemma.claims) * (1 + len(planned)) + sum(len(claim.controls) for claim in lemma.claims.values())


def _judge_lemma(lemma: Lemma, plan: Plan, rows: dict[Task, Row], alpha: float) -> LemmaVerdict:
    planned = _planned(lemma, plan)
    done = [(task, row) for task, row in rows.items() if task.lemma == lemma.label]
    claims = tuple(_judge_claim(claim, planned, plan.rng, done, alpha) for claim in lemma.claims.values())
    home = home_of(lemma)
    module = home.module if home else None
    return LemmaVerdict(lemma.label, lemma.title, lemma.provenance, lemma.doc, lemma.uses, claims, module)


def _judge_claim(
    claim: Claim, planned: list[PlanRow], rng: int, done: list[tuple[Task, Row]], alpha: float
) -> ClaimVerdict:
    standing, tallies, cells = _standing(claim, planned), [], []
    for number, row in enumerate(planned):
        mine = [r for t, r in done if t.kind == "trial" and (t.setting, t.delta) == (row.setting, row.delta)]
        results = [r["results"][claim.name] for r in sorted(mine, key=lambda r: r["index"])][: row.trials]
        tally = _tally(results, row.delta, pooled=standing.get(number, False))
        cells.append(_cell(claim, number, row, rng, results, tally, alpha))
        if number in standing:
            tallies.append(tally)
    controls = tuple(_judge_control(claim, control, done, alpha) for control in claim.controls)
    searched = [r["results"][claim.name] for t, r in done if t.kind == "search" and t.names == (claim.name,)]
    status = claim_status(tallies, claim.level, alpha, bool(controls) and all(c.refuted for c in controls))
    if any(result["found"] for result in searched):
        status = "refuted"
    elif any(result.get("faulty") for result in searched):
        status = "error"
    pool = [tally for tally in tallies if tally.pooled]
    failures, tested, spoken = (sum(getattr(t, name) for t in pool) for name in ("failures", "tested", "spoken"))
    ratios = [ratio for cell in cells for ratio in cell.ratios]
    delta = max(tally.delta for tally in pool) if claim.probabilistic else None
    return ClaimVerdict(
        label=claim.label,
        level=claim.level,
        kind=claim.kind,
        statement=claim.statement,
        summary=claim.summary,
        status=status,
        advice=advice(status, claim.level),
        delta=delta,
        trials=tested,
        failures=failures,
        p_value=p_value(failures, spoken, delta) if delta is not None and tested else None,
        detectable_rate=detectable_rate(tested, delta, alpha) if delta is not None else None,
        ratio_worst=max([*ratios, *(float(r["ratio"]) for r in searched)], default=float("nan")),
        ratio_median=float(np.median(ratios)) if ratios else float("nan"),
        searched=sum(result["examples"] for result in searched),
        counterexample=next((result["found"] for result in searched if result["found"]), None),
        cells=tuple(cells),
        controls=controls,
    )


def _standing(claim: Claim, planned: list[PlanRow]) -> dict[int, bool]:
    """Rows for which the claim as a whole answers, and whether the pooled test counts their draws.

    Those that expect to be refuted say where it is false, which their own tests show; what all rows expect is said of
    the whole.
    """
    stand = [k for k, row in enumerate(planned) if row.expect.get(claim.name) != "refuted"] or [*range(len(planned))]
    cells = [(planned[k].setting, planned[k].trials, planned[k].delta) for k in stand]
    return dict(zip(stand, in_pool(cells), strict=True))


def _tally(results: list[Row], delta: float, pooled: bool = True) -> Tally:
    outcomes: tuple[Outcome, ...] = tuple(result["outcome"] for result in results)
    return Tally(outcomes, tuple(float(result["ratio"]) for result in results), delta, pooled)


def _cell(
    claim: Claim, number: int, row: PlanRow, rng: int, results: list[Row], tally: Tally, alpha: float
) -> CellVerdict:
    compared = [results[i] for i, _ in tally.compared]
    worst = max(tally.compared, key=lambda pair: pair[1])[0] if compared else None
    task = Task("trial", row.lemma, (), row.setting, row.delta, rng, worst or 0)
    return CellVerdict(
        row=number,
        setting=row.setting.to_dict(),
        delta=row.delta,
        trials=len(results),
        planned=row.trials,
        failures=tally.failures,
        status=cell_status(tally, claim.level, alpha),
        expected=row.expect.get(claim.name, "holds"),
        ratios=tuple(ratio for _, ratio in tally.compared),
        measured=tuple(float(r["measured"][r["worst"]]) for r in compared),
        stated=tuple(float(r["stated"][r["worst"]]) for r in compared),
        worst_trial=worst,
        command=command_of(task),
        constants=row.setting.constants,
    )


def _judge_control(claim: Claim, control: Control, done: list[tuple[Task, Row]], alpha: float) -> ControlVerdict:
    settings, _, delta = control_design(claim, control)
    name = f"{claim.name}/{control.name}"
    results = [r["results"][name] for t, r in done if t.kind == "control" and name in t.names]
    tally = _tally(results, delta)
    ratios = [ratio for _, ratio in tally.compared]
    refuted = cell_status(tally, claim.level, alpha) == "refuted"
    return ControlVerdict(
        name=control.name,
        why=control.why,
        design=tuple(setting.to_dict() for setting in settings),
        delta=delta,
        trials=tally.tested,
        failures=tally.failures,
        refuted=refuted,
        p_value=p_value(tally.failures, tally.spoken, delta) if claim.probabilistic else float(not refuted),
        ratio_worst=max(ratios, default=float("nan")),
        ratio_median=float(np.median(ratios)) if ratios else float("nan"),
    )
