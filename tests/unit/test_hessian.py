import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import sympy
from scipy import integrate, stats

from mimtheory import hessian
from mimtheory.centring import population_centre
from mimtheory.hessian import expected_hessian
from mimtheory.links import link
from mimtheory.losses import loss

Z = sympy.Symbol("z", real=True)
TURN = [[Fraction(3, 5), Fraction(-4, 5)], [Fraction(4, 5), Fraction(3, 5)]]
REFLECTION = [[Fraction(a, 3) for a in row] for row in ([1, 2, 2], [2, 1, -2], [2, -2, 1])]


def one_dimensional(text: str, name: str, centre: float = 0.0) -> tuple[float, float]:
    """E T and E[T (z^2 - 1)] by scipy on pieces of length 1/8: 200 of them at 1e-13, kinks inside cost 1e-9 each."""
    g, shape = link(text), loss(name)

    def t(z: float) -> float:
        return float(shape.dl(centre, g(np.array([[z]]))[0])) * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)

    grid = np.linspace(-12, 12, 193)
    cells = list(itertools.pairwise(grid))
    options = {"epsabs": 1e-13, "epsrel": 0, "limit": 200}
    mean = math.fsum(integrate.quad(t, a, b, **options)[0] for a, b in cells)
    second = math.fsum(integrate.quad(lambda z: t(z) * (z * z - 1), a, b, **options)[0] for a, b in cells)
    return mean, second


@pytest.mark.parametrize(
    ("text", "name", "reference"),
    [
        ("h4", "l1", 0.654872068724849),
        ("h4", "huber(1)", 0.409620752108021),
        ("h2", "huber(1)", -0.719842825076261),
    ],
)
@pytest.mark.filterwarnings("ignore::scipy.integrate.IntegrationWarning")
def test_reference_values_of_one_variable(text: str, name: str, reference: float) -> None:
    H = expected_hessian(text, name)
    mean, second = one_dimensional(text, name)
    assert H.C[0, 0] == pytest.approx(second, abs=1e-10)
    assert H.c0 == pytest.approx(mean, abs=1e-10)
    assert H.C[0, 0] == pytest.approx(reference, abs=2e-15)
    assert H.radius < 1e-15


def test_h2_and_l1_exactly() -> None:
    H = expected_hessian("h2", "l1")
    density = sympy.exp(-(Z**2) / 2) / sympy.sqrt(2 * sympy.pi)
    inside = sympy.integrate((Z**2 - 1) * density, (Z, -1, 1))
    assert H.C_exact is not None
    assert sympy.simplify(H.C_exact[0, 0] - 2 * inside) == 0
    assert sympy.simplify(H.C_exact[0, 0] + 4 * density.subs(Z, 1)) == 0


def test_h4_plus_h4_with_huber() -> None:
    # 2,000 Gauss-Legendre nodes an axis, 0.009 apart: the kinks of a clip leave errors of second order, below 1e-5
    H = expected_hessian("h4+h4", "huber(1)")
    x, w = np.polynomial.legendre.leggauss(50)
    cells = np.linspace(-9, 9, 41)
    nodes = (cells[:-1, None] + (x + 1) / 2 * np.diff(cells)[:, None]).ravel()
    weights = (np.diff(cells)[:, None] / 2 * w).ravel() * np.exp(-nodes * nodes / 2) / math.sqrt(2 * math.pi)
    g = link("h4")(nodes[:, None])
    t = np.clip(-(g[:, None] + g[None, :]), -1, 1)
    direct = weights @ t @ (weights * (nodes**2 - 1))
    assert H.C[0, 0] == pytest.approx(direct, abs=1e-5)
    assert np.allclose(H.C, 0.32556431493749 * np.eye(2), rtol=0, atol=H.radius + 1e-14)
    assert H.radius < 1e-10


def test_product_with_l1() -> None:
    # C12 = -E|z1 z2| = -(E|z|)^2 = -2/pi and the diagonal vanishes, since T is odd in z1
    H = expected_hessian("z1*z2", "l1")
    absolute = 2 * sympy.integrate(Z * sympy.exp(-(Z**2) / 2) / sympy.sqrt(2 * sympy.pi), (Z, 0, sympy.oo))
    assert absolute**2 == 2 / sympy.pi
    assert np.allclose(H.C, [[0, -2 / math.pi], [-2 / math.pi, 0]], rtol=0, atol=H.radius)
    assert H.radius < 1e-10


