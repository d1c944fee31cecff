"""Convolutions on CNTK."""

from __future__ import annotations

from typing import Any

import pytest

from neuromatic.converters.cntk.client import Worker
from neuromatic.errors import UnsupportedFeatureError
from tests.converters.cntk.single import check, normal

SIZES = (9, 8, 5)


def _conv(worker: Worker, n: int, kernel: tuple[int, ...], op: str = "Conv", **attributes: Any) -> None:
    group = attributes.get("group", 1)
    w = normal(6, 4 // group, *kernel, seed=1) if op == "Conv" else normal(4, 6 // group, *kernel, seed=1)
    inputs = {"X": normal(3, 4, *SIZES[:n]), "W": w, "B": normal(6, seed=2)}
    check(worker, op, inputs, constants=("B",), **attributes)


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"pads": (1, 1)},
        {"pads": (0, 2), "strides": (2,)},
        {"group": 2, "pads": (1, 1)},
        {"group": 2, "pads": (2, 0), "strides": (2,)},
        {"dilations": (2,), "pads": (2, 2)},
        {"auto_pad": "SAME_LOWER", "strides": (2,)},
    ],
)
def test_conv_1d(worker: Worker, attributes: dict[str, Any]) -> None:
    _conv(worker, 1, (3,), **attributes)


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"pads": (1, 1, 1, 1)},
        {"pads": (1, 1, 1, 1), "strides": (2, 2)},
        {"pads": (0, 1, 2, 0), "strides": (2, 1)},
        {"auto_pad": "SAME_UPPER"},
        {"auto_pad": "SAME_UPPER", "strides": (2, 2)},
        {"auto_pad": "SAME_LOWER", "strides": (2, 2)},
        {"auto_pad": "VALID", "strides": (3, 2)},
        {"group": 2},
        {"group": 2, "pads": (1, 1, 1, 1)},
        {"dilations": (2, 1)},
        {"dilations": (2, 3), "pads": (2, 3, 2, 3), "strides": (2, 1)},
    ],
)
@pytest.mark.parametrize("kernel", [(3, 3), (1, 2)])
def test_conv_2d(worker: Worker, kernel: tuple[int, ...], attributes: dict[str, Any]) -> None:
    _conv(worker, 2, kernel, **attributes)


@pytest.mark.parametrize(
    "attributes", [{}, {"group": 2}, {"group": 4}, {"strides": 2}, {"auto_pad": "SAME_UPPER"}]
)
@pytest.mark.parametrize(
    ("size", "kernel"),
    [
        *(((2,), (3,)), ((1,), (5,)), ((2, 2), (3, 3)), ((4, 4), (5, 5)), ((1, 1), (3, 3))),
        *(((2, 7), (3, 3)), ((7, 1), (3, 7)), ((2, 2, 2), (3, 3, 3)), ((1, 5, 2), (3, 3, 5))),
    ],
)
def test_a_kernel_larger_than_what_is_padded(
    worker: Worker, size: tuple[int, ...], kernel: tuple[int, ...], attributes: dict[str, Any]
) -> None:
    n = len(size)
    more = {**attributes, "strides": [attributes.get("strides", 1)] * n}
    if "auto_pad" not in more:
        more["pads"] = [k // 2 for k in kernel] * 2
    inputs = {"X": normal(3, 4, *size), "W": normal(4, 4 // more.get("group", 1), *kernel, seed=1)}
    check(worker, "Conv", inputs, constants=("W",), **more)
    if "auto_pad" not in more:
        check(worker, "ConvTranspose", inputs, constants=("W",), **more)


@pytest.mark.parametrize("outputs", [4, 8])
def test_depthwise_conv(worker: Worker, outputs: int) -> None:
    inputs = {"X": normal(3, 4, 6, 7), "W": normal(outputs, 1, 3, 3)}
    check(worker, "Conv", inputs, constants=("W",), group=4, pads=(1, 1, 1, 1), strides=(2, 2))


@pytest.mark.parametrize(
    "attributes",
    [
        {"pads": (1, 0, 1, 1, 1, 0), "strides": (2, 1, 1)},
        {"group": 2, "auto_pad": "SAME_UPPER"},
        {"dilations": (1, 2, 2)},
    ],
)
def test_conv_3d(worker: Worker, attributes: dict[str, Any]) -> None:
    _conv(worker, 3, (3, 2, 3), **attributes)


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"strides": (2, 2)},
        {"strides": (3, 2), "pads": (1, 0, 0, 1)},
        {"strides": (2, 2), "output_padding": (1, 1), "pads": (1, 1, 1, 1)},
        {"strides": (3, 3), "output_padding": (1, 2)},
        {"strides": (2, 2), "auto_pad": "SAME_UPPER"},
        {"strides": (2, 3), "output_shape": (18, 25)},
        {"strides": (2, 2), "output_shape": (17, 16), "auto_pad": "SAME_UPPER"},
        {"group": 2, "strides": (2, 1)},
        {"dilations": (2, 1), "strides": (2, 2)},
    ],
)
def test_conv_transpose(worker: Worker, attributes: dict[str, Any]) -> None:
    _conv(worker, 2, (3, 3), "ConvTranspose", **attributes)


@pytest.mark.parametrize(("n", "kernel"), [(1, (3,)), (3, (2, 3, 2))])
def test_conv_transpose_of_other_ranks(worker: Worker, n: int, kernel: tuple[int, ...]) -> None:
    _conv(worker, n, kernel, "ConvTranspose", strides=(2,) * n, pads=(1,) * 2 * n)


def test_four_spatial_axes_are_refused(worker: Worker) -> None:
    inputs = {"X": normal(2, 1, 3, 3, 3, 3), "W": normal(1, 1, 2, 2, 2, 2)}
    with pytest.raises(UnsupportedFeatureError, match="4 spatial axes"):
        check(worker, "Conv", inputs)
