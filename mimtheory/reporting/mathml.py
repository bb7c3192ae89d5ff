"""Formulas as MathML, and numbers as a reader expects them."""

import math
from html import escape
from xml.etree import ElementTree

from latex2mathml.converter import convert

__all__ = ["BEYOND_PLAIN", "LEAST_PLAIN", "formula", "number", "scientific"]

_NAMESPACE = ' xmlns="http://www.w3.org/1998/Math/MathML"'
LEAST_PLAIN, BEYOND_PLAIN = 1e-3, 1e5  # between them `number` writes no power of ten
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float | None, digits: int = 3) -> str:
    """A number to `digits` significant digits: – where there is none, ∞ for infinity, 3·10⁻⁶ for the small."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0 or LEAST_PLAIN <= abs(value) < BEYOND_PLAIN:
        # g switches to an exponent at 10^digits already
        plain = f"{value:.{digits}g}"
        return (f"{value:.0f}" if "e" in plain else plain).replace("-", "−")
    return scientific(value, digits)


def scientific(value: float, digits: int = 3) -> str:
    """A finite number to `digits` significant digits as 3·10⁻⁶, whatever its size."""
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    power = f"10{str(int(exponent)).translate(_SUPERSCRIPT)}"
    signed = mantissa.replace("-", "−")
    return power if mantissa == "1" else f"{signed}·{power}"


def formula(latex: str) -> str:
    """A LaTeX formula as a block of MathML whose alternative text is the LaTeX.

    A formula that cannot be converted is shown as its LaTeX: a lemma of the user's own must not cost him the report.
    """
    try:
        # HTML needs no namespace, and without it the tags keep their plain names
        tree = ElementTree.fromstring(convert(latex, display="block").replace(_NAMESPACE, ""))
    except Exception:  # the converter's exceptions have no base class of their own
        return f'<code class="latex">{escape(latex)}</code>'
    tree.set("alttext", latex)
    _set_spaces(tree)
    return ElementTree.tostring(tree, encoding="unicode")


def _set_spaces(tree: ElementTree.Element) -> None:
    """Norm bars and words as operators: MathML would put the space of a relation around both."""
    for parent in tree.iter():
        for child in parent:
            if child.tag != "mo" or not child.text:
                continue
            if child.text in "|‖":
                space = "0"
            elif child.text in "()" and any(sibling.tag == "mtable" for sibling in parent):
                # brackets of a matrix grow only where MathML knows them for the ends of a group
                child.attrib |= {"form": "prefix" if child.text == "(" else "postfix", "stretchy": "true"}
                continue
            elif child.text.isalpha() and len(child.text) > 1:
                space = "0" if len(parent) == 1 else "0.12em"
            else:
                continue
            child.set("lspace", space)
            child.set("rspace", space)
