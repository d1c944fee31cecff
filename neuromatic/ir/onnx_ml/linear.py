"""LinearRegressor and LinearClassifier of ai.onnx.ml by ONNX' own operators, as onnxruntime computes them.

Only operators and forms of opset 7 are used, as far as there is no text, so that these nodes can take their
place in a graph: see :mod:`neuromatic.transfer.linear_models`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.onnx_ml._forms import Attributes, NoFormError, as_float, constant, form
from neuromatic.ir.values import Value

Array = NDArray[Any]
COEFFICIENTS, INTERCEPTS = "coefficients", "intercepts"
ZERO = 1e-7
"""SOFTMAX_ZERO leaves scores of at most this size as they are."""
WINITZKI = 0.147
"""The constant of Winitzki's approximation of the inverse error function."""


@form("LinearRegressor")
def linear_regressor(g: GraphBuilder, x: Value, attributes: Attributes) -> Value:
    """Y = X coefficients' + intercepts, (N, targets), and ``post_transform`` of it."""
    targets = attributes.get("targets") or 1
    y = _product(g, x, *_weights(attributes, targets))
    post = attributes.get("post_transform") or "NONE"
    # As in onnxruntime, of a single number only PROBIT makes another one.
    return _transformed(g, y, post) if targets > 1 or post == "PROBIT" else y


@form("LinearClassifier", outputs=2)
def linear_classifier(
    g: GraphBuilder, x: Value, attributes: Attributes, wanted: Sequence[bool]
) -> tuple[Value | None, Value | None]:
    """The label of each row, (N,), and the scores Z = X coefficients' + intercepts, (N, classes).

    One row of coefficients with two labels gives the score of the second. Two rows that are each other's
    negative, as for two classes from scikit-learn, are one, so that they stay so in training.
    """
    labels, named = _labels(attributes)
    post = attributes.get("post_transform") or "NONE"
    weights = _weights(attributes, len(attributes.get(INTERCEPTS) or ()))
    count = len(weights[1])
    if len(labels) != (2 if count == 1 else count):
        raise NoFormError(f"it has {count} intercepts for {len(labels)} labels")
    opposite = _are_opposite(weights)
    scores = _product(g, x, *((w[1:] for w in weights) if opposite else weights))
    if opposite:
        scores = g.add("Concat", g.add("Neg", scores), scores, axis=1)
    label = _label(g, scores, labels, single=count == 1) if wanted[0] else None
    if not wanted[1] or not named:
        return label, scores
    return label, _two_scores(g, scores, post) if count == 1 else _transformed(g, scores, post)


def _labels(attributes: Attributes) -> tuple[Array, bool]:
    """The labels, and whether the node names them; if not, it has one score, and they are 0 and 1."""
    texts, integers = attributes.get("classlabels_strings"), attributes.get("classlabels_ints")
    if texts:
        return np.array(texts, object), True
    return np.array(integers or (0, 1), np.int64), bool(integers)


def _weights(attributes: Attributes, rows: int) -> tuple[Array, Array]:
    """Coefficients (rows, features) and intercepts (rows,)."""
    numbers = np.array(attributes.get(COEFFICIENTS) or (), np.float32)
    added = np.array(attributes.get(INTERCEPTS) or np.zeros(rows), np.float32)
    if rows < 1 or not len(numbers) or len(numbers) % rows:
        raise NoFormError(f"{len(numbers)} coefficients are no matrix of {rows} rows")
    if len(added) != rows:
        raise NoFormError(f"it has {len(added)} intercepts for {rows} targets")
    return numbers.reshape(rows, -1), added


def _are_opposite(weights: tuple[Array, Array]) -> bool:
    return all(len(w) == 2 and np.array_equal(w[0], -w[1]) for w in weights)


def _product(g: GraphBuilder, x: Value, coefficients: Array, intercepts: Array) -> Value:
    rank = 2 if x.shape is None else len(x.shape)
    if rank not in (1, 2):
        raise NoFormError(f"its input has rank {rank}, expected 2")
    rows = as_float(g, x)
    rows = rows if rank == 2 else g.add("Reshape", rows, g.ints(1, -1))
    width = x.shape[-1] if x.shape else None
    if isinstance(width, int) and width != coefficients.shape[1]:
        raise NoFormError(f"it has {coefficients.shape[1]} coefficients for {width} features")
    weights = [(COEFFICIENTS, coefficients), (INTERCEPTS, intercepts)]
    made = [g.add("Constant", name=f"{g.scope}/{n}", value=numpy_helper.from_array(w)) for n, w in weights]
    return g.add("Gemm", rows, *made, transB=1)


def _label(g: GraphBuilder, scores: Value, labels: Array, *, single: bool) -> Value:
    """The label of the best score; of a single score, the second label where it is positive."""
    if single:
        best = g.add("Cast", g.add("Greater", scores, g.const(0.0)), to=TensorProto.INT64)
        best = g.add("Reshape", best, g.ints(-1))
    else:
        best = g.add("ArgMax", scores, axis=1, keepdims=0)
    return g.add("Gather", constant(g, labels), best)


def _two_scores(g: GraphBuilder, score: Value, post: str) -> Value:
    if post == "PROBIT":
        raise NoFormError("post_transform PROBIT means nothing for one score and two labels")
    if post == "LOGISTIC":
        return g.add("Sigmoid", g.add("Concat", g.add("Neg", score), score, axis=1))
    return g.add("Concat", g.add("Sub", g.const(1.0), score), score, axis=1)


def _transformed(g: GraphBuilder, y: Value, post: str) -> Value:
    if post == "NONE":
        return y
    if post == "LOGISTIC":
        return g.add("Sigmoid", y)
    if post == "SOFTMAX":
        return g.add("Softmax", y, axis=1)
    if post == "SOFTMAX_ZERO":
        return _softmax_zero(g, y)
    if post == "PROBIT":
        return _probit(g, y)
    raise NoFormError(f"post_transform {post!r} is none of NONE, SOFTMAX, LOGISTIC, SOFTMAX_ZERO, PROBIT")


def _softmax_zero(g: GraphBuilder, y: Value) -> Value:
    """Softmax among the scores that are not 0; those that are stay 0."""
    counts = g.add("Cast", g.add("Greater", g.add("Abs", y), g.const(ZERO)), to=TensorProto.FLOAT)
    powers = g.add("Mul", g.add("Softmax", y, axis=1), counts)
    # A sum along an axis in the words of every opset.
    total = g.add("MatMul", powers, g.const(np.ones((int(y.dim(1) or 0), 1), np.float32)))
    none = g.add("Cast", g.add("Not", g.add("Greater", total, g.const(0.0))), to=TensorProto.FLOAT)
    return g.add("Div", powers, g.add("Add", total, none))


def _probit(g: GraphBuilder, y: Value) -> Value:
    """The quantile of the normal distribution, sqrt(2) erfinv(2 y - 1), by Winitzki's approximation."""
    z = g.add("Sub", g.add("Mul", y, g.const(2.0)), g.const(1.0))
    one = g.const(1.0)
    log = g.add("Log", g.add("Mul", g.add("Sub", one, z), g.add("Add", one, z)))
    a = g.add("Add", g.const(2 / (np.pi * WINITZKI)), g.add("Mul", log, g.const(0.5)))
    square = g.add("Sub", g.add("Mul", a, a), g.add("Mul", log, g.const(1 / WINITZKI)))
    size = g.add("Sqrt", g.add("Mul", g.add("Sub", g.add("Sqrt", square), a), g.const(2.0)))
    return g.add("Mul", size, g.add("Sign", z))
