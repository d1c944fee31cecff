"""What stands before scikit-learn's nets, and linear models: trained as there, and given back to it.

The weights of linear models are attributes in the file; what is trained here is put into the estimator, which
then has to predict what the file does.
"""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import (
    ElasticNet,
    LinearRegression,
    LogisticRegression,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    KBinsDiscretizer,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import LinearSVC

import neuromatic as nm
from neuromatic.inference import Session
from neuromatic.reports import inspection
from neuromatic.transfer.linear_models import with_initializers
from tests.converters.cntk.cntk_environment import environment_or_skip
from tests.exports.harness import BATCH, STEPS, close, trained_here

Array = NDArray[Any]
ROWS = STEPS * BATCH
rng = np.random.default_rng(0)
X = (3 * rng.normal(size=(ROWS, 4)) + [1, 2, 3, 4]).astype(np.float32)
GAPS = np.where(rng.random(X.shape) < 0.1, np.float32(np.nan), X)
KINDS = rng.integers(0, 3, X.shape)
GAPPED_KINDS = np.where(rng.random(X.shape) < 0.1, np.nan, KINDS).astype(np.float32)
Y = ((X - X.mean(0))[:, :3] + 0.1 * rng.normal(size=(ROWS, 3))).argmax(1)
TRUTH = (X @ np.array([[1, -1], [0.5, 0], [0, 0.2], [-1, 1]]) / 3).astype(np.float32)
WORDS = np.array(["a", "b", "c"])

columns = partial(ColumnTransformer, [("a", StandardScaler(), [0, 2]), ("b", Binarizer(threshold=2), [1])])
frequent = partial(SimpleImputer, strategy="most_frequent")
bins = partial(KBinsDiscretizer, 3, encode="onehot-dense", strategy="uniform")
BEFORE: dict[str, tuple[Callable[[], Any], Array, tuple[str, ...]]] = {
    "StandardScaler": (StandardScaler, X, ()),
    "RobustScaler": (RobustScaler, X, ()),
    "MinMaxScaler": (MinMaxScaler, X, ("Mu_*", "Ad_*")),
    "Normalizer-l1": (partial(Normalizer, "l1"), X, ()),
    "Normalizer-l2": (partial(Normalizer, "l2"), X, ()),
    "SimpleImputer": (SimpleImputer, GAPS, ()),
    "imputer and scaler": (lambda: make_pipeline(SimpleImputer(), StandardScaler()), GAPS, ()),
    "imputer and ordinals": (lambda: make_pipeline(frequent(), OrdinalEncoder()), GAPPED_KINDS, ()),
    "OneHotEncoder": (OneHotEncoder, KINDS, ()),
    "OneHotEncoder-drop": (partial(OneHotEncoder, drop="first"), KINDS, ()),
    "OrdinalEncoder": (OrdinalEncoder, KINDS, ()),
    "Binarizer": (partial(Binarizer, threshold=1.5), X, ()),
    "KBinsDiscretizer": (bins, X, ()),
    "PolynomialFeatures": (lambda: make_pipeline(StandardScaler(), PolynomialFeatures(2)), X, ()),
    "SelectKBest": (partial(SelectKBest, k=2), X, ()),
    "ColumnTransformer": (columns, X, ()),
    "PCA": (partial(PCA, 2), X, ("transform_matrix", "mean")),
}
"""Makes what stands before the net, its data, and which of its constants the file has as initializers."""


def exported(model: Any, x: Array) -> ModelProto:
    """A file whose probabilities are an array, not a sequence of maps, where there are such."""
    options: dict[str, Any] = {}
    if hasattr(model, "predict_proba"):
        options = {"zipmap": False}
    elif hasattr(model, "decision_function"):
        options = {"raw_scores": True}
    file: ModelProto = to_onnx(model, x[:1], options=options)
    return file


def _net(x: Array) -> MLPClassifier:
    net = MLPClassifier(
        (5,), random_state=0, solver="sgd", momentum=0.0, nesterovs_momentum=False, alpha=0.0, shuffle=False
    )
    net.set_params(learning_rate_init=0.05)
    net.partial_fit(x[:BATCH], Y[:BATCH], classes=[0, 1, 2])
    return net


@pytest.mark.parametrize("name", BEFORE)
def test_what_stands_before_a_net_does_not_block_it(name: str) -> None:
    make, x, frozen = BEFORE[name]
    before = make().fit(x, Y)
    seen = before.transform(x)
    seen = np.asarray(seen.todense() if hasattr(seen, "todense") else seen)
    net = _net(seen)
    file = exported(make_pipeline(before, net), x)
    loss = {"probabilities": nm.losses.SparseCategoricalCrossentropy()}
    here = trained_here(file, loss, x, Y, 0.05, frozen)
    assert here.recipe.trainable == ("coefficient", "intercepts", "coefficient1", "intercepts1")
    losses = []
    for start in range(0, ROWS, BATCH):
        net.partial_fit(seen[start : start + BATCH], Y[start : start + BATCH])
        losses.append(net.loss_)
    np.testing.assert_allclose(here.losses, losses, rtol=1e-3)
    results = Session(here.trained).run({"X": x})
    close(results["probabilities"], net.predict_proba(seen), 1e-3)
    assert (results["label"] == net.predict(seen)).mean() > 0.97  # ties apart


def test_types_that_onnx_does_not_infer_end_no_process(tmp_path: Path) -> None:
    """Its inference of LabelEncoder, behind an operator that it infers no type of, is not safe."""
    make, x, _ = BEFORE["imputer and ordinals"]
    file = exported(make().fit(x), x)
    assert {"Imputer", "LabelEncoder"} <= {node.op_type for node in file.graph.node}
    onnx.save(file, tmp_path / "net.onnx")
    opset = max(o.version for o in file.opset_import)
    run = [sys.executable, "-m", "neuromatic.cli.main"]
    convert = ["convert", "net.onnx", "-o", "new.onnx", "--opset", str(opset + 1)]
    for command in (["info", "net.onnx"], convert):
        done = subprocess.run([*run, *command], cwd=tmp_path, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert [n.domain for n in onnx.load(tmp_path / "new.onnx").graph.node] == [
        n.domain for n in file.graph.node
    ]


def test_columns_of_several_kinds_with_texts_among_them() -> None:
    data = np.empty((ROWS, 4), object)
    data[:, :2], data[:, 2], data[:, 3] = GAPS[:, :2], np.array(["rome", "oslo", "bern"])[Y], KINDS[:, 0]
    steps = [
        ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), [0, 1]),
        ("texts", OneHotEncoder(handle_unknown="ignore"), [2]),
        ("kinds", OneHotEncoder(), [3]),
    ]
    before = ColumnTransformer(steps, sparse_threshold=0).fit(data)
    seen = before.transform(data).astype(np.float64)
    net = _net(seen)
    kinds = [FloatTensorType, FloatTensorType, StringTensorType, Int64TensorType]
    types = [(name, kind([None, 1])) for name, kind in zip("abcd", kinds, strict=True)]
    file = to_onnx(make_pipeline(before, net), initial_types=types, options={"zipmap": False})
    model = nm.Model.from_proto(file).loss({"probabilities": "sparse_categorical_crossentropy"})
    model = model.optimizer("sgd", learning_rate=0.05)
    x = {"a": GAPS[:, :1], "b": GAPS[:, 1:2], "c": data[:, 2:3], "d": KINDS[:, :1]}
    options: dict[str, Any] = {"batch_size": BATCH, "shuffle": False, "verbose": 0}
    history = model.train(x, Y, **options, engine_options={"jit": False})
    losses = []
    for start in range(0, ROWS, BATCH):
        net.partial_fit(seen[start : start + BATCH], Y[start : start + BATCH])
        losses.append(net.loss_)
    np.testing.assert_allclose(history.step_losses, losses, rtol=1e-3)
    close(model.predict(x)["probabilities"], net.predict_proba(seen), 1e-3)
    unknown = x | {"c": np.full((ROWS, 1), "paris", object)}
    assert np.isfinite(model.predict(unknown)["probabilities"]).all()


