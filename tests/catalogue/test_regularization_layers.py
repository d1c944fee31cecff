"""Layers that act in training: identities in inference, and what they do in training on both engines."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper

import neuromatic as nm
from neuromatic import layers
from neuromatic.converters import lowering
from neuromatic.converters.tensorflow import execution
from neuromatic.converters.tensorflow.context import TensorFlowContext
from neuromatic.converters.tensorflow.lowerings import ops
from tests.catalogue.cntk import records
from tests.catalogue.layers import FEW, Array, Twins, assert_equals_keras, images, model_of, numbers
from tests.catalogue.status import equal
from tests.converters.cntk.cntk_environment import environment_or_skip

ONES = np.ones((40, 50, 20), np.float32)
LAYERS: list[layers.Layer] = [
    layers.Dropout(0.4),
    layers.Dropout(0.4, noise_shape=(None, 1, 20)),
    layers.SpatialDropout1D(0.4),
    layers.AlphaDropout(0.3),
    layers.AlphaDropout(0.3, noise_shape=(None, None, 1)),
    layers.GaussianNoise(0.7),
    layers.GaussianDropout(0.3),
]


def name_of(layer: layers.Layer) -> str:
    return repr(layer).replace("name=None, ", "")


def in_training(layer: layers.Layer, x: Array, *, seed: int = 1, step: int = 0) -> Array:
    """What a training step on TensorFlow computes with a layer."""
    proto = model_of(layer, [x]).proto
    context = TensorFlowContext(training=True, seed=seed, step=step)
    values: dict[str, Any] = {t.name: numpy_helper.to_array(t) for t in proto.graph.initializer} | {
        "x0": execution.tf.constant(x)
    }
    lowering.run(lowering.plan(proto, ops, training=True), values, context, execution.call)
    return np.asarray(execution.channels_first(values[proto.graph.output[0].name]))


def by_keras(layer: Any, x: Array) -> Array:
    keras.utils.set_random_seed(0)
    return np.asarray(keras.ops.convert_to_numpy(layer(x, training=True)))


@equal("layers", "ActivityRegularization")
@equal("layers", "Dropout", "AlphaDropout", "GaussianNoise", "GaussianDropout")
@FEW
@given(shape=st.lists(st.integers(1, 4), min_size=1, max_size=3), rate=st.sampled_from([0, 0.25, 0.9]))
def test_they_pass_on_what_they_get(shape: list[int], rate: float) -> None:
    x = numbers("x", (2, *shape))
    for kind in ("Dropout", "AlphaDropout", "GaussianNoise", "GaussianDropout", "ActivityRegularization"):
        assert_equals_keras(Twins(getattr(layers, kind)(rate), getattr(keras.layers, kind)(rate)), x)


@equal("layers", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D")
@FEW
@given(axes=st.integers(1, 3), sizes=st.lists(st.integers(1, 4), min_size=3, max_size=3))
def test_spatial_dropout_passes_on_what_it_gets(axes: int, sizes: list[int]) -> None:
    kind = f"SpatialDropout{axes}D"
    twins = images(getattr(layers, kind)(0.3), getattr(keras.layers, kind)(0.3))
    assert_equals_keras(twins, numbers("x", (2, 3, *sizes[:axes])))


@pytest.mark.parametrize("layer", LAYERS, ids=name_of)
def test_the_distribution_is_that_of_keras(layer: layers.Layer) -> None:
    """Mean, variance and share of kept elements, for ones."""
    arguments = {k: v for k, v in vars(layer).items() if k != "name"}
    x = ONES
    if isinstance(layer, layers.SpatialDropout1D):
        theirs = np.moveaxis(by_keras(keras.layers.SpatialDropout1D(0.4), np.moveaxis(x, 1, -1)), -1, 1)
    else:
        theirs = by_keras(getattr(keras.layers, type(layer).__name__)(**arguments), x)
    ours = in_training(layer, x)
    assert ours.mean() == pytest.approx(theirs.mean(), abs=0.1)
    assert ours.std() == pytest.approx(theirs.std(), abs=0.1)
    if not isinstance(layer, (layers.GaussianNoise, layers.GaussianDropout)):
        np.testing.assert_allclose(np.unique(ours), np.unique(theirs), rtol=1e-5)
    constant = [axis for axis in range(3) if np.ptp(theirs, axis=axis).max() == 0]
    assert constant == [axis for axis in range(3) if np.ptp(ours, axis=axis).max() == 0]


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_spatial_dropout_drops_whole_channels(axes: int) -> None:
    y = in_training(
        getattr(layers, f"SpatialDropout{axes}D")(0.5), np.ones((30, 20, 3, 2, 2)[: 2 + axes], np.float32)
    )
    rows = y.reshape(30, 20, -1)
    assert set(np.unique(rows)) == {0.0, 2.0}
    assert np.ptp(rows, axis=2).max() == 0
    assert (rows[..., 0] == 0).mean() == pytest.approx(0.5, abs=0.1)
    assert np.ptp(rows[..., 0], axis=0).min() > 0


def test_alpha_dropout_keeps_mean_and_variance() -> None:
    x = np.random.default_rng(0).standard_normal((200, 200)).astype(np.float32)
    y = in_training(layers.AlphaDropout(0.3), x)
    assert y.mean() == pytest.approx(0.0, abs=0.03)
    assert y.std() == pytest.approx(1.0, abs=0.03)


def test_a_rate_of_one_drops_all_and_one_of_zero_nothing() -> None:
    x = numbers("x", (2, 3))
    assert not in_training(layers.Dropout(1.0), x).any()
    for layer in (
        layers.Dropout(0.0),
        layers.AlphaDropout(0.0),
        layers.GaussianNoise(0.0),
        layers.GaussianDropout(0.0),
    ):
        np.testing.assert_array_equal(in_training(layer, x), x)


@pytest.mark.parametrize(
    "kind", ["Dropout", "AlphaDropout", "GaussianNoise", "GaussianDropout", "SpatialDropout1D"]
)
def test_numbers_depend_on_the_seeds_and_the_step(kind: str) -> None:
    def draw(own: int | None, seed: int, step: int) -> Array:
        return in_training(getattr(layers, kind)(0.5, seed=own), ONES, seed=seed, step=step)

    first = draw(None, 1, 0)
    np.testing.assert_array_equal(first, draw(None, 1, 0))
    for other in (draw(None, 2, 0), draw(None, 1, 1), draw(7, 1, 0)):
        assert not np.array_equal(first, other)
    np.testing.assert_array_equal(draw(7, 1, 0), draw(7, 1, 0))
    assert not np.array_equal(draw(7, 1, 0), draw(8, 1, 0))


def trainable(layer: layers.Layer, shape: tuple[int, ...] = (8, 16)) -> nm.Model:
    """A model that passes ones through a layer; the loss is the mean of the squares."""
    x = nm.Input(shape)
    y = layer(layers.PReLU(shared_axes=tuple(range(1, len(shape) + 1)))(x))
    return nm.Model(x, y).loss("mse").optimizer("sgd", learning_rate=0.0)


def losses(
    layer: layers.Layer, engine: str, *, seed: int = 0, epochs: int = 30, parts: int = 1
) -> list[float]:
    model, found = trainable(layer), []
    ones = np.ones((4, 8, 16), np.float32)
    for _ in range(parts):
        history = model.train(
            ones, 0 * ones, epochs=epochs // parts, batch_size=4, seed=seed, verbose=0, engine=engine
        )
        found += list(history.step_losses)
    return found


@pytest.fixture(params=["tensorflow", "cntk"])
def engine(request: pytest.FixtureRequest) -> str:
    if request.param == "cntk":
        environment_or_skip()
    return str(request.param)


@pytest.mark.parametrize(
    ("layer", "squares"),
    [
        (layers.Dropout(0.5), 2.0),
        (layers.SpatialDropout1D(0.5), 2.0),
        (layers.GaussianNoise(0.5), 1.25),
        (layers.GaussianDropout(0.5), 2.0),
        (layers.AlphaDropout(0.5), None),
    ],
    ids=name_of,
)
def test_training(engine: str, layer: layers.Layer, squares: float | None) -> None:
    found = losses(layer, engine)
    if squares is None:
        limit, p = 1.6732632423543772 * 1.0507009873554805, 0.5
        a = (p * (1 + p * limit**2)) ** -0.5
        b = a * limit * p
        squares = float(np.mean([(a + b) ** 2, (-a * limit + b) ** 2]))
    assert np.mean(found) == pytest.approx(squares, rel=0.1)
    assert np.std(found) > 0
    if isinstance(layer, layers.SpatialDropout1D):  # a whole number of the 32 channels is kept
        kept = np.array(found) / 4 * 32
        np.testing.assert_allclose(kept, np.round(kept), atol=1e-4)


def test_runs_repeat_and_resume(engine: str) -> None:
    layer = layers.SpatialDropout1D(0.5)
    whole = losses(layer, engine, epochs=4)
    np.testing.assert_allclose(losses(layer, engine, epochs=4), whole, rtol=1e-6)
    np.testing.assert_allclose(losses(layer, engine, epochs=4, parts=2), whole, rtol=1e-6)
    assert losses(layer, engine, epochs=4, seed=1) != whole
    assert losses(layers.SpatialDropout1D(0.5, seed=3), engine, epochs=4) != whole


def test_activity_regularization_adds_to_the_loss(engine: str) -> None:
    plain = losses(layers.Identity(), engine, epochs=1)[0]
    found = losses(layers.ActivityRegularization(l1=0.5, l2=0.25), engine, epochs=1)[0]
    assert found == pytest.approx(plain + 0.75 * 8 * 16, rel=1e-5)
    x = np.ones((4, 8), np.float32)
    theirs = keras.Sequential([keras.Input((8,)), keras.layers.ActivityRegularization(0.5, 0.25)])
    theirs(x)
    assert float(theirs.losses[0]) == pytest.approx(0.75 * 8)


@pytest.mark.parametrize("layer", LAYERS, ids=name_of)
def test_an_export_has_no_functions(layer: layers.Layer, tmp_path: Any) -> None:
    trainable(layer, (50, 20)).export(tmp_path / "net.onnx")
    released = onnx.load(tmp_path / "net.onnx")
    assert not released.functions
    assert {n.op_type for n in released.graph.node} <= {"PRelu", "Identity", "Dropout", "Constant"}


@pytest.mark.parametrize(
    "layer", [*LAYERS, layers.ActivityRegularization(l2=0.1), layers.Dropout(1.0)], ids=name_of
)
def test_cntk_takes_them(layer: layers.Layer) -> None:
    x = nm.Input((50, 20))
    assert records(nm.Model(x, layer(layers.Dense(20)(x)))) is None


def test_cntk_has_no_noise_that_the_batch_shares() -> None:
    x = nm.Input((4,))
    y = layers.Dropout(0.5, noise_shape=(1, None))(layers.Dense(4)(x))
    assert "slicing the batch" in (records(nm.Model(x, y)) or "")
    assert np.ptp(in_training(layers.Dropout(0.5, noise_shape=(1, None)), ONES[0]), axis=0).max() == 0
