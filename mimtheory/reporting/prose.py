"""The plain mathematics of docstrings, S_hat or |H^T w|^2/eps0^2, as a page prints it: hats, indices, powers, Greek."""

import re

from markupsafe import Markup, escape

__all__ = ["mathematics", "paragraphs", "typeset"]

_GREEK = {
    "alpha": "α",
    "beta": "β",
    "gamma": "γ",
    "delta": "δ",
    "eps": "ε",
    "eta": "η",
    "theta": "θ",
    "pi": "π",
    "kappa": "κ",
    "lambda": "λ",
    "rho": "ρ",
    "sigma": "σ",
    "tau": "τ",
    "phi": "φ",
    "psi": "ψ",
    "omega": "ω",
    "Gamma": "Γ",
    "Delta": "Δ",
    "Theta": "Θ",
    "Phi": "Φ",
}
_NAMED = {"sum": "∑", "prod": "∏", "max": "max", "min": "min", "inf": "inf", "sup": "sup"}
_ACCENTED = {"Tbar": "T̄", "chat": "ĉ", "lmax": "λ<sub>max</sub>", "lmin": "λ<sub>min</sub>"}
_BELOW = {"perp": "⊥", "chat": "ĉ", "min": "min", "max": "max", "last": "last", "op": "op"}

_POWER = r"\^(?P<{}>\([^()\s]+\)|\{{[^}}]*\}}|-?\w+)"
_INDEX = rf"ij|\w\d?|\{{[^}}]*\}}|{'|'.join(_BELOW)}"
_SYMBOL = re.compile(
    rf"\b(?P<named>{'|'.join(_NAMED)})_(?P<over>{_INDEX})(?![A-Za-z0-9_])"
    rf"|\b(?P<accented>{'|'.join(_ACCENTED)})\b"
    rf"|(?:\b|(?<=\b2))(?P<letter>{'|'.join(_GREEK)}|He|[A-Za-zΑ-ω])(?P<digit>\d)?(?P<hat>_hat)?(?P<primes>'*)"
    rf"(?:_(?P<below>{_INDEX})(?![A-Za-z0-9]))?(?:{_POWER.format('above')})?(?![A-Za-z0-9_])"
    rf"|(?<=[\w)|;\]⟩])(?:_(?P<after_below>op|\d|\{{[^}}]*\}}))?{_POWER.format('after')}"
    r"|(?<=[)|\]])_(?P<under>op|\d)\b"
)


def typeset(text: str) -> Markup:
    """Escaped text of one line; what stands between backticks is code, and stays."""
    parts = re.split(r"`([^`]*)`", " ".join(text.split()))
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if i % 2 else mathematics(part) for i, part in enumerate(parts)
    )


def paragraphs(text: str) -> Markup:
    """Paragraphs of plain text; a block with a ruled or indented line keeps its lines."""
    blocks = [block for block in re.split(r"\n\s*\n", text.strip()) if block]
    return Markup("\n").join(
        Markup("<pre>{}</pre>").format(block)
        if re.search(r"^( {2,}|=={2,}|--{2,})", block, re.MULTILINE)
        else Markup("<p>{}</p>").format(typeset(block))
        for block in blocks
    )


def mathematics(text: str) -> Markup:
    """Escaped text in which nothing is code; spaces stay as they are."""
    text = str(escape(text)).replace("&#39;", "'")
    text = text.replace("&lt;=", "≤").replace("&gt;=", "≥").replace("-&gt;", "→")
    # an inner product has no spaces within its brackets, an inequality has
    text = re.sub(r"&lt;([^&|\s][^&|]*, [^&|]*[^&|\s])&gt;", r"⟨\1⟩", text)
    text = re.sub(r"\b([rdnmp\d]) x (?=[rdnmp\d]\b)", r"\1 × ", text)
    text = text.replace("O~(", "Õ(").replace("sqrt(", "√(")
    text = re.sub(r"\bsqrt (?=[\dA-Za-z]\b)", "√", text)
    text = re.sub(r"\bsum (?=\|)", "∑ ", re.sub(r"\bprod (?=[A-Z]_)", "∏ ", text))
    # a path or a label with a stroke is a name, not a quotient
    return Markup("").join(
        Markup(part) if re.fullmatch(r"\S*\.md\S*|[A-Z]\.\d+/\w+", part) else Markup(_SYMBOL.sub(_symbol, part))
        for part in re.split(r"(\S*\.md\b|[A-Z]\.\d+/\w+)", text)
    )


def _symbol(found: re.Match[str]) -> str:
    if found["named"]:
        return _NAMED[found["named"]] + _mark("sub", found["over"])
    if found["accented"]:
        return _ACCENTED[found["accented"]]
    if found["under"]:
        return _mark("sub", found["under"])
    if found["after"]:
        return _mark("sub", found["after_below"]) + _mark("sup", found["after"])
    letter = _GREEK.get(found["letter"], found["letter"]) + ("\u0302" if found["hat"] else "") + found["primes"]
    return letter + _mark("sub", found["digit"]) + _mark("sub", found["below"]) + _mark("sup", found["above"])


def _mark(tag: str, content: str | None) -> str:
    if not content:
        return ""
    inner = content.strip("{}")
    return f"<{tag}>{_BELOW.get(inner) or _SYMBOL.sub(_symbol, inner)}</{tag}>"
