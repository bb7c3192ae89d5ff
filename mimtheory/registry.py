"""Declarations only: a Lemma has Claims, a Claim has Controls.

A claim is two pure functions. `measured` sees the draw. `stated` sees only what its level allows, so that a bound
cannot peek and can be evaluated without a draw:

=====  ==========================  =================================================
level  stated(...) receives        the claim is true
=====  ==========================  =================================================
I      the experiment              as an identity
D      the experiment              for every draw
G      (given, delta)              with probability >= 1 - delta over what is not given
P      (population, delta)         with probability >= 1 - delta over the draw
=====  ==========================  =================================================
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol

from mimtheory.assumptions import fails
from mimtheory.relations import Kind, Relation, Rounded, at_most, says_nothing

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["LEVELS", "Claim", "Control", "Cost", "Draw", "Lemma", "Level", "Provenance"]

Level = Literal["I", "D", "G", "P"]
Cost = Literal["draw", "run"]
LEVELS: dict[Level, str] = {
    "I": "Identity: both sides are equal up to derived roundoff; one violation refutes.",
    "D": "Deterministic: true for every draw, given what is measured on it; one violation refutes.",
    "G": "Given part of the draw, true with probability at least 1 − δ over the rest.",
    "P": "A priori: true with probability at least 1 − δ, known before anything is drawn.",
}
Provenance = Literal["title", "numbered", "reading", "ours", "own"]
Stated = Callable[..., "Rounded | ArrayLike"]


class Draw(Protocol):
    """What the registry itself asks of an experiment; each claim's functions name what else they read."""

    @property
    def population(self) -> Any: ...


Measured = Callable[[Any], "Rounded | ArrayLike"]
Compare = Callable[["Rounded | ArrayLike", "Rounded | ArrayLike"], Relation]


@dataclass(frozen=True)
class Control:
    """A structurally false variant of a claim, with the design on which the harness must refute it.

    `measured` is the claim's own unless what is broken is the draw, such as shuffled labels.
    """

    name: str
    why: str
    stated: Stated
    design: Mapping[str, Any]
    measured: Measured | None = None


@dataclass(frozen=True, eq=False)
class Claim:
    """One checkable statement; `label` (as in ``A.2/perp_block``) names it everywhere."""

    lemma: "Lemma"
    name: str
    level: Level
    statement: str
    summary: str
    measured: Measured
    stated: Stated
    compare: Compare
    needs: tuple[str, ...]
    controls: list[Control] = field(default_factory=list)

    @property
    def label(self) -> str:
        return f"{self.lemma.label}/{self.name}"

    @property
    def kind(self) -> Kind:
        """How the two sides are compared."""
        return self.compare(0.0, 0.0).kind

    @property
    def probabilistic(self) -> bool:
        return self.level in ("G", "P")

    def check(self, e: Draw, delta: float, control: Control | None = None) -> Relation:
        """Compare measured and stated on one draw; a control stands in for the claim's own sides."""
        stated = control.stated if control else self.stated
        measured = (control.measured if control else None) or self.measured
        if any(fails(label, e.population) for label in self.needs):
            return says_nothing()
        if self.level == "P":
            # a centre fitted to the draw makes the T_i dependent: nothing is promised before the draw then
            if e.population.setting.centre == "fitted":
                return says_nothing()
            return self.compare(measured(e), stated(e.population, delta))
        if self.level == "G":
            return self.compare(measured(e), stated(self.lemma.given(e), delta))
        return self.compare(measured(e), stated(e))

    def __repr__(self) -> str:
        return f"<claim {self.label}[{self.level}]: {self.summary}>"


def _nothing_given(e: Draw) -> Any:
    raise TypeError("a claim of level G needs a lemma declared with given=")