def test_circle_with_l1() -> None:
    # R = z1^2 + z2^2 is exponential of mean 2: C11 = E[sign(2 - R)(R - 2)]/2 = -E|R - 2|/2 = -2/e
    H = expected_hessian("z1**2 + z2**2 - 2", "l1")
    R = sympy.Symbol("R", positive=True)
    absolute = 2 * sympy.integrate((R - 2) * sympy.exp(-R / 2) / 2, (R, 2, sympy.oo))
    assert sympy.simplify(absolute / 2 - 2 / sympy.E) == 0
    assert np.allclose(H.C, -2 / math.e * np.eye(2), rtol=0, atol=H.radius)


def test_the_squared_loss_is_exact() -> None:
    H = expected_hessian("h4", "squared", centre=0.25)
    assert H.C_exact == sympy.ImmutableMatrix([[0]])
    assert (H.c0, H.method) == (0.25, "exact")
    mixed = expected_hessian("z1**2*z2 + 3*z1**2 + z1*z2/7", "squared")
    # Hess g = [[2 z2 + 6, 2 z1 + 1/7], [., 0]]
    expected = sympy.ImmutableMatrix([[-6, -sympy.Rational(1, 7)], [-sympy.Rational(1, 7), 0]])
    assert mixed.C_exact == expected
    assert mixed.c0 == -3.0
    assert mixed.radius <= 2e-15


@pytest.mark.parametrize("name", ["squared", "l1", "huber(1)", "logcosh", "pseudo_huber(2)"])
@pytest.mark.parametrize("text", ["h3(z1)", "z1**3 + z1*z2**2 - z2", "z1 + z1*z2*z3"])
def test_odd_links_with_odd_derivatives_have_no_C(text: str, name: str) -> None:
    H = expected_hessian(text, name)
    assert np.all(np.abs(H.C) <= H.radius)
    assert abs(H.c0) <= H.radius
    assert H.radius < 1e-5


def test_quantiles_are_not_odd() -> None:
    H = expected_hessian("h3(z1)", "quantile(0.3)")
    assert H.c0 == pytest.approx(0.2, abs=1e-15)  # (1 - tau - tau)/2


@pytest.mark.parametrize(
    ("text", "Q", "name"),
    [
        ("mixed", TURN, "l1"),
        ("mixed", TURN, "huber(1/2)"),
        ("h3(z1) + z1*z2", TURN, "logcosh"),
        ("z1*z2 + He2(z3)", REFLECTION, "huber(1)"),
    ],
)
def test_C_turns_with_the_link(text: str, Q: "list[list[Fraction]]", name: str) -> None:
    g = link(text)
    H, turned = expected_hessian(g, name, 0.1), expected_hessian(g.rotate(Q), name, 0.1)
    q = np.array(Q, dtype=float)
    # |Q|_1 |Q|_inf <= r for an orthogonal Q, so an error of an entry of C grows by r at most
    assert np.allclose(turned.C, q @ H.C @ q.T, rtol=0, atol=turned.radius + g.r * H.radius)
    assert np.abs(H.C - turned.C).max() > 0.01


@pytest.mark.parametrize("name", ["l1", "huber(1/2)", "pseudo_huber(1/2)", "logcosh", "quantile(0.3)", "squared"])
@pytest.mark.parametrize("text", ["h4(z1) + h3(z1)", "mixed", "z1*z2 + h4(z1)", "z1*z2 + He2(z3)/2"])
def test_C_agrees_with_monte_carlo(text: str, name: str) -> None:
    samples, centre = 200_000, 0.2
    g = link(text)
    H = expected_hessian(g, name, centre)
    z = np.random.default_rng(3).standard_normal((samples, g.r))
    t = loss(name).dl(centre, g(z))
    # 5.5 standard errors: two-sided 4e-8 for each of some 150 comparisons
    assert abs(t.mean() - H.c0) <= 5.5 * t.std() / math.sqrt(samples) + H.radius
    for i in range(g.r):
        for j in range(g.r):
            sample = t * (z[:, i] * z[:, j] - (i == j))
            assert abs(sample.mean() - H.C[i, j]) <= 5.5 * sample.std() / math.sqrt(samples) + H.radius
    assert np.array_equal(H.C, H.C.T)
    assert H.C.shape == (g.r, g.r)
    assert H.C.dtype == np.float64


