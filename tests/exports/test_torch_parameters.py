"""What PyTorch's exporters write beside parameters is not trained, and every parameter is."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, grid_sample, silu

import neuromatic as nm
from neuromatic.errors import ParameterWarning
from tests.exports.families import IMAGE
from tests.exports.harness import LOSSES, Family, exported, trained_here, trained_there


class Timed(nn.Module):
    """Frequencies that the code makes, of which dynamo folds a table."""

    def __init__(self) -> None:
        super().__init__()
        self.time, self.data, self.head = nn.Linear(16, 8), nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        frequencies = torch.exp(-math.log(10000) * torch.arange(8, dtype=torch.float32) / 8)
        angles = x[:, :1] * frequencies[None]
        embedded = torch.cat([angles.sin(), angles.cos()], -1)
        return self.head(silu(self.time(embedded) + self.data(x)))


class Rotary(nn.Module):
    """Rotary positions by a buffer, and a causal mask."""

    inv_freq: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(11, 8), nn.Linear(8, 3)
        self.q, self.k = nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False)
        self.register_buffer("inv_freq", 1 / (10000 ** (torch.arange(0, 8, 2).float() / 8)))

    def forward(self, tokens: Tensor) -> Tensor:
        x, n = self.embed(tokens), tokens.shape[1]
        angles = torch.outer(torch.arange(n).float(), self.inv_freq)
        cos, sin = torch.cat([angles, angles], -1).cos(), torch.cat([angles, angles], -1).sin()

        def turned(v: Tensor) -> Tensor:
            return v * cos + torch.cat([-v[..., 4:], v[..., :4]], -1) * sin

        mask = torch.full((n, n), float("-inf")).triu(1)
        scores = turned(self.q(x)) @ turned(self.k(x)).transpose(-1, -2) / 8**0.5
        return self.head((torch.softmax(scores + mask, -1) @ x).mean(1))


class Learnt(nn.Module):
    """Parameters that no operator has for its weight: positions, a first token, a gain, a temperature."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(11, 8), nn.Linear(8, 3)
        self.places, self.gain = (
            nn.Parameter(torch.randn(1, 16, 8) * 0.1),
            nn.Parameter(torch.full((8,), 0.9)),
        )
        self.temperature = nn.Parameter(torch.tensor(1.5))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens) * 8**0.5 + self.places[:, : tokens.shape[1]]
        return self.head((x * self.gain).mean(1)) * self.temperature


class Detector(nn.Module):
    """Statistics of the data, a grid and anchors."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.register_buffer("mean", torch.tensor([0.48, 0.45, 0.4]).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor([0.5, 0.8, 0.9]).view(1, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv((x - self.mean) / self.deviation)
        grid = torch.stack(torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij"), 0).float() / 8
        return torch.cat([y[:, :2] + grid, y[:, 2:].tanh() * torch.tensor([1.0, 1.3])[:, None, None]], 1)


class Transformer(nn.Module):
    """A spatial transformer: what finds the place is trained through the grid alone."""

    still: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.place, self.head = nn.Sequential(nn.Flatten(), nn.Linear(192, 6)), nn.Linear(192, 4)
        self.register_buffer("still", torch.tensor([1.0, 0, 0, 0, 1.0, 0]))

    def forward(self, x: Tensor) -> Tensor:
        theta = (self.still + 0.1 * self.place(x)).view(-1, 2, 3)
        grid = affine_grid(theta, [x.shape[0], 3, 8, 8], align_corners=False)
        return self.head(grid_sample(x, grid, align_corners=False).flatten(1))


class Stateful(nn.Module):
    """A recurrent net with learnt states to begin from."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.lstm, self.head = (
            nn.Embedding(11, 4),
            nn.LSTM(4, 5, batch_first=True),
            nn.Linear(5, 3),
        )
        self.h, self.c = nn.Parameter(torch.randn(1, 1, 5)), nn.Parameter(torch.randn(1, 1, 5))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        states = [s.expand(-1, x.shape[0], -1).contiguous() for s in (self.h, self.c)]
        return self.head(self.lstm(x, (states[0], states[1]))[0][:, -1])