# -- linear models ---------------------------------------------------------------------------------


def _descended(
    w: Array, b: Array, y: Array, rate: float, slope: Callable[[Array, Array], tuple[Array, float]]
) -> tuple[Array, Array, list[float]]:
    """Weights (outputs, features) and biases after plain descent batch by batch, in float64."""
    losses = []
    for start in range(0, ROWS, BATCH):
        x, truth = X[start : start + BATCH].astype(np.float64), y[start : start + BATCH]
        d, loss = slope(x @ w.T + b, truth)
        losses.append(loss)
        w, b = w - rate * d.T @ x, b - rate * d.sum(0)
    return w, b, losses


def _squares(z: Array, y: Array) -> tuple[Array, float]:
    return 2 * (z - y) / z.size, float(((z - y) ** 2).mean())


def _softmax_entropy(z: Array, y: Array) -> tuple[Array, float]:
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    return (p - np.eye(3)[y]) / len(z), float(-np.log(p[np.arange(len(z)), y]).mean())


def _binary_entropy(z: Array, y: Array) -> tuple[Array, float]:
    p = 1 / (1 + np.exp(-z))
    truth = y[:, None]
    return (p - truth) / len(z), float(-np.log(np.where(truth, p, 1 - p)).mean())


def _weights_of(model: Any, w: Array, b: Array) -> None:
    model.coef_ = w if np.ndim(model.coef_) > 1 else w[0]
    model.intercept_ = b if np.ndim(model.intercept_) else b[0]


