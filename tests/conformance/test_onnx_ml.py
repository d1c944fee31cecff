"""The operators of ai.onnx.ml on both engines: values by onnxruntime, gradients by numpy in float64."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper
from sklearn.preprocessing import normalize

from neuromatic.converters import lowering
from neuromatic.converters.cntk.client import Worker
from neuromatic.converters.cntk.evaluate import run_model as run_on_cntk
from neuromatic.converters.cntk.lowerings import ops as cntk_ops
from neuromatic.converters.tensorflow import execution
from neuromatic.converters.tensorflow.context import TensorFlowContext
from neuromatic.converters.tensorflow.evaluate import run_model
from neuromatic.converters.tensorflow.lowerings import ops
from neuromatic.errors import UnsupportedOpError
from neuromatic.inference import Session
from tests.converters.cntk.cntk_environment import environment_or_skip

Array = NDArray[Any]
NAN = float("nan")
X = np.array([[1, -3, 2], [0, 0, 0], [-1, -2, -3], [0.2, 0.7, 0.4]], np.float32)
GAPS = np.where(X == 2, np.float32(NAN), X)
I64 = X.astype(np.int64)
WORDS = np.array([["a", "b"], ["c", "d"]], object)
W2, W3 = [0.1, 0.2, 0.3, -0.1, 0.4, 0.1], [0.1, 0.2, 0.3, -0.1, 0.4, 0.1, 0.3, 0.0, -0.2]
POSTS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")
INSIDE = np.abs(X) / 4
"""Rows whose products with the weights above are between 0 and 1, where PROBIT is finite."""


@dataclass(frozen=True)
class Case:
    """A node with its inputs.

    Attributes:
        op: the operator.
        inputs: arrays, in order.
        attributes: of the node.
        outputs: types of its outputs.
        version: of ai.onnx.ml.
    """

    op: str
    inputs: tuple[Array, ...]
    attributes: dict[str, Any]
    outputs: tuple[int, ...] = (TensorProto.FLOAT,)
    version: int = 1

    @property
    def feeds(self) -> dict[str, Array]:
        return {f"x{i}": array for i, array in enumerate(self.inputs)}

    def model(self) -> ModelProto:
        results = [f"y{i}" for i in range(len(self.outputs))]
        node = helper.make_node(self.op, list(self.feeds), results, domain="ai.onnx.ml", **self.attributes)
        graph = helper.make_graph(
            [node],
            "case",
            [helper.make_tensor_value_info(n, _type(a), _open(a.shape)) for n, a in self.feeds.items()],
            [helper.make_tensor_value_info(n, t, None) for n, t in zip(results, self.outputs, strict=True)],
        )
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", self.version)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def _type(array: Array) -> int:
    return TensorProto.STRING if array.dtype == object else helper.np_dtype_to_tensor_dtype(array.dtype)


def _open(shape: tuple[int, ...]) -> list[Any]:
    return ["N", *shape[1:]] if len(shape) > 1 else list(shape)


def tensor(values: Any) -> TensorProto:
    return numpy_helper.from_array(np.array(values), "t")


def numeric() -> Iterator[Case]:
    """Nodes without text."""
    yield from (Case("Normalizer", (x,), {"norm": n}) for n in ("MAX", "L1", "L2") for x in (X, X[0], I64))
    for x in (X, I64, X[0], X.astype(np.float64) + 1e8):
        yield Case("Scaler", (x,), {"offset": [2.0, 3.0, 4.0], "scale": [1.0, 0.5, 3.0]})
        yield Case("Scaler", (x,), {"offset": [1e8], "scale": [2.0]})
    for x, imputed, replaced in ((GAPS, [9.0, 8.0, 7.0], NAN), (X, [9.0], 0.0), (GAPS[0], [5.0], NAN)):
        yield Case("Imputer", (x,), {"imputed_value_floats": imputed, "replaced_value_float": replaced})
    integers = {"imputed_value_int64s": [9, 8, 7], "replaced_value_int64": 0}
    yield Case("Imputer", (I64,), integers, (TensorProto.INT64,))
    yield Case("Binarizer", (X,), {"threshold": 0.5})
    yield Case("Binarizer", (X,), {})
    for x in (I64, I64[0], X, X.astype(np.float64)):
        yield Case("OneHotEncoder", (x,), {"cats_int64s": [0, 1, 2]})
    yield Case("OneHotEncoder", (I64,), {"cats_int64s": [0, 1, 0]})
    for x, y in itertools.product((X, X[0], I64, X.reshape(2, 2, 3)), ([[2, 0]], [1], 1)):
        yield Case("ArrayFeatureExtractor", (x, np.array(y, np.int64)), {}, (_type(x),))
    yield Case("FeatureVectorizer", (X, X[:, :2]), {"inputdimensions": [3, 2]})
    yield Case("FeatureVectorizer", (X, X[:, :2]), {"inputdimensions": [2, 3]})
    for post, targets in itertools.product(POSTS, (1, 2, 3)):
        more = {"targets": targets, "post_transform": post, "coefficients": W3[: 3 * targets]}
        if post != "SOFTMAX_ZERO":  # of zeros only, onnxruntime makes 0 / 0
            yield Case("LinearRegressor", (INSIDE,), more)
        yield Case("LinearRegressor", (INSIDE,), {**more, "intercepts": [0.1, 0.05, 0.2][:targets]})
    opposite = {"coefficients": [0.1, 0.2, 0.3, -0.1, -0.2, -0.3], "intercepts": [0.3, -0.3]}
    types = (TensorProto.INT64, TensorProto.FLOAT)
    for post in POSTS:
        more = {**opposite, "post_transform": post, "classlabels_ints": [5, 7]}
        yield Case("LinearClassifier", (X,), more, types)
    for post, w in itertools.product(POSTS, (W3[:3], W2, W3)):
        more = {"post_transform": post, "coefficients": w, "intercepts": [0.3, 0.2, 0.1][: len(w) // 3]}
        labels = [5, 7, 9][: max(2, len(w) // 3)]
        if (post, len(w)) == ("PROBIT", 3):  # onnxruntime gives what lies in its memory
            continue
        yield Case("LinearClassifier", (INSIDE,), {**more, "classlabels_ints": labels}, types)
    yield from lookups()


def lookups() -> Iterator[Case]:
    """LabelEncoder between numbers."""
    i64, f32, f64 = TensorProto.INT64, TensorProto.FLOAT, TensorProto.DOUBLE
    keys = {"keys_floats": [1.0, NAN]}
    for version in (2, 4):  # NaN is a key in version 4 only
        yield Case("LabelEncoder", (GAPS,), {**keys, "values_floats": [5.0, 6.0]}, (f32,), version)
        yield Case("LabelEncoder", (GAPS,), {**keys, "values_int64s": [5, 6]}, (i64,), version)
    twice = {"keys_int64s": [1, 0, 1], "values_int64s": [5, 6, 7], "default_int64": 9}
    yield Case("LabelEncoder", (I64,), twice, (i64,), 2)
    infinite = {"keys_int64s": [1, 0], "values_floats": [5.0, float("inf")], "default_float": 0.5}
    yield Case("LabelEncoder", (I64,), infinite, (f32,), 2)
    tensors: dict[str, Any] = {"keys_tensor": tensor([1.0, 0.0]), "values_tensor": tensor([5.0, 6.0])}
    yield Case("LabelEncoder", (X.astype(np.float64),), tensors, (f64,), 4)
    tensors["default_tensor"] = tensor([-7.0])
    yield Case("LabelEncoder", (X.astype(np.float64),), tensors, (f64,), 4)


def of_texts() -> Iterator[Case]:
    """Nodes with text, which CNTK has not."""
    i64, text, short = TensorProto.INT64, TensorProto.STRING, TensorProto.INT16
    yield Case("OneHotEncoder", (WORDS,), {"cats_strings": ["a", "d"]})
    yield Case("ArrayFeatureExtractor", (WORDS, np.array([1])), {}, (text,))
    yield Case("LabelEncoder", (WORDS,), {"classes_strings": ["a", "d"]}, (i64,))
    yield Case("LabelEncoder", (I64,), {"classes_strings": ["a", "d"], "default_string": "?"}, (text,))
    twice = {"keys_strings": ["a", "d", "a"], "values_strings": ["A", "D", "Z"]}
    yield Case("LabelEncoder", (WORDS,), twice, (text,), 2)
    yield Case("LabelEncoder", (X,), {"keys_floats": [1.0, 0.0], "values_strings": ["a", "b"]}, (text,), 2)
    words = numpy_helper.from_array(np.array(["a", "b"], object))
    tensors: dict[str, Any] = {"keys_tensor": words, "values_tensor": tensor(np.array([5, 6], np.int16))}
    yield Case("LabelEncoder", (WORDS,), tensors, (short,), 4)
    tensors["default_tensor"] = tensor(np.array([-7], np.int16))
    yield Case("LabelEncoder", (WORDS,), tensors, (short,), 4)
    categories = {"cats_strings": ["a", "d"], "cats_int64s": [3, 1]}
    yield Case("CategoryMapper", (WORDS,), {**categories, "default_int64": 8}, (i64,))
    yield Case("CategoryMapper", (I64,), categories, (text,))
    more = {"coefficients": W3, "intercepts": [0.1, 0.0, 0.2], "classlabels_strings": ["a", "b", "c"]}
    yield Case("LinearClassifier", (X,), more, (text, TensorProto.FLOAT))


def _name(case: Case) -> str:
    shapes = ",".join(f"{a.dtype}{a.shape}" for a in case.inputs)
    return f"{case.op}-{case.version}({shapes};{case.attributes})".replace("\n", "").replace(" ", "")[:120]


def _same(got: Array, want: Array) -> None:
    assert got.shape == want.shape
    if want.dtype == object:
        assert [v.decode() if isinstance(v, bytes) else v for v in got.ravel()] == want.ravel().tolist()
        return
    assert got.dtype == want.dtype
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("eager", [True, False], ids=["eager", "traced"])
@pytest.mark.parametrize("case", [*numeric(), *of_texts()], ids=_name)
def test_tensorflow_gives_what_onnxruntime_gives(case: Case, eager: bool) -> None:
    got = run_model(case.model(), case.feeds, eager=eager)
    for name, want in Session(case.model()).run(case.feeds).items():
        _same(np.asarray(got[name]), want)


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    started = Worker(environment_or_skip(), threads=1, timeout=60.0)
    yield started
    started.close()


def _for_cntk() -> Iterator[Case]:
    """Batches of float32 whose results are finite: CNTK's logarithm of 0 is not infinite."""
    for case in numeric():
        if case.inputs[0].dtype != np.float32 or case.inputs[0].ndim != 2:
            continue
        results = Session(case.model()).run(case.feeds).values()
        if all(np.isfinite(a).all() for a in results) and _is_lowered(case):
            yield case


