"""Nets of float16 and bfloat16, as other programs write them, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

Array = NDArray[Any]
KINDS = {"float16": TensorProto.FLOAT16, "bfloat16": TensorProto.BFLOAT16}


def half(kind: str, array: Array) -> Array:
    """An array in the numpy type of that kind."""
    return array.astype(helper.tensor_dtype_to_np_dtype(KINDS[kind]))


def model_of(
    kind: str, nodes: Sequence[str], shape: Sequence[int], opset: int, **arrays: Array
) -> ModelProto:
    """A checked model of one input ``x`` of some shape behind the batch, and one output ``y``."""
    dtype = KINDS[kind]
    text = f'<ir_version: 8, opset_import: ["": {opset}]> net () => () {{ {" ".join(nodes)} }}'
    model = onnx.parser.parse_model(text)
    model.graph.input.append(helper.make_tensor_value_info("x", dtype, ["N", *shape]))
    model.graph.output.append(helper.make_tensor_value_info("y", dtype, ["N", "K"]))
    for name, array in arrays.items():
        model.graph.initializer.append(numpy_helper.from_array(half(kind, array), name))
    onnx.checker.check_model(model, full_check=True)
    return onnx.shape_inference.infer_shapes(model)


def classifier(kind: str = "float16", *, opset: int = 17, features: int = 8, classes: int = 3) -> ModelProto:
    """Two layers and a softmax."""
    rng = np.random.default_rng(7)
    return model_of(
        kind,
        ["h = Gemm(x, w1, b1)", "a = Tanh(h)", "z = Gemm(a, w2, b2)", "y = Softmax <axis = 1> (z)"],
        (features,),
        opset,
        w1=rng.normal(size=(features, 16)) / 3,
        b1=rng.normal(size=16) / 10,
        w2=rng.normal(size=(16, classes)) / 4,
        b2=np.zeros(classes),
    )


def line(kind: str = "float16", *, opset: int = 17, scale: float = 1.0) -> ModelProto:
    """``y = x @ w`` from 6 features to 4."""
    w = np.random.default_rng(3).normal(size=(6, 4)) * scale
    return model_of(kind, ["y = MatMul(x, w)"], (6,), opset, w=w)


def images(kind: str = "float16", *, opset: int = 17, units: int = 3) -> ModelProto:
    """A convolution, a BatchNormalization and a mean over pixels."""
    rng = np.random.default_rng(5)
    return model_of(
        kind,
        [
            "c = Conv <pads = [1, 1, 1, 1]> (x, kernel, bias)",
            "n = BatchNormalization <momentum = 0.99> (c, scale, offset, running_mean, running_var)",
            "r = Relu(n)",
            "p = GlobalAveragePool(r)",
            "f = Flatten(p)",
            "y = Gemm(f, w, b)",
        ],
        (2, 6, 6),
        opset,
        kernel=rng.normal(size=(4, 2, 3, 3)) / 4,
        bias=np.zeros(4),
        scale=np.ones(4),
        offset=np.zeros(4),
        running_mean=np.zeros(4),
        running_var=np.ones(4),
        w=rng.normal(size=(4, units)) / 2,
        b=np.zeros(units),
    )
