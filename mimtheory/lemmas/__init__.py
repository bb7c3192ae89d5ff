"""The statements, one file each; REGISTRY holds them in the paper's order."""

from mimtheory.lemmas.a2_operator_norm import lemma as a2
from mimtheory.registry import Claim, Lemma

__all__ = ["REGISTRY", "find_claim", "find_lemma"]

REGISTRY: tuple[Lemma, ...] = (a2,)


def find_lemma(label: str) -> Lemma:
    """The lemma of that label, such as "A.2".

    Raises
    ------
    ValueError
        If there is none; the known labels are named.
    """
    for lemma in REGISTRY:
        if lemma.label.lower() == label.lower():
            return lemma
    raise ValueError(f"lemma = {label!r} is unknown; allowed: {', '.join(lemma.label for lemma in REGISTRY)}")


def find_claim(label: str) -> Claim:
    """The claim of that label, such as "A.2/perp_block"."""
    lemma_label, _, name = label.partition("/")
    lemma = find_lemma(lemma_label)
    if name not in lemma.claims:
        raise ValueError(f"claim = {label!r} is unknown; allowed: {', '.join(c.label for c in lemma.claims.values())}")
    return lemma.claims[name]