@dataclass(frozen=True, eq=False)
class Lemma:
    """A statement of the paper or of this project, and the register of its claims.

    Parameters
    ----------
    label, title : str
        Such as "A.2" and its title.
    provenance : {"title", "numbered", "reading", "ours", "own"}
        Whether the paper names the statement, has a statement of this number whose text this project does not
        have, has one of which a finite reading is measured here and not proved, or has no such statement. Constants
        and, but for a reading, proofs are this project's in these four cases. "own" is the statement of a module from
        outside, and the only one allowed there.
    uses : tuple of str
        Labels of the statements it rests on.
    given : callable
        From an experiment, the part of the draw on which claims of level G condition.
    cost : {"draw", "run"}
        Whether the claims look at a draw only or at stage one on it, for predictions of time.
    needs : tuple of str
        Assumption labels without which every claim of the lemma is vacuous.

    Attributes
    ----------
    claims : dict of str to Claim
        By name, in the order in which they were registered.
    designs : list of dict
        What `design` was given.
    """

    label: str
    title: str
    provenance: Provenance = "own"
    uses: tuple[str, ...] = ()
    given: Callable[[Any], Any] = _nothing_given
    cost: Cost = "draw"
    needs: tuple[str, ...] = ()
    claims: dict[str, Claim] = field(default_factory=dict)
    designs: list[Mapping[str, Any]] = field(default_factory=list)

    def claim(
        self,
        level: Level,
        statement: str,
        *,
        measured: Measured,
        compare: Compare = at_most,
        needs: tuple[str, ...] = (),
    ) -> Callable[[Stated], Claim]:
        """Register the decorated function as the stated side of a claim named after it.

        Parameters
        ----------
        level : {"I", "D", "G", "P"}
        statement : str
            The claim in LaTeX.
        measured : callable
            From an experiment, the measured side.
        compare : callable
            `at_most` (default), `at_least` or `equals`.
        needs : tuple of str
            Assumption labels without which the claim is vacuous.

        Raises
        ------
        ValueError
            For an unknown level, one of G without `given` in the lemma, a name that is taken or a missing docstring.
        """
        if level not in LEVELS:
            raise ValueError(f"level = {level!r} of a claim of {self.label}; allowed: {', '.join(LEVELS)}")
        if level == "G" and self.given is _nothing_given:
            raise ValueError(f"level = 'G' of a claim of {self.label}; allowed for a lemma declared with given=")

        def register(stated: Stated) -> Claim:
            name = stated.__name__
            if name in self.claims:
                raise ValueError(f"claim {name!r} of lemma {self.label} is declared twice; names must differ")
            claim = Claim(self, name, level, statement, _summary(stated), measured, stated, compare, self.needs + needs)
            self.claims[name] = claim
            return claim

        return register

    def control(
        self, claim: Claim, *, why: str, measured: Measured | None = None, **design: Any
    ) -> Callable[[Stated], Control]:
        """Register the decorated function as a false variant of a claim.

        Parameters
        ----------
        claim : Claim
        why : str
            What was made false; printed in reports.
        measured : callable, optional
            Where the draw is what the control breaks.
        **design
            Where it must be refuted: fields of a Setting (link, loss, d, n, ...), and trials and delta if need be.
        """

        def register(stated: Stated) -> Control:
            control = Control(stated.__name__, why, stated, MappingProxyType(design), measured)
            claim.controls.append(control)
            return control

        return register

    def design(self, **fields: Any) -> None:
        """Name settings on which `verify` checks the lemma where it has no plan of its own.

        The `fields` are those of a Setting (link, loss, d, n, ...), of which lists stand for their product; trials and
        delta; and `expect`, from names of claims to the status that is expected there in place of `holds`.
        """
        self.designs.append(MappingProxyType(fields))

    @property
    def doc(self) -> str:
        """The documentation of the lemma's file: statement in words, looseness, source of the proof."""
        return inspect.cleandoc(inspect.getmodule(next(iter(self.claims.values())).stated).__doc__ or "")

    def __repr__(self) -> str:
        return f"<lemma {self.label}: {self.title}, {len(self.claims)} claims>"


def _summary(stated: Stated) -> str:
    text = inspect.cleandoc(stated.__doc__ or "")
    if not text:
        raise ValueError(f"the claim {stated.__name__!r} needs a docstring: its first paragraph is printed in reports")
    return " ".join(text.split("\n\n")[0].split())
