import json
import time
import types
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import flint
import numpy as np
import pytest

import mimtheory
from mimtheory import closed_forms
from mimtheory.balls import ball_from_text, ball_to_text
from mimtheory.certificate import Check, certify, check_certificate, checking, making, why_degenerate
from mimtheory.certificate.checking import _clash
from mimtheory.certificate.record import balls_of, digest_of
from mimtheory.enclosures import Enclosure, Problem, enclose
from mimtheory.links import link
from mimtheory.losses import loss
from mimtheory.polynomial_derivatives import exact_moments_by_monomials
from mimtheory.rank_bounds import spectrum_bounds

ZERO = Fraction(0)


def problem(text: str, name: str, centre: float = 0.0, noise: float = 0.0) -> Problem:
    return Problem(link(text), loss(name), Fraction(centre), Fraction(noise))


@pytest.mark.parametrize(
    ("text", "name", "centre", "noise", "rank"),
    [
        ("h4", "l1", 0, 0, 1),
        ("h2h2", "squared", 0, 0, 2),
        ("h4+h4", "huber(1)", 0, 0, 2),
        ("skewed", "l1", 0, 0, 2),
        ("mixed", "logcosh", 0.25, 0.5, 2),
        ("h4+h4", "squared", 0, 0, 0),
        ("z1 + z1*z2 + z1*z2*z3", "squared", 0, 0, 2),
        ("z1**2*(z1 - 1)**2", "l1", 0, 0, 0),
        ("z1*z2*z3", "logcosh", 0, 0, 0),
        ("z1**3", "l1", 0, 0, 0),
        ("z1**3", "quantile(0.2)", 0, 0, 0),  # T jumps at 0 only
        ("2*z1*(z1**2 + 1)", "quantile(0.2)", 0, 0, 0),
        ("(z1 - 1)**2*z1", "l1", 0, 0, 0),  # the same with a g that is not odd
        ("(z1**3 - z1)*(z1**2 + z1 + 1)", "l1", 0, 0, 0),  # it jumps by as much at -1 as at 1
        ("z1**3 + 1", "l1", 1, 0, 0),
        ("z1*z2*z3 + 1/2", "quantile(0.2)", 0.5, 0, 0),
        ("z1**3 + z1", "log(exp(u) + 1)", 0, 0.5, 0),
        ("z1**4 + z1**2 + 1", "l1", 0, 0, 0),
        ("z1 + z1*z2 + z1*z2*z3", "huber(1)", 0, 0, None),
        ("(z1 + z2)**2 - 1", "huber(1)", 0, 0, None),
    ],
)
def test_certificates_are_true_and_their_files_are_confirmed(
    text: str, name: str, centre: float, noise: float, rank: int | None, tmp_path: Path
) -> None:
    made = certify(problem(text, name, centre, noise))
    H = mimtheory.expected_hessian(text, name, centre, noise)
    eigenvalues = np.linalg.eigvalsh(H.C)
    r, slack = len(H.C), len(H.C) * H.radius
    assert made.rank == rank
    if rank == r:
        assert made.status == "proved"
        assert made.inertia == ((eigenvalues > 0).sum(), (eigenvalues < 0).sum())
        assert made.lambda_min_abs_lower <= np.abs(eigenvalues).min() + slack
        assert np.abs(eigenvalues).max() <= made.lambda_max_abs_upper + slack
        assert 0.9 * np.abs(eigenvalues).min() <= made.lambda_min_abs_lower
        assert repr(made.lambda_min_abs_lower) in str(made)
        # the signs of the bounds are no markup
        assert f"{made.lambda_min_abs_lower!r} &lt;= |eigenvalue| &lt;= " in made._repr_html_()
        assert made._repr_html_().count("<td>") == made.r**2
    else:
        assert made.status == "degenerate"
        assert np.abs(eigenvalues).min() <= slack + 1e-12
        assert made.argument in str(made)
    made.write(tmp_path / "cert.json")
    outcome = check_certificate(tmp_path / "cert.json")
    assert outcome, outcome
    assert "confirmed" in str(outcome)