@pytest.mark.parametrize(("text", "name"), [("h4(z1)", "logcosh"), ("h2(z1) + z1", "pseudo_huber(1/2)")])
def test_smooth_losses_by_stein(text: str, name: str) -> None:
    # C = E[d^2/dz^2 T(g(z))], by central differences and 20 Gauss-Legendre nodes on each of 160 panels
    g, shape = link(text), loss(name)
    H = expected_hessian(text, name, 0.3)
    h = 1e-3

    def curvature(z: float) -> float:
        t = shape.dl(0.3, g(np.array([[z - h], [z], [z + h]])))
        return float(t[0] - 2 * t[1] + t[2]) / h**2 * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)

    grid = np.linspace(-10, 10, 161)
    z = (grid[:-1, None] + np.diff(grid)[:, None] * (np.polynomial.legendre.leggauss(20)[0] + 1) / 2).ravel()
    weights = np.tile(np.polynomial.legendre.leggauss(20)[1] / 2 * (grid[1] - grid[0]), 160)
    value = math.fsum(w * curvature(x) for w, x in zip(weights, z, strict=True))
    # h^2/12 times the fourth derivative of T(g), which is below 1e3 on average; rounding, eps/h^2, is 1e-10
    assert H.C[0, 0] == pytest.approx(value, abs=1e-4)


def test_label_noise_enters_T_but_not_C_of_the_squared_loss() -> None:
    assert np.array_equal(expected_hessian("h2h2", "squared", 0.0, 0.5).C, expected_hessian("h2h2", "squared").C)
    # g = z1: E[T (z1^2 - 1)] is the second derivative in m of E sign(c - m - z1 - s xi) = 2 Phi((c - m)/sqrt v) - 1
    c, s = 0.6, 0.8
    v = 1 + s * s
    H = expected_hessian("z1", "l1", c, s)
    exact = -2 * (c / v) * stats.norm.pdf(c / math.sqrt(v)) / math.sqrt(v)
    assert H.C[0, 0] == pytest.approx(exact, abs=H.radius)
    assert H.c0 == pytest.approx(2 * stats.norm.cdf(c / math.sqrt(v)) - 1, abs=H.radius)
    assert H.radius < 1e-9


@pytest.mark.parametrize(("name", "noise"), [("l1", 0.0), ("huber(1)", 0.0), ("quantile(0.3)", 0.0), ("l1", 0.5)])
def test_the_population_centre_is_a_root(name: str, noise: float) -> None:
    c = population_centre("h4+h4" if noise == 0 else "h4", name, noise)
    g = "h4+h4" if noise == 0 else "h4"
    below, above = (expected_hessian(g, name, c + step, noise).c0 for step in (-1e-8, 1e-8))
    assert below < 0 < above


def test_label_noise_gives_balls_of_ten_places_unless_it_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    estimated = {s: expected_hessian("h2h2", "logcosh", 0.1, s, method="fast") for s in (0.5, 0.001)}
    assert expected_hessian("h2h2", "logcosh", 0.1, 0.001).status == "estimated"
    monkeypatch.setattr(hessian, "_fast", lambda *_: pytest.fail("the slow way was taken"))
    noisy = expected_hessian("h2h2", "logcosh", 0.1, 0.5)
    assert noisy.status == "certified"
    assert noisy.radius < 1e-10
    assert np.abs(noisy.C - estimated[0.5].C).max() <= noisy.radius + estimated[0.5].radius
    assert expected_hessian("h4+h4", "huber(1)", 0, 0.5).radius < 1e-10


