"""Every study, in the order in which `all` runs them."""

from verification.studies import activations, fig1, fig2, joint, losses, steps, theorem1
from verification.study import Study

__all__ = ["STUDIES"]

STUDIES: tuple[Study, ...] = tuple(module.STUDY for module in (fig1, fig2, theorem1, steps, losses, activations, joint))
