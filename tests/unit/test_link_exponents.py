import math
import time
from fractions import Fraction

import pytest

import mimtheory
from mimtheory import link_exponents
from mimtheory.certificate import making
from mimtheory.enclosures import Enclosure, Problem, enclose
from mimtheory.link_exponents import exponents, leaps
from mimtheory.links import ZOO, Link, link

TURN = [[Fraction(3, 5), Fraction(-4, 5)], [Fraction(4, 5), Fraction(3, 5)]]
REFLECTION = [[Fraction(a, 3) for a in row] for row in ([1, 2, 2], [2, 1, -2], [2, -2, 1])]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("h4", (4,)),
        ("h4+h4", (4, 4)),
        ("skewed", (2, 3)),
        ("octic", (2, 8)),
        ("staircase3", (1, 1, 1)),
        ("z1*z2*z3", (3, 3, 3)),
        ("z1 + h4(z2)*z1 + h3(z3)*z2", (1, 4, 4)),
        ("z1 + z1*z2*z3", (1, 2, 2)),
        ("z1**3", (1,)),
        ("h4(z1 + z2)", (2,)),  # one direction; (z1 + z2)/sqrt 2 makes h4 of a variable of variance 2
        ("h4(3*z1/5 + 4*z2/5)", (4,)),
        ("(z1 + z2)*(z1 - z2)*z3 + He2(z3)", (2, 2, 2)),
        ("He3(z1/2 + z2*sqrt(3)/2) + He4(z1*sqrt(3)/2 - z2/2)", (3, 4)),  # two directions that sqrt 3 turns
        ("He3(z1/2 + z2*sqrt(3)/2) + He4(z1/2 + z2*sqrt(3)/2)", (3,)),
    ],
)
def test_leaps_that_are_known(text: str, expected: tuple[int, ...]) -> None:
    assert leaps(link(text)) == expected


@pytest.mark.parametrize("text", [*ZOO, "z1 + z1*z2*z3"])
def test_leaps_do_not_turn_with_the_link_and_begin_with_the_information_exponent(text: str) -> None:
    g = link(text)
    assert leaps(g)[0] == g.information_exponent
    if g.r > 1:
        assert leaps(g.rotate(TURN if g.r == 2 else REFLECTION)) == leaps(g)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("h3(z1) + h5(z2) + h7(z1) + h11(z2)", (3, 5)),
        ("h20(z1) + h19(z2) + h17(z3) + h13(z4) + h11(z5) + h3(z6)", (3, 11, 13, 17, 19, 20)),
        ("He3(z1 + sqrt(2)*z2 + sqrt(3)*z3 + sqrt(5)*z4) + sqrt(7)*z1 + sqrt(11)*z2 + sqrt(13)*z3", (1, 1)),
    ],
)
def test_many_square_roots_cost_little(text: str, expected: tuple[int, ...]) -> None:
    started = time.process_time()
    assert leaps(link(text)) == expected
    # measured: 0.1 s; a field of all of them would have degree 8 to 256
    assert time.process_time() - started < 2


def test_the_leaps_count_as_time_that_is_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[float] = []
    real = link_exponents.leaps

    def slow(g: Link) -> tuple[int, ...]:
        time.sleep(0.3)
        return real(g)

    def watched(problem: Problem, radius: float, until: float) -> None:
        given.append(until - time.monotonic())

    monkeypatch.setattr(link_exponents, "leaps", slow)
    monkeypatch.setattr(link_exponents, "enclose", watched)
    exponents("h4+h4", "squared", time_limit=1.0)
    assert given[0] < 0.75 - 0.3 + 0.01


def test_h4_plus_h4_is_hard_for_the_squared_loss_and_easy_for_huber() -> None:
    hard, easy = exponents("h4+h4", "squared"), mimtheory.exponents("h4+h4", "huber(1)")
    assert hard.information == easy.information == 4
    assert hard.isotropic_leap == 4
    assert (hard.generative_at_most, easy.generative_at_most) == (None, 2)
    assert "C = 0" in str(hard)
    assert "hard" in str(hard)
    assert "undecided" in str(hard)
    assert "full rank" in str(easy)
    assert "not linear in y" in str(easy)


def test_first_moments_show_one() -> None:
    assert exponents("z1 + h4(z2)", "l1").generative_at_most == 1
    assert exponents("z1*z2*z3", "l1").generative_at_most is None


def test_C_is_enclosed_once_and_within_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    deadlines = []

    def counted(problem: Problem, target: float, deadline: float = math.inf) -> Enclosure | None:
        deadlines.append(deadline)
        return enclose(problem, target, deadline)

    for module in (link_exponents, making):
        monkeypatch.setattr(module, "enclose", counted)
    found = exponents("h4+h4", "huber(1)", time_limit=2000.0)
    assert found.certificate.status == "proved"
    assert len(deadlines) == 1
    # a quarter of the time is left for the certificate
    assert deadlines[0] <= time.monotonic() + 1500.0


def test_a_time_that_was_used_up_leaves_an_exact_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_exponents, "enclose", lambda *_: time.sleep(0.3))
    assert exponents("z1*z2*z3", "l1", time_limit=0.2).certificate.status == "degenerate"


def test_a_time_that_is_not_positive_is_refused() -> None:
    with pytest.raises(ValueError, match="time_limit"):
        exponents("h4", "squared", time_limit=0.0)