@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("kind", [LinearRegression, Ridge, ElasticNet])
def test_linear_regressions(kind: Any, columns: int) -> None:
    y = TRUTH[:, :columns]
    model = kind().fit(X[:BATCH], y[:BATCH] if columns > 1 else y[:BATCH, 0])
    file = exported(model, X)
    here = trained_here(file, "mse", X, y, 0.01)
    assert here.recipe.trainable == ("LinearRegressor/coefficients", "LinearRegressor/intercepts")
    w, b = np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_)
    w, b, losses = _descended(w, b, y, 0.01, _squares)
    np.testing.assert_allclose(here.losses, losses, rtol=1e-3, atol=1e-6)
    _weights_of(model, w, b)
    found = Session(here.trained).run({"X": X})["variable"]
    np.testing.assert_allclose(found, model.predict(X).reshape(-1, columns), rtol=1e-3, atol=1e-4)


def _classifier(kind: str) -> tuple[Any, Array]:
    """A fitted model and its targets, as class numbers."""
    two = (Y > 0).astype(np.int64)
    makes: dict[str, tuple[Any, Array, Array]] = {
        "three": (LogisticRegression(C=0.01), Y, Y),
        "words": (LogisticRegression(C=0.01), Y, WORDS[Y]),
        "two": (LogisticRegression(C=0.01), two, two),
        "two words": (LogisticRegression(C=0.01), two, WORDS[two]),
        "one against the rest": (OneVsRestClassifier(LogisticRegression(C=0.01)), Y, Y),
        "SGD": (SGDClassifier(loss="log_loss", alpha=10.0, random_state=0), two, two),
    }
    model, numbers, labels = makes[kind]
    return model.fit(X, labels), numbers


@pytest.mark.parametrize("engine", ["tensorflow", "cntk"])
@pytest.mark.parametrize("kind", ["three", "words", "two", "two words"])
def test_logistic_regressions(kind: str, engine: str) -> None:
    if engine == "cntk":
        environment_or_skip()
    model, y = _classifier(kind)
    file = exported(model, X)
    loss = {"probabilities": nm.losses.SparseCategoricalCrossentropy()}
    here = trained_here(file, loss, X, y, 0.02, engine=engine)
    assert here.recipe.trainable == ("LinearClassifier/coefficients", "LinearClassifier/intercepts")
    slope = _softmax_entropy if len(model.classes_) == 3 else _binary_entropy
    w, b, losses = _descended(model.coef_, model.intercept_, y, 0.02, slope)
    np.testing.assert_allclose(here.losses, losses, rtol=1e-3)
    _weights_of(model, w, b)
    results = Session(here.trained).run({"X": X})
    close(results["probabilities"], model.predict_proba(X), 1e-3)
    assert (results["label"] == model.predict(X)).mean() > 0.97  # ties apart


def test_one_against_the_rest_trains() -> None:
    model, y = _classifier("one against the rest")
    net = nm.Model.from_proto(exported(model, X)).loss({"probabilities": "sparse_categorical_crossentropy"})
    net = net.optimizer("sgd", learning_rate=0.02)
    assert net.recipe is not None
    assert len(net.recipe.trainable) == 6
    history = net.train(X, y, epochs=5, verbose=0, engine_options={"jit": False})
    assert history.history["loss"][-1] < history.history["loss"][0]


