import math
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
from scipy import integrate, special, stats

from mimtheory import gaussian_integrals
from mimtheory.gaussian_integrals import Averages, gaussian_averages, gaussian_mean
from mimtheory.gaussian_moments import gaussian_moments, linear_derivative, noisy, symmetric
from mimtheory.hessian import expected_hessian
from mimtheory.line_integrals import LineIntegrals
from mimtheory.links import link
from mimtheory.losses import loss

SAMPLES = 400_000
SIGMAS = 5.5  # two-sided 4e-8 for one comparison; some 200 comparisons with fixed seeds


def averages(text: str, name: str, centre: float = 0.0) -> Averages:
    g = link(text)
    return gaussian_averages(LineIntegrals(g, loss(name), centre, moments=False), g.r)


def covers(result: Averages, exact: list[float]) -> bool:
    return bool(np.all(np.abs(result.values - exact) <= result.errors))


@pytest.mark.parametrize("text", ["h4", "z1*z2", "h2h2", "z1*z2*z3"])
@pytest.mark.parametrize("name", ["huber(1)", "l1"])
def test_the_mean_alone_is_within_the_errors_of_the_averages(text: str, name: str) -> None:
    whole = averages(text, name, 0.3)
    alone = gaussian_mean(LineIntegrals(link(text), loss(name), 0.3, moments=False))
    assert abs(alone - whole.values[0]) <= whole.errors[0]
    assert abs(alone) > 1e3 * whole.errors[0]


@pytest.mark.parametrize("centre", [0.7, 1e-6, -0.2])
def test_the_error_covers_a_product_of_two_gaussians(centre: float) -> None:
    # z1 z2 has the density K0(|x|)/pi, and E[z1^2 | z1 z2 = x] = |x| K1(|x|)/K0(|x|) (from exp(-(u + x^2/u)/2)/u)
    def expectation(f: Any) -> Any:
        half = mpmath.quad(lambda x: mpmath.sign(centre - x) * f(x), [0, *([centre] if centre > 0 else []), 1, 50])
        other = mpmath.quad(lambda x: mpmath.sign(centre + x) * f(x), [0, *([-centre] if centre < 0 else []), 1, 50])
        return half, other

    plus, minus = expectation(lambda x: mpmath.besselk(0, x) / mpmath.pi)
    second = sum(expectation(lambda x: x * mpmath.besselk(1, x) / mpmath.pi))
    first_plus, first_minus = expectation(lambda x: x * mpmath.besselk(0, x) / mpmath.pi)
    exact = [float(plus + minus), float(second), float(first_plus - first_minus), float(second)]
    result = averages("z1*z2", "l1", centre)
    assert covers(result, exact)
    assert result.errors.max() < 1e-8 if abs(centre) < 1e-5 else result.errors.max() < 1e-10


@pytest.mark.parametrize(("r", "centre"), [(2, 2.0), (3, 2.0), (3, 0.1), (4, 3.0)])
def test_the_error_covers_links_of_the_norm_alone(r: int, centre: float) -> None:
    # T = sign(c - R), R chi-squared: E[T z1^2] = E[T R]/r, and E[R; R > c] = r P(chi2(r + 2) > c)
    above = stats.chi2(r).sf(centre)
    diagonal = 1 - 2 * stats.chi2(r + 2).sf(centre)
    exact = [1 - 2 * above, *(diagonal * np.eye(r))[np.triu_indices(r)]]
    result = averages("+".join(f"z{k}**2" for k in range(1, r + 1)), "l1", centre)
    assert covers(result, exact)


@pytest.mark.parametrize(("centre", "sigma"), [(0.0, 1.0), (0.5, 0.7)])
def test_the_error_covers_a_link_of_three_variables(centre: float, sigma: float) -> None:
    # given z1, z2 the third variable of z1 z2 + sigma z3 integrates to error functions: a smooth double integral
    def tensor(nodes: int) -> Any:
        x, w = np.polynomial.legendre.leggauss(nodes)
        cells = np.linspace(-9, 9, 31)
        x = (cells[:-1, None] + 0.3 * (x + 1)).ravel()
        w = np.tile(0.3 * w, 30) * np.exp(-x * x / 2)
        z1, z2 = np.meshgrid(x, x, indexing="ij")
        weight = np.outer(w, w) / (2 * math.pi)
        s = (centre - z1 * z2) / sigma
        t = special.erf(s / math.sqrt(2))
        phi = np.exp(-s * s / 2) / math.sqrt(2 * math.pi)
        # int sign(s - z) phi(z) (1, z, z^2) dz = erf, -2 phi(s), erf - 2 s phi(s)
        columns = [t, t * z1**2, t * z1 * z2, -2 * phi * z1, t * z2**2, -2 * phi * z2, t - 2 * s * phi]
        return np.array([np.sum(weight * c) for c in columns])

    exact = tensor(16)
    assert np.abs(exact - tensor(20)).max() < 1e-12
    result = averages(f"z1*z2 + {sigma}*z3", "l1", centre)
    assert np.all(np.abs(result.values - exact) <= result.errors + 1e-12)
    assert result.errors.max() < 1e-5


