"""What layers ask of training besides the loss: penalties, constraints and masks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from neuromatic.ir.values import Value

if TYPE_CHECKING:
    from neuromatic.ir.graph import GraphBuilder

Term = Callable[["GraphBuilder", Value], Value]
"""A regularizer or a constraint: adds nodes for a penalty, a scalar, or for a value's replacement."""


@dataclass(frozen=True)
class Penalty:
    """What a regularizer adds to the loss.

    Attributes:
        value: name of the parameter or activation.
        term: gives a scalar for it.
        per_sample: whether to divide that by the batch size, as for activations.
    """

    value: str
    term: Term
    per_sample: bool = False


@dataclass(frozen=True)
class Terms:
    """What layers ask of training besides the loss; no part of the inference graph.

    Attributes:
        penalties: added to the loss.
        constraints: applied to a parameter after each update, by its name.
        masks: by the name of an output, which of its steps count in the loss.
    """

    penalties: tuple[Penalty, ...] = ()
    constraints: Mapping[str, Term] = field(default_factory=dict)
    masks: Mapping[str, str] = field(default_factory=dict)


NO_TERMS = Terms()
