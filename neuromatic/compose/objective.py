"""What training makes small, as nodes: losses of outputs, or a recorded loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from onnx import ModelProto

from neuromatic.compose.recorded import copy_part
from neuromatic.errors import ModelError
from neuromatic.graph import GraphBuilder
from neuromatic.losses import Loss
from neuromatic.recipe import Recipe, Target
from neuromatic.values import Value

LOSS = "loss"


class Objective(ABC):
    """What training makes small: adds the loss and the targets that it needs.

    Attributes:
        complete: whether the loss has the penalties of the layers in it.
    """

    complete: ClassVar[bool] = False

    @abstractmethod
    def emit(self, g: GraphBuilder, outputs: Mapping[str, Value]) -> tuple[Value, tuple[Target, ...]]:
        """Add nodes for the scalar loss; returns it and the targets."""


@dataclass(frozen=True)
class Losses(Objective):
    """The sum of a loss for each of some outputs, by output name."""

    losses: Mapping[str, Loss]

    def emit(self, g: GraphBuilder, outputs: Mapping[str, Value]) -> tuple[Value, tuple[Target, ...]]:
        targets, totals = [], []
        for name, loss in self.losses.items():
            prediction = outputs[name]
            target = g.fresh(target_name(name, list(self.losses)))
            y_true = g.input(target, *_known(loss.target_type(prediction)))
            with g.layer(LOSS if len(self.losses) == 1 else f"{LOSS}/{name}"):
                totals.append(loss.emit(g, y_true, prediction))
            targets.append(Target(target, name, loss.classes(prediction)))
        return totals[0] if len(totals) == 1 else g.add("Sum", *totals, name=f"{LOSS}/sum"), tuple(targets)


def _known(kind: tuple[int, tuple[int | str | None, ...] | None]) -> tuple[int, tuple[int | str | None, ...]]:
    dtype, shape = kind
    if shape is None:
        raise ModelError("a loss needs an output of known rank")
    return dtype, shape


def target_name(output: str, outputs: Sequence[str]) -> str:
    """The algorithm input that holds the truth for an output."""
    return "target" if len(outputs) == 1 else f"target/{output}"


@dataclass(frozen=True)
class RecordedObjective(Objective):
    """The loss of a recipe that a file came with."""

    complete: ClassVar[bool] = True

    model: ModelProto
    recipe: Recipe

    def emit(self, g: GraphBuilder, outputs: Mapping[str, Value]) -> tuple[Value, tuple[Target, ...]]:
        copy_part(g, self.model, [self.recipe.loss], [t.name for t in self.recipe.targets])
        return g.value(self.recipe.loss), self.recipe.targets