class Scaled(nn.Module):
    """Parameters of one number."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.Linear(4, 3)
        self.factor, self.shift = nn.Parameter(torch.ones(1)), nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.conv(x)).relu().mean((2, 3))) * self.factor + self.shift


NETS = {
    "timed": Family(Timed, (4,), (3,)),
    "rotary": Family(Rotary, (6,), (3,), tokens=11),
    "learnt": Family(Learnt, (6,), (3,), tokens=11),
    "detector": Family(Detector, IMAGE, (4, 8, 8), "mse"),
    "transformer": Family(Transformer, IMAGE, (4,)),
    "stateful": Family(Stateful, (6,), (3,), tokens=11),
    "scaled": Family(Scaled, IMAGE, (3,)),
}
EXPORTS: dict[str, dict[str, Any]] = {
    "dynamo": {"dynamo": True},
    "dynamo-plain": {"dynamo": True, "optimize": False},
    "legacy": {"dynamo": False, "opset_version": 20},
}
SAID = {
    ("rotary", "legacy"): "frequencies.*unfreeze\\('inv_freq'\\)",
    ("detector", "legacy"): "shifts or scales an input.*unfreeze\\('mean', 'deviation'\\)",
    ("transformer", "legacy"): "a mask.*unfreeze\\('still'\\)",
}
"""What is in doubt where the older exporter notes nothing."""


def telling(family: str, export: str) -> AbstractContextManager[Any]:
    text = SAID.get((family, export))
    return pytest.warns(ParameterWarning, match=text) if text else nullcontext()


@pytest.mark.parametrize("export", EXPORTS)
@pytest.mark.parametrize("family", NETS)
def test_losses_are_pytorchs_so_that_nothing_else_is_trained(family: str, export: str) -> None:
    setting = NETS[family]
    file = exported(setting.net(), setting, **EXPORTS[export])
    with telling(family, export):
        here = trained_here(file, LOSSES[setting.loss], *setting.data(), setting.rate)
    np.testing.assert_allclose(here.losses, trained_there(setting.net(), setting).losses, rtol=1e-3)


def test_what_is_folded_of_parameters_is_trained_in_their_place() -> None:
    def build() -> nn.Module:
        return nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(6, 4)), nn.Linear(4, 3))

    family = Family(build, (6,), (3,))
    model = nm.Model.from_proto(exported(family.net(), family, dynamo=True)).loss("mse").optimizer("sgd")
    assert model.recipe is not None
    sizes = {name: model.parameters()[name].size for name in model.recipe.trainable}
    assert sorted(sizes.values()) == [3, 4, 12, 24]


def test_a_tied_table_and_its_transposed_copy_are_both_trained() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Embedding(11, 8), nn.Linear(8, 11, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, tokens: Tensor) -> Tensor:
            return self.head(torch.tanh(self.embed(tokens))).mean(1)

    family = Family(Tied, (6,), (11,), tokens=11)
    file = exported(family.net(), family, dynamo=True)
    trained = nm.Model.from_proto(file).loss("mse").optimizer("sgd").recipe
    assert trained is not None
    assert sorted(t.name for t in file.graph.initializer if t.data_type == 1) == sorted(trained.trainable)
    for value in file.graph.value_info:
        del value.metadata_props[:]
    with pytest.warns(ParameterWarning, match=r"equals 'head.weight', from which it is trained apart"):
        nm.Model.from_proto(_noting(file)).loss("mse")


def _noting(file: Any) -> Any:
    """A file that notes its first parameter alone, as exporters did before they noted what they folded."""
    note = next(v for v in file.graph.value_info if v.name == "head.weight").metadata_props.add()
    note.key, note.value = "pkg.torch.export.graph_signature.InputSpec.kind", "PARAMETER"
    return file
