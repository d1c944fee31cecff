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
    file = exported(setting.net(), setting, **EXPORTS[export])
    return file, trained_here(file, LOSSES[setting.loss], *setting.data(), setting.rate)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    metafunc.parametrize(("family", "export"), [(f, e) for f in FAMILIES for e in EXPORTS])


def test_outputs_are_those_of_onnxruntime_and_of_pytorch(family: str, export: str) -> None:
    file, here = both(family, export)
    x = FAMILIES[family].data()[0][:BATCH]
    np.testing.assert_allclose(here.outputs, in_onnxruntime(file, x), rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        expected = FAMILIES[family].net()(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(here.outputs, expected, rtol=1e-4, atol=1e-4)


def test_every_gradient_is_pytorchs(family: str, export: str) -> None:
    file, here = both(family, export)
    net = FAMILIES[family].net()
    made = forms(net)
    names = matched(net, file, here.recipe.trainable)
    for name, form in names.items():
        expected = made[form](there(family).gradients)
        close(here.gradients[name], expected.reshape(here.gradients[name].shape), 1e-3)
    count = sum(p.numel() for p in net.parameters())
    assert sum(stored(file)[name].size for name in names) == count


def test_losses_are_pytorchs(family: str, export: str) -> None:
    np.testing.assert_allclose(both(family, export)[1].losses, there(family).losses, rtol=1e-3)


def test_the_written_file_is_the_net_that_pytorch_trained(family: str, export: str) -> None:
    file, here = both(family, export)
    only_bound_changed(file, here.trained, here.recipe)
    net = there(family).net
    statistics = {n: torch.from_numpy(a) for n, a in stored(here.trained).items() if "running_" in n}
    x = FAMILIES[family].data()[0][:BATCH]
    before = {n: torch.from_numpy(a) for n, a in arrays_of(net.named_buffers()).items()}
    try:
        net.load_state_dict(statistics, strict=False)  # how they differ has a test of its own
        with torch.no_grad():
            expected = net(torch.from_numpy(x)).numpy()
    finally:
        net.load_state_dict(before, strict=False)
    close(in_onnxruntime(here.trained, x), expected, 1e-3)
