"""The statements, one file each; REGISTRY holds them in the paper's order. Lemmas from outside stand beside them."""

import difflib

from mimtheory import own_lemmas
from mimtheory.lemmas.a1_total_perturbation import lemma as a1
from mimtheory.lemmas.a2_operator_norm import lemma as a2
from mimtheory.lemmas.a3_spectral_separation import lemma as a3
from mimtheory.lemmas.a4_q_norm import lemma as a4
from mimtheory.lemmas.a5_compounding import lemma as a5
from mimtheory.lemmas.a6_norm_after_t1 import lemma as a6
from mimtheory.lemmas.a7_alignment import lemma as a7
from mimtheory.lemmas.a8_coverage import lemma as a8
from mimtheory.lemmas.b1_outer_descent import lemma as b1
from mimtheory.lemmas.b2_test_error import lemma as b2
from mimtheory.lemmas.b3_projection import lemma as b3
from mimtheory.lemmas.b4_uniform_deviation import lemma as b4
from mimtheory.lemmas.b5_fitted_centre import lemma as b5
from mimtheory.lemmas.corollary31 import lemma as corollary31
from mimtheory.lemmas.theorem1 import lemma as theorem1
from mimtheory.registry import Claim, Lemma

__all__ = ["REGISTRY", "every_lemma", "find_claim", "find_lemma", "load_installed", "load_lemmas"]

REGISTRY: tuple[Lemma, ...] = (
    *(a1, a2, a3, a4, a5, a6, a7, a8),
    *(b1, b2, b3, b4, b5),
    theorem1,
    corollary31,
)


def load_lemmas(module: str) -> tuple[Lemma, ...]:
    """Import a module from outside this package, and let its lemmas be found by label.

    Raises
    ------
    ValueError
        In one line, if the module cannot be imported, defines no lemma, or one that is not fit.
    """
    return own_lemmas.load(module, REGISTRY)


def load_installed() -> None:
    """Load the lemmas of installed packages, which name their modules in the entry point group `mimtheory.lemmas`."""
    for module in own_lemmas.installed_modules():
        load_lemmas(module)


def every_lemma() -> tuple[Lemma, ...]:
    """The lemmas of this package, and those from outside that were loaded."""
    return (*REGISTRY, *own_lemmas.loaded())


def find_lemma(label: str) -> Lemma:
    """The lemma of that label, such as "A.2"; installed packages are asked if none that is loaded bears it.

    Raises
    ------
    ValueError
        If there is none; the known labels are named.
    """
    if not isinstance(label, str):
        raise ValueError(f"lemma = {label!r}; allowed: a label such as 'A.2', not {type(label).__name__}")
    if (lemma := _known(label)) is not None:
        return lemma
    load_installed()
    if (lemma := _known(label)) is not None:
        return lemma
    raise _unknown("lemma", label, [lemma.label for lemma in every_lemma()])


def _known(label: str) -> Lemma | None:
    """As the theory writes it ("Theorem 1") or without spaces, in capitals or not."""
    wanted = label.replace(" ", "").lower()
    return next((lemma for lemma in every_lemma() if lemma.label.lower() == wanted), None)


def find_claim(label: str) -> Claim:
    """The claim of that label, such as "A.2/perp_block".

    Raises
    ------
    ValueError
        If there is none; those of the lemma are named.
    """
    lemma_label, _, name = label.partition("/")
    lemma = find_lemma(lemma_label)
    if name not in lemma.claims:
        raise _unknown("claim", label, [claim.label for claim in lemma.claims.values()])
    return lemma.claims[name]


def _unknown(kind: str, given: str, known: list[str]) -> ValueError:
    near = difflib.get_close_matches(given, known, n=1, cutoff=0.0)[0]
    return ValueError(f"{kind} = {given!r} is unknown; did you mean {near!r}? allowed: {', '.join(known)}")
