"""Input, and the assembly of called layers into one ONNX model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike
from onnx import ModelProto, helper

from neuromatic.errors import ModelError
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.opsets import BATCH, DEFAULT_OPSET
from neuromatic.ir.terms import Terms
from neuromatic.ir.values import Dim, Value, shape_text
from neuromatic.layers._windows import CHANNELS
from neuromatic.layers.base import Call, Layer, SymbolicTensor, at_lowest_opset, layer_names, tensor_order


@dataclass(frozen=True, eq=False)
class ChannelsFirst(Layer):
    """The one transpose behind an input that is channels last, (batch, ..., channels): its channels first.

    No layer for models: :func:`Input` puts it there.
    """

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        last = x.rank - 1
        return g.add("Transpose", x, perm=[0, last, *range(1, last)])


def Input(
    shape: Sequence[Dim],
    dtype: DTypeLike = "float32",
    *,
    name: str | None = None,
    data_format: str = "channels_first",
) -> SymbolicTensor:
    """An input of a model (Keras ``Input``).

    Args:
        shape: dimensions without the batch; None or a name for one that varies.
        dtype: element type.
        name: name of the graph input; by default ``input``, numbered from the second one on.
        data_format: ``"channels_last"`` for data (batch, ..., channels) with one to three axes between.
            ``shape`` and the graph input have that order; one ``Transpose`` follows it, and what is returned
            has its channels first, as all layers take them. Neuromatic's default is ``"channels_first"``.

    Raises:
        ValueError: a dimension is not possible, or ``data_format`` is neither, or not for this shape.

    >>> Input((1, 28, 28)).shape
    ('batch', 1, 28, 28)
    >>> Input((28, 28, 1), data_format="channels_last").shape
    ('batch', 1, 28, 28)
    """
    for dim in shape:
        if not (dim is None or isinstance(dim, str) or (isinstance(dim, int) and dim > 0)):
            raise ValueError(f"Input: a dimension is a positive integer, a name or None, got {dim!r}")
    if data_format not in CHANNELS:
        raise ValueError(
            f'Input: data_format must be "channels_first" or "channels_last", got {data_format!r}'
        )
    given = SymbolicTensor(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), (BATCH, *shape), name=name)
    if data_format == "channels_first":
        return given
    if not 2 <= len(shape) <= 4:
        raise ValueError(
            f'Input: data_format="channels_last" is for shapes of 2 to 4 dimensions, channels among them, '
            f"got {shape_text(tuple(shape))}"
        )
    return ChannelsFirst()(given)


def graph_input(tensor: SymbolicTensor) -> SymbolicTensor:
    """The input of the graph behind what :func:`Input` returned."""
    return tensor.inputs[0] if isinstance(tensor.layer, ChannelsFirst) else tensor


class Assembled(NamedTuple):
    """A model made from layers.

    Attributes:
        proto: the ONNX model.
        terms: what its layers ask of training.
    """

    proto: ModelProto
    terms: Terms


def assemble(
    inputs: Sequence[SymbolicTensor],
    outputs: Sequence[SymbolicTensor],
    *,
    seed: int = 0,
    opset: int = DEFAULT_OPSET,
) -> Assembled:
    """The ONNX model that computes ``outputs`` from ``inputs``, and what its layers ask of training.

    Outputs are named after their layers. The opset is raised as far as an operator needs.

    Raises:
        ModelError: an output depends on an input that is not listed, or names collide.
    """
    inputs = [graph_input(tensor) for tensor in inputs]
    tensors = tensor_order(outputs)
    needed = [t for t in tensors if t.layer is None]
    if missing := [t for t in needed if t not in inputs]:
        raise ModelError(f"the outputs depend on inputs that are not listed: {missing}")
    names = layer_names([t.layer for t in tensors if t.layer is not None])

    def build(version: int) -> Assembled:
        g = GraphBuilder(opset=version, seed=seed)
        values: dict[SymbolicTensor, Value] = {}
        results: dict[Call, tuple[Value, ...]] = {}
        for tensor, name in zip(inputs, input_names(inputs), strict=True):
            values[tensor] = g.input(name, tensor.dtype, tensor.shape or ())
        for tensor in tensors:
            if tensor.call is None:
                continue
            if tensor.call not in results:
                with g.layer(names[tensor.call.layer]):
                    results[tensor.call] = tensor.call.emit(g, [values[t] for t in tensor.inputs])
            values[tensor] = results[tensor.call][tensor.index]
        for i, tensor in enumerate(outputs):
            name = names[tensor.layer] if tensor.layer else f"output_{i}"
            taken = [v.name for v in g.graph.output]
            g.output(values[tensor], f"{name}_{i}" if name in taken else name)
        return Assembled(g.finish(), g.terms())

    return at_lowest_opset(build, opset)


def input_names(inputs: Sequence[SymbolicTensor]) -> list[str]:
    """The names of a model's inputs: the given ones, else ``input``, ``input_1``, ..."""
    names = [t.name for t in inputs if t.name]
    result = []
    for tensor in inputs:
        name, count = tensor.name or "input", 0
        while tensor.name is None and name in names:
            count += 1
            name = f"input_{count}"
        if tensor.name is None:
            names.append(name)
        result.append(name)
    if len(set(result)) < len(result):
        raise ModelError(f"two inputs have the same name: {result}")
    return result
