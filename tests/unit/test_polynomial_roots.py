import mpmath
import numpy as np
import pytest

from mimtheory.polynomial_roots import ray_roots, roots_within


@pytest.mark.parametrize("doubt", [1e-3, 1e-8, 1e-14])
def test_discs_hold_the_roots_of_every_polynomial_near_by(doubt: float) -> None:
    """Coefficients moved to the corners of their doubts; roots to 30 digits; simple, double and triple real roots, and
    coefficients that vanish; 5 polynomials, 6 corners each."""
    rng = np.random.default_rng(3)
    families = [[0.3, -0.5, 0.9], [0.3, 0.3, -0.7], [0.4, 0.4, 0.4, -0.2], [1e-7, -2e-7, 0.5], [0.5, -0.25]]
    for roots in families:
        p = np.poly(roots)[::-1].copy()
        p = np.append(p, [0.0, 0.0]) if len(roots) == 2 else p
        doubts = doubt * np.abs(p)
        centres, radii = roots_within(p[None], doubts[None], 1.0)
        for _ in range(6):
            q = p + doubts * rng.choice([-1.0, 1.0], len(p))
            with mpmath.workdps(30):
                exact = mpmath.polyroots(
                    [mpmath.mpf(x) for x in np.trim_zeros(q, "b")[::-1]], maxsteps=500, extraprec=400
                )
            for x in (complex(z) for z in exact if abs(mpmath.im(z)) < 1e-25 and abs(z) <= 1):
                assert np.any(np.abs(centres[0] - x) <= radii[0] + 1e-17)
        moved = doubt ** (1 / 3) if len(set(roots)) == 2 and len(roots) == 4 else doubt**0.5
        inside = np.abs(centres[0]) < 1
        assert radii[0][inside].max() <= 60 * moved


def test_a_double_root_is_known_to_the_square_root_of_the_doubt() -> None:
    """(x^2 - 1)^2 within doubts of 1e-14: discs of a radius of some 1e-7, though the computed roots coincide."""
    p = np.array([[1.0, 0.0, -2.0, 0.0, 1.0]])
    _, radii = roots_within(p, 1e-14 * np.abs(p), 8.0)
    assert np.all(radii >= 5e-8)  # (x^2 - 1)^2 = 1e-14 has roots there
    assert np.all(radii <= 1e-5)


def test_a_line_whose_sign_is_rounding_is_in_doubt_as_a_whole() -> None:
    """a x^2 with |a| below its doubt; where a is certain the root at the origin is exact."""
    p = np.array([[0.0, 0.0, 1e-17], [0.0, 0.0, 1.0]])
    roots, radii = roots_within(p, np.array([[0.0, 0.0, 1e-16]] * 2), 8.0)
    assert np.all(roots == 0)
    assert np.isinf(radii[0]).all()
    assert np.all(radii[1] == 0)


def test_several_roots_at_infinity_do_not_hide_that_there_are_none_near() -> None:
    """Nothing but the constant is above its doubt, so |x| <= 8 cannot have a root; computed roots are some 1000."""
    p = np.array([[-0.8, -1e-10, 1e-16, 0.0, -1e-17, 0.0, -1.5e-18]])
    doubts = np.array([[1.6e-15, 1.3e-15, 2.6e-15, 0.0, 1.1e-15, 0.0, 8.7e-17]])
    roots, radii = roots_within(p, doubts, 8.0)
    assert np.all(np.abs(roots) - radii > 8)


@pytest.mark.parametrize("power", [-900, 900])
def test_no_power_of_two_moves_a_root(power: int) -> None:
    """12^20 times a coefficient of 2^900 and more would overflow."""
    p = np.zeros((2, 21))
    p[:, [0, 2, 20]] = [[-1.0, 0.5, 3.0], [-2.0, 0.0, 1.0]]
    (roots, radii), (same, as_large) = (
        roots_within(np.ldexp(p, k), np.ldexp(1e-12 * np.abs(p), k), 12.0) for k in (0, power)
    )
    assert (roots == same).all()
    assert (radii == as_large).all()
    assert (ray_roots(np.ldexp(p, power), 0.0, 12.0) == ray_roots(p, 0.0, 12.0)).all()
