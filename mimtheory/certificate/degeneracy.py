"""Exact arguments why C is singular: its exact entries, a constant T, symmetries, balanced steps, an idle direction."""

from mimtheory.closed_forms import closed_form
from mimtheory.enclosures import Problem
from mimtheory.polynomial_derivatives import exact_moments
from mimtheory.symmetries import constant_T, idle_direction, pattern

__all__ = ["why_degenerate"]


def why_degenerate(problem: Problem) -> tuple[int | None, str] | None:
    """(rank where known, argument) if an exact argument shows that C is singular, else None."""
    g, l, c = problem.link, problem.loss, problem.centre  # noqa: E741 - the theory's symbol
    exact = exact_moments(g, l, c, problem.noise)
    if exact is not None:
        rank = exact.C.rank
        if rank == g.r:
            return None
        if rank == 0:
            return 0, "Its entries are exact numbers, and all of them are 0: C = 0."
        return (
            rank,
            f"Its entries are exact numbers, and its characteristic polynomial has {_root_0(g.r - rank)}.",
        )
    if not problem.noise:
        constant = constant_T(g, l, c) or _one_piece(problem)
        if constant is not None:
            return 0, f"{constant}, and E[z z^T - I] = 0."
    symmetries = pattern(g, l, c)
    if symmetries.degenerate:
        zero = all(sign == 0 for row in symmetries.C for sign, _ in row)
        return (0 if zero else None), (
            f"By symmetry: {'; '.join(symmetries.used)}"
            + (", T is odd" if symmetries.odd else ", l'(-u) + l'(u) is constant" if symmetries.flips else "")
            + (": C = 0." if zero else ": every matrix with these zeros and equalities has determinant 0.")
        )
    if not problem.noise and (step := _balanced_step(problem)) is not None:
        return 0, step
    direction = idle_direction(g)
    if direction is not None:
        text = ", ".join(map(str, direction))
        return None, f"g does not change along v = ({text}), a direction independent of y, so C v = 0."
    return None


def _one_piece(problem: Problem) -> str | None:
    """r = 1: whether T takes one constant between all its cuts."""
    form = closed_form(problem.link, problem.loss, problem.centre)
    if form is None:
        return None
    try:
        pieces = set(form.pieces())
    except ArithmeticError:  # roots that are not told apart
        return None
    if len(pieces) == 1 and len(next(iter(pieces)).coefficients) == 1:
        return "T(g(z)) is constant: c - g stays between the same two kinks of l'"
    return None


def _balanced_step(problem: Problem) -> str | None:
    """r = 1: whether T jumps only where it jumps by as much at the mirror image."""
    form = closed_form(problem.link, problem.loss, problem.centre)
    if form is None:
        return None
    try:
        # a C away from 0, which is nearly every one, spares more cuts
        if not form.balls()[1].contains(0) or not form.balanced_step():
            return None
    except ArithmeticError:
        return None
    return "T is constant between its jumps, and T(-z) + T(z) is constant: C = 0."


def _root_0(multiplicity: int) -> str:
    return "0 as a simple root" if multiplicity == 1 else f"0 as a root of multiplicity {multiplicity}"
