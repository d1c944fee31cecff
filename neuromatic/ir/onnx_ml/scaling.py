"""Scaler, Normalizer, Imputer, Binarizer and FeatureVectorizer of ai.onnx.ml by ONNX' own operators."""

from __future__ import annotations

import math
from collections.abc import Sequence

from onnx import TensorProto

from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.onnx_ml._forms import INTEGERS, Attributes, NoFormError, as_float, fit_features, form
from neuromatic.ir.values import Value


@form("Scaler")
def scaler(g: GraphBuilder, x: Value, attributes: Attributes) -> Value:
    """Y = (X - offset) scale, float32; doubles are subtracted as doubles."""
    wide = x.dtype == TensorProto.DOUBLE
    kind = TensorProto.DOUBLE if wide else TensorProto.FLOAT
    y = x if wide else as_float(g, x)
    for op, name in (("Sub", "offset"), ("Mul", "scale")):
        numbers = attributes.get(name)
        if numbers:
            y = g.add(op, y, g.const(fit_features(x, numbers, name), kind))
    return as_float(g, y)


@form("Normalizer")
def normalizer(g: GraphBuilder, x: Value, attributes: Attributes) -> Value:
    """Y = X / norm of its row, float32; rows of norm 0 stay. MAX is the largest value, not its size."""
    norm = attributes.get("norm") or "MAX"
    if norm not in ("MAX", "L1", "L2"):
        raise NoFormError(f"norm {norm!r} is none of MAX, L1, L2")
    if x.shape is not None and len(x.shape) > 2:
        raise NoFormError(f"its input has rank {len(x.shape)}, expected 2")
    y = as_float(g, x)
    if norm == "MAX":
        size = g.add("ReduceMax", y, axes=[-1], keepdims=1)
    elif norm == "L1":
        size = g.add("ReduceSum", g.add("Abs", y), g.ints(-1), keepdims=1)
    else:
        size = g.add("ReduceSum", g.add("Mul", y, y), g.ints(-1), keepdims=1)
    size = g.add("Where", g.add("Equal", size, g.const(0.0)), g.const(1.0), size)
    return g.add("Div", y, size if norm != "L2" else g.add("Sqrt", size))


@form("Imputer")
def imputer(g: GraphBuilder, x: Value, attributes: Attributes) -> Value:
    """X, with the imputed value of its column where it is the replaced one; both floats or both int64."""
    floats, integers = attributes.get("imputed_value_floats"), attributes.get("imputed_value_int64s")
    replaced = attributes.get("replaced_value_float") if floats else attributes.get("replaced_value_int64")
    replaced = 0 if replaced is None else replaced
    imputed = floats or integers
    if not imputed:
        raise NoFormError("it has no imputed values")
    values = g.const(fit_features(x, imputed, "imputed values"), x.dtype)
    if isinstance(replaced, float) and math.isnan(replaced):
        missing = g.add("IsNaN", x)
    else:
        missing = g.add("Equal", x, g.const(replaced, x.dtype))
    return g.add("Where", missing, values, x)


@form("Binarizer")
def binarizer(g: GraphBuilder, x: Value, attributes: Attributes) -> Value:
    """1 where X is greater than ``threshold``, else 0, in the type of X."""
    threshold = attributes.get("threshold") or 0.0
    compared = as_float(g, x) if x.dtype in INTEGERS else x
    kind = compared.dtype
    return g.add("Cast", g.add("Greater", compared, g.const(threshold, kind)), to=x.dtype)


@form("FeatureVectorizer", variadic=True)
def feature_vectorizer(g: GraphBuilder, inputs: Sequence[Value], attributes: Attributes) -> Value:
    """The inputs (N, D) side by side, float32, each cut or filled with zeros to its ``inputdimensions``."""
    sizes = attributes.get("inputdimensions") or [None] * len(inputs)
    if any(size is not None and size < 0 for size in sizes):
        raise NoFormError(f"its inputdimensions {list(sizes)} are no sizes")
    if len(sizes) != len(inputs):
        raise NoFormError(f"{len(sizes)} inputdimensions for {len(inputs)} inputs")
    parts = [_of_size(g, as_float(g, x), size) for x, size in zip(inputs, sizes, strict=True)]
    return g.add("Concat", *parts, axis=1)


def _of_size(g: GraphBuilder, x: Value, size: int | None) -> Value:
    if x.shape is not None and len(x.shape) != 2:
        raise NoFormError(f"an input has rank {len(x.shape)}, expected 2")
    known = x.shape[1] if x.shape is not None else None
    if size is None or known == size:
        return x
    filled = g.add("Pad", x, g.ints(0, 0, 0, size)) if not isinstance(known, int) or known < size else x
    return g.add("Slice", filled, g.ints(0), g.ints(size), g.ints(1))
