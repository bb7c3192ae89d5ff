"""What `explore` shows: reasons in place of numbers that are not there, the same as text, HTML and JSON."""

import json
import math
import re
import subprocess
import sys
from typing import Any

import pytest

import mimtheory
from mimtheory.exploration import Exploration, _known
from mimtheory.population import Population
from mimtheory.setting import Setting


def explored(**fields: Any) -> Exploration:
    return mimtheory.explore(**({"link": "h4+h4", "d": 20, "n": 4000} | fields))


def row_of(text: str, claim: str) -> list[str]:
    """The cells of a claim in the table."""
    (line,) = (line for line in text.splitlines() if f"│ {claim} " in line)
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_a_fitted_centre_has_a_sentence_in_place_of_bounds() -> None:
    found = explored(centre="fitted")
    words = " ".join(str(found).split())
    sentence = "A fitted centre depends on the draw: bounds without a draw are stated for a number or 'population'."
    assert sentence in words
    assert sentence in found._repr_html_()
    assert "10^9" not in words
    assert "A.2/mean" not in words
    assert {bound["reason"] for bound in found.to_dict()["bounds"]} == {sentence}


@pytest.mark.parametrize(
    ("fields", "claim", "need"),
    [
        ({"activation": "relu"}, "A.4/prior", "needs assumption_activation"),
        ({"activation": "tanh"}, "A.8/start", "needs assumption_activation"),
        ({"centre": 0.0}, "Theorem1/learns", "needs assumption_ell"),
    ],
)
def test_a_bound_whose_assumption_fails_names_it(fields: dict[str, object], claim: str, need: str) -> None:
    found = explored(**fields)
    assert row_of(str(found), claim)[1:] == ["none", need]
    assert need in found._repr_html_()


def test_a_bound_that_no_n_up_to_10_9_makes_finite_says_so() -> None:
    row = row_of(str(mimtheory.explore("h4+h4", centre="population")), "A.7/prior")
    assert row[1:] == ["infinite", "more than 10^9"]


def test_an_unbounded_derivative_of_the_loss_is_named_as_a_reason() -> None:
    text = str(explored(loss="squared"))
    assert row_of(text, "A.2/total_prior")[1:] == ["infinite", "none up to 10^9: assumption_loss fails"]
    assert row_of(text, "A.2/mean")[2] == "any"


def test_no_window_of_steps_is_stated_where_the_activation_is_outside_its_assumption() -> None:
    found = explored(activation="relu")
    assert found.window is None
    assert "The window of steps is not stated: assumption_activation fails." in str(found)
    assert "T_min" not in str(found) + found._repr_html_()
    assert found.to_dict()["window"] is None
    assert "Steps from T_min" in str(explored())


def test_the_headline_names_what_was_chosen() -> None:
    found = explored(m=10, eps0=0.003, centre="population", label_noise=0.25, activation="cos(2*u)")
    for text in (str(found), found._repr_html_()):
        for word in (
            "m = 10",
            "eps0 = 0.003",
            "centre = population",
            "label noise = 0.25",
            "activation = cos(2*u)",
            "T1 =",
        ):
            assert word in text


def test_the_title_of_the_bounds_is_not_wrapped_to_a_narrow_table() -> None:
    title = "Bounds without a draw, delta = 0.01: their values, and the smallest n at which they are finite"
    assert title in str(explored(activation="relu", link="h2")).splitlines()


def test_an_exploration_is_printed_as_by_the_command() -> None:
    command = [sys.executable, "-m", "mimtheory", "explore", "h2", "--d", "20"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    words = [re.sub(r"[\s─-╿]+", " ", text).split() for text in (shown, str(mimtheory.explore("h2", d=20)))]
    # a line may end elsewhere
    assert sorted(words[0]) == sorted(words[1])


def test_a_notebook_shows_names_of_columns_bounds_and_steps() -> None:
    html = explored(centre="population")._repr_html_()
    for column in ("assumption", "status", "why", "claim", "bound", "finite from n"):
        assert f'<th scope="col">{column}</th>' in html
    assert "<td>A.7/prior</td>" in html
    assert "Steps from T_min" in html


def test_json_has_what_the_table_says_and_a_reason_beside_what_is_infinite() -> None:
    words = ["explore", "h4+h4", "--d", "20", "--n", "4000", "--json", "--centre", "population"]
    run = subprocess.run([sys.executable, "-m", "mimtheory", *words], capture_output=True, text=True, check=True)
    plain, found = json.loads(run.stdout), explored(centre="population")
    assert plain == json.loads(found.to_json())
    assert [bound["claim"] for bound in plain["bounds"]] == [bound.claim.label for bound in found.bounds]
    for bound, stated in zip(plain["bounds"], found.bounds, strict=True):
        assert bound["values"] == [x if math.isfinite(x) else None for x in stated.values]
        assert bound["finite_from_n"] == found.required_n[bound["claim"]]
        assert bool(bound["reason"]) == (not stated.speaks)
    assert found.window is not None
    assert (plain["window"]["T_min"], plain["window"]["T_max"]) == (found.window.T_min, None)
    assert "no limit" in plain["window"]["reason"]


def test_of_many_symmetries_a_table_names_two() -> None:
    found = mimtheory.explore("z1*z2*z3*z4", "l1", d=10, n=100)
    words = re.sub(r"[\s│]+", " ", str(found))
    assert "g(z1, z2, z3, -z4) = -g(z); g(z1, z2, -z3, z4) = -g(z) and 4 more, T is odd: C = 0, and" in words
    assert "and 4 more" in found._repr_html_()
    assert "g(z2, z1, z3, z4) = g(z)" in str(found.to_dict()["findings"])


def test_with_memory_both_signs_of_a_are_shown() -> None:
    found = explored(eta1=1.0, beta1=0.3)
    assert "That is for a > 0. For a < 0: " in str(found)
    assert found.to_dict()["window_of_negative_a"]["rho_1"] != found.to_dict()["window"]["rho_1"]
    assert explored().to_dict()["window_of_negative_a"] is None


def test_a_setting_is_explored_as_it_is() -> None:
    setting = Setting(link="h2", loss="l1", d=30, n=70, m=6)
    found = mimtheory.explore(setting, delta=0.1)
    assert (found.setting, found.delta) == (setting, 0.1)


@pytest.mark.parametrize("fields", [{"d": 100}, {"loss": "huber(1)"}, {"n": 4000}, {"m": 8}])
def test_a_field_beside_a_setting_is_refused(fields: dict[str, Any]) -> None:
    setting = Setting(link="h2", loss="l1", d=30, n=70)
    with pytest.raises(ValueError, match=rf"{next(iter(fields))} = .*; allowed: a Setting and delta alone"):
        mimtheory.explore(setting, **fields)


def test_a_population_is_shown_with_its_setting_and_its_numbers() -> None:
    population = Population(Setting(link="h2", loss="huber(1)", d=20, n=100))
    assert repr(population) == f"Population({population.setting!r})"
    html = population._repr_html_()
    assert f"<td>|S|_op</td><td>{population.S_norm:.6g}</td>" in html
    assert "Expected Hessian C" in html


def test_what_is_within_its_error_is_printed_as_zero() -> None:
    assert _known(-1.5e-3, 1e-2) == _known(0.0, 0.0) == "0"
    assert _known(-1.5, 1e-2) == "-1.5"
