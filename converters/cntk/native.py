"""The other way into CNTK: its own ONNX import, for inference graphs whose every operator it gets right.

The graph is normalised to opset 9 and handed over as a file; what the recipe adds is recorded behind it, as
for any other model.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper

from neuromatic.converters.cntk import ops as ck
from neuromatic.converters.cntk.graph import Graph, Tensor
from neuromatic.converters.cntk.norm import DEFAULT_EPSILON, statistics_key
from neuromatic.converters.normalize import to_opset9
from neuromatic.errors import UnsupportedFeatureError
from neuromatic.ir.inference_form import is_batch_normalization
from neuromatic.ir.traversal import data_inputs
from neuromatic.ir.types import value_types
from neuromatic.recipe.sections import strip

Array = NDArray[Any]
ENGINE = "cntk's native import"


@dataclass(frozen=True)
class Native:
    """An inference graph as CNTK imports it.

    Attributes:
        model: in opset 9; its outputs are all that the recipe needs of it.
        types: shape (None for the batch) and type of each output, by name.
        cells: the initializers that are parameters or running statistics.
        normalizations: the BatchNormalization nodes whose running statistics are among the cells.
    """

    model: ModelProto
    types: Mapping[str, tuple[tuple[int | None, ...], np.dtype[Any]]]
    cells: tuple[str, ...]
    normalizations: tuple[NodeProto, ...]

    def record(self, graph: Graph, values: dict[str, Any], training: bool) -> None:
        """Record the import, and put the outputs among the values.

        In training each BatchNormalization leaves the statistics of its batch in scratch cells, as the
        recorded one does.
        """
        inputs = [name for name in data_inputs(self.model.graph) if name in graph.inputs]
        cells = {name: values[name] for name in self.cells}
        if training:
            statistics = [name for node in self.normalizations for name in node.input[3:5]]
            cells |= {name: graph.scratch(cells[name].static) for name in statistics}
        scratch = [cell for cell in cells.values() if cell.stage == "update"]
        cells = {n: c for n, c in cells.items() if c.stage != "update"} | {
            n: c for n, c in cells.items() if c.stage == "update"
        }
        read = [*(graph.inputs[name] for name in inputs), *(c for c in cells.values() if c not in scratch)]
        made = graph.add_many(
            "native",
            read,
            list(self.types.values()),
            writes=scratch,
            file=len(graph.arrays),
            data=inputs,
            cells=list(cells),
            wanted=list(self.types),
        )
        graph.arrays.append(np.frombuffer(self._file(training), np.uint8))
        values.update(zip(self.types, made, strict=True))
        if training:
            self._share_statistics(graph, values, cells)

    def _file(self, training: bool) -> bytes:
        model = ModelProto()
        model.CopyFrom(self.model)
        for node in model.graph.node:
            if training and node.op_type == "BatchNormalization":
                kept = [a for a in node.attribute if a.name != "momentum"]
                del node.attribute[:]
                # With 0, the running statistics that CNTK keeps are those of the last batch.
                node.attribute.extend([*kept, helper.make_attribute("momentum", 0.0)])
        return bytes(model.SerializeToString())

    def _share_statistics(self, graph: Graph, values: Mapping[str, Any], cells: Mapping[str, Tensor]) -> None:
        """Let the recipe's BatchNormalization nodes find what the import computes."""
        for node in self.normalizations:
            data, scale, bias = (ck.tensor(values[name], graph) for name in node.input[:3])
            mean, variance = (cells[name] for name in node.input[3:5])
            epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), DEFAULT_EPSILON)
            graph.memo[statistics_key(data, scale, bias, epsilon)] = (data, mean, variance)


def native(model: ModelProto, cells: Collection[str], algorithm: Collection[NodeProto]) -> Native:
    """The inference graph of a model for CNTK's import.

    Args:
        cells: initializers that are trained or updated.
        algorithm: the nodes that the recipe adds, which need some of the graph's values.

    Raises:
        UnsupportedOpError: nodes are not among those that CNTK imports correctly; it names all of them.
        UnsupportedFeatureError: a value has no static shape, or there is Dropout, whose masks would not be
            those of the seed.
    """
    made = {name for node in model.graph.node for name in node.output if name}
    used = {name for node in algorithm for name in node.input}
    names = list(dict.fromkeys([*(o.name for o in model.graph.output), *sorted(made & used)]))
    if dropout := next((n for n in model.graph.node if n.op_type == "Dropout"), None):
        raise UnsupportedFeatureError(f"{ENGINE} draws Dropout's masks of its own: node {dropout.name!r}")
    types = value_types(model)
    part = strip(model)
    del part.graph.output[:]
    part.graph.output.extend(helper.make_value_info(name, types[name].type_proto()) for name in names)
    kept = [t.name for t in model.graph.initializer if t.name in cells]
    normalised = to_opset9(part, keep=kept)
    present = [t.name for t in normalised.graph.initializer if t.name in kept]
    normalizations = [n for n in model.graph.node if is_batch_normalization(n)]
    return Native(
        normalised,
        {name: _type(name, types) for name in names},
        tuple(present),
        tuple(n for n in normalizations if set(n.input[3:5]) <= set(present)),
    )


def _type(name: str, types: Mapping[str, Any]) -> tuple[tuple[int | None, ...], np.dtype[Any]]:
    value = types[name]
    shape = value.shape
    if not shape or any(not isinstance(size, int) for size in shape[1:]):
        raise UnsupportedFeatureError(f"{ENGINE} needs the shape of {name!r}, which is {shape}")
    return (None, *shape[1:]), np.dtype(helper.tensor_dtype_to_np_dtype(value.dtype))
