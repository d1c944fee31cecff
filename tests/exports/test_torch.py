"""Models exported from PyTorch are trained here as they are trained there."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from onnx import ModelProto

from tests.exports.families import FAMILIES
from tests.exports.harness import (
    BATCH,
    LOSSES,
    Here,
    There,
    arrays_of,
    close,
    exported,
    forms,
    in_onnxruntime,
    matched,
    only_bound_changed,
    stored,
    trained_here,
    trained_there,
)

OLDER = ("vgg", "mobilenet", "unet", "recurrent", "gpt", "normalized")
"""Families that look different in opset 13; PyTorch exports attention from 14 on, scattered sums from 16."""
TYING = {
    "17": {"do_constant_folding": False},
    "13": {"do_constant_folding": False},
    "dynamo": {"optimize": False},
}
"""By export, what keeps one initializer for two uses; else a turned copy of it is written."""
ALIKE = ("resnet", "autoencoder")
"""Families that the newer exporter, which is slow, writes as it writes others."""
CASES = [
    *((family, "13") for family in OLDER),
    *((family, "17") for family in FAMILIES),
    *((family, "dynamo") for family in FAMILIES if family not in ALIKE),
]
EXPORTS: dict[str, dict[str, Any]] = {
    "13": {"dynamo": False, "opset_version": 13},
    "17": {"dynamo": False, "opset_version": 17},
    "dynamo": {"dynamo": True},
}


@cache
def there(family: str) -> There:
    return trained_there(FAMILIES[family].net(), FAMILIES[family])


@cache
def both(family: str, export: str) -> tuple[ModelProto, Here]:
    setting = FAMILIES[family]
    options = EXPORTS[export] | (TYING[export] if family == "gpt" else {})
    file = exported(setting.net(), setting, **options)
    return file, trained_here(file, LOSSES[setting.loss], *setting.data(), setting.rate)


every_case = pytest.mark.parametrize(("family", "export"), CASES)


@every_case
def test_outputs_are_those_of_onnxruntime_and_of_pytorch(family: str, export: str) -> None:
    file, here = both(family, export)
    x = FAMILIES[family].data()[0][:BATCH]
    np.testing.assert_allclose(here.outputs, in_onnxruntime(file, x), rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        expected = FAMILIES[family].net()(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(here.outputs, expected, rtol=1e-4, atol=1e-4)


@every_case
def test_every_gradient_is_pytorchs(family: str, export: str) -> None:
    file, here = both(family, export)
    net = FAMILIES[family].net()
    made = forms(net)
    names = matched(net, file, here.recipe.trainable)
    gradients = there(family).gradients
    largest = max(float(np.abs(g).max()) for g in gradients.values())
    for name, form in names.items():  # a bias before a normalization has the gradient zero
        expected = made[form](gradients).reshape(here.gradients[name].shape)
        close(here.gradients[name], expected, 1e-3, noise=1e-6 * largest)
    count = sum(p.numel() for p in net.parameters())
    assert sum(stored(file)[name].size for name in names) == count


@every_case
def test_losses_are_pytorchs(family: str, export: str) -> None:
    np.testing.assert_allclose(both(family, export)[1].losses, there(family).losses, rtol=1e-3)


@every_case
def test_the_written_file_is_the_net_that_pytorch_trained(family: str, export: str) -> None:
    file, here = both(family, export)
    only_bound_changed(file, here.trained, here.recipe)
    net = there(family).net
    statistics = {n: torch.tensor(a) for n, a in stored(here.trained).items() if "running_" in n}
    x = FAMILIES[family].data()[0][:BATCH]
    before = {n: torch.from_numpy(a) for n, a in arrays_of(net.named_buffers()).items()}
    try:
        net.load_state_dict(statistics, strict=False)  # how they differ has a test of its own
        with torch.no_grad():
            expected = net(torch.from_numpy(x)).numpy()
    finally:
        net.load_state_dict(before, strict=False)
    close(in_onnxruntime(here.trained, x), expected, 1e-3)
