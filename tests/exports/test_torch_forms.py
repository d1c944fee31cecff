"""What PyTorch's exporters do to a net on the way, and what becomes of that in training."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from onnx import ModelProto
from torch import Tensor, nn
from torch.onnx import TrainingMode

import neuromatic as nm
from neuromatic.errors import ParameterWarning
from neuromatic.inference import Session
from neuromatic.recipe.sections import strip
from tests.exports.families import FAMILIES, IMAGE
from tests.exports.harness import (
    BATCH,
    LOSSES,
    STEPS,
    Family,
    Here,
    arrays_of,
    close,
    exported,
    in_onnxruntime,
    only_bound_changed,
    stored,
    trained_here,
    trained_there,
)

Array = NDArray[Any]
LEGACY: dict[str, Any] = {"dynamo": False, "opset_version": 17}


def here(file: ModelProto, family: Family) -> Here:
    return trained_here(file, LOSSES[family.loss], *family.data(), family.rate)


def operators(file: ModelProto) -> set[str]:
    return {node.op_type for node in file.graph.node}


# -- running statistics --------------------------------------------------------------------------------


def counts(net: nn.Module, x: Tensor) -> dict[str, int]:
    """How many numbers each BatchNormalization takes its statistics of, for each channel."""
    found: dict[str, int] = {}

    def count(_: nn.Module, given: tuple[Tensor], *, name: str) -> None:
        found[name] = given[0].numel() // given[0].shape[1]

    for name, module in net.named_modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.register_forward_pre_hook(partial(count, name=name))
    with torch.no_grad():
        net(x)
    return found


@pytest.mark.parametrize("family", ["vgg", "audio"])
@pytest.mark.parametrize("opset", [13, 17])
def test_running_statistics_are_pytorchs_but_for_its_variance_by_n_minus_1(family: str, opset: int) -> None:
    """ONNX' running variance is of the batch's population variance, PyTorch's of n / (n - 1) times that."""
    setting = FAMILIES[family]
    before = arrays_of(setting.net().named_buffers())
    there = trained_there(setting.net(), setting).net
    after = arrays_of(there.named_buffers())
    file = exported(setting.net(), setting, dynamo=False, opset_version=opset)
    found = stored(here(file, setting).trained)
    for name, n in counts(there, torch.from_numpy(setting.data()[0][:BATCH])).items():
        mean, variance = f"{name}.running_mean", f"{name}.running_var"
        close(found[mean], after[mean], 1e-4)
        kept = 0.9**STEPS * before[variance]
        close(found[variance] - kept, (after[variance] - kept) * (n - 1) / n, 1e-4)


# -- normalization that is folded away, or kept --------------------------------------------------------


def normalized(rate: float = 0.0) -> Family:
    """Convolution and BatchNormalization, which eval-mode exports fold together, and a dropout."""
    return Family(
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Dropout(rate),
            nn.Flatten(),
            nn.Linear(144, 4),
        ),
        IMAGE,
        (4,),
    )


@pytest.mark.parametrize("options", [LEGACY, {"dynamo": True}], ids=["legacy", "dynamo"])
def test_a_folded_normalization_trains_as_the_convolution_that_it_became(options: dict[str, Any]) -> None:
    family = normalized()
    file = exported(family.net(), family, **options)
    assert "BatchNormalization" not in operators(file)
    conv, norm, *rest = family.net().children()
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    net = nn.Sequential(nn.utils.fuse_conv_bn_eval(conv, norm), *rest)
    result = here(file, family)
    np.testing.assert_allclose(result.losses, trained_there(net, family).losses, rtol=1e-3)
    only_bound_changed(file, result.trained, result.recipe)


@pytest.mark.parametrize("opset", [13, 17])
@pytest.mark.parametrize("mode", [TrainingMode.PRESERVE, TrainingMode.TRAINING])
def test_a_kept_normalization_trains_as_pytorchs(mode: TrainingMode, opset: int) -> None:
    family = normalized()
    options = {"dynamo": False, "opset_version": opset, "training": mode, "do_constant_folding": False}
    file = exported(family.net(), family, **options)
    assert "BatchNormalization" in operators(file)
    assert ("Dropout" in operators(file)) == (mode == TrainingMode.TRAINING)
    result = here(file, family)
    np.testing.assert_allclose(result.losses, trained_there(family.net(), family).losses, rtol=1e-3)


