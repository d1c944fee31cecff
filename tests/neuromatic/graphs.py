"""Small graphs for tests: of a few emitted nodes, from ONNX' text form, and what they compute."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx.checker
import onnx.parser
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from neuromatic.builder.model import Model
from neuromatic.converters.tensorflow.evaluate import run_model
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Shape, Value

Array = NDArray[Any]
FLOAT, DOUBLE, INT64 = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64

Emit = Callable[[GraphBuilder, Value, Value], Value]


def emitted(emit: Emit, *inputs: tuple[int, Shape], opset: int = 17) -> ModelProto:
    """A model of inputs ``y_true`` and ``y_pred`` of these types, whose output is what is emitted."""
    g = GraphBuilder(opset=opset)
    values = [g.input(name, *kind) for name, kind in zip(("y_true", "y_pred"), inputs, strict=True)]
    g.output(emit(g, values[0], values[1]), "result")
    return g.finish()


def in_onnxruntime(model: ModelProto, feed: Mapping[str, Array]) -> list[Array]:
    """The outputs of a model in onnxruntime."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return [np.asarray(result) for result in session.run(None, dict(feed))]


def in_both(model: ModelProto, feed: Mapping[str, Array]) -> Iterator[Array]:
    """The first output in onnxruntime, then through the TensorFlow lowering."""
    yield in_onnxruntime(model, feed)[0]
    yield np.asarray(run_model(model, feed)[model.graph.output[0].name])


def parsed(text: str, **initializers: Array) -> ModelProto:
    """A checked model in ONNX' text form, with large initializers apart."""
    model = onnx.parser.parse_model(text)
    for name, array in initializers.items():
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    onnx.checker.check_model(model)
    return model


def linear(
    *, opset: int = 17, ir: int = 8, dtype: str = "float", output: str = "y", extra: str = ""
) -> ModelProto:
    """``output = x @ w + b`` from 3 features to 2, as others would write it."""
    kind = {"float": np.float32, "double": np.float64}[dtype]
    text = f"""<ir_version: {ir}, opset_import: ["": {opset}]>
        net ({dtype}[N, 3] x) => ({dtype}[N, 2] {output}) {{ {extra} {output} = Gemm(x, w, b) }}"""
    model = onnx.parser.parse_model(text)
    rng = np.random.default_rng(1)
    model.graph.initializer.append(numpy_helper.from_array(rng.normal(size=(3, 2)).astype(kind), "w"))
    model.graph.initializer.append(numpy_helper.from_array(rng.normal(size=2).astype(kind), "b"))
    return model


def set_parameters(model: Model, **arrays: Array) -> None:
    """Give initializers other values, in place."""
    for tensor in model.proto.graph.initializer:
        if tensor.name in arrays:
            value = arrays[tensor.name].astype(helper.tensor_dtype_to_np_dtype(tensor.data_type))
            tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))


def listing(nodes: Sequence[onnx.NodeProto]) -> list[str]:
    """Nodes as lines a person can compare: ``y = Op(a, b)``."""
    return [
        f"{', '.join(n.output)} = {n.domain + '.' if n.domain else ''}{n.op_type}({', '.join(n.input)})"
        for n in nodes
    ]
