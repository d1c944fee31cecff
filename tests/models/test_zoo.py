"""Every reference architecture builds, runs in onnxruntime, and lowers its loss in five steps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

import neuromatic as nm
from neuromatic import models
from neuromatic.data import input_fields, target_fields
from neuromatic.models import (
    audio_cnn,
    autoencoder,
    densenet,
    digits,
    efficientnet,
    gpt,
    lenet5,
    mlp,
    mobilenet_v2,
    recurrent,
    resnet,
    transformer,
    unet,
    vgg,
    vit,
    wide_and_deep,
)

ROWS = 16
SMALL: dict[str, Callable[[], nm.Model]] = {
    "audio_cnn.build": partial(audio_cnn.build, 640, 4, (8, 8, 16, 16), 20),
    "autoencoder.build": partial(autoencoder.build, (1, 8, 8), 4, 8),
    "densenet.build": partial(densenet.build, (3, 16, 16), 4, (2, 2), 8),
    "digits.build": digits.build,
    "efficientnet.build": partial(efficientnet.build, (3, 32, 32), 4, 0.25, 0.3),
    "gpt.build": partial(gpt.build, 12, 10, 16, 2, 2),
    "lenet5.build": partial(lenet5.build, (1, 16, 16), 4),
    "mlp.build": partial(mlp.build, 8, 4),
    "mobilenet_v2.build": partial(mobilenet_v2.build, (3, 32, 32), 4, 0.25),
    "recurrent.gru": partial(recurrent.gru, 6, 5, 4, 8),
    "recurrent.lstm": partial(recurrent.lstm, 20, 6, 4, 8, 8),
    "resnet.build": partial(resnet.build, (3, 16, 16), 4, 8),
    "resnet.resnet18": partial(resnet.resnet18, (3, 32, 32), 4, 8),
    "resnet.resnet50": partial(resnet.resnet50, (3, 32, 32), 4, 4),
    "transformer.build": partial(transformer.build, 20, 6, 4, 16, 2, 2),
    "unet.build": partial(unet.build, (1, 16, 16), 2, 4, 2),
    "vgg.build": partial(vgg.build, (3, 16, 16), 4, (8, "pool", 16, "pool"), 16),
    "vit.build": partial(vit.build, (3, 16, 16), 4, 4, 16, 2, 2),
    "wide_and_deep.build": partial(wide_and_deep.build, 5, (4, 3)),
}
"""A small form of each: sizes change, the architecture does not."""

STEEP = {"resnet.resnet50": 1e-5}
"""Small forms whose own rate leads up, in float64 too: so few rows say little for 53 normalizations."""


def sample(model: nm.Model) -> dict[str, NDArray[Any]]:
    """Random rows for the inputs and targets of a model; images are in [0, 1]."""
    assert model.recipe is not None
    rng = np.random.default_rng(0)
    made: dict[str, NDArray[Any]] = {}
    for field in input_fields(model.proto):
        shape = (ROWS, *(n if isinstance(n, int) else 6 for n in (field.shape or ())[1:]))
        made[field.name] = (
            rng.integers(0, 3, shape) if field.dtype.kind == "i" else rng.random(shape, np.float32)
        )
    for field in target_fields(model.proto, model.recipe):
        shape = (ROWS, *(n if isinstance(n, int) else 6 for n in (field.shape or ())[1:]))
        drawn = rng.integers(0, field.classes or 2, shape)
        made[field.name] = drawn.astype(field.dtype)
    return made


@pytest.mark.parametrize("name", SMALL)
def test_it_builds_runs_and_lowers_its_loss(name: str) -> None:
    model = SMALL[name]()
    onnx.checker.check_model(model.proto, full_check=True)
    data = sample(model)
    before = model.evaluate(data)
    outputs = model.predict({key: data[key] for key in model.input_names})
    assert len(outputs) == ROWS
    if name in STEEP:
        model = model.optimizer("sgd", learning_rate=STEEP[name])
    history = model.train(data, epochs=5, batch_size=ROWS, shuffle=False, verbose=0)
    assert min(history.step_losses[1:]) < history.step_losses[0]
    assert np.isfinite(model.evaluate(data)["loss"])
    assert set(before) == set(model.evaluate(data))


@pytest.mark.parametrize("name", SMALL)
def test_it_builds_as_the_command_line_does_without_arguments(name: str) -> None:
    module, function = name.split(".")
    build = getattr(globals()[module], function)
    model = build().build() if isinstance(build(), nm.Sequential) else build()
    assert model.recipe is not None
    opset = next(o.version for o in model.proto.opset_import if not o.domain)
    assert opset == 17


def test_every_module_of_the_folder_is_here() -> None:
    folder = Path(models.__file__).parent
    modules = {p.stem for p in folder.glob("*.py")} - {"__init__", "_transformer", "cards"}
    assert modules == {name.split(".")[0] for name in SMALL}


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"resnet: depth must be 6 n \+ 2, for instance 20, got 21"):
        resnet.build(depth=21)
    with pytest.raises(ValueError, match="vit: patch must divide the image's sides, got 5 for 32 x 32"):
        vit.build(patch=5)
    with pytest.raises(ValueError, match="heads must divide the features, got 3 heads for 64 features"):
        gpt.build(heads=3)
