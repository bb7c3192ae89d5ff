"""Problems by name, as the tests of integrals take them."""

from fractions import Fraction

from mimtheory.links import link
from mimtheory.losses import loss
from mimtheory.piecewise_lines import PiecewiseLine, piecewise_line
from mimtheory.polynomials import Polynomial

__all__ = ["line_of", "u_of"]


def line_of(name: str) -> PiecewiseLine:
    """The derivative of a loss that is piecewise linear."""
    line = piecewise_line(loss(name))
    assert line is not None
    return line


def u_of(text: str, centre: Fraction = Fraction(0)) -> Polynomial:
    """The error c - g(z) of a link before training."""
    g = link(text)
    return Polynomial.constant(g.r, centre) - g.polynomial
