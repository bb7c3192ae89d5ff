"""What a certificate says, and how its file is written: every ball exactly, and a digest of all fields."""

import dataclasses
import hashlib
import json
import math
import time
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Literal

import flint

from mimtheory.balls import ball_from_text, ball_to_text, certified_text, precision
from mimtheory.enclosures import Enclosure, Problem
from mimtheory.html_tables import html_table
from mimtheory.rank_bounds import proved_signs, spectrum_bounds

__all__ = ["NOT_COVERED", "SCHEMA", "Certificate", "as_written", "balls_of", "digest_of", "readable", "recorded"]

SCHEMA = 1
NOT_COVERED = (
    "No certified method covers this link and loss; covered are a polynomial l', kinked losses up to r = 4, smooth or "
    "noisy ones up to r = 3, and up to six coordinates quadratic links and sums of functions of one coordinate each."
)
_BITS = 13_000  # of a ball as it is written: fewer than 4000 digits

Texts = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Certificate:
    """What is proved of C = E[T (z z^T - I)].

    Attributes
    ----------
    link, loss, centre, label_noise : str
        The problem, exactly.
    r : int
    status : {"proved", "degenerate", "undecided"}
    rank : int or None
        The rank, where it is known.
    inertia : (int, int) or None
        Number of positive and of negative eigenvalues.
    lambda_min_abs_lower, lambda_max_abs_upper : float
        Proven bounds on the absolute values of all eigenvalues, in units of T.
    method, argument : str
        How the balls were found; why C is singular or why nothing is decided.
    radius : float
        Largest radius of a ball of C, in units of T.
    seconds : float
        The time it took.
    C : r x r tuple of str, or None
        The balls, exactly, in units of T.
    symmetries : tuple of str
        Symmetries of the link that were used.
    """

    link: str
    loss: str
    centre: str
    label_noise: str
    r: int
    status: Literal["proved", "degenerate", "undecided"]
    rank: int | None
    inertia: tuple[int, int] | None
    lambda_min_abs_lower: float
    lambda_max_abs_upper: float
    method: str
    argument: str
    radius: float
    seconds: float
    C: Texts | None
    symmetries: tuple[str, ...]

    def __str__(self) -> str:
        noise = "" if self.label_noise == "0" else f", label noise {self.label_noise}"
        head = f"C = E[T (z z^T - I)], T = l'({self.centre}, y), y = {self.link}{noise}, l = {self.loss}: "
        how = (
            "" if self.argument == NOT_COVERED else f" ({self.method}; radius {self.radius:.1e}, {self.seconds:.2g} s)"
        )
        if self.status == "degenerate":
            rank = "" if self.rank is None else f" It has rank {self.rank} of {self.r}."
            return f"{head}C is singular.{rank} {self.argument}"
        if self.status == "undecided":
            return f"{head}undecided. {self.argument}{how}"
        assert self.inertia is not None
        positive, negative = self.inertia
        return (
            f"{head}C has full rank {self.rank}, {positive} positive and {negative} negative eigenvalues, and "
            f"{self.lambda_min_abs_lower!r} <= |eigenvalue| <= {self.lambda_max_abs_upper!r} for all of them. "
            f"Proved{how}."
        )

    def _repr_html_(self) -> str:
        return f"<p>{escape(str(self))}</p>" + (html_table(readable(self.C), "C, in units of T") if self.C else "")

    def to_json(self) -> str:
        """The file's text: the fields and their digest."""
        fields = dataclasses.asdict(self) | {"schema": SCHEMA, "balls": readable(self.C)}
        return json.dumps(fields | {"digest": digest_of(fields)}, indent=2, ensure_ascii=False)

    def write(self, path: str | Path) -> None:
        """Write to `path` the file that `check_certificate` reads."""
        Path(path).write_text(self.to_json() + "\n", encoding="utf-8")


def readable(C: Texts | None) -> list[list[str]]:
    """The balls that were written, to the digits that are certain; empty where there are none."""
    rows = [] if C is None else balls_of(C).tolist()
    return [[certified_text(x) for x in row] for row in rows]


def digest_of(fields: dict[str, Any]) -> str:
    """Of all fields but the digest itself: a file that was edited by hand does not fit it."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def recorded(
    problem: Problem,
    status: Literal["proved", "degenerate", "undecided"],
    start: float,
    found: Enclosure | None = None,
    argument: str = "",
    rank: int | None = None,
    exact: bool = False,
) -> Certificate:
    """The certificate of work begun at `start`, with what the balls that were found prove; `exact` if they hold exact
    numbers."""
    texts = None if found is None or not math.isfinite(found.radius) else _texts(found.C)
    # of the balls as they are written, which a reader will bound again
    spectrum = None if texts is None else spectrum_bounds(balls_of(texts))
    proved = spectrum is not None and status == "proved"
    assert spectrum is not None or not proved
    return Certificate(
        link=problem.link.text,
        loss=problem.loss.text,
        centre=str(problem.centre),
        label_noise=str(problem.noise),
        r=problem.link.r,
        status=status,
        rank=problem.link.r if proved else rank,
        inertia=proved_signs(balls_of(texts), exact) if proved and texts else None,
        lambda_min_abs_lower=spectrum.least if proved and spectrum else 0.0,
        lambda_max_abs_upper=spectrum.most if spectrum else math.inf,
        method=found.route if found else "none" if status == "undecided" else "an exact argument",
        argument=argument,
        radius=math.inf if found is None and status == "undecided" else 0.0 if found is None else found.radius,
        seconds=time.monotonic() - start,
        C=texts,
        symmetries=() if found is None else found.symmetries,
    )


def as_written(found: Enclosure) -> Enclosure:
    """The same with its balls as they will be written."""
    with precision(_BITS):
        return dataclasses.replace(found, C=flint.arb_mat([[+x for x in row] for row in found.C.tolist()]))


def _texts(C: flint.arb_mat) -> Texts:
    return tuple(tuple(ball_to_text(C[i, j]) for j in range(C.ncols())) for i in range(C.nrows()))


def balls_of(texts: Texts) -> flint.arb_mat:
    """The matrix that was written."""
    with precision(_BITS):
        return flint.arb_mat([[ball_from_text(x) for x in row] for row in texts])
