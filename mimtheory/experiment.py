"""Experiment: a Population, one draw of it and both stages on that, under the symbols of the theory. It computes
nothing."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mimtheory.arguments import generator_of
from mimtheory.operators import EmpiricalHessian
from mimtheory.population import Population
from mimtheory.sample import Labels, Sample
from mimtheory.setting import Setting
from mimtheory.stage_one import Run
from mimtheory.stage_two import Outer

__all__ = ["Experiment"]

Floats = NDArray[np.float64]


class Experiment:
    """A Setting with one draw, made when first asked for.

    Parameters
    ----------
    setting : Setting
    rng : int, SeedSequence or Generator
        As for `numpy.random.default_rng`.
    threads : int
        Threads of compiled products; does not change a bit of any result.

    Attributes
    ----------
    X : (n, d);  U : (r, d);  Z : (n, r)
        Dimensionless.
    y : (n,)
        In units of y.
    T : (n,);  S_hat : operator
        In units of T.
    a : (m,)
        In units of y/w^2.
    trajectory : (T1+1, m, d)
        In units of w.
    alignments : (T1+1, m)
        Cosines of the angles between neurons and the hidden subspace.
    sample : Sample
        The draw, with the blocks of S_hat and the spectrum.
    labels : Labels
        What A.2 conditions on: hidden coordinates and T.
    run : Run
        Stage one from a start of its own.
    outer : Outer
        Stage two on the second half of the data.

    Raises
    ------
    ValueError
        For what is no Setting, and for an rng that NumPy refuses.
    FloatingPointError
        When the draw is asked for and its labels leave the range of doubles.
    """

    def __init__(
        self,
        setting: Setting,
        rng: "int | np.random.SeedSequence | np.random.Generator" = 0,
        threads: int = 1,
    ) -> None:
        self.setting = setting
        self.population = Population(setting)
        self._rng = generator_of(rng)
        self._threads = threads

    @property
    def sample(self) -> Sample:
        if isinstance(self._drawn, FloatingPointError):
            raise FloatingPointError(str(self._drawn))
        return self._drawn

    @cached_property
    def _drawn(self) -> Sample | FloatingPointError:
        """The draw, or why there is none: who asks again must not get another one of the same generator."""
        try:
            return Sample(self.population, self._rng, self._threads)
        except FloatingPointError as problem:
            return problem

    @cached_property
    def run(self) -> Run:
        # the sample first: the start is drawn after it from the same generator
        return Run(self.sample, self._rng, self._threads)

    @cached_property
    def outer(self) -> Outer:
        return Outer(self.run, self._rng)

    @property
    def X(self) -> Floats:
        return self.sample.X

    @property
    def U(self) -> Floats:
        return self.sample.U

    @property
    def Z(self) -> Floats:
        return self.sample.Z

    @property
    def y(self) -> Floats:
        return self.sample.y

    @property
    def T(self) -> Floats:
        return self.sample.T

    @property
    def S_hat(self) -> EmpiricalHessian:
        return self.sample.S_hat

    @property
    def labels(self) -> Labels:
        return self.sample.labels

    @property
    def a(self) -> Floats:
        return self.run.a

    @property
    def trajectory(self) -> Floats:
        return self.run.trajectory

    @property
    def alignments(self) -> Floats:
        return self.run.alignments

    def __repr__(self) -> str:
        s = self.setting
        return f"Experiment({s.link.text!r}, {s.loss.text!r}, d={s.d}, n={s.n})"