def test_digits_that_are_asked_for_are_shown_and_the_fast_method_has_none() -> None:
    asked = [expected_hessian("h2", "huber(1)", digits=digits) for digits in (None, 5, 30)]
    shown = [len(repr(H).partition("±")[0].partition(".")[2]) for H in asked]
    assert shown[0] == shown[1] < 20 < 28 <= shown[2]
    for given in ({"digits": 5}, {"time_limit": 3.0}):
        with pytest.raises(ValueError, match=r"method = 'fast' with (digits = 5|time_limit = 3.0); allowed: 'auto'"):
            expected_hessian("h2", "huber(1)", method="fast", **given)


@pytest.mark.parametrize("scale", ["1e-90", "1e-13", "1e-6", "1e12"])
@pytest.mark.parametrize(
    ("text", "loss"),
    [
        ("h4(z1)", "l1"),
        ("He2(z1) + z1**3", "quantile(0.3)"),
        ("z1**2/2 + z2**2/2 + z1*z2**2", "l1"),
        ("h4(z1)", "huber({}*3/4)"),
    ],
)
def test_the_population_centre_scales_with_the_labels(text: str, loss: str, scale: str) -> None:
    s, at = float(scale), loss.replace("{}*3/4", "0.75")
    width = loss.replace("{}*3/4", repr(0.75 * s))
    one, scaled = population_centre(text, at), population_centre(f"{scale}*({text})", width)
    # each is within eight roundings of |c| and of the deviation of y, at most 4, of a root; about it E T, of radius at
    # most 1e-12 (r = 2), has a slope of at least 0.1
    radius = expected_hessian(text, at, one).radius
    assert radius < 1e-12
    assert abs(scaled / s - one) <= 2 * (8 * 2**-52 * (4 + abs(one)) + radius / 0.1)
    found = expected_hessian(f"{scale}*({text})", width, scaled)
    unit = s if width != at else 1.0  # of T
    # the slope is at most 10 at these roots, in units of T over the scale of y
    assert abs(found.c0) <= found.radius + 10 * unit * 8 * 2**-52 * (4 + abs(one))


@pytest.mark.parametrize("name", ["l1", "huber(1)"])
def test_labels_whose_variance_is_no_double_have_no_centre_to_look_for(name: str) -> None:
    with pytest.raises(FloatingPointError, match="labels leave the range of doubles"):
        population_centre("1e299*z1**20", name)


def test_population_centres_that_are_known() -> None:
    # the square of this deviation is no double
    assert population_centre("1e-200*z1**2", "l1") == pytest.approx(1e-200 * stats.chi2(1).median(), rel=1e-12, abs=0)
    assert population_centre("z1**2 + z2/3 + 5", "squared") == 6.0
    # the tau-quantile of z1^2, a chi-squared variable: E l' = (1 - tau) P(y < c) - tau P(y > c) = 0
    assert population_centre("z1**2", "quantile(0.3)") == pytest.approx(stats.chi2(1).ppf(0.3), abs=1e-12)
    assert population_centre("z1**2", "l1") == pytest.approx(stats.chi2(1).median(), abs=1e-12)
    assert population_centre("z1**3 + 2", "huber(1)") == pytest.approx(2.0, abs=1e-12)
    # l'(c - y) = c - y + 1 and 3 (c - y) - 1/2, with E y = 1
    assert population_centre("z1**2", "u**2/2 + u") == 0.0
    assert population_centre("z1**2", "3*u**2/2 - u/2") == pytest.approx(1 + 1 / 6, rel=1e-15)


@pytest.mark.parametrize("name", ["u", "2 - u", "exp(u)", "exp(-u)", "log(1 + exp(u))"])
def test_a_loss_that_no_constant_minimises_has_no_population_centre(name: str) -> None:
    with pytest.raises(ValueError, match="no population centre"):
        population_centre("z1**2", name)


def test_only_supported_digits_are_shown() -> None:
    H = expected_hessian("z1*z2 + He2(z3)/2", "huber(1)", 0.1)
    shown = f"{H.C[0, 1]:.{H.digits}f}"
    assert 10.0**-H.digits >= 2 * H.radius > 10.0 ** -(H.digits + 1)
    for text in (repr(H), H._repr_html_(), H._repr_latex_()):
        assert shown in text
        assert f"{H.C[0, 1]:.{H.digits + 1}f}" not in text
        assert "-0.0000" not in text.replace(shown, "")
    assert "<td>" in H._repr_html_()
    assert "pmatrix" in H._repr_latex_()


