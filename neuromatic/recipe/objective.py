"""What training makes small, as nodes: losses of outputs, or a recorded loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from onnx import ModelProto, TensorProto

from neuromatic.errors import ModelError, RecipeError
from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.types import HALVES
from neuromatic.ir.values import Shape, Value
from neuromatic.losses import Loss
from neuromatic.losses.class_axis import Classes, classes_in, has_one_channel, producers_of
from neuromatic.recipe.recorded import copy_part
from neuromatic.recipe.schema import Recipe, Target

LOSS = "loss"


class Objective(ABC):
    """What training makes small: adds the loss and the targets that it needs.

    Attributes:
        complete: whether the loss has the penalties of the layers in it.
    """

    complete: ClassVar[bool] = False

    @abstractmethod
    def emit(
        self, g: GraphBuilder, outputs: Mapping[str, Value], masks: Mapping[str, Value]
    ) -> tuple[Value, tuple[Target, ...]]:
        """Add nodes for the scalar loss; returns it and the targets.

        Args:
            outputs: the model's outputs by name.
            masks: by output name, booleans (batch, steps): which of its steps count.
        """

    @abstractmethod
    def with_sample_weights(self) -> Objective:
        """The same with an input for the weight of each sample.

        Raises:
            RecipeError: this cannot be added.
        """


@dataclass(frozen=True)
class Losses(Objective):
    """The sum of a loss for each of some outputs, by output name.

    Attributes:
        losses: by output name.
        weights: factors of the losses; those that are not named have none.
        sample_weights: whether each loss has an input for the weight of each sample.
    """

    losses: Mapping[str, Loss]
    weights: Mapping[str, float] = field(default_factory=dict)
    sample_weights: bool = False

    def emit(
        self, g: GraphBuilder, outputs: Mapping[str, Value], masks: Mapping[str, Value]
    ) -> tuple[Value, tuple[Target, ...]]:
        targets, totals = [], []
        for name, chosen in self.losses.items():
            if name not in outputs:
                raise RecipeError(f"there can be no loss of {name!r}, a value whose type is unknown")
            loss, first = chosen.fitted(g, outputs[name]), len(g.graph.node)
            prediction = op.cast(g, outputs[name], loss.computes_in(outputs[name].dtype))
            target = g.fresh(target_name(name, list(self.losses)))
            y_true = g.input(target, *_known(loss.target_type(prediction)))
            weight = g.fresh(target_name(name, list(self.losses), "weight")) if self.sample_weights else None
            given: dict[str, Any] = {"weight": weight, "mask": masks.get(name)}
            with g.layer(LOSS if len(self.losses) == 1 else f"{LOSS}/{name}"):
                value = loss.emit(g, y_true, prediction, **{k: v for k, v in given.items() if v is not None})
                totals.append(self._scaled(g, _scalar(g, loss, value), name))
            found = _classes(g, loss, prediction, first)
            targets.append(_with_classes(Target(target, name, weights=weight), loss, prediction, found))
        return totals[0] if len(totals) == 1 else op.total(g, *totals, name=f"{LOSS}/sum"), tuple(targets)

    def with_sample_weights(self) -> Objective:
        return replace(self, sample_weights=True)

    def _scaled(self, g: GraphBuilder, loss: Value, output: str) -> Value:
        if output not in self.weights:
            return loss
        return g.add("Mul", loss, g.const(self.weights[output], loss.dtype))


def _scalar(g: GraphBuilder, loss: Loss, value: Value) -> Value:
    if value.shape:
        raise ValueError(
            f"{type(loss).__name__}: training needs one number for a batch, reduction={loss.reduction!r} "
            f"gives one for each sample; choose 'sum_over_batch_size' or 'sum'"
        )
    return op.cast(g, value, TensorProto.FLOAT) if value.dtype in HALVES else value


def _classes(g: GraphBuilder, loss: Loss, prediction: Value, first: int) -> Classes | None:
    """What the classes of a loss are, which it says itself or its nodes tell, those from the ``first`` on."""
    axis = loss.classes_along(prediction)
    if axis is not None:
        return Classes(axis)
    found = classes_in(g.graph.node[first:], prediction, producers_of(g), g.opset)
    return Classes(1) if found is None and has_one_channel(prediction) else found


def _with_classes(target: Target, loss: Loss, prediction: Value, found: Classes | None) -> Target:
    count, ignored = loss.classes(prediction), loss.ignored()
    if count is None and found is not None and found.indices:
        size = prediction.dim(found.axis)
        count, ignored = size if isinstance(size, int) else None, found.ignored
    last = found is None or found.axis == prediction.rank - 1
    return replace(target, classes=count, ignored=ignored, axis=None if last or found is None else found.axis)


def _known(kind: tuple[int, Shape | None]) -> tuple[int, Shape]:
    dtype, shape = kind
    if shape is None:
        raise ModelError("a loss needs an output of known rank")
    return dtype, shape


def target_name(output: str, outputs: Sequence[str], kind: str = "target") -> str:
    """The algorithm input that holds the truth, or a sample's weight, for an output."""
    return kind if len(outputs) == 1 else f"{kind}/{output}"


@dataclass(frozen=True)
class RecordedObjective(Objective):
    """The loss of a recipe that a file came with."""

    complete: ClassVar[bool] = True

    model: ModelProto
    recipe: Recipe

    def emit(
        self, g: GraphBuilder, outputs: Mapping[str, Value], masks: Mapping[str, Value]
    ) -> tuple[Value, tuple[Target, ...]]:
        names = [t.name for t in self.recipe.targets]
        names += [t.weights for t in self.recipe.targets if t.weights]
        copy_part(g, self.model, [self.recipe.loss], names)
        return g.value(self.recipe.loss), tuple(self._noted(g, t, outputs) for t in self.recipe.targets)

    def _noted(self, g: GraphBuilder, target: Target, outputs: Mapping[str, Value]) -> Target:
        """A target with the class axis that the loss's nodes tell, where the file does not say it."""
        prediction = outputs.get(target.output or "")
        if target.axis is not None or prediction is None or prediction.shape is None:
            return target
        found = classes_in(g.graph.node, prediction, producers_of(g), g.opset)
        last = found is None or found.axis == prediction.rank - 1
        return target if last or found is None else replace(target, axis=found.axis)

    def with_sample_weights(self) -> Objective:
        raise RecipeError(
            "the recipe's loss takes no sample weights; choose it anew: .loss(..., sample_weights=True)"
        )
