"""Convolutions: their graphs, and how they refuse wrong arguments. Numbers: tests/catalogue."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from onnx import helper, numpy_helper

from neuromatic import layers
from neuromatic.builder.sequential import Sequential
from neuromatic.errors import ShapeError
from neuromatic.initializers import Initializer
from tests.neuromatic.layers.keras_twin import assert_equals_keras


@pytest.mark.parametrize("size", range(4, 9))
@pytest.mark.parametrize("strides", [2, 3])
def test_same_pads_the_odd_zero_at_the_end(size: int, strides: int) -> None:
    arguments: dict[str, Any] = {"filters": 2, "kernel_size": 3, "strides": strides, "padding": "same"}
    for declared in ((1, size, size), (1, None, None)):
        assert_equals_keras(
            layers.Conv2D(**arguments), keras.layers.Conv2D(**arguments), (1, size, size), declared=declared
        )


def attributes(shape: tuple[int | None, ...], layer: layers.Layer) -> dict[str, Any]:
    node = Sequential(shape).append(layer).onnx().graph.node[0]
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def test_same_is_explicit_pads_where_they_are_known() -> None:
    def padding(*shape: int | None, **arguments: Any) -> set[str]:
        found = attributes(shape, layers.Conv2D(2, 3, padding="same", **arguments))
        return set(found) & {"pads", "auto_pad"}

    assert padding(1, 8, 8, strides=2) == {"pads"}
    assert padding(1, None, None) == {"pads"}
    assert padding(1, 8, None, strides=2) == {"auto_pad"}


def test_pads_may_be_given() -> None:
    assert attributes((1, 5, 5), layers.Conv2D(2, 3, padding=1))["pads"] == [1, 1, 1, 1]
    assert attributes((1, 5, 5), layers.Conv2D(2, 3, padding=(1, 2)))["pads"] == [1, 2, 1, 2]
    assert attributes((1, 5, 5), layers.Conv2D(2, 3, padding=((1, 0), 2)))["pads"] == [1, 2, 0, 2]
    assert attributes((1, 5), layers.Conv1D(2, 3, padding=((1, 0),)))["pads"] == [1, 0]
    assert "pads" not in attributes((1, 5, 5), layers.Conv2D(2, 3, padding=0))
    assert attributes((1, 5), layers.Conv1D(2, 3, padding="Causal", dilation_rate=2))["pads"] == [4, 0]


def test_a_transposed_convolution_adds_what_no_kernel_reaches() -> None:
    found = attributes((1, 4), layers.Conv1DTranspose(1, 2, strides=3))
    assert (found["output_padding"], "pads" in found) == ([1], False)
    found = attributes((1, 4), layers.Conv1DTranspose(1, 4, strides=3, padding="same"))
    assert (found["pads"], "output_padding" in found) == ([0, 1], False)
    found = attributes((1, 4), layers.Conv1DTranspose(1, 3, strides=2, padding=1, output_padding=1))
    assert (found["pads"], "output_padding" in found) == ([1, 0], False)


class _Fans(Initializer):
    """Every value is what fans the initializer got, as fan_in + fan_out / 1024."""

    def __call__(self, rng: np.random.Generator, shape: Any, fans: tuple[float, float]) -> Any:
        return np.full(shape, fans[0] + fans[1] / 1024)


@pytest.mark.parametrize(
    ("layer", "shape", "twin"),
    [
        (layers.Conv1D(4, 3, groups=2, kernel_initializer=_Fans()), (6, 9), (3, 3, 4)),
        (layers.Conv3D(4, 2, kernel_initializer=_Fans()), (3, 4, 4, 4), (2, 2, 2, 3, 4)),
        (layers.Conv2DTranspose(4, 2, kernel_initializer=_Fans()), (3, 4, 4), (2, 2, 4, 3)),
        (
            layers.DepthwiseConv2D(2, depth_multiplier=3, depthwise_initializer=_Fans()),
            (5, 4, 4),
            (2, 2, 5, 3),
        ),
        (layers.SeparableConv1D(4, 3, depthwise_initializer=_Fans()), (6, 9), (3, 6, 1)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_initial_values_have_the_fans_of_keras(
    layer: layers.Layer, shape: tuple[int, ...], twin: tuple[int, ...]
) -> None:
    kernel = numpy_helper.to_array(Sequential(shape).append(layer).onnx().graph.initializer[0])
    fan_in, fan_out = keras.src.initializers.random_initializers.compute_fans(twin)
    np.testing.assert_array_equal(kernel, np.full(kernel.shape, fan_in + fan_out / 1024, np.float32))


def test_regularizers_and_constraints_reach_training() -> None:
    terms: dict[str, Any] = {
        "bias_regularizer": "l1",
        "activity_regularizer": "l2",
        "bias_constraint": "non_neg",
    }
    kernels: dict[str, Any] = {"kernel_regularizer": "l2", "kernel_constraint": "unit_norm"}
    depthwise: dict[str, Any] = {"depthwise_regularizer": "l2", "depthwise_constraint": "non_neg"}
    pointwise: dict[str, Any] = {"pointwise_regularizer": "l2", "pointwise_constraint": "non_neg"}
    for layer in (
        layers.Conv1D(2, 3, **terms, **kernels),
        layers.Conv1DTranspose(2, 3, **terms, **kernels),
        layers.DepthwiseConv1D(3, **terms, **depthwise),
        layers.SeparableConv1D(2, 3, **terms, **depthwise, **pointwise),
    ):
        model = Sequential((3, 8)).append(layer)
        found, parameters = model._assembled().terms, {t.name for t in model.onnx().graph.initializer}
        assert set(found.constraints) == parameters
        assert {p.value for p in found.penalties if not p.per_sample} == parameters
        assert [p.value for p in found.penalties if p.per_sample] == [model.onnx().graph.output[0].name]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.Conv2D(0, 3), "Conv2D: filters must be a positive integer, got 0"),
        (lambda: layers.Conv3D(3, 3, groups=2), "filters must be divisible by groups, got filters=3"),
        (
            lambda: layers.Conv2D(1, (3, 0)),
            r"kernel_size must be a positive integer or 2 of them, got \(3, 0\)",
        ),
        (
            lambda: layers.Conv1D(1, (3, 3)),
            "Conv1D: kernel_size must be a positive integer or a sequence of 1",
        ),
        (
            lambda: layers.Conv2D(1, 3, padding="causal"),
            r'padding must be "valid", "same", an integer, or for each of 2 axes an integer or '
            r"\(before, after\), got 'causal'",
        ),
        (
            lambda: layers.Conv1D(1, 3, padding=(1, 2)),
            r'padding must be "valid", "same", "causal", an integer, or for the axis an integer or '
            r"\(before, after\), got \(1, 2\)",
        ),
        (lambda: layers.Conv2D(1, 3, padding=-1), "padding must be .* got -1"),
        (lambda: layers.Conv2D(1, 3, strides=2, dilation_rate=2), "exclude each other, got strides="),
        (lambda: layers.Conv2DTranspose(1, 3, (2, 1), dilation_rate=2), "exclude each other"),
        (
            lambda: layers.Conv2DTranspose(1, 3, 2, output_padding=(0, 2)),
            r"Conv2DTranspose: output_padding must be below strides along each axis, "
            r"got output_padding=\(0, 2\) and strides=\(2, 2\)",
        ),
        (
            lambda: layers.Conv1DTranspose(1, 3, output_padding=-1),
            "output_padding must be an integer of 0 or more or a sequence of 1, got -1",
        ),
        (
            lambda: layers.DepthwiseConv1D(3, depth_multiplier=0),
            "depth_multiplier must be a positive integer",
        ),
        (lambda: layers.SeparableConv2D(-8, 3), "SeparableConv2D: filters must be a positive integer"),
    ],
)
def test_wrong_arguments_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(
        ShapeError, match=r"conv2d: Conv2D takes .* got \(batch, 9\) from 'input'; put a reshape"
    ):
        Sequential((9,)).conv2d(2, 3)
    with pytest.raises(ShapeError, match=r"known channels divisible by groups=2.*images are channels first"):
        Sequential((3, 9, 9)).conv2d(2, 3, groups=2)
    with pytest.raises(
        ShapeError, match=r"conv2d: Conv2D needs an image of at least 5 x 5, got \(batch, 1, 4, 9\)"
    ):
        Sequential((1, 4, 9)).conv2d(2, 3, dilation_rate=2)
    with pytest.raises(ShapeError, match=r"Conv1D needs a sequence of at least 2, got \(batch, 1, 1\)"):
        Sequential((1, 1)).conv1d(2, 4, padding=((2, 0),))
    with pytest.raises(
        ShapeError, match=r"SeparableConv1D takes \(batch, channels, steps\) with known channels, got"
    ):
        Sequential((None, 9)).separable_conv1d(2, 3)
    with pytest.raises(
        ShapeError,
        match=r"Conv1DTranspose with padding=2 leaves nothing of \(batch, 1, 2\) from 'input'; pad",
    ):
        Sequential((1, 2)).conv1d_transpose(2, 3, padding=2)