def test_the_errors_of_a_link_and_a_turned_link_cover_their_difference() -> None:
    # the sign of a triple zero of the lowest part is noise within 2e-6 in the turned coordinates
    g = link("z2**6 - 7*z2**3 - 2/7*z1**5*z2 + 1/2")
    q = np.array([[0.6, -0.8], [0.8, 0.6]])
    exact_q = [[Fraction(3, 5), Fraction(-4, 5)], [Fraction(4, 5), Fraction(3, 5)]]
    one, two = (
        gaussian_averages(LineIntegrals(f, loss("quantile(0.3)"), 0.5, moments=False), 2)
        for f in (g, g.rotate(exact_q))
    )
    difference = symmetric(two.values[1:], 2) - q @ symmetric(one.values[1:], 2) @ q.T
    # turning back multiplies an entry's error by at most 2
    assert np.abs(difference).max() <= two.errors.max() + 2 * one.errors.max()
    assert np.abs(difference).max() > 10 * one.errors.max()  # the case is one where rounding matters


def test_the_randomised_error_covers_two_products() -> None:
    # z1 z2 + z3 z4 has the Laplace density exp(-|x|)/2; by exchange E[T z1 z2] = E[T g]/2 = -(c + 1) exp(-c)/2
    centre = 0.4
    result = averages("z1*z2 + z3*z4", "l1", centre)
    values = symmetric(result.values[1:], 4)
    errors = symmetric(result.errors[1:], 4)
    assert abs(result.values[0] - (1 - math.exp(-centre))) <= result.errors[0]
    for i, j in ((0, 1), (2, 3)):
        assert abs(values[i, j] + (centre + 1) * math.exp(-centre) / 2) <= errors[i, j]
    for i, j in ((0, 2), (0, 3), (1, 2), (1, 3)):
        assert abs(values[i, j]) <= errors[i, j]
    assert errors.max() < 1e-2


def monte_carlo(text: str, name: str, centre: float, noise: float, rng: np.random.Generator) -> Any:
    g = link(text)
    z = rng.standard_normal((SAMPLES, g.r))
    t = loss(name).dl(centre, g(z) + noise * rng.standard_normal(SAMPLES))
    return z, t


@pytest.mark.parametrize(
    ("text", "name", "centre", "noise"),
    [
        ("h4(z1)", "l1", 0.3, 0.5),
        ("h3(z1) + h2(z1)", "pseudo_huber(1/2)", -0.2, 0.0),
        ("h4(z1)", "squared", 0.3, 0.5),
        ("h4+h4", "huber(1)", 0.0, 0.0),
        ("mixed", "quantile(0.3)", 0.2, 0.0),
        ("z1*z2 + h3(z1)", "logcosh", 0.1, 0.0),
        ("h2h2", "squared", 0.5, 0.3),
        ("h2h2", "huber(1)", 0.0, 0.4),
        ("z1*z2 + He2(z3)/2", "huber(1)", 0.1, 0.0),
    ],
)
def test_moments_agree_with_monte_carlo(text: str, name: str, centre: float, noise: float) -> None:
    m = gaussian_moments(text, name, centre, noise)
    z, t = monte_carlo(text, name, centre, noise, np.random.default_rng(7))
    square = np.sum(z * z, axis=1)

    def agrees(exact: float, sample: Any) -> Any:
        return abs(sample.mean() - exact) <= SIGMAS * sample.std() / math.sqrt(SAMPLES) + m.radius

    assert agrees(m.mean_T, t)
    assert agrees(m.mean_T_plus, np.maximum(t, 0))
    assert agrees(m.mean_T_minus, np.maximum(-t, 0))
    assert agrees(m.mean_T2, t * t)
    assert agrees(m.T2_z4, t * t * square**2)
    for i in range(z.shape[1]):
        for j in range(z.shape[1]):
            assert agrees(m.mean_Tzz[i, j], t * z[:, i] * z[:, j])


