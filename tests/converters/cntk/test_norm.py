"""Normalisation and dropout on CNTK."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import numpy_helper, parser

import neuromatic as nm
from neuromatic import layers
from neuromatic.converters.cntk.client import Worker
from neuromatic.errors import UnsupportedFeatureError
from tests.converters.cntk.single import Array, check, normal

SIZES = (4, 5, 3)


def _batch_norm_inputs(n: int, rows: int = 6) -> dict[str, Array]:
    vectors = {name: normal(3, seed=i) for i, name in enumerate(("scale", "B", "mean"), 1)}
    return {"X": 2 * normal(rows, 3, *SIZES[:n]) + 1, **vectors, "var": normal(3, seed=4) ** 2 + 0.5}


@pytest.mark.parametrize("n", [0, 1, 2, 3])
@pytest.mark.parametrize("opset", [8, 9, 15])
def test_batch_normalization_in_inference(worker: Worker, opset: int, n: int) -> None:
    inputs = _batch_norm_inputs(n)
    check(worker, "BatchNormalization", inputs, opset=opset, constants=("mean", "var"), epsilon=1e-3)


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_batch_normalization_in_training_mode(worker: Worker, n: int) -> None:
    settings = {"opset": 15, "outputs": 3, "training_mode": 1, "momentum": 0.75}
    check(worker, "BatchNormalization", _batch_norm_inputs(n), **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("axis", [1, 2, -1])
@pytest.mark.parametrize("biased", [True, False])
def test_layer_normalization(worker: Worker, axis: int, biased: bool) -> None:
    x = normal(3, 4, 5)
    inputs = {"X": x, "Scale": normal(*x.shape[axis:], seed=1), "B": normal(*x.shape[axis:], seed=2)}
    if not biased:
        del inputs["B"]
    check(worker, "LayerNormalization", inputs, opset=17, axis=axis, outputs=3 if biased else 1)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_instance_normalization(worker: Worker, n: int) -> None:
    inputs = {"X": normal(3, 4, *SIZES[:n]), "scale": normal(4, seed=1), "B": normal(4, seed=2)}
    check(worker, "InstanceNormalization", inputs, epsilon=1e-3)


@pytest.mark.parametrize(("opset", "size"), [(18, 2), (21, 6)])
def test_group_normalization(worker: Worker, opset: int, size: int) -> None:
    inputs = {"X": normal(3, 6, 4, 5), "scale": normal(size, seed=1), "bias": normal(size, seed=2)}
    check(worker, "GroupNormalization", inputs, opset=opset, num_groups=2)


@pytest.mark.parametrize("axes", [(0, 2, 3), (1, 2)])
def test_mean_variance_normalization(worker: Worker, axes: tuple[int, ...]) -> None:
    check(worker, "MeanVarianceNormalization", {"X": normal(3, 2, 4, 5)}, opset=13, axes=axes)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("axis", [1, -1])
def test_lp_normalization(worker: Worker, axis: int, p: int) -> None:
    x = normal(3, 4, 5)
    x[0] = 0
    check(worker, "LpNormalization", {"X": x}, axis=axis, p=p)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_local_response_normalization(worker: Worker, size: int) -> None:
    check(worker, "LRN", {"X": normal(3, 7, 4, 5)}, size=size, alpha=0.5, beta=0.6, bias=1.5)


@pytest.mark.parametrize("opset", [7, 10, 13])
def test_dropout_in_inference_is_the_identity(worker: Worker, opset: int) -> None:
    check(worker, "Dropout", {"X": normal(3, 4)}, opset=opset, outputs=2 if opset > 10 else 1)


def test_dropout_in_training_mode_is_refused(worker: Worker) -> None:
    inputs = {"X": normal(3, 4), "ratio": np.array(0.5, np.float32), "training_mode": np.array(True)}
    with pytest.raises(UnsupportedFeatureError, match="random numbers for what is the same for all rows"):
        check(worker, "Dropout", inputs, opset=13, constants=("ratio", "training_mode"))


@pytest.mark.parametrize("rows", [1, 4])
def test_running_statistics_follow_the_definition(cntk_environment: object, rows: int) -> None:
    """running = momentum * running + (1 - momentum) * batch, of the population, also of a single element."""
    x = nm.Input((3,))
    normalised = layers.BatchNormalization(axis=1, momentum=0.75, name="norm")(x)
    model = nm.Model(x, layers.Dense(1, name="dense")(normalised)).loss("mean_squared_error").optimizer("sgd")
    data = normal(3 * rows, 3)
    options = {"threads": 1}
    y = normal(3 * rows, 1)
    model.train(data, y, batch_size=rows, shuffle=False, verbose=0, engine="cntk", engine_options=options)
    mean, variance = np.zeros(3), np.ones(3)
    for batch in data.reshape(3, rows, 3):
        mean = 0.75 * mean + 0.25 * batch.mean(0)
        variance = 0.75 * variance + 0.25 * batch.var(0)
    found = model.parameters()
    kept = {name: value for name, value in found.items() if "mean" in name or "var" in name}
    assert len(kept) == 2, list(found)
    for name, value in kept.items():
        expected = mean if "mean" in name else variance
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.usefixtures("cntk_environment")
@pytest.mark.parametrize("opset", [12, 13, 17])
def test_training_at_opsets_whose_node_has_five_outputs(opset: int) -> None:
    text = (
        f'<ir_version: 7, opset_import: ["" : {opset}]> net (float[N,3,4] x) => (float[N,2] y) '
        "{ a = Conv(x, k)  b = BatchNormalization<momentum=0.8>(a, s, o, m, v)  c = Relu(b)"
        "  d = GlobalAveragePool(c)  e = Flatten(d)  y = MatMul(e, w) }"
    )
    proto = parser.parse_model(text)
    shapes = {"k": (5, 3, 3), "s": (5,), "o": (5,), "m": (5,), "v": (5,), "w": (5, 2)}
    for i, (name, shape) in enumerate(shapes.items()):
        array = normal(*shape, seed=i)
        stored = np.abs(array) + 0.5 if name in "vs" else array
        proto.graph.initializer.append(numpy_helper.from_array(stored.astype(np.float32), name))
    x, y = normal(16, 3, 4, seed=7), normal(16, 2, seed=8)
    found = {}
    for engine in ("cntk", "tensorflow"):
        model = nm.Model.from_proto(proto).loss("mse").optimizer("sgd", learning_rate=0.05)
        losses = model.train(x, y, epochs=2, batch_size=8, engine=engine, verbose=0).step_losses
        found[engine] = np.array(losses), model.parameters()
    np.testing.assert_allclose(found["cntk"][0], found["tensorflow"][0], rtol=1e-5)
    for name in shapes:
        one, other = (found[engine][1][name] for engine in ("cntk", "tensorflow"))
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5, err_msg=name)
