"""MLPs of scikit-learn, exported by skl2onnx, are trained here as ``partial_fit`` trains them.

Their labels come from operators that no engine trains; they are off the path of the loss.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import ModelProto
from skl2onnx import to_onnx
from sklearn.neural_network import MLPClassifier, MLPRegressor

import neuromatic as nm
from neuromatic.inference import Session
from tests.exports.harness import BATCH, STEPS, close, in_onnxruntime, only_bound_changed, trained_here

Array = NDArray[Any]
RATE = 0.1
ROWS = STEPS * BATCH
X = np.random.default_rng(0).normal(size=(ROWS, 6)).astype(np.float32)
CLASSES = (X[:, :3] + 0.1 * np.random.default_rng(1).normal(size=(ROWS, 3))).argmax(1)
LABELS = {
    "three": CLASSES,
    "two": (CLASSES > 0).astype(np.int64),
    "words": np.array(["a", "b", "c"])[CLASSES],
}

plain = partial(dict, solver="sgd", momentum=0.0, nesterovs_momentum=False, alpha=0.0, shuffle=False)


def fitted_further(net: Any, y: Array) -> list[float]:
    """The losses of ``partial_fit`` batch by batch."""
    losses = []
    for start in range(0, ROWS, BATCH):
        net.partial_fit(X[start : start + BATCH], y[start : start + BATCH])
        losses.append(net.loss_)
    return losses


def exported(net: Any) -> ModelProto:
    options = {"zipmap": False} if isinstance(net, MLPClassifier) else {}
    model: ModelProto = to_onnx(net, X[:1], options=options)
    return model


@pytest.mark.parametrize("labels", LABELS)
def test_classifiers(labels: str) -> None:
    y = LABELS[labels]
    net = MLPClassifier((5, 4), random_state=0, learning_rate_init=RATE, **plain())
    net.partial_fit(X[:BATCH], y[:BATCH], classes=np.unique(y))
    file = exported(net)
    assert "ArrayFeatureExtractor" in {node.op_type for node in file.graph.node}
    loss = {"probabilities": nm.losses.SparseCategoricalCrossentropy()}
    here = trained_here(file, loss, X, np.unique(y, return_inverse=True)[1], RATE)
    np.testing.assert_allclose(here.losses, fitted_further(net, y), rtol=1e-3)
    only_bound_changed(file, here.trained, here.recipe)
    results = Session(here.trained).run({"X": X})
    close(results["probabilities"], net.predict_proba(X), 1e-3)
    assert (results["label"] == net.predict(X)).mean() > 0.98  # ties apart


@pytest.mark.parametrize("activation", ["tanh", "logistic", "relu", "identity"])
def test_regressors(activation: str) -> None:
    y = X @ np.arange(6, dtype=np.float32)
    settings = plain(learning_rate_init=RATE / 50, activation=activation)
    net = MLPRegressor(hidden_layer_sizes=(5,), random_state=0, **settings)
    net.partial_fit(X[:BATCH], y[:BATCH])
    file = exported(net)
    here = trained_here(file, "mse", X, y[:, None], RATE / 100)  # its loss is half of the mean square
    np.testing.assert_allclose(here.losses, [2 * loss for loss in fitted_further(net, y)], rtol=1e-3)
    only_bound_changed(file, here.trained, here.recipe)
    close(in_onnxruntime(here.trained, X)[:, 0], net.predict(X), 1e-3)


def test_train_verifies_the_probabilities_and_leaves_the_labels_to_onnxruntime() -> None:
    net = MLPClassifier((5,), random_state=0, **plain())
    net.partial_fit(X[:BATCH], CLASSES[:BATCH], classes=[0, 1, 2])
    model = nm.Model.from_proto(exported(net))
    model = model.loss({"probabilities": "sparse_categorical_crossentropy"}).optimizer("sgd")
    model = model.metrics({"probabilities": "accuracy"})
    history = model.train(X, CLASSES, epochs=2, verbose=0)
    assert history.difference is not None
    assert history.difference < 1e-4
    assert model.evaluate(X, CLASSES)["accuracy"] == pytest.approx(
        (model.predict(X)["label"] == CLASSES).mean()
    )
