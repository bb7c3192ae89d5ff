"""Certified E T, E[T z], E[T z z^T] of a quadratic link of any number of variables: one Fourier integral.

For a quadratic V the characteristic function, with the weights 1, z_i and z_i z_j in it, is elementary; T is a
combination of sign(V - kink) and |V - kink|, whose expectations are integrals of it over the line (after Imhof). Label
noise is one factor more. Proof: docs/theory/certified.md.
"""

import itertools
import math
import time
from fractions import Fraction
from typing import Any

import flint
from flint import acb, acb_mat, arb, arb_mat

from mimtheory.balls import ball_of, precision, surd_ball
from mimtheory.piecewise_lines import PiecewiseLine
from mimtheory.polynomials import Polynomial
from mimtheory.weighted_moments import Weighted, weights_of

__all__ = ["is_quadratic", "quadratic_integrals"]

_BITS = 160
_START = Fraction(1, 10**14)  # below this the integrand is bounded and not integrated
_CALLS = 500_000
_LONGEST = 1e6


def quadratic_integrals(
    u: Polynomial, line: PiecewiseLine, noise: Fraction, target: float, deadline: float = math.inf
) -> Weighted:
    """Enclose E[T(u(z) - noise xi) w(z)] for z ~ N(0, I_r).

    Parameters
    ----------
    u : Polynomial
        c - g, for which `is_quadratic` holds.
    line : PiecewiseLine
        T as a function of u, exactly.
    noise : Fraction
        Standard deviation of the label noise.
    target, deadline : float
        Radius at which to stop; value of time.monotonic().

    Raises
    ------
    ValueError
        For any other u.
    """
    with precision(_BITS):
        form = _form(u)
        if form is None:
            raise ValueError(f"u = {u.to_sympy()} is not a quadratic of full rank r >= 3; allowed: see is_quadratic")
        work = _Fourier(u, *form, line, noise, target, deadline)
        balls = tuple(work.expectation(w) for w in weights_of(u.r, u.r))
        return Weighted.unknown(len(balls)) if work.expired else Weighted(balls, work.calls)


def is_quadratic(u: Polynomial) -> bool:
    """Degree 2, r >= 3, and a quadratic part of full rank that is rational up to one common square root."""
    with precision(_BITS):
        return _form(u) is not None


def _form(u: Polynomial) -> tuple[arb_mat, arb_mat, arb, list[arb]] | None:
    """(A, b, constant, eigenvalues of A) with u = z^T A z + b^T z + constant; None for other polynomials."""
    quadratic = {index: surd for index, surd in u.terms.items() if sum(index) == 2}
    radicands = {s for surd in quadratic.values() for s in surd}
    if u.degree != 2 or len(radicands) != 1:
        return None
    (radicand,) = radicands
    A = [[flint.fmpq(0)] * u.r for _ in range(u.r)]
    for index, surd in quadratic.items():
        i, j = [k for k, e in enumerate(index) for _ in range(e)]
        A[i][j] += surd[radicand] / 2
        A[j][i] += surd[radicand] / 2
    root = arb(radicand).sqrt()
    roots: list[Any] = flint.fmpq_mat(A).charpoly().numer().complex_roots()
    eigenvalues = [x.real * root for x, multiplicity in roots for _ in range(multiplicity)]
    if u.r < 3 or any(x.contains(0) for x in eigenvalues):
        return None
    terms = u.terms
    b = [[surd_ball(terms.get(tuple(int(i == k) for i in range(u.r)), {}))] for k in range(u.r)]
    return (
        arb_mat([[arb(x) * root for x in row] for row in A]),
        arb_mat(b),
        surd_ball(terms.get((0,) * u.r, {})),
        eigenvalues,
    )