@pytest.mark.parametrize("kind", [LinearSVC, RidgeClassifier])
def test_scores_are_the_decision_function(kind: Any) -> None:
    model = kind().fit(X[:BATCH], Y[:BATCH])
    y = np.where(Y[:, None] == np.arange(3), 1, -1).astype(np.float32)
    here = trained_here(exported(model, X), {"probabilities": "mse"}, X, y, 0.01)
    w, b, losses = _descended(model.coef_, model.intercept_, y, 0.01, _squares)
    np.testing.assert_allclose(here.losses, losses, rtol=1e-3)
    _weights_of(model, w, b)
    close(Session(here.trained).run({"X": X})["probabilities"], model.decision_function(X), 1e-3)


# -- the file --------------------------------------------------------------------------------------


def test_the_weights_of_linear_models_become_initializers() -> None:
    file = exported(_classifier("words")[0], X)
    lifted = with_initializers(file)
    onnx.checker.check_model(lifted, full_check=True)
    operators = [node.op_type for node in lifted.graph.node]
    assert operators == ["Gemm", "ArgMax", "Constant", "Gather", "Softmax", "Normalizer"]
    (weights, biases) = lifted.graph.initializer
    (node, _) = file.graph.node
    given = {a.name: a for a in node.attribute}
    assert numpy_helper.to_array(weights).ravel().tolist() == list(given["coefficients"].floats)
    assert numpy_helper.to_array(biases).tolist() == list(given["intercepts"].floats)
    before, after = (Session(m).run({"X": X}) for m in (file, lifted))
    assert (before["label"] == after["label"]).all()
    np.testing.assert_allclose(after["probabilities"], before["probabilities"], atol=1e-6)
    assert nm.Model.from_proto(file).lift_constants().parameters().keys() == {weights.name, biases.name}


def test_two_classes_share_one_row_of_weights() -> None:
    """As in scikit-learn; each by itself, both probabilities would grow."""
    model, y = _classifier("two")
    lifted = with_initializers(exported(model, X))
    assert [list(t.dims) for t in lifted.graph.initializer] == [[1, 4], [1]]
    net = nm.Model.from_proto(exported(model, X)).loss({"probabilities": "sparse_categorical_crossentropy"})
    net = net.optimizer("sgd", learning_rate=0.02)
    net.train(X, y, verbose=0, engine_options={"jit": False})
    np.testing.assert_allclose(net.predict(X)["probabilities"].sum(1), 1, atol=1e-6)


def test_a_model_that_has_several_linear_nodes_without_names() -> None:
    file = exported(_classifier("one against the rest")[0], X)
    for node in file.graph.node:
        node.name = ""
    names = [t.name for t in with_initializers(file).graph.initializer if "coefficients" in t.name]
    assert names == [f"LinearClassifier/coefficients{end}" for end in ("", "_1", "_2")]


def test_where_the_weights_are_is_told() -> None:
    told = inspection.traces(exported(LinearRegression().fit(X, TRUTH), X))
    assert told == [
        "the weights of LinearRegressor are attributes: when a loss is chosen, plain nodes take its place, "
        "whose weights are initializers"
    ]


def test_a_map_of_probabilities_blocks_nothing() -> None:
    model, y = _classifier("words")
    file: ModelProto = to_onnx(model, X[:1])
    assert "ZipMap" in {node.op_type for node in file.graph.node}
    net = nm.Model.from_proto(file).loss({"probabilities": "sparse_categorical_crossentropy"})
    history = net.optimizer("sgd").train(X, y, verbose=0, engine_options={"jit": False})
    assert np.isfinite(history.history["loss"]).all()


def test_gaps_are_refused_where_nothing_fills_them() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        filled = nm.Model.from_proto(exported(make_pipeline(SimpleImputer(), Ridge()).fit(GAPS, Y), GAPS))
        assert np.isfinite(filled.predict(GAPS)).all()
    plain = nm.Model.from_proto(exported(Ridge().fit(X, Y), X))
    with pytest.raises(nm.errors.DataError, match=r"has nan in row 0 .*expected finite numbers"):
        plain.predict(np.full((1, 4), np.nan, np.float32))
    with pytest.raises(nm.errors.DataError, match=r"has inf in row 0 .*expected finite numbers"):
        filled.predict(np.full((1, 4), np.inf, np.float32))