def test_label_noise_of_one_variable_is_a_double_integral() -> None:
    # E over the noise of sign(c - g - s xi) is erf((c - g)/(s sqrt 2)): smooth in z, quad's error is below 1e-9
    g, centre, noise = link("h4(z1)"), 0.3, 0.5

    def mean(weight: Any) -> Any:
        def integrand(z: float) -> Any:
            gap = centre - float(g(np.array([[z]]))[0])
            return weight(z) * math.erf(gap / (noise * math.sqrt(2))) * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)

        return 2 * integrate.quad(integrand, 0, 12, epsabs=1e-11, limit=200)[0]

    m = gaussian_moments(g, "l1", centre, noise)
    assert m.mean_T == pytest.approx(mean(lambda z: 1.0), abs=1e-9)
    assert m.mean_Tzz[0, 0] == pytest.approx(mean(lambda z: z * z), abs=1e-9)
    assert m.T2_z4 == pytest.approx(3.0, abs=1e-9)  # T^2 = 1: E z^4, and the noise is no part of |z|
    assert m.radius < 1e-9


@pytest.mark.parametrize(
    ("text", "name", "centre", "noise"),
    [
        ("h4", "huber(1)", 0.1, 0.3),
        ("h3(z1) + h2(z1)/2", "quantile(0.3)", -0.25, 0.02),
        ("h2h2", "huber(1/2)", 0.25, 0.5),
        ("z1**2 + z1*z2/3", "l1", 0.0, 1.0),
    ],
)
def test_moments_smoothed_by_noise_are_those_with_the_noise_as_a_variable(
    text: str, name: str, centre: float, noise: float
) -> None:
    m, g = gaussian_moments(text, name, centre, noise), link(text)
    other = gaussian_averages(LineIntegrals(noisy(text, noise), loss(name), centre, moments=True), g.r)
    numbers = [m.mean_T_plus, m.mean_T_minus, m.mean_T2, m.T2_z4, *m.mean_Tzz[np.triu_indices(g.r)]]
    assert m.radius < 3e-10
    assert (np.abs(np.array(numbers) - other.values) <= m.radius + other.errors).all()
    assert m.mean_T == m.mean_T_plus - m.mean_T_minus


@pytest.mark.parametrize(("text", "name", "noise"), [("h4", "huber(1)", 0.004), ("h4", "logcosh", 0.3)])
def test_moments_that_noise_does_not_smooth_take_the_noise_as_a_variable(text: str, name: str, noise: float) -> None:
    m = gaussian_moments(text, name, 0.1, noise)
    other = gaussian_averages(LineIntegrals(noisy(text, noise), loss(name), 0.1, moments=True), 1)
    assert (m.mean_T_plus, m.mean_T_minus, m.mean_T2) == tuple(other.values[:3])


def test_moments_of_the_squared_loss_are_those_of_a_polynomial() -> None:
    # T = c - z1 z2 - s xi: E T^2 = c^2 + 1 + s^2, E[T^2 |z|^4] = (c^2 + s^2) 8 + E[z1^2 z2^2 (z1^2 + z2^2)^2]
    # and the last is 2*15*1 (z1^6 z2^2) + 2*3*3 (z1^4 z2^4) = 48
    c, s = 0.5, 0.25
    m = gaussian_moments("z1*z2", "squared", c, s)
    assert m.mean_T2 == pytest.approx(c * c + 1 + s * s, abs=1e-14)
    assert m.T2_z4 == pytest.approx(8 * (c * c + s * s) + 48, abs=1e-12)
    assert np.allclose(m.mean_Tzz, [[c, -1], [-1, c]], rtol=0, atol=1e-14)
    assert m.mean_T == pytest.approx(c, abs=m.radius)


def test_only_linear_derivatives_are_linear() -> None:
    assert linear_derivative(loss("squared")) == (Fraction(0), Fraction(1))
    assert linear_derivative(loss("huber(1)")) is None
    assert linear_derivative(loss("logcosh")) is None


def test_an_upper_triangle_makes_a_symmetric_matrix() -> None:
    assert symmetric(np.array([1.0, 2, 3, 4, 5, 6]), 3).tolist() == [[1, 2, 3], [2, 4, 5], [3, 5, 6]]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, "middle", None])
def test_a_bad_centre_is_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match=r"centre = .*; allowed: a finite number$"):
        gaussian_moments("h4", "l1", bad)


