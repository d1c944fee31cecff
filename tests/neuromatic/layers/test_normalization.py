"""BatchNormalization against Keras."""

from __future__ import annotations

import keras
import pytest
from onnx import helper

from neuromatic import layers
from neuromatic.builder.sequential import Sequential
from neuromatic.errors import ShapeError
from tests.neuromatic.layers.keras_twin import assert_equals_keras, parameters


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("shape", [(4,), (3, 5, 2)])
def test_batch_normalization(center: bool, scale: bool, shape: tuple[int, ...]) -> None:
    layer = layers.BatchNormalization(epsilon=0.01, center=center, scale=scale)
    twin = keras.layers.BatchNormalization(axis=-1, epsilon=0.01, center=center, scale=scale)
    assert_equals_keras(layer, twin, shape)


@pytest.mark.parametrize("axis", [1, 2, -1, -2])
def test_another_axis_is_brought_to_the_front(axis: int) -> None:
    assert_equals_keras(layers.BatchNormalization(axis), keras.layers.BatchNormalization(axis), (3, 5))


def test_the_last_axis_of_an_image() -> None:
    layer, twin = layers.BatchNormalization(-1), keras.layers.BatchNormalization(axis=2)
    assert_equals_keras(layer, twin, (3, 5, 2), declared=(None, None, 2))


def test_of_rank_two_the_last_axis_is_the_first() -> None:
    model = Sequential((4,)).batch_normalization(axis=-1).onnx()
    assert [node.op_type for node in model.graph.node] == ["BatchNormalization"]


def test_the_node_says_what_training_needs() -> None:
    graph = Sequential((4,)).batch_normalization(momentum=0.9, center=False).onnx().graph
    (node,) = (n for n in graph.node if n.op_type == "BatchNormalization")
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    assert attributes == {"epsilon": pytest.approx(1e-3), "momentum": pytest.approx(0.9), "training_mode": 0}
    assert list(parameters(Sequential((4,)).batch_normalization(center=False).onnx())) == [
        "batch_normalization/gamma",
        "batch_normalization/moving_mean",
        "batch_normalization/moving_variance",
    ]


def test_wrong_arguments_and_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="axis must be an integer other than 0, got 0"):
        layers.BatchNormalization(0)
    with pytest.raises(ValueError, match="momentum must be from 0 to 1, got 2"):
        layers.BatchNormalization(momentum=2)
    with pytest.raises(ValueError, match="epsilon must be above 0, got 0"):
        layers.BatchNormalization(epsilon=0)
    message = r"^batch_normalization: BatchNormalization takes .* got \(batch, \?, 3\) from 'input'; choose"
    with pytest.raises(ShapeError, match=message):
        Sequential((None, 3)).batch_normalization()
    for axis in (3, -3):
        with pytest.raises(ShapeError, match=f"known channels at axis {axis}, got"):
            Sequential((2, 3)).batch_normalization(axis)


@pytest.mark.parametrize("kind", ["LayerNormalization", "RMSNormalization", "UnitNormalization"])
def test_wrong_axes_are_refused(kind: str) -> None:
    layer = getattr(layers, kind)
    for axis in (0, [], "a", [1, 0]):
        with pytest.raises(
            ValueError, match=f"{kind}: axis must be an integer other than 0, or some of them"
        ):
            layer(axis)
    for wrong in (3, [1, -2]):
        with pytest.raises(
            ShapeError, match=rf"{kind} runs along axis .*, got \(batch, 4, 5\) from 'input'; ch"
        ):
            Sequential((4, 5)).append(layer(wrong))


def test_unknown_sizes_are_refused() -> None:
    message = (
        r"^layer_normalization: LayerNormalization has a parameter for each element along axis 1 and needs"
    )
    with pytest.raises(ShapeError, match=message):
        Sequential((None,)).layer_normalization()


def test_wrong_groups_are_refused() -> None:
    with pytest.raises(
        ValueError, match="GroupNormalization: groups must be a positive integer or -1, got 0"
    ):
        layers.GroupNormalization(0)
    message = (
        r"^group_normalization: GroupNormalization makes 32 groups of equal size, got 8 channels in "
        r"\(batch, 8, 2\) from 'input'; choose a number of groups that divides them$"
    )
    with pytest.raises(ShapeError, match=message):
        Sequential((8, 2)).group_normalization()
    with pytest.raises(
        ShapeError, match=r"^instance_normalization: InstanceNormalization takes .* with an axis"
    ):
        Sequential((8,)).instance_normalization()


def test_spectral_normalization_needs_a_kernel() -> None:
    with pytest.raises(TypeError, match="SpectralNormalization: layer must be a layer, got 3"):
        layers.SpectralNormalization(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="power_iterations must be a positive integer, got 0"):
        layers.SpectralNormalization(layers.Dense(2), 0)
    with pytest.raises(
        ShapeError, match=r"^spectral_normalization: .* Flatten has none; wrap another layer$"
    ):
        Sequential((2, 3)).spectral_normalization(layers.Flatten())
