"""What a loss can train."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from onnx import ModelProto, NodeProto

from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.types import FLOATS
from neuromatic.recipe.exporters import exported_constants
from neuromatic.recipe.gradients import differentiable_values


def trainable_names(
    model: ModelProto, nodes: Sequence[NodeProto], loss: str, g: GraphBuilder, asked: Collection[str] = ()
) -> list[str]:
    """The float initializers that reach the loss with a gradient, but for those that are constants.

    In the order in which the file stores them. Running statistics, shapes, settings of operators, the values
    of ``Constant`` nodes and what counts as a constant of the file are not among them, unless asked for.
    """
    constants = exported_constants(model) - frozenset(asked)
    needed = differentiable_values(model, nodes, [loss], g, asked)
    stored = [t.name for t in model.graph.initializer if t.data_type in FLOATS]
    return [name for name in stored if name in needed and name not in constants]