class _Fourier:
    """The integrals of one problem."""

    def __init__(
        self,
        u: Polynomial,
        A: arb_mat,
        b: arb_mat,
        constant: arb,
        eigenvalues: list[arb],
        line: PiecewiseLine,
        noise: Fraction,
        target: float,
        deadline: float,
    ) -> None:
        self.u, self.A, self.b, self.constant, self.eigenvalues = u, A, b, constant, eigenvalues
        self.noise, self.target, self.deadline = ball_of(noise) ** 2, target, deadline
        self.jumps = [(k, ball_of(k), ball_of(jump), ball_of(bend)) for k, jump, bend in line.jumps()]
        self.middle = (ball_of(line.constants[0]) + ball_of(line.constants[-1])) / 2
        self.expired, self.calls = False, 0
        self.seen: dict[tuple[object, ...], tuple[acb, acb_mat, acb_mat]] = {}
        self.stop = self._stop()

    def expectation(self, weight: tuple[int, ...]) -> arb:
        """middle E w + (1/pi) int sum_k [jump Im psi_k/t - bend Re psi_k/t^2] dt, psi_k = E[e^(it(V - k)) w]."""

        def integrand(t: acb, analytic: bool) -> acb:
            if self.expired or time.monotonic() > self.deadline:
                self.expired = True
                return acb(0)
            self.calls += 1
            psi = self._weighted(t, weight, analytic)
            mirrored = self._weighted(-t, weight, analytic)  # the conjugate for real t, continued analytically
            total = acb(0)
            for _, kink, jump, bend in self.jumps:
                turn, back = (acb(0, -1) * t * kink).exp(), (acb(0, 1) * t * kink).exp()
                if jump != 0:
                    total += (psi * turn - mirrored * back) / acb(0, 2) * jump / 2 / t
                if bend != 0:
                    total -= (psi * turn + mirrored * back) / 2 * bend / 2 / (t * t)
            return total

        mean = arb(1 if all(k % 2 == 0 for k in weight) else 0)  # E z_i^2 = 1 as well
        limit, start = self.target / 200, ball_of(_START)
        cuts = [start, *(arb(10) ** k for k in range(-3, 7) if arb(10) ** k < self.stop), self.stop]
        total = arb(0)
        for low, high in itertools.pairwise(cuts):
            total += acb.integral(integrand, low, high, abs_tol=limit, rel_tol=0, eval_limit=_CALLS).real
        missed = self._near_zero() + self._beyond(self.stop)
        return self.middle * mean + 2 / arb.pi() * (total + arb(0, missed.upper()))

    def _weighted(self, t: acb, weight: tuple[int, ...], analytic: bool) -> acb:
        psi, S, mu = self._characteristic(t, analytic)
        axes = [k for k, e in enumerate(weight) for _ in range(e)]
        if not axes:
            return psi
        if len(axes) == 1:
            return psi * mu[axes[0], 0]
        i, j = axes
        return psi * (S[i, j] + mu[i, 0] * mu[j, 0])

    def _characteristic(self, t: acb, analytic: bool) -> tuple[acb, acb_mat, acb_mat]:
        """(psi, S, mu): psi = E e^(itV), S = (I - 2itA)^-1 and mu = it S b are covariance and mean under e^(itV)."""
        parts = (t.real.mid(), t.real.rad(), t.imag.mid(), t.imag.rad())
        key = (*((int(m), int(e)) for m, e in (x.man_exp() for x in parts)), analytic)
        if key not in self.seen:
            r, it = self.u.r, acb(0, 1) * t
            M = acb_mat([[acb(int(i == j)) - 2 * it * self.A[i, j] for j in range(r)] for i in range(r)])
            psi = (it * self.constant - self.noise * t * t / 2).exp()
            for x in self.eigenvalues:
                psi *= (1 - 2 * it * x).rsqrt(analytic=analytic)
            try:
                S = M.inv()
            except ZeroDivisionError:
                nothing = acb(math.nan, math.nan)
                S = acb_mat([[nothing] * r for _ in range(r)])
            b = acb_mat(self.b)
            mu = S * b * it
            exponent = (b.transpose() * S * b)[0, 0] * t * t / 2
            self.seen[key] = psi * (-exponent).exp(), S, mu
        return self.seen[key]

    def _near_zero(self) -> arb:
        """|sin(vt)/t| <= |v| and, the bends summing to 0, |sum bend cos(vt)|/t^2 <= sum |bend| v^2/2; E w^2 <= 3."""
        total = arb(0)
        for k, _, jump, bend in self.jumps:
            v = self.u - Polynomial.constant(self.u.r, k)
            second = surd_ball((v**2).gaussian_mean()) + self.noise
            fourth = (
                surd_ball((v**4).gaussian_mean())
                + 6 * self.noise * surd_ball((v**2).gaussian_mean())
                + 3 * self.noise**2
            )
            total += abs(jump) / 2 * (3 * second).sqrt() + abs(bend) / 4 * (3 * fourth).sqrt()
        return total * ball_of(_START)

    def _beyond(self, stop: arb) -> arb:
        """|psi| <= prod (2 |a| t)^(-1/2), |S| <= 1 and |mu| <= |b|/(2 min |a|) over the eigenvalues a of A."""
        sizes = [abs(x) for x in self.eigenvalues]
        m, height = arb(len(sizes)) / 2, arb(1)
        for a in sizes:
            height *= (2 * a).rsqrt()
        mean = sum((x * x for x in self.b.entries()), arb(0)).sqrt() / (2 * min((a.lower() for a in sizes), key=float))
        whole = 1 + mean + mean**2
        jumps = sum((abs(jump) for _, _, jump, _ in self.jumps), arb(0)) / 2
        bends = sum((abs(bend) for _, _, _, bend in self.jumps), arb(0)) / 2
        return height * whole * (jumps * stop ** (-m) / m + bends * stop ** (-m - 1) / (m + 1))

    def _stop(self) -> arb:
        """Where the rest is worth less than a quarter of the target."""
        stop = arb(4)
        while not self._beyond(stop) < self.target / 4 and stop < _LONGEST:
            stop *= 2
        return stop
