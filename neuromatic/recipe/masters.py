"""Float32 masters of parameters of half precision: what optimizers update, as Keras and PyTorch's AMP do.

A parameter of float16 or bfloat16 stays what it is, for inference. Its master is a float32 initializer of the
training algorithm, ``master/<parameter>``, and each step makes the parameter a rounded copy of it, by a
``Cast``. So small updates are not lost, and what is saved trains on exactly.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper

from neuromatic.ir import parameters as weights
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.tensors import array_of
from neuromatic.ir.types import HALVES
from neuromatic.ir.values import Value
from neuromatic.recipe.schema import Recipe

MASTER = "master"
"""Begins the name of the master of a parameter."""


def add_masters(g: GraphBuilder, model: ModelProto, names: Sequence[str]) -> dict[str, Value]:
    """An initializer in float32 for each parameter of half precision, by its name."""
    stored = {t.name: t for t in model.graph.initializer}
    halves = [name for name in names if stored[name].data_type in HALVES]
    return {name: g.initializer(g.fresh(f"{MASTER}/{name}"), _float32(stored[name])) for name in halves}


def as_updated(parameter: Value, masters: Mapping[str, Value]) -> Value:
    """A parameter as optimizers know it: its name, and its master's type."""
    return Value(parameter.name, masters.get(parameter.name, parameter).dtype, parameter.shape)


def rounded(
    g: GraphBuilder, model: ModelProto, updates: Mapping[str, Value], masters: Mapping[str, Value]
) -> dict[str, Value]:
    """The updates in which masters get the new values, and parameters these in their own type."""
    types = {t.name: t.data_type for t in model.graph.initializer}
    result = {masters[name].name if name in masters else name: value for name, value in updates.items()}
    for name, master in masters.items():
        output = g.fresh(f"rounded/{name}")
        result[name] = g.add("Cast", result[master.name], to=types[name], name=output, outputs=[output])
    return result


def masters_of(model: ModelProto, recipe: Recipe) -> dict[str, str]:
    """The name of the master of each parameter and running statistic that has one."""
    makers: dict[str, NodeProto] = {
        o: n for info in model.training_info for n in info.algorithm.node for o in n.output
    }
    bound = {value: name for name, value in recipe.updates.items()}
    found = {}
    for name, value in recipe.updates.items():
        maker = makers.get(value)
        wide = next(iter(maker.input), "") if maker is not None and maker.op_type == "Cast" else ""
        if wide in bound:
            found[name] = bound[wide]
    return found


def keep_masters(old: ModelProto, new: ModelProto) -> None:
    """Give a recipe the masters of another, as far as they are those of its parameters."""
    tensors, parameters = weights.stored_tensors(new), {t.name: t for t in new.graph.initializer}
    kept = {}
    for info in old.training_info:
        for tensor in info.algorithm.initializer:
            parameter = parameters.get(tensor.name.removeprefix(f"{MASTER}/"))
            if parameter is None or parameter.name == tensor.name or tensor.name not in tensors:
                continue
            if _is_master(tensor, parameter):
                kept[tensor.name] = array_of(tensor)
    weights.write_back(new, kept)


def with_fitting_masters(model: ModelProto, recipe: Recipe) -> ModelProto:
    """The model, in which masters are those of its parameters; these may have been changed by other means.

    A recipe without masters, as others and earlier versions write it, is run as it is, with a warning.
    """
    tensors = weights.stored_tensors(model)
    pairs = masters_of(model, recipe)
    bare = [n for n in recipe.trainable if n in tensors and tensors[n].data_type in HALVES and n not in pairs]
    if bare:
        warnings.warn(
            f"the recipe trains {len(bare)} parameters of half precision, {bare[0]!r} the first, without "
            f"float32 masters, so that small updates are lost; choose the optimizer anew: .optimizer(...)",
            stacklevel=2,
        )
    changed = {m: p for p, m in pairs.items() if not _is_master(tensors[m], tensors[p])}
    if not changed:
        return model
    warnings.warn(
        f"{len(changed)} parameters, {next(iter(changed.values()))!r} the first, are not what training left; "
        f"their float32 masters begin anew from them",
        stacklevel=2,
    )
    result = ModelProto()
    result.CopyFrom(model)
    weights.write_back(result, {master: _float32(tensors[name]) for master, name in changed.items()})
    return result


def _is_master(master: TensorProto, parameter: TensorProto) -> bool:
    """Whether a parameter is a tensor in its own type."""
    if (
        master.data_type != TensorProto.FLOAT
        or parameter.data_type not in HALVES
        or master.dims != parameter.dims
    ):
        return False
    dtype = helper.tensor_dtype_to_np_dtype(parameter.data_type)
    with np.errstate(over="ignore"):
        return array_of(master).astype(dtype).tobytes() == array_of(parameter).tobytes()


def _float32(tensor: TensorProto) -> NDArray[Any]:
    return array_of(tensor).astype(np.float32)