@pytest.mark.parametrize(
    ("text", "name", "inertia"),
    [
        ("h4(z1) + h4(z2) + h4(z3) + h4(z4)", "l1", (4, 0)),
        ("h4(z1) + h4(z2) + h4(z3) + h4(z4) + h4(z5)", "l1", (5, 0)),
        ("z1*z2 + z3*z4 + z5**2", "huber(1)", (2, 3)),
        ("h4(z1) + h4(z2) + h4(z3) + h4(z4) + h4(z5) - h2(z6)", "huber(1)", (6, 0)),
    ],
)
def test_four_to_six_variables_are_certified_and_confirmed_by_another_route(
    text: str, name: str, inertia: tuple[int, int], tmp_path: Path
) -> None:
    made = certify(problem(text, name))
    H = mimtheory.expected_hessian(text, name, method="fast")
    eigenvalues = np.linalg.eigvalsh(H.C)
    assert made.inertia == inertia == ((eigenvalues > 0).sum(), (eigenvalues < 0).sum())
    assert made.lambda_min_abs_lower <= np.abs(eigenvalues).min() + len(H.C) * H.radius
    made.write(tmp_path / "cert.json")
    outcome = check_certificate(tmp_path / "cert.json")
    assert outcome, outcome
    assert made.method not in outcome.reason


def test_a_radius_that_no_precision_reaches_is_undecided_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "why_degenerate", lambda problem: None)
    started = time.monotonic()
    made = certify(problem("z1", "quantile(0.3)"))
    # radii end at the least double
    assert (made.status, made.radius < 1e-300) == ("undecided", True)
    assert "the radius is" in made.argument
    assert time.monotonic() - started < 30
    monkeypatch.setattr(closed_forms.ClosedForm, "_cells", lambda self: None)
    argument = "The roots of g = c - kink are not separated at 100000 bits."
    assert certify(problem("z1", "quantile(0.3)")).argument == argument


def test_cuts_that_are_not_told_apart_give_no_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    assert why_degenerate(problem("z1*(z1 - 1)**2", "l1")) is not None
    monkeypatch.setattr(closed_forms.ClosedForm, "_cells", lambda self: None)
    assert why_degenerate(problem("z1*(z1 - 1)**2", "l1")) is None


def test_a_radius_of_zero_is_refused_for_what_it_is() -> None:
    form = closed_forms.closed_form(link("z1"), loss("l1"), ZERO)
    assert form is not None
    with pytest.raises(ArithmeticError, match="the radius is not reached"):
        form.moments(0)


def test_a_ball_that_was_moved_is_rejected_at_five_variables(tmp_path: Path) -> None:
    made = certify(problem("h4(z1) + h4(z2) + h4(z3) + h4(z4) + h4(z5)", "huber(1)"))
    assert made.C is not None
    moved = ball_to_text(ball_from_text(made.C[0][0]) + 0.02)
    rows = tuple(tuple(moved if i == j else x for j, x in enumerate(row)) for i, row in enumerate(made.C))
    forged = replace(made, C=rows)
    bounds = spectrum_bounds(balls_of(rows))
    replace(forged, lambda_min_abs_lower=bounds.least, lambda_max_abs_upper=bounds.most).write(tmp_path / "forged.json")
    assert check_certificate(tmp_path / "forged.json").status == "rejected"


def edited(path: Path, change: dict[str, Any], renewed: bool) -> Path:
    fields = json.loads(path.read_text())
    fields.update(change)
    if renewed:  # a forger who knows how the digest is made
        digest = fields.pop("digest")
        fields["digest"] = digest_of(fields)
        assert fields["digest"] != digest
    path.with_name("edited.json").write_text(json.dumps(fields))
    return path.with_name("edited.json")