@pytest.mark.parametrize("options", [LEGACY, {"dynamo": True}], ids=["legacy", "dynamo"])
def test_a_file_in_training_form_draws_while_it_trains_alone(options: dict[str, Any]) -> None:
    family = normalized(0.5)
    if not options["dynamo"]:
        options = options | {"training": TrainingMode.TRAINING, "do_constant_folding": False}
    net = family.net().train()
    file = exported(net, family, **options)
    x, y = family.data()
    model = nm.Model.from_proto(file).loss(LOSSES["cross_entropy"]).optimizer("sgd", learning_rate=0.01)
    losses = [
        nm.Model.from_proto(model.proto).train(x, y, seed=seed, shuffle=False, verbose=0).step_losses
        for seed in (0, 1)
    ]
    assert losses[0] != losses[1]
    assert "Dropout" in operators(strip(model.proto))
    first, second = (in_onnxruntime(strip(model.proto), x[:BATCH]) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    if not options["dynamo"]:
        with torch.no_grad():
            expected = net.eval()(torch.from_numpy(x[:BATCH])).numpy()
        np.testing.assert_allclose(first, expected, rtol=1e-4, atol=1e-4)
        before = nm.Model.from_proto(file).predict(x[:BATCH])
        np.testing.assert_allclose(before, expected, rtol=1e-4, atol=1e-4)


# -- what is written once for two ----------------------------------------------------------------------


def test_new_parameters_that_happen_to_be_equal_are_trained_apart() -> None:
    """PyTorch writes the running mean and the offset of a new BatchNormalization once, as both are zeros."""
    family = FAMILIES["vgg"]

    def new() -> nn.Module:
        torch.manual_seed(1)
        return family.build()

    file = exported(new().eval(), family, **LEGACY)
    assert "Identity" in operators(file)
    assert "2.running_mean" not in stored(file)
    there, result = trained_there(new(), family), here(file, family)
    np.testing.assert_allclose(result.losses, there.losses, rtol=1e-3)
    close(stored(result.trained)["2.running_mean"], there.net.state_dict()["2.running_mean"].numpy(), 1e-4)
    assert {name for name, _ in new().named_parameters()} == set(result.recipe.trainable)


def test_a_tied_head_that_is_folded_becomes_a_second_parameter() -> None:
    """Their gradients add up to PyTorch's of the one; ``do_constant_folding=False`` would keep it one."""
    family = FAMILIES["gpt"]
    result = here(exported(family.net(), family, **LEGACY), family)
    head = next(reversed(result.recipe.trainable))
    both = result.gradients["embed.weight"] + result.gradients[head].T
    close(both, trained_there(family.net(), family).gradients["embed.weight"], 1e-3)


# -- what is no parameter ------------------------------------------------------------------------------


class Positioned(nn.Module):
    """Tokens at fixed places, a learned temperature, and numbers of the code."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(11, 8), nn.Linear(8, 3)
        self.temperature = nn.Parameter(torch.tensor(1.5))
        self.register_buffer("places", torch.linspace(-1, 1, 48).reshape(6, 8))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens) * 8**0.5 + self.places
        return self.head(x.clamp(-4, 4).mean(1)) * self.temperature


POSITIONED = Family(Positioned, (6,), (3,), tokens=11)


@pytest.mark.parametrize(
    ("options", "taken"),
    [(LEGACY, "places"), ({"dynamo": True}, None), ({"dynamo": True, "optimize": False}, None)],
    ids=["legacy", "dynamo", "dynamo not optimized"],
)
def test_buffers_and_numbers_are_constants(options: dict[str, Any], taken: str | None) -> None:
    """The older exporter writes buffers as it writes parameters: that one is in doubt, and which, is said."""
    net = POSITIONED.net()
    model = nm.Model.from_proto(exported(net, POSITIONED, **options))
    with pytest.warns(ParameterWarning, match=rf"unfreeze\('{taken}'\)") if taken else nullcontext():
        chosen = model.loss(LOSSES["cross_entropy"]).optimizer("sgd")
    assert chosen.recipe is not None
    assert set(chosen.recipe.trainable) == {name for name, _ in net.named_parameters()}
    history = chosen.train(*POSITIONED.data(), batch_size=BATCH, shuffle=False, learning_rate=0.05, verbose=0)
    np.testing.assert_allclose(history.step_losses, trained_there(net, POSITIONED).losses, rtol=1e-3)


# -- control flow --------------------------------------------------------------------------------------


class Branching(nn.Module):
    """One of two layers, as the data decide, and a layer that is repeated."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.head = nn.Linear(6, 4), nn.Linear(6, 4), nn.Linear(4, 3)
        self.again = nn.Parameter(torch.randn(4, 4))

    def forward(self, x: Tensor) -> Tensor:
        if bool(x.sum() > 0):  # noqa: SIM108  # TorchScript has no conditional expression of modules
            y = torch.tanh(self.left(x))
        else:
            y = self.right(x)
        for _ in range(2):
            y = torch.tanh(y @ self.again)
        return self.head(y)


def test_parameters_inside_branches_are_trained() -> None:
    family = Family(Branching, (6,), (3,))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted = torch.jit.script(family.net())
    file = exported(scripted, family, **LEGACY)
    assert "If" in operators(file)
    result, there = here(file, family), trained_there(family.net(), family)
    assert set(result.recipe.trainable) == {name for name, _ in family.net().named_parameters()}
    np.testing.assert_allclose(result.losses, there.losses, rtol=1e-3)
    x = family.data()[0][:BATCH]
    with torch.no_grad():
        expected = there.net(torch.from_numpy(x)).numpy()
    close(Session(result.trained).run({"x": x})["y"], expected, 1e-3)
