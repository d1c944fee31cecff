"""What random augmentation layers refuse, and what they leave of themselves in a graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import neuromatic as nm
from neuromatic import layers
from neuromatic.errors import ShapeError
from neuromatic.ir.opsets import TRAINING_SUFFIX

WRONG: list[tuple[Callable[[], Any], str]] = [
    (
        lambda: layers.RandomBrightness(1.5),
        "RandomBrightness: factor must be one or two numbers from -1 to 1, got 1.5",
    ),
    (
        lambda: layers.RandomContrast((0.1, -0.1)),
        r"RandomContrast: factor must be one or two numbers from 0 to 1, got \(0.1, -0.1\)",
    ),
    (
        lambda: layers.RandomSaturation((0.1, 0.2, 0.3)),
        r"RandomSaturation: factor must be one or two numbers from -1 to 1, got \(0.1, 0.2, 0.3\)",
    ),
    (lambda: layers.RandomHue(-0.1), "RandomHue: factor must be one or two numbers from 0 to 1, got -0.1"),
    (
        lambda: layers.RandomColorJitter(hue_factor=2),
        "RandomHue: factor must be one or two numbers from 0 to 1, got 2",
    ),
    (
        lambda: layers.RandomColorDegeneration("x"),  # type: ignore[arg-type]
        "RandomColorDegeneration: factor must be one or two numbers from -1 to 1, got 'x'",
    ),
    (
        lambda: layers.RandomGrayscale(1.5),
        r"RandomGrayscale: factor must be one or two numbers from 0 to 1, got \(1.5, 1.5\)",
    ),
    (
        lambda: layers.RandomInvert(value_range=(1, 1)),
        r"RandomInvert: value_range must be two different numbers, got \(1, 1\)",
    ),
    (
        lambda: layers.RandomPosterization(0),
        "RandomPosterization: factor must be one or two numbers from 1 to 8, got 0",
    ),
    (
        lambda: layers.RandomSharpness([0.5]),
        r"RandomSharpness: factor must be one or two numbers from 0 to 1, got \[0.5\]",
    ),
    (
        lambda: layers.RandomGaussianBlur(kernel_size=4),
        "RandomGaussianBlur: kernel_size must be one or two odd numbers, got 4",
    ),
    (
        lambda: layers.RandomGaussianBlur(kernel_size=-3),
        "RandomGaussianBlur: kernel_size must be a positive integer, got -3",
    ),
    (
        lambda: layers.RandomGaussianBlur(sigma=2.0),
        "RandomGaussianBlur: sigma must be one or two numbers from 0 to 1, got 2.0",
    ),
    (
        lambda: layers.RandomErasing(fill_value=(1, 2)),
        r"RandomErasing: fill_value must be one or three numbers or None, got \(1, 2\)",
    ),
    (
        lambda: layers.RandomErasing(scale=(0.5, 1.5)),
        r"RandomErasing: scale must be one or two numbers from 0 to 1, got \(0.5, 1.5\)",
    ),
    (
        lambda: layers.RandomFlip("diagonal"),
        "RandomFlip: mode must be one of 'horizontal', 'vertical', 'horizontal_and_vertical', got 'diagonal'",
    ),
    (lambda: layers.RandomCrop(0, 3), "RandomCrop: height must be a positive integer, got 0"),
    (
        lambda: layers.RandomTranslation(0.1, 2),
        "RandomTranslation: width_factor must be one or two numbers from -1 to 1, got 2",
    ),
    (
        lambda: layers.RandomTranslation(0.1, 0.1, fill_mode="mirror"),
        "RandomTranslation: fill_mode must be one of 'reflect', 'wrap', 'constant', 'nearest', got 'mirror'",
    ),
    (lambda: layers.RandomZoom((-1, 0.5)), r"RandomZoom: height_factor must be above -1, got \(-1, 0.5\)"),
    (
        lambda: layers.RandomRotation(0.1, interpolation="bicubic"),
        "RandomRotation: interpolation must be one of 'nearest', 'bilinear', got 'bicubic'",
    ),
    (
        lambda: layers.RandomShear(y_factor=-0.1),
        "RandomShear: y_factor must be one or two numbers from 0 to 1, got -0.1",
    ),
    (
        lambda: layers.RandomPerspective(scale=1.5),
        r"RandomPerspective: scale must be one or two numbers from 0 to 1, got \(1.5, 1.5\)",
    ),
    (
        lambda: layers.RandomElasticTransform(scale=-1),
        "RandomElasticTransform: scale must be one or two numbers from 0 to 1, got -1",
    ),
    (lambda: layers.RandAugment(num_ops=0), "RandAugment: num_ops must be a positive integer, got 0"),
    (
        lambda: layers.RandomFlip(seed="x"),  # type: ignore[arg-type]
        "RandomFlip: seed must be an integer or None, got 'x'",
    ),
]


@pytest.mark.parametrize(("make", "message"), WRONG)
def test_wrong_arguments_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_colours_need_three_channels() -> None:
    with pytest.raises(
        ShapeError,
        match=r"random_hue: RandomHue takes images of 3 channels, got \(batch, 2, 4, 5\) from 'input'; "
        "channels are the axis after the batch",
    ):
        layers.RandomHue(0.1)(nm.Input((2, 4, 5)))
    with pytest.raises(ShapeError, match="random_color_jitter: RandomHue takes images of 3 channels"):
        layers.RandomColorJitter(hue_factor=0.1)(nm.Input((2, 4, 5)))
    with pytest.raises(ShapeError, match="RandomGrayscale takes images of 1 or 3 channels"):
        layers.RandomGrayscale()(nm.Input((2, 4, 5)))


def test_three_numbers_fill_three_channels() -> None:
    with pytest.raises(
        ShapeError,
        match=r"random_erasing: RandomErasing with three numbers as fill_value takes images of 3 channels, "
        r"got \(batch, 2, 4, 5\) from 'input'; give one number",
    ):
        layers.RandomErasing(fill_value=(1, 2, 3))(nm.Input((2, 4, 5)))


@pytest.mark.parametrize("shape", [(4,), (3, None, 5)])
def test_sizes_have_to_be_known(shape: tuple[int | None, ...]) -> None:
    with pytest.raises(
        ShapeError, match=r"RandomFlip takes \(batch, channels, height, width\) of known sizes"
    ):
        layers.RandomFlip()(nm.Input(shape))


def test_inference_is_one_identity() -> None:
    x = nm.Input((3, 4, 5))
    model = nm.Model(x, layers.RandomRotation(0.1)(x)).proto
    assert [node.op_type for node in model.graph.node] == ["RandomRotation"]
    bodies = {f.name: [n.op_type for n in f.node] for f in model.functions}
    assert bodies["RandomRotation"] == ["Identity"]
    assert "GatherND" in bodies["RandomRotation" + TRAINING_SUFFIX]


def test_layers_with_other_arguments_are_other_functions() -> None:
    x = nm.Input((3, 4, 5))
    y = layers.RandomBrightness(0.2)(layers.RandomBrightness(0.1)(layers.RandomBrightness(0.1)(x)))
    model = nm.Model(x, y).proto
    kinds = [node.op_type for node in model.graph.node]
    assert kinds == ["RandomBrightness", "RandomBrightness", "RandomBrightness_1"]
