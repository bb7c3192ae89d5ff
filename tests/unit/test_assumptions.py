"""The assumptions: each known case is recognised and explained by the right finding."""

from dataclasses import replace

import pytest

from mimtheory import certificate
from mimtheory.activations import activation
from mimtheory.assumptions import ASSUMPTIONS, check, fails
from mimtheory.certificate import Certificate
from mimtheory.enclosures import Problem
from mimtheory.losses import loss
from mimtheory.population import Population
from mimtheory.setting import Setting


def population(**fields: object) -> Population:
    values = {"link": "h4+h4", "loss": "huber(1)", "d": 20, "n": 100} | fields
    return Population(Setting(**values))


@pytest.mark.parametrize(
    ("label", "fields", "status", "says"),
    [
        ("assumption_link_first", {}, "holds", "information exponent 4"),
        ("assumption_activation", {}, "holds", "C^3"),
        ("assumption_activation", {"activation": "gelu"}, "fails", "sigma'(0) = 1/2"),
        ("assumption_activation", {"activation": "silu"}, "fails", "sigma'(0) = 1/2"),
        ("assumption_activation", {"activation": "relu"}, "fails", "not in C^3"),
        ("assumption_activation", {"activation": "1 - 1/(1 + u**2/2)"}, "holds", "<= 1.651 (certified)"),
        (
            "assumption_activation",
            {"activation": replace(activation("1-cos"), constants="numerical")},
            "holds",
            "not proved",
        ),
        ("assumption_loss", {"loss": "log(1 + exp(u))"}, "holds", "<= 1 for log(exp(u) + 1) (certified)"),
        ("assumption_loss", {"loss": "Max(u, 0)"}, "holds", "<= 1 for Max(0, u)."),
        ("assumption_loss", {"loss": replace(loss("log(cosh(u))"), constants="numerical")}, "holds", "not proved"),
        ("assumption_loss", {}, "holds", "<= 1"),
        ("assumption_loss", {"loss": "squared"}, "fails", "unbounded"),
        ("assumption_loss", {"loss": "l1"}, "holds", "<= 1"),
        ("assumption_loss", {"loss": "l1", "beta1": 0.0}, "fails", "jumps"),
        ("assumption_loss", {"loss": "l1", "activation": "asymmetric"}, "fails", "jumps"),
        ("assumption_loss_relaxed", {"loss": "squared"}, "holds", "convex"),
        ("assumption_ell", {"link": "h2h2"}, "fails", "centre='population'"),
        ("assumption_ell", {"link": "h2h2", "centre": "population"}, "holds", "E T = 0"),
        ("assumption_ell", {"loss": "squared"}, "holds", "E T = 0"),
        ("assumption_cov", {}, "holds", "rank 2, certified: |l_k| >= 0.32"),
        ("assumption_cov", {"loss": "squared"}, "fails", "information exponent is 4"),
        ("assumption_cov", {"link": "z1**3", "loss": "l1"}, "fails", "odd"),
        ("assumption_cov", {"link": "z1**3", "loss": "squared"}, "fails", "odd"),
        ("assumption_cov", {"link": "z1 + z1*z2 + z1*z2*z3", "loss": "squared"}, "fails", "rank 2 of 3"),
        ("assumption_cov", {"link": "z1 + z1*z2", "loss": "squared"}, "holds", "rank 2, certified: |l_k| >= 0.9999"),
        ("assumption_cov", {"link": "h2h2", "loss": "squared"}, "holds", "rank 2"),
        ("assumption_cov", {"link": "z1**2", "loss": "l1", "centre": -1.0}, "fails", "T(g(z)) is constant"),
        ("assumption_cov", {"link": "z1**2 + z2**2", "centre": -2.0}, "fails", "centre='population'"),
        ("assumption_cov", {"link": "z1**2", "loss": "logcosh", "centre": -40.0}, "undecided", "T = -1 for all labels"),
        ("assumption_cov", {"link": "staircase3"}, "fails", "By symmetry"),
        ("assumption_cov", {"link": "h2(3*z1 + 4*z2)"}, "fails", "singular: some directions"),
        (
            "assumption_cov",
            {"link": "z1*z2*z3*z4 + z1**2", "loss": "logcosh"},  # no certified method covers it
            "holds",
            "by an estimate, not certified",
        ),
        ("assumption_cov", {"link": "z1**2", "loss": "l1", "centre": "population"}, "holds", "rank 1"),
        ("def_activation", {}, "holds", "not a polynomial"),
        ("def_activation", {"activation": "quadratic"}, "fails", "polynomial"),
    ],
)
def test_the_finding_is(label: str, fields: dict[str, object], status: str, says: str) -> None:
    finding = check(label, population(**fields))
    assert finding.label == label
    assert finding.status == status, finding
    assert says in finding.reason
    assert finding.reason.endswith(".")


def test_an_eigenvalue_within_the_error_is_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    p = population(link="z1*z2*z3*z4 + z1**2", loss="l1")  # no certificate is found in the time
    assert check("assumption_cov", p).status == "holds"
    monkeypatch.setattr(Population, "radius", property(lambda self: 1.0))
    assert check("assumption_cov", p).status == "undecided"


@pytest.mark.parametrize("fields", [{}, {"link": "h2h2", "centre": "population"}, {"link": "h4", "label_noise": 0.5}])
def test_a_certified_bound_is_below_the_eigenvalues_and_printed_rounded_down(fields: dict[str, object]) -> None:
    p = population(**fields)
    finding = check("assumption_cov", p)
    eigenvalues = [abs(finding.numbers[f"l{k + 1}"]) for k in range(p.r)]
    lower = finding.numbers["lambda_min_abs_lower"]
    assert 0 < lower <= min(eigenvalues) + p.r * p.radius
    printed = float(finding.reason.split(">= ")[1].split()[0])
    assert 0.999 * lower < printed <= lower


def test_a_study_asks_only_for_a_refutation_and_each_problem_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """`fails` never enters the search for a certificate, and both are remembered for equal problems."""
    searched: list[object] = []

    def certify(problem: Problem, seconds: float) -> Certificate:
        searched.append(problem)
        return original(problem, seconds)

    original = certificate.certify
    monkeypatch.setattr(certificate, "certify", certify)
    fields = {"link": "h2(z1) + 0.3*h2(z2)", "loss": "huber(0.7)"}
    assert not fails("assumption_cov", population(**fields))
    assert searched == []
    for n in (100, 200, 300):
        assert check("assumption_cov", population(n=n, **fields)).status == "holds"
    assert len(searched) == 1
    for label in ASSUMPTIONS:
        p = population(link="z1**3", activation="gelu")
        assert fails(label, p) == (check(label, p).status == "fails")


def test_unknown_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="allowed: assumption_link_first"):
        check("assumption", population())
    assert len(ASSUMPTIONS) == 7


@pytest.mark.parametrize(
    ("text", "says"),
    [("huber(1)", "linearly"), ("squared", "linearly"), ("u**4", "polynomially"), ("exp(u)", "not known")],
)
def test_the_growth_of_a_loss_is_named_by_what_is_known_of_it(text: str, says: str) -> None:
    found = check("assumption_loss_relaxed", population(loss=text, link="z1", eta1=1.0))
    assert says in found.reason
    assert found.status == ("undecided" if says == "not known" else "holds")