def _is_lowered(case: Case) -> bool:
    try:
        lowering.plan(case.model(), cntk_ops)
    except UnsupportedOpError:
        return False
    return True


@pytest.mark.parametrize("case", [*_for_cntk()], ids=_name)
def test_cntk_gives_what_onnxruntime_gives(case: Case, worker: Worker) -> None:
    known = [name for name, array in case.feeds.items() if array.dtype == np.int64]
    batched = [name for name in case.feeds if name not in known]
    got = run_on_cntk(case.model(), case.feeds, worker, batched=batched, known=known)
    for name, want in Session(case.model()).run(case.feeds).items():
        np.testing.assert_allclose(got[name], want, rtol=1e-4, atol=1e-5)


# -- gradients -------------------------------------------------------------------------------------


def _softmax(y: Array) -> Array:
    powers = np.exp(y - y.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


def _product(x: Array) -> Array:
    return np.asarray(x @ np.array(W3).reshape(3, 3).T + [0.1, 0.2, 0.3])


LINEAR = {"targets": 3, "coefficients": W3, "intercepts": [0.1, 0.2, 0.3]}
MEANINGS: list[tuple[str, dict[str, Any], Callable[[Array], Array]]] = [
    (
        "Scaler",
        {"offset": [2.0, 3.0, 4.0], "scale": [1.0, 0.5, 3.0]},
        lambda x: (x - [2, 3, 4]) * [1, 0.5, 3],
    ),
    ("Normalizer", {"norm": "L1"}, lambda x: np.asarray(normalize(x, "l1"))),
    ("Normalizer", {"norm": "L2"}, lambda x: np.asarray(normalize(x, "l2"))),
    ("Normalizer", {"norm": "MAX"}, lambda x: x / x.max(-1, keepdims=True)),
    ("Imputer", {"imputed_value_floats": [9.0], "replaced_value_float": NAN}, lambda x: x),
    ("FeatureVectorizer", {"inputdimensions": [3]}, lambda x: x),
    ("LinearRegressor", LINEAR, _product),
    ("LinearRegressor", {**LINEAR, "post_transform": "SOFTMAX"}, lambda x: _softmax(_product(x))),
    ("LinearRegressor", {**LINEAR, "post_transform": "SOFTMAX_ZERO"}, lambda x: _softmax(_product(x))),
    ("LinearRegressor", {**LINEAR, "post_transform": "LOGISTIC"}, lambda x: 1 / (1 + np.exp(-_product(x)))),
]


@pytest.mark.parametrize(("op", "attributes", "meaning"), MEANINGS, ids=[f"{m[0]}-{m[1]}" for m in MEANINGS])
def test_gradients(op: str, attributes: dict[str, Any], meaning: Callable[[Array], Array]) -> None:
    x = np.random.default_rng(0).uniform(0.2, 1.0, (4, 3)) * [[1, -1, 1], [1, 1, 1], [-1, 1, 1], [1, 1, -1]]
    weights = np.random.default_rng(1).normal(size=meaning(x).shape)
    plan = lowering.plan(Case(op, (x.astype(np.float32),), attributes).model(), ops)
    fed = tf.constant(x, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(fed)
        values: dict[str, Any] = {"x0": fed}
        lowering.run(plan, values, TensorFlowContext(tape=tape, values=values), execution.call)
        total = tf.reduce_sum(values["y0"] * tf.constant(weights, tf.float32))
    slopes = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[place] = 1e-6
        slopes[place] = ((meaning(x + step) - meaning(x - step)) * weights).sum() / 2e-6
    np.testing.assert_allclose(np.asarray(tape.gradient(total, fed)), slopes, rtol=1e-4, atol=1e-5)


def test_a_probit_is_the_normal_quantile_and_its_slope() -> None:
    """Winitzki's approximation, which onnxruntime uses, is within 0.5 % of it."""
    p = np.array([[0.05], [0.2], [0.45], [0.7], [0.99]], np.float32)
    attributes = {"coefficients": [1.0], "post_transform": "PROBIT"}
    plan = lowering.plan(Case("LinearRegressor", (p,), attributes).model(), ops)
    fed = tf.constant(p)
    with tf.GradientTape() as tape:
        tape.watch(fed)
        values: dict[str, Any] = {"x0": fed}
        lowering.run(plan, values, TensorFlowContext(tape=tape, values=values), execution.call)
    quantiles = np.array([[-1.644854], [-0.841621], [-0.125661], [0.524401], [2.326348]])
    np.testing.assert_allclose(values["y0"], quantiles, rtol=5e-3)
    slope = np.sqrt(2 * np.pi) * np.exp(quantiles**2 / 2)
    np.testing.assert_allclose(np.asarray(tape.gradient(values["y0"], fed)), slope, rtol=2e-2)


@pytest.mark.parametrize(
    ("op", "shape", "attributes", "reason"),
    [
        ("Scaler", (2, 3, 4), {"offset": [1.0, 2.0, 3.0]}, "its input has rank 3, expected 2"),
        ("Scaler", (2, 4), {"scale": [1.0, 2.0, 3.0]}, "scale has 3 numbers for 4 features"),
        ("Normalizer", (2, 3), {"norm": "L3"}, "norm 'L3' is none of MAX, L1, L2"),
        ("Imputer", (2, 3), {}, "it has no imputed values"),
        ("LinearRegressor", (2, 3), {}, "0 coefficients are no matrix of 1 rows"),
        ("LinearRegressor", (2, 3), {**LINEAR, "targets": -3}, "9 coefficients are no matrix of -3 rows"),
        (
            "LinearRegressor",
            (2, 3),
            {**LINEAR, "targets": 2**40},
            f"9 coefficients are no matrix of {2**40} rows",
        ),
        ("LinearRegressor", (2, 4), {"coefficients": W3[:3]}, "it has 3 coefficients for 4 features"),
        (
            "LinearRegressor",
            (2, 3),
            {**LINEAR, "post_transform": "CUBE"},
            "post_transform 'CUBE' is none of NONE, SOFTMAX, LOGISTIC, SOFTMAX_ZERO, PROBIT",
        ),
        ("LinearClassifier", (2, 3), {"coefficients": W3}, "9 coefficients are no matrix of 0 rows"),
        (
            "LinearClassifier",
            (2, 3),
            {"coefficients": W3[:3], "intercepts": [0.0], "classlabels_ints": [1]},
            "it has 1 intercepts for 1 labels",
        ),
        ("LabelEncoder", (2, 3), {"keys_floats": [1.0, 2.0], "values_floats": [1.0]}, "2 keys for 1 values"),
        ("LabelEncoder", (2, 3), {"values_floats": [1.0]}, "it has no keys"),
        ("OneHotEncoder", (2, 3), {}, "it has no categories"),
        ("FeatureVectorizer", (2, 3), {"inputdimensions": [-1]}, "its inputdimensions [-1] are no sizes"),
        (
            "LabelEncoder",
            (2, 3),
            {"keys_floats": [1.0], "values_floats": [1.0], "default_tensor": tensor([1.0, 2.0])},
            "its default_tensor has 2 elements, expected 1",
        ),
        ("FeatureVectorizer", (2, 3), {"inputdimensions": [1, 2]}, "2 inputdimensions for 1 inputs"),
    ],
)
def test_what_means_nothing_is_refused(
    op: str, shape: tuple[int, ...], attributes: dict[str, Any], reason: str
) -> None:
    version = 4 if op == "LabelEncoder" else 1
    outputs = (TensorProto.INT64, TensorProto.FLOAT)[-(2 if op == "LinearClassifier" else 1) :]
    case = Case(op, (np.zeros(shape, np.float32),), attributes, outputs, version)
    with pytest.raises(UnsupportedOpError) as caught:
        lowering.plan(case.model(), ops)
    assert str(caught.value).endswith(f": {reason}")