@pytest.mark.parametrize("renewed", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        {"lambda_min_abs_lower": 0.33},
        {"lambda_min_abs_lower": 0.3},
        {"lambda_max_abs_upper": 0.32},
        {"link": "h4(z1) + 2*h4(z2)"},
        {"link": "h4(z1) - h4(z2)"},
        {"loss": "huber(2)"},
        {"loss": "l1"},
        {"centre": "1/4"},
        {"label_noise": "1/2"},
        {"inertia": [1, 1]},
        {"rank": 1},
        {"status": "degenerate", "argument": "By symmetry: C = 0.", "rank": 0},
        {"r": 3},
        {"radius": 1e-300},
        {"symmetries": ["g(z1,z2)=g(z1)"]},
        {"argument": "because"},
    ],
)
def test_an_edited_certificate_is_rejected(change: dict[str, Any], renewed: bool, tmp_path: Path) -> None:
    certify(problem("h4+h4", "huber(1)")).write(tmp_path / "cert.json")
    outcome = check_certificate(edited(tmp_path / "cert.json", change, renewed))
    assert outcome.status == "rejected", outcome


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schema": 1.0}, "schema = 1.0"),
        ({"schema": True}, "schema = True"),
        *(({"status": status}, "proved, degenerate, undecided") for status in ("PROVED", "", None, 1)),
        *(({"argument": None}, "a text"), ({"argument": 0}, "a text"), ({"argument": False}, "a text")),
        ({"r": 2.0}, "r = 2.0"),
        ({"r": True}, "r = True"),
        ({"rank": 2.0}, "rank = 2.0"),
        ({"inertia": [2, False]}, "inertia = "),
        ({"inertia": [2, 0, 0]}, "inertia = "),
        ({"inertia": {"2": 0}}, "inertia = "),
        ({"lambda_min_abs_lower": 0}, "lambda_min_abs_lower = 0"),
        ({"lambda_max_abs_upper": float("nan")}, "lambda_max_abs_upper = nan"),
        ({"seconds": -1.0}, "seconds = -1.0"),
        ({"method": ["dyadic boxes"]}, "method = "),
        ({"radius": float("inf")}, "their radius"),
        ({"radius": "1e-3"}, "radius = '1e-3'"),
        ({"radius": None}, "radius = None"),
        ({"symmetries": "g"}, "symmetries = "),
        ({"symmetries": [1]}, "symmetries = "),
        ({"balls": [[1, 2], [3, 4]]}, "balls = "),
        *(({"C": C}, "C = ") for C in ([], [["1*2^0 +- 0*2^0"] * 2], [["1*2^0 +- 0*2^0"]] * 2, [[1, 2], [3, 4]], 7)),
        ({"C": [["1*2^0 +- 0*2^0"]]}, "C has 1 rows"),
        *(({"centre": c}, "centre = ") for c in ("1e999999999", "2/4", "0.5", "1/0", "9" * 400, "9" * 5000, 0)),
        *(({"label_noise": c}, "label_noise = ") for c in ("-1", "1e9999999", " 1", None)),
        ({"link": "h4(z1) + w"}, "'w' is unknown"),
        ({"loss": "huber(0)"}, "out of range"),
    ],
)
def test_a_field_of_another_kind_is_rejected_by_name_whatever_the_digest(
    change: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    certify(problem("h2h2", "huber(1)")).write(tmp_path / "cert.json")
    outcome = check_certificate(edited(tmp_path / "cert.json", change, True))
    assert outcome.status == "rejected"
    assert reason in outcome.reason


def test_an_undecided_certificate_claims_nothing(tmp_path: Path) -> None:
    certify(problem("r3", "huber(1)"), time_limit=1e-3).write(tmp_path / "cert.json")
    for change in ({"rank": 3}, {"inertia": [3, 0]}, {"lambda_min_abs_lower": 0.1}):
        assert check_certificate(edited(tmp_path / "cert.json", change, True)).status == "rejected"


def test_an_edit_of_what_proves_nothing_breaks_the_digest(tmp_path: Path) -> None:
    certify(problem("h2h2", "squared")).write(tmp_path / "cert.json")
    outcome = check_certificate(edited(tmp_path / "cert.json", {"method": "by revelation"}, False))
    assert outcome.status == "rejected"
    assert "digest" in outcome.reason


def test_a_ball_that_was_moved_is_rejected_even_with_fitting_bounds(tmp_path: Path) -> None:
    made = certify(problem("h4+h4", "huber(1)"))
    assert made.C is not None
    moved = ball_to_text(ball_from_text(made.C[0][0]) + 0.01)
    forged = replace(
        made,
        C=((moved, made.C[0][1]), (made.C[1][0], moved)),
        lambda_min_abs_lower=made.lambda_min_abs_lower + 0.01,
        lambda_max_abs_upper=made.lambda_max_abs_upper + 0.01,
    )
    forged.write(tmp_path / "forged.json")
    assert check_certificate(tmp_path / "forged.json").status == "rejected"


def test_a_false_argument_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "cert.json"
    certify(problem("z1*z2*z3", "l1")).write(path)
    assert check_certificate(edited(path, {"link": "z1*z2*z3 + z1**2"}, True)).status == "rejected"
    certify(problem("h4+h4", "squared")).write(path)
    assert check_certificate(edited(path, {"link": "h2(z1) + h4(z2)"}, True)).status == "rejected"


@pytest.mark.parametrize(("text", "name"), [("(z1 + z2)**2", "huber(1)"), ("h4+h4", "squared"), ("z1**3", "l1")])
@pytest.mark.parametrize(
    "change",
    [
        {"rank": 5},
        {"inertia": [1, 1]},
        {"lambda_min_abs_lower": 0.5},
        {"lambda_max_abs_upper": 1e-9},
        {"argument": "because"},
        {"radius": 1.0},
        {"C": [["1*2^0 +- 0*2^0"]], "balls": [["1"]]},
        {"symmetries": ["g(-z1) = -g(z)"]},
    ],
)
def test_a_number_that_an_exact_argument_does_not_give_is_rejected(
    text: str, name: str, change: dict[str, Any], tmp_path: Path
) -> None:
    certify(problem(text, name)).write(tmp_path / "cert.json")
    assert check_certificate(tmp_path / "cert.json")
    outcome = check_certificate(edited(tmp_path / "cert.json", change, True))
    assert outcome.status == "rejected", outcome


def test_the_second_route_counts_the_rank_of_an_exact_matrix_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = exact_moments_by_monomials(link("z1*z2"), loss("squared"), ZERO, ZERO)
    certify(problem("h4+h4", "squared")).write(tmp_path / "cert.json")
    monkeypatch.setattr(checking, "exact_moments_by_monomials", lambda *_: other)
    assert check_certificate(tmp_path / "cert.json") == Check("rejected", "the exact rank is 2")


@pytest.mark.parametrize("text", ["h4+h4", "r3", "h4(z1) + h4(z2) + h4(z3) + h4(z4)"])
def test_a_thousandth_of_a_second_decides_nothing(text: str, tmp_path: Path) -> None:
    made = certify(problem(text, "huber(1)"), time_limit=1e-3)
    assert made.status == "undecided"
    assert made.rank is made.inertia is None
    assert made.lambda_min_abs_lower == 0
    assert "radius" in str(made)
    made.write(tmp_path / "cert.json")
    assert check_certificate(tmp_path / "cert.json").status == "undecided"


def test_what_no_method_covers_is_undecided() -> None:
    made = certify(problem("z1*z2*z3 + z4 + z5**3 + z5**2", "l1"))
    assert made.status == "undecided"
    assert "No certified method" in str(made)
    assert "covered are" in made.argument
    assert made.method == "none"
    # neither code that is not public nor a method that was not used
    assert not any(word in str(made) for word in ("enclose", "exact argument", "radius"))


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    certify(problem("h4", "squared")).write(tmp_path / "cert.json")
    more = json.dumps(json.loads((tmp_path / "cert.json").read_text()) | {"more": 1})
    for text in ("", "{}", "[1]", '{"digest": 1, "link": "h4"}', "[" * 100_000, "9" * 5000, more):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(ValueError, match="not a certificate"):
            check_certificate(tmp_path / "bad.json")
    with pytest.raises(ValueError, match="not a certificate"):
        check_certificate(tmp_path / "missing.json")


def test_a_formula_of_ones_own_is_certified_and_checked(tmp_path: Path) -> None:
    made = mimtheory.expected_hessian("h4", "2*log(1 + exp(u)) - u").certificate(30)
    assert made.status == "proved"
    made.write(tmp_path / "c.json")
    check = check_certificate(tmp_path / "c.json")
    assert check
    assert "rotated" in check.reason


def test_two_routes_clash_in_the_mean_and_in_the_first_moments() -> None:
    found = enclose(problem("h4(z1) + h3(z2)", "huber(1)", 0.25), 1e-3)
    assert found is not None
    assert _clash(found, found.C, found) is None
    wrong = replace(found, mean=found.mean + 1)
    assert _clash(wrong, found.C) is None
    assert "E T is" in str(_clash(wrong, found.C, found))
    wrong = replace(found, first=(found.first[0], found.first[1] - 1))
    assert "E[T z2] is" in str(_clash(wrong, found.C, found))
    wrong = replace(found, C=found.C + 1)
    assert "entry (1, 1)" in str(_clash(wrong, found.C, found))


def test_a_proof_that_ends_soon_after_the_limit_is_kept_and_nothing_is_begun_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a clock that only `enclose` moves."""
    now, calls = [0.0], []
    exact = enclose(problem("h4+h4", "huber(1)"), 1e-3)
    assert exact is not None
    coarse = replace(exact, C=exact.C + flint.arb_mat([[flint.arb(0, 1)] * 2] * 2))

    def slow(seconds: float, found: Enclosure) -> Callable[..., Enclosure]:
        def stub(*_: object) -> Enclosure:
            calls.append(seconds)
            now[0] += seconds
            return found

        return stub

    monkeypatch.setattr(making, "time", types.SimpleNamespace(monotonic=lambda: now[0]))
    for seconds, found, status in ((1.5, exact, "proved"), (2.5, exact, "undecided"), (1.5, coarse, "undecided")):
        now[0] = 0.0
        calls.clear()
        monkeypatch.setattr(making, "enclose", slow(seconds, found))
        made = certify(problem("h4+h4", "huber(1)"), time_limit=1.0)
        assert (made.status, len(calls)) == (status, 1)


def test_formulas_with_kinks_and_of_one_side_are_certified_and_checked(tmp_path: Path) -> None:
    for text, own in (
        ("h4+h4", "Abs(u)"),
        ("z1*z2", "log(1 + exp(u))"),
        ("z1*z2 + h4(z1)", "Piecewise((0, u < 0), (u - log(1 + u), True))"),
    ):
        made = certify(problem(text, own, 0.125), 30)
        assert made.status == "proved"
        made.write(tmp_path / "c.json")
        assert check_certificate(tmp_path / "c.json")
    odd = certify(problem("z1**3 + z1*z2**2", "Abs(u)"), 30)
    assert odd.status == "degenerate"
    assert "T is odd" in odd.argument


@pytest.mark.parametrize(
    ("text", "name", "inertia"),
    [
        ("1e103*z1**2", "u**4", (0, 1)),
        ("1e200*z1**2", "u**4", (0, 1)),
        ("z1**20", "u**20", (0, 1)),
        ("1e-160*z1**2", "u**4", (0, 1)),
        ("1e-60*z1**2 + z2**2", "squared", (0, 2)),
        ("(z1 + z2)**2 + 1e-30*z1**2", "squared", (0, 2)),
        ("(z1 + z2)**2 - 1e-30*z1**2", "squared", (1, 1)),
    ],
)
def test_an_exact_matrix_has_its_signs_whatever_its_size_and_condition(
    text: str, name: str, inertia: tuple[int, int], tmp_path: Path
) -> None:
    made = mimtheory.expected_hessian(text, name).certificate()
    assert (made.status, made.inertia) == ("proved", inertia)
    made.write(tmp_path / "c.json")
    assert check_certificate(tmp_path / "c.json")


def test_what_is_beyond_the_doubles_is_infinite_and_exact() -> None:
    H = mimtheory.expected_hessian("z1**20", "u**20")
    assert H.C.tolist() == [[-np.inf]]
    assert H.C_exact is not None
    assert H.C_exact[0] < -(10**411)
    assert "e+411" in repr(H)


def test_balls_of_thousands_of_digits_are_written_as_far_as_they_can_be_read(tmp_path: Path) -> None:
    made = mimtheory.expected_hessian("h4", "l1", digits=5000).certificate()
    made.write(tmp_path / "c.json")
    assert check_certificate(tmp_path / "c.json")


@pytest.mark.parametrize("delta", ["1e-6", "1e-12"])
def test_the_rank_does_not_depend_on_the_scale_of_the_loss(delta: str, tmp_path: Path) -> None:
    made = certify(problem("h4(z1) + h2(z2)", f"huber({delta})"), 30)
    assert made.status == "proved"
    made.write(tmp_path / "c.json")
    assert check_certificate(tmp_path / "c.json")


@pytest.mark.parametrize("time_limit", [0, -1.0, float("nan"), "x", True])
def test_a_time_limit_that_is_none_is_refused_before_the_file_is_read(time_limit: Any) -> None:
    with pytest.raises(ValueError, match=r"time_limit = .*; allowed: a positive number"):
        check_certificate("no-such-file", time_limit)


def test_a_report_is_no_certificate_and_is_called_what_it_is() -> None:
    with pytest.raises(ValueError, match=r"is not a certificate \(a report of verify\); allowed"):
        check_certificate(Path(__file__).parents[1] / "data" / "report_schema_1.json")


def test_a_check_of_a_narrow_bend_ends_where_no_double_lies_between(tmp_path: Path) -> None:
    # in one variable the second route halves intervals; the bend is 1e-50 wide
    made = certify(problem("h2", "huber(1e-50)"))
    assert made.status == "proved"
    made.write(tmp_path / "made.json")
    assert check_certificate(tmp_path / "made.json", time_limit=4.0).status == "undecided"
