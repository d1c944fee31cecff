"""Conv2D against Keras."""

from __future__ import annotations

from typing import Any

import keras
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuromatic import layers
from neuromatic.errors import ShapeError
from neuromatic.layers._windows import pair
from neuromatic.sequential import Sequential
from tests.neuromatic.layers.keras_twin import FEW, assert_equals_keras

pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def conv_arguments(draw: st.DrawFn) -> dict[str, Any]:
    strides = draw(st.one_of(st.integers(1, 3), pairs))
    dilation = draw(pairs) if strides in (1, (1, 1)) else 1
    return {
        "filters": draw(st.integers(1, 4)),
        "kernel_size": draw(st.one_of(st.integers(1, 4), pairs)),
        "strides": strides,
        "padding": draw(st.sampled_from(["valid", "same"])),
        "dilation_rate": dilation,
        "use_bias": draw(st.booleans()),
    }


@FEW
@given(
    arguments=conv_arguments(),
    shape=st.tuples(st.integers(1, 3), st.integers(7, 10), st.integers(7, 10)),
    known=st.booleans(),
)
def test_conv2d(arguments: dict[str, Any], shape: tuple[int, int, int], known: bool) -> None:
    window, steps = (pair("", "", arguments[key]) for key in ("kernel_size", "strides"))
    if arguments["padding"] == "same" and any(w < s for w, s in zip(window, steps, strict=True)):
        known = True  # such kernels are refused where the size is unknown
    declared = shape if known else (shape[0], None, None)
    assert_equals_keras(
        layers.Conv2D(**arguments), keras.layers.Conv2D(**arguments), shape, declared=declared
    )


@pytest.mark.parametrize("size", range(4, 9))
@pytest.mark.parametrize("strides", [2, 3])
def test_same_pads_the_odd_zero_at_the_end(size: int, strides: int) -> None:
    arguments: dict[str, Any] = {"filters": 2, "kernel_size": 3, "strides": strides, "padding": "same"}
    for declared in ((1, size, size), (1, None, None)):
        assert_equals_keras(
            layers.Conv2D(**arguments), keras.layers.Conv2D(**arguments), (1, size, size), declared=declared
        )


def test_groups_and_activation() -> None:
    arguments: dict[str, Any] = {"filters": 4, "kernel_size": 2, "groups": 2, "activation": "relu"}
    assert_equals_keras(layers.Conv2D(**arguments), keras.layers.Conv2D(**arguments), (6, 4, 4))


def test_same_is_explicit_pads_where_they_are_known() -> None:
    def attributes(shape: tuple[int | None, ...], **arguments: Any) -> set[str]:
        node = Sequential(shape).conv2d(2, 3, padding="same", **arguments).onnx().graph.node[0]
        return {a.name for a in node.attribute} & {"pads", "auto_pad"}

    assert attributes((1, 8, 8), strides=2) == {"pads"}
    assert attributes((1, None, None)) == {"pads"}
    assert attributes((1, 8, None), strides=2) == {"auto_pad"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"filters": 0, "kernel_size": 3}, "Conv2D: filters must be a positive integer, got 0"),
        ({"filters": 3, "kernel_size": 3, "groups": 2}, "filters must be divisible by groups, got filters=3"),
        ({"filters": 1, "kernel_size": (3, 0)}, r"kernel_size must be .* two of them, got \(3, 0\)"),
        ({"filters": 1, "kernel_size": "33"}, "kernel_size must be .* two of them, got '33'"),
        (
            {"filters": 1, "kernel_size": 3, "padding": "full"},
            'padding must be "valid" or "same", got \'full\'',
        ),
        ({"filters": 1, "kernel_size": 3, "strides": 2, "dilation_rate": 2}, "exclude each other"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        layers.Conv2D(**arguments)


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