def test_numerical_results_have_no_exact_form() -> None:
    assert expected_hessian("z1*z2", "l1").C_exact is None
    assert expected_hessian("h4", "logcosh").C_exact is None


def test_bad_arguments_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="centre"):
        expected_hessian("h4", "l1", math.inf)
    for bad in (-1.0, "a"):
        with pytest.raises(ValueError, match=r"label_noise = .*; allowed: a finite number >= 0"):
            expected_hessian("h4", "l1", 0.0, bad)
    with pytest.raises(ValueError, match="label_noise"):
        population_centre("h4", "l1", math.nan)
    with pytest.raises(ValueError, match="huber"):
        expected_hessian("h4", "hubber")


def test_methods_agree_and_say_what_they_are() -> None:
    for text, name in (
        ("h4+h4", "huber(1)"),
        ("mixed", "logcosh"),
        ("skewed", "l1"),
        ("h3(z1) + h2(z1)", "quantile(0.3)"),
    ):
        fast = expected_hessian(text, name, 0.125, method="fast")
        sure = expected_hessian(text, name, 0.125, method="certified", digits=4)
        assert (fast.status, sure.status) == ("estimated", "certified")
        assert fast.C_ball is None
        assert sure.C_ball is not None
        assert sure.radius <= 5e-5
        for a, b in ((fast.C, sure.C), (fast.first_moment, sure.first_moment), (fast.c0, sure.c0)):
            assert np.allclose(a, b, rtol=0, atol=fast.radius + 2 * sure.radius)
    assert expected_hessian("h4+h4", "huber(1)").status == "estimated"
    assert expected_hessian("h4+h4", "huber(1)", digits=2).status == "certified"
    assert expected_hessian("h4+h4", "squared").status == expected_hessian("h4", "l1").status == "exact"


def test_the_fast_plane_is_good_to_a_trillionth_and_the_rotated_basis_agrees() -> None:
    # against balls of radius 1e-12 for a smooth T; for a kinked one against the same link in a rotated basis
    fast, sure = (
        expected_hessian("mixed", "logcosh"),
        expected_hessian("mixed", "logcosh", method="certified", digits=11),
    )
    assert np.abs(fast.C - sure.C).max() <= 1e-12 + 2 * sure.radius
    q = np.array(TURN, dtype=float)
    for name in ("l1", "huber(1)"):
        g = link("mixed")
        turned = expected_hessian(g.rotate(TURN), name)
        assert np.abs(turned.C - q @ expected_hessian(g, name).C @ q.T).max() <= 1e-12


def test_digits_of_one_variable_are_those_of_mpmath() -> None:
    import mpmath

    H = expected_hessian("h2", "l1", digits=60)
    assert H.C_ball is not None
    with mpmath.workdps(80):
        exact = mpmath.nstr(-4 * mpmath.npdf(1), 70)
    assert H.C_ball[0, 0].str(60, radius=False)[:58] == exact[:58]
    assert H.enclosure is not None
    assert H.enclosure.radius <= 1e-60


def test_exact_polynomial_losses_of_ones_own() -> None:
    H = expected_hessian("z1*z2", "u**2/2 + u**4/12", method="exact")
    # T = u + u^3/3 with u = -z1 z2: C12 = -(E z1^2 z2^2 + E z1^4 z2^4/3) = -(1 + 9/3)
    assert sympy.ImmutableMatrix([[0, -4], [-4, 0]]) == H.C_exact
    assert (H.status, H.radius) == ("exact", 0.0)
    assert "-4" in H._repr_latex_()


def test_moments_come_along() -> None:
    H = expected_hessian("z1 + z2**2", "squared", 0.5)
    assert list(H.first_moment) == [-1.0, 0.0]
    assert H.c0 == -0.5
    # T = 1/2 - z1 - z2^2, |z|^4: by Gauss-Hermite, exact at this degree
    x, w = np.polynomial.hermite_e.hermegauss(8)
    w = w / math.sqrt(2 * math.pi)
    direct = sum(
        a * b * (0.5 - p - q * q) ** 2 * (p * p + q * q) ** 2
        for p, a in zip(x, w, strict=True)
        for q, b in zip(x, w, strict=True)
    )
    assert H.T2_z4 == pytest.approx(direct, rel=1e-12)
    odd = expected_hessian("z1*z2 + z1", "l1", method="fast")
    z = np.random.default_rng(0).standard_normal((400_000, 2))
    sample = np.sign(-(z[:, 0] * z[:, 1] + z[:, 0]))[:, None] * z
    assert np.all(np.abs(sample.mean(axis=0) - odd.first_moment) <= 5.5 / math.sqrt(400_000) + odd.radius)
    assert abs(odd.first_moment[0]) > 0.1


