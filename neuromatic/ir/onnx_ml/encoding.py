"""LabelEncoder, CategoryMapper, OneHotEncoder and ArrayFeatureExtractor by ONNX' own operators."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.onnx_ml._forms import Attributes, NoFormError, constant, form
from neuromatic.ir.values import Value

Array = NDArray[Any]
UNUSED = "_Unused"
DTYPES = {"strings": np.dtype(object), "int64s": np.dtype(np.int64), "floats": np.dtype(np.float32)}
DEFAULTS = {"object": "default_string", "int64": "default_int64", "float32": "default_float"}


@form("LabelEncoder")
def label_encoder(g: GraphBuilder, x: Value, attributes: Attributes) -> Value:
    """The value that belongs to each key, the default for what is no key; of equal keys, the first counts."""
    classes = attributes.get("classes_strings")
    if classes:  # version 1: strings to their numbers, or numbers to strings
        return _by_class(g, x, list(classes), np.arange(len(classes)), attributes)
    keys, values = _listed(attributes, "keys"), _listed(attributes, "values")
    if len(keys) != len(values):
        raise NoFormError(f"{len(keys)} keys for {len(values)} values")
    return _looked_up(g, x, keys, values, _default(attributes, values.dtype), "keys_tensor" in attributes)


@form("CategoryMapper")
def category_mapper(g: GraphBuilder, x: Value, attributes: Attributes) -> Value:
    """Strings to the integers at their places in another list, or these to those."""
    texts, integers = attributes.get("cats_strings") or (), attributes.get("cats_int64s") or ()
    if len(texts) != len(integers) or not texts:
        raise NoFormError(f"{len(texts)} cats_strings for {len(integers)} cats_int64s")
    return _by_class(g, x, list(texts), np.array(integers, np.int64), attributes)


@form("OneHotEncoder")
def one_hot_encoder(g: GraphBuilder, x: Value, attributes: Attributes) -> Value:
    """1 where X, with a new last axis, is the category, else 0; floats are cut to integers first.

    With ``zeros=0`` onnxruntime refuses what is no category; here it is all zeros, as with ``zeros=1``.
    """
    integers, texts = attributes.get("cats_int64s"), attributes.get("cats_strings")
    categories = np.array(integers, np.int64) if integers else np.array(texts or [], object)
    if not len(categories):
        raise NoFormError("it has no categories")
    if integers and x.dtype != TensorProto.INT64:
        x = g.add("Cast", x, to=TensorProto.INT64)
    found = g.add("Cast", _equal(g, x, categories), to=TensorProto.FLOAT)
    last = {category: i for i, category in enumerate(categories.tolist())}  # of equal ones, the last counts
    if len(last) == len(categories):
        return found
    counts = np.isin(np.arange(len(categories)), list(last.values()))
    return g.add("Mul", found, g.const(counts.astype(np.float32)))


@form("ArrayFeatureExtractor")
def array_feature_extractor(g: GraphBuilder, x: Value, y: Value, attributes: Attributes) -> Value:
    """Z = X[..., Y], Y of any shape taken as a list; a list X gives one row."""
    if x.shape is not None and len(x.shape) == 1:
        x = g.add("Reshape", x, g.ints(1, -1))
    return g.add("Gather", x, g.add("Reshape", y, g.ints(-1)), axis=-1)


def _by_class(g: GraphBuilder, x: Value, texts: list[str], numbers: Array, attributes: Attributes) -> Value:
    strings = np.array(texts, object)
    if x.dtype == TensorProto.STRING:
        number = attributes.get("default_int64")
        return _looked_up(g, x, strings, numbers, np.array([-1 if number is None else number], np.int64))
    text = attributes.get("default_string")
    return _looked_up(g, x, numbers, strings, np.array([UNUSED if text is None else text], object))


def _listed(attributes: Attributes, which: str) -> Array:
    """The keys or values."""
    tensor = attributes.get(f"{which}_tensor")
    if tensor is not None:
        return np.asarray(tensor).ravel()
    for kind, dtype in DTYPES.items():
        items = attributes.get(f"{which}_{kind}")
        if items:
            return np.array(items, dtype)
    raise NoFormError(f"it has no {which}")


def _default(attributes: Attributes, dtype: np.dtype[Any]) -> Array:
    tensor, given = attributes.get("default_tensor"), attributes.get(DEFAULTS.get(dtype.name, ""))
    if tensor is not None and np.size(tensor) != 1:
        raise NoFormError(f"its default_tensor has {np.size(tensor)} elements, expected 1")
    if tensor is not None:
        return np.asarray(tensor).reshape(1)
    if given is not None:
        return np.array([given], dtype)
    return np.array([UNUSED if dtype.kind in "OUS" else -0.0 if dtype.kind == "f" else -1], dtype)


def _looked_up(
    g: GraphBuilder, x: Value, keys: Array, values: Array, default: Array, nan_is_key: bool = False
) -> Value:
    """``values`` at the place of each element among ``keys``; from version 4 on, NaN can be a key."""
    found = g.add("Cast", _equal(g, x, keys, nan_is_key), to=TensorProto.FLOAT)
    value = g.add("Gather", constant(g, values), g.add("ArgMax", found, axis=-1, keepdims=0))
    known = g.add("Greater", g.add("ReduceSum", found, g.ints(-1), keepdims=0), g.const(0.0))
    return g.add("Where", known, value, constant(g, default))


def _equal(g: GraphBuilder, x: Value, keys: Array, nan_is_key: bool = False) -> Value:
    """Whether each element of ``x`` is each key, along a new last axis."""
    column = g.add("Unsqueeze", x, g.ints(-1))
    equal = g.add("Equal", column, constant(g, keys))
    if not nan_is_key or keys.dtype.kind != "f" or not np.isnan(keys).any():
        return equal
    both = g.add("And", g.add("IsNaN", column), constant(g, np.isnan(keys)))
    return g.add("Or", equal, both)
