"""What can be told of a model before it is trained, without any engine: state, exporters' traces, memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper

from neuromatic.data import rows_of
from neuromatic.errors import RecipeError
from neuromatic.ir.inference_form import is_batch_normalization, training_form_note
from neuromatic.ir.opsets import opset_of
from neuromatic.ir.traversal import data_inputs
from neuromatic.ir.types import FLOATS
from neuromatic.ir.values import Value, dtype_name, shape_text
from neuromatic.recipe.schema import Recipe
from neuromatic.recipe.validation import dropped
from neuromatic.reports import flops
from neuromatic.transfer import lift_constants as lifting
from neuromatic.transfer import trainable_layers as selection
from neuromatic.transfer.linear_models import linear_models

RUNTIMES = {21: "older runtimes", 25: "TensorRT", 26: "onnxruntime-web"}
"""Which runtimes take which opset at most."""
FOLLOWING = frozenset(
    {
        "Clip",
        "Elu",
        "Gelu",
        "HardSigmoid",
        "HardSwish",
        "LeakyRelu",
        "Mul",
        "PRelu",
        "Relu",
        "Sigmoid",
        "Tanh",
    }
)
"""What stands behind a convolution in whose weights BatchNormalization may have been folded."""
FEWEST = 3
"""So many convolutions or products make a network that one expects to be trained with more than these."""
ADAM_STATES = 2
BATCH = 32


@dataclass(frozen=True)
class Memory:
    """Bytes that training needs, estimated from shapes.

    Attributes:
        parameters: every initializer.
        optimizer: the state of the optimizer; that of Adam where none is chosen.
        gradients: as much as is trained.
        activations: the floats that nodes compute for :data:`BATCH` rows; what varies counts as so much, too.
    """

    parameters: int
    optimizer: int
    gradients: int
    activations: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.parameters + self.optimizer + self.gradients + self.activations

    def as_data(self) -> dict[str, int]:
        """By name, with the total."""
        return {**asdict(self), "total": self.total, "batch": BATCH}


def memory(
    model: ModelProto,
    recipe: Recipe | None,
    types: Mapping[str, Value],
    trainable: Collection[str] | None = None,
) -> Memory:
    """See :class:`Memory`; ``trainable`` is what could be trained, if that is known."""
    if trainable is None:
        trainable = recipe.trainable if recipe else selection.updatable(model)[0]
    stored = {t.name: prod(t.dims) * _itemsize(t.data_type) for t in model.graph.initializer}
    gradients = sum(stored.get(name, 0) for name in trainable)
    states = [t for info in model.training_info for t in info.algorithm.initializer]
    optimizer = sum(prod(t.dims) * _itemsize(t.data_type) for t in states)
    shapes = flops.sizes(types, BATCH)
    computed = {o for node in model.graph.node for o in node.output if node.op_type != "Constant"}
    floats = [n for n in computed & shapes.keys() if types[n].dtype in FLOATS]
    activations = sum(prod(shapes[n]) * _itemsize(types[n].dtype) for n in floats)
    return Memory(
        sum(stored.values()), optimizer if recipe else ADAM_STATES * gradients, gradients, activations
    )


def values_bytes(types: Mapping[str, Value], rows: int) -> int:
    """The bytes that all values of a graph take together; ``rows`` is what counts for sizes that vary."""
    shapes = flops.sizes({name: value for name, value in types.items() if value.dtype}, rows)
    return sum(prod(shape) * _itemsize(types[name].dtype) for name, shape in shapes.items())


def _itemsize(dtype: int) -> int:
    return 0 if dtype == TensorProto.STRING else np.dtype(helper.tensor_dtype_to_np_dtype(dtype)).itemsize


def runtime_notes(model: ModelProto) -> list[str]:
    """Which runtimes cannot take a model's opset."""
    opset = opset_of(model) or 0
    return [
        f"opset {opset} is newer than {limit}, the last that {which} can be counted on to take"
        for limit, which in RUNTIMES.items()
        if opset > limit
    ]


def axes(model: ModelProto) -> list[dict[str, Any]]:
    """Each input that data are fed to, with its shape and which of its axes vary."""
    fed = set(data_inputs(model.graph))
    values = [Value.of(i.name, i.type) for i in model.graph.input if i.name in fed]
    return [
        {
            "name": v.name,
            "dtype": dtype_name(v.dtype),
            "shape": v.shape,
            "dynamic": [i for i, d in enumerate(v.shape or ()) if not isinstance(d, int)],
        }
        for v in values
    ]


def normalizations(model: ModelProto, frozen: frozenset[str]) -> dict[str, int]:
    """How many BatchNormalization nodes there are, how many train with their own statistics, and Dropouts."""
    nodes = [n for n in model.graph.node if is_batch_normalization(n)]
    kept = sum(not frozen.isdisjoint(n.input[3:5]) for n in nodes)
    dropouts = sum("Dropout" in n.op_type for n in model.graph.node)
    return {"batch_normalizations": len(nodes), "frozen": kept, "dropouts": dropouts}


def traces(model: ModelProto) -> list[str]:
    """What exporters seem to have done to a model, and what to do about it."""
    by_others, training = model.producer_name != "neuromatic", training_form_note(model)
    found = [line for line in (training, dropped(model)) if line]
    if by_others and _is_folded(model):
        found.append(
            "Conv with bias followed directly by an activation everywhere and no BatchNormalization: it was "
            "probably folded into the weights; a small learning rate helps, or export anew without folding"
        )
    products = sum(n.op_type in ("Conv", "Gemm", "MatMul") for n in model.graph.node)
    if by_others and products >= FEWEST and not normalizations(model, frozenset())["dropouts"]:
        found.append(
            "no Dropout: exporters take it out; insert_dropout(...) puts it behind the values that you name"
        )
    with suppress(RecipeError):  # of an opset that is too old for one
        found += selection.doubts(model)
    hidden = lifting.hidden_weights(model)
    if hidden:
        some = ", ".join(hidden[:3]) + (" ..." if len(hidden) > 3 else "")
        found.append(
            f"{len(hidden)} weights are Constant nodes ({some}): they are lifted when a loss is chosen"
        )
    for node in linear_models(model.graph):
        found.append(
            f"the weights of {node.name or node.op_type} are attributes: when a loss is chosen, plain nodes "
            f"take its place, whose weights are initializers"
        )
    rows = rows_of(model)
    if rows.size is not None:
        found.append(
            f"{rows.source} has a fixed batch: it is trained and run {rows.size} rows at a time; "
            f"neuromatic convert MODEL -o NEW.onnx --dynamic-batch makes any number possible"
        )
    for item in axes(model):
        if item["name"] in rows.whole and rows.shared:
            found.append(f"input {item['name']!r} {shape_text(item['shape'])} has no rows: it is given whole")
        if item["dtype"] == "int64":
            found.append(f"input {item['name']!r} is int64, which some runtimes are slow with or lack")
    return found


def _is_folded(model: ModelProto) -> bool:
    """Whether every convolution has a bias and an activation behind it, and none a normalization."""
    nodes = model.graph.node
    convolutions = [n for n in nodes if n.op_type == "Conv"]
    if len(convolutions) < FEWEST or any("Normalization" in n.op_type for n in nodes):
        return False
    biased = all(len(n.input) > 2 and n.input[2] for n in convolutions)
    followed = [{m.op_type for m in nodes if n.output[0] in m.input} for n in convolutions]
    return biased and all(ops & {*FOLLOWING, "Add"} for ops in followed[:-1])
