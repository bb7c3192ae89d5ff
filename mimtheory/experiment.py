"""Experiment: a Population and one draw of it, under the symbols of the theory. It computes nothing itself."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mimtheory.operators import EmpiricalHessian
from mimtheory.population import Population, Setting
from mimtheory.sample import Labels, Sample

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
    """

    def __init__(
        self,
        setting: Setting,
        rng: "int | np.random.SeedSequence | np.random.Generator" = 0,
        threads: int = 1,
    ) -> None:
        self.setting = setting
        self.population = Population(setting)
        self._rng = rng
        self._threads = threads

    @cached_property
    def sample(self) -> Sample:
        return Sample(self.population, np.random.default_rng(self._rng), self._threads)

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

    def __repr__(self) -> str:
        s = self.setting
        return f"Experiment({s.link.text!r}, {s.loss.text!r}, d={s.d}, n={s.n})"