@pytest.mark.parametrize("bad", [-0.1, math.nan, math.inf, "a", None])
def test_a_bad_label_noise_is_refused(bad: Any) -> None:
    for refuse in (lambda: noisy("h4", bad), lambda: gaussian_moments("h4", "l1", 0.0, bad)):
        with pytest.raises(ValueError, match=r"label_noise = .*; allowed: a finite number >= 0$"):
            refuse()


@pytest.mark.parametrize("name", ["huber(1)", "l1", "huber(0.3)", "quantile(0.3)"])
@pytest.mark.parametrize("text", ["h4+h4", "mixed", "skewed", "staircase2", "octic", "z1**2*z2 + z2"])
def test_two_kinked_variables_are_known_to_1e_12_in_any_basis(text: str, name: str) -> None:
    """The turned link has other coefficients, roots and panels; its C turned back lies within both radii."""
    g = link(text)
    Q = np.array([[3, -4], [4, 3]]) / 5
    turned = g.rotate([[Fraction(3, 5), Fraction(-4, 5)], [Fraction(4, 5), Fraction(3, 5)]])
    first, second = (expected_hessian(f, name, method="fast") for f in (g, turned))
    assert first.radius < 1e-12
    assert second.radius < 1e-12
    assert np.abs(Q @ first.C @ Q.T - second.C).max() <= 2 * first.radius + second.radius
    assert abs(first.c0 - second.c0) <= first.radius + second.radius


@pytest.mark.parametrize("name", ["huber(1)", "l1", "huber(0.3)"])
@pytest.mark.parametrize("text", ["h4({0})", "h2({0}) - h3({0})/2", "h6({0}) + {0}", "({0})**2*(({0}) - 1)"])
def test_the_radius_in_the_plane_covers_what_is_proved_on_the_line(text: str, name: str) -> None:
    """A link of v.z alone has C = C_1 v v^T, C_1 in closed form to 18 digits."""
    v = np.array([0.6, 0.8])
    line = expected_hessian(text.format("z1"), name, 0.25)
    plane = expected_hessian(text.format("(0.6*z1 + 0.8*z2)"), name, 0.25, method="fast")
    assert line.radius < 1e-15
    assert plane.radius < 1e-12
    assert np.abs(plane.C - line.C[0, 0] * np.outer(v, v)).max() <= plane.radius + line.radius
    assert abs(plane.c0 - line.c0) <= plane.radius + line.radius


@pytest.mark.parametrize("halvings_at_once", [1, 5, 50])
def test_critical_angles_are_those_of_bisection(halvings_at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """g = z1 z2 is at least 1/2 somewhere on a ray within reach R where sin(2 a) >= 1/R^2: the angle at which roots
    appear is known, to the rounding of an angle of order one."""
    monkeypatch.setattr(
        gaussian_integrals, "_MARKS_AT_ONCE", (1 << halvings_at_once) - 1 if halvings_at_once < 9 else 500
    )
    lines = LineIntegrals(link("z1*z2"), loss("l1"), 0.5, moments=False)
    planes = gaussian_integrals._Planes(lines, 2, np.array([1.0, 0.0]), np.array([[0.0, 1.0]]), 0.1, 192, 50)
    angles, _ = planes._edges()
    onset = math.asin(1 / lines.reach**2) / 2
    for critical in (math.pi / 2 - onset, math.pi + onset):
        assert np.abs(angles - critical).min() <= 1e-14


def test_a_bisection_of_several_steps_at_once_finds_the_first_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """Marks that change at a place of each angle's own, for both kinds."""
    lines = LineIntegrals(link("z1*z2"), loss("l1"), 0.5, moments=False)
    planes = gaussian_integrals._Planes(lines, 2, np.array([1.0, 0.0]), np.array([[0.0, 1.0]]), 0.1, 192, 50)
    places = np.array([0.125, 0.4, 0.7 - 2**-30, 0.99])

    def marks(angle: np.ndarray, plane: np.ndarray, level: float) -> np.ndarray:
        beyond = angle >= places[plane]
        return np.stack([np.where(beyond, 4, 2), np.where(beyond, -1, 1)])

    monkeypatch.setattr(planes, "_marks", marks)
    kind = np.array([0, 1, 0, 1])
    for most in (1, 12, 64, 1000):
        monkeypatch.setattr(gaussian_integrals, "_MARKS_AT_ONCE", most)
        high = planes._narrowed(np.zeros(4), np.ones(4), kind, np.arange(4), np.array([2, 1, 2, 1]), 0.5)
        assert (np.abs(high - places) <= 2**-50).all()
        assert (high >= places).all()