def test_balls_print_only_certain_digits() -> None:
    H = expected_hessian("h4+h4", "huber(1)", method="certified", digits=3)
    assert H.C_ball is not None
    low, high = (float(H.C_ball[0, 0].mid()) + s * H.radius for s in (-1, 1))
    for text in (repr(H), H._repr_html_(), H._repr_latex_()):
        assert "0.325[" in text or "0.32[" in text or "0.326[" in text
    certain = repr(H).split("C = [")[1].split("[")[0]
    assert f"{low:.9f}".startswith(certain)
    assert f"{high:.9f}".startswith(certain)
    assert r"\pm" in H._repr_latex_()


def test_degeneracy_is_true_false_or_unknown() -> None:
    assert expected_hessian("h4+h4", "squared").is_degenerate() is True
    assert expected_hessian("z1**2*(z1 - 1)**2", "l1").is_degenerate() is True
    assert expected_hessian("h4+h4", "huber(1)").is_degenerate() is False
    assert expected_hessian("h4+h4", "huber(1)", time_limit=1e-3).is_degenerate(1e-3) is None
    late = expected_hessian("r3", "huber(1)", method="certified", time_limit=1e-3)
    assert late.status == "undecided"
    assert "unknown" in repr(late) or late.radius > 1e-3


def test_bad_choices_are_refused_by_name() -> None:
    for arguments, name in (
        ({"method": "best"}, "method"),
        ({"digits": 0}, "digits"),
        ({"digits": 1.5}, "digits"),
        ({"time_limit": 0}, "time_limit"),
        ({"time_limit": True}, "time_limit"),
        ({"method": "exact"}, "method"),
    ):
        with pytest.raises(ValueError, match=name):
            expected_hessian("h4+h4", "huber(1)", **arguments)
    with pytest.raises(ValueError, match="certified"):
        expected_hessian("z1 + z2*z3*z4*z5", "huber(1)", method="certified")


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_quadrature_serves_a_polynomial_derivative_that_is_neither_bounded_nor_lipschitz(noise: float) -> None:
    fast, exact = (
        expected_hessian("z1*z2 + h2(z2)", "u**2/2 + u**4/12", 0.25, noise, method=m) for m in ("fast", "exact")
    )
    assert np.allclose(fast.C, exact.C, rtol=0, atol=fast.radius)
    assert fast.radius < (1e-5 if noise else 1e-9)
    with pytest.raises(ValueError, match="allowed: l' bounded"):
        expected_hessian("h2", "cosh(u)", method="fast")


def test_what_symmetries_prove_is_exact_in_an_estimate_and_spares_it(monkeypatch: pytest.MonkeyPatch) -> None:
    H = expected_hessian("z1*z2 + z1**2 + z2**2", "quantile(0.2)", 0.5, method="fast")
    assert (H.status, H.C[0, 0] == H.C[1, 1], H.C.all()) == ("estimated", True, True)
    assert not H.first_moment.any()
    H = expected_hessian("z1**2*z2", "l1", method="fast")
    assert (H.c0, H.C.any(), H.first_moment[0], abs(H.first_moment[1]) > 0.1) == (0, False, 0, True)
    monkeypatch.setattr(hessian, "gaussian_averages", lambda *_: pytest.fail("what is known was estimated"))
    H = expected_hessian("z1*z2*z3*z4*z5*z6", "huber(1)")
    assert (H.status, H.radius, H.c0, H.C.any(), H.first_moment.any()) == ("exact", 0, 0, False, False)
    assert H.C_exact == sympy.zeros(6, 6)
    assert population_centre("z1*z2*z3*z4 + 1/4", "huber(1)", 0.5) == 0.25
