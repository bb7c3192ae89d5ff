"""Certified, fast and Monte-Carlo answers to the same question, for 61 pairs of a link and a loss."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from mimtheory.balls import midpoint_and_radius
from mimtheory.enclosures import Problem, enclose
from mimtheory.hessian import expected_hessian
from mimtheory.links import link
from mimtheory.losses import loss

SIX = ["squared", "l1", "huber(1)", "quantile(0.3)", "logcosh", "pseudo_huber(1)"]
LINE = itertools.product(["h2", "h4", "h6", "z1**3 + z1", "h3(z1) - h2(z1)"], SIX)
PLANE = itertools.product(["h4+h4", "mixed", "product", "skewed"], SIX)
SPACE = [
    ("r3", "huber(1)"),
    ("z1*z2 + He2(z3)/2", "l1"),
    ("z1 + z1*z2*z3", "quantile(0.3)"),
    ("z1*z2*z3 + z3**2", "squared"),
]
MORE = [("z1**2 + z2**2 - z3**2 + z4**2/2", "l1"), ("z1*z2 + z3*z4", "huber(1)"), ("z1*z2*z3*z4 + z1*z4", "squared")]
PAIRS = [*LINE, *PLANE, *SPACE, *MORE]
ASKED = {1: 1e-8, 2: 1e-3, 3: 5e-2, 4: 5e-2}
SAMPLES = 50_000


def test_there_are_sixty_pairs() -> None:
    assert len(set(PAIRS)) >= 60
    assert {link(text).r for text, _ in PAIRS} == {1, 2, 3, 4}


@pytest.mark.parametrize(("text", "name"), PAIRS)
def test_methods_agree(text: str, name: str) -> None:
    g, shape, centre = link(text), loss(name), 0.125
    found = enclose(Problem(g, shape, Fraction(centre), Fraction(0)), ASKED[g.r])
    assert found is not None
    assert found.radius <= ASKED[g.r]
    z = np.random.default_rng(5).standard_normal((SAMPLES, g.r))
    t = shape.dl(centre, g(z))
    fast = expected_hessian(g, shape, centre, method="fast") if g.r <= 2 else None
    for i in range(g.r):
        for j in range(g.r):
            middle, radius = (float(x) for x in midpoint_and_radius(found.C[i, j]))
            column = t * (z[:, i] * z[:, j] - (i == j))
            # 6 standard errors: two-sided 2e-9 for each of some 200 numbers, were the sample means normal
            assert abs(column.mean() - middle) <= 6 * column.std() / math.sqrt(SAMPLES) + radius
            if fast is not None:
                assert abs(fast.C[i, j] - middle) <= fast.radius + radius + 1e-15
