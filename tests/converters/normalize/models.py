"""Small models in ONNX' text form, and the check that a pass leaves what they compute."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from onnx import ModelProto, numpy_helper

from neuromatic.converters.normalize.graph import Pass
from neuromatic.ir.traversal import data_inputs
from neuromatic.ir.values import Value
from tests.neuromatic.graphs import Array, in_onnxruntime, parsed

BATCHES = (2, 3)


def model(body: str, inputs: str, outputs: str, *, opset: int = 17, **initializers: Array) -> ModelProto:
    """A checked model: ``model("y = Relu(x)", "float[N, 3] x", "float[N, 3] y")``."""
    ir = 8 if opset < 18 else 10
    text = f'<ir_version: {ir}, opset_import: ["": {opset}]> net ({inputs}) => ({outputs}) {{ {body} }}'
    return parsed(text, **initializers)


def numbers(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def feed(proto: ModelProto, rows: int) -> dict[str, Array]:
    """Random values for the inputs; integers are 0 to 3."""
    made: dict[str, Array] = {}
    for i, name in enumerate(data_inputs(proto.graph)):
        item = next(x for x in proto.graph.input if x.name == name)
        shape = [d if isinstance(d, int) else rows for d in Value.of(name, item.type).shape or ()]
        kind = onnx.helper.tensor_dtype_to_np_dtype(item.type.tensor_type.elem_type)
        array = numbers(*shape, seed=i)
        made[name] = array.astype(kind) if kind.kind == "f" else np.abs(array * 2).astype(kind) % 4
    return made


def unchanged(before: ModelProto, after: ModelProto, keep: Collection[str] = (), rtol: float = 1e-6) -> None:
    """Compare what two models compute for two batch sizes, and the bytes of parameters."""
    for rows in BATCHES:
        values = feed(before, rows)
        for old, new in zip(in_onnxruntime(before, values), in_onnxruntime(after, values), strict=True):
            assert old.dtype == new.dtype
            np.testing.assert_allclose(new, old, rtol=rtol, atol=1e-6)
    tensors = [{t.name: numpy_helper.to_array(t) for t in m.graph.initializer} for m in (before, after)]
    for name in keep:
        assert tensors[1][name].tobytes() == tensors[0][name].tobytes(), name
        assert tensors[1][name].shape == tensors[0][name].shape, name


def normalized(one: Pass, proto: ModelProto, keep: Collection[str] = (), rtol: float = 1e-6) -> ModelProto:
    """The result of a pass, after a check that it is valid, computes the same and left its argument alone."""
    before = proto.SerializeToString(deterministic=True)
    result = one(proto, keep)
    assert proto.SerializeToString(deterministic=True) == before
    onnx.checker.check_model(result, full_check=True)
    unchanged(proto, result, keep, rtol)
    return result


def ops(proto: ModelProto) -> list[str]:
    return [node.op_type for node in proto.graph.node]


def attribute(proto: ModelProto, op: str, name: str) -> object:
    """An attribute of the first node of an operator; None if it is not written."""
    node = next(n for n in proto.graph.node if n.op_type == op)
    found = [onnx.helper.get_attribute_value(a) for a in node.attribute if a.name == name]
    return found[0] if found else None


def constant(proto: ModelProto, name: str) -> list[float]:
    """What an initializer holds."""
    tensor = next(t for t in proto.graph.initializer if t.name == name)
    return [float(v) for v in numpy_helper.to_array(tensor).ravel()]


def target(proto: ModelProto) -> list[float]:
    """The target of the first Reshape."""
    return constant(proto, next(n for n in proto.graph.node if n.op_type == "Reshape").input[1])
