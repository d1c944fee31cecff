"""What is reported besides the loss, as nodes: metrics of outputs, or recorded ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from onnx import ModelProto, TensorProto

from neuromatic.errors import RecipeError
from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.types import HALVES
from neuromatic.ir.values import Value
from neuromatic.metrics import Metric
from neuromatic.recipe.objective import LOSS
from neuromatic.recipe.recorded import copy_part
from neuromatic.recipe.schema import MetricSums, Recipe, Target


class Measures(ABC):
    """What is reported besides the loss."""

    @abstractmethod
    def emit(
        self,
        g: GraphBuilder,
        outputs: Mapping[str, Value],
        targets: Sequence[Target],
        masks: Mapping[str, Value],
    ) -> tuple[MetricSums, ...]:
        """Add nodes for the sums of each metric.

        Args:
            outputs: the model's outputs by name.
            targets: the truth for some of them.
            masks: by output name, booleans (batch, steps): which of its steps count.
        """


@dataclass(frozen=True)
class Metrics(Measures):
    """Metrics for some outputs, by output name."""

    metrics: Mapping[str, Sequence[Metric]]

    def emit(
        self,
        g: GraphBuilder,
        outputs: Mapping[str, Value],
        targets: Sequence[Target],
        masks: Mapping[str, Value],
    ) -> tuple[MetricSums, ...]:
        truths = {t.output: t for t in targets}
        for output, mask in masks.items():
            g.set_mask(outputs[output], mask)
        emitted: list[MetricSums] = []
        for output, metrics in self.metrics.items():
            if output not in truths:
                raise RecipeError(f"output {output!r} has metrics but no loss, so it has no target")
            for metric in metrics:
                name = metric.name if len(truths) == 1 else f"{output}_{metric.name}"
                name = _unused(name, {m.name for m in emitted} | {LOSS})
                truth = truths[output]
                with g.layer(f"metric/{name}"):
                    true, found = (_float32(g, v) for v in (g.value(truth.name), outputs[output]))
                    sums = metric.emit_along(g, true, found, truth.axis)
                emitted.append(MetricSums(name, sums.name, metric.result, dict(metric.arguments)))
        return tuple(emitted)


def _float32(g: GraphBuilder, value: Value) -> Value:
    """A value, in float32 where it is of half precision; its mask stays."""
    if value.dtype not in HALVES:
        return value
    result, mask = op.cast(g, value, TensorProto.FLOAT), g.mask(value)
    if mask is not None:
        g.set_mask(result, mask)
    return result


def _unused(name: str, taken: Collection[str]) -> str:
    """``name``, with a number where it is taken."""
    unique, count = name, 0
    while unique in taken:
        count += 1
        unique = f"{name}_{count}"
    return unique


@dataclass(frozen=True)
class RecordedMeasures(Measures):
    """The metrics of a recipe that a file came with."""

    model: ModelProto
    recipe: Recipe

    def emit(
        self,
        g: GraphBuilder,
        outputs: Mapping[str, Value],
        targets: Sequence[Target],
        masks: Mapping[str, Value],
    ) -> tuple[MetricSums, ...]:
        copy_part(g, self.model, [m.sums for m in self.recipe.metrics], [t.name for t in self.recipe.targets])
        return self.recipe.metrics
