"""What PyTorch exports for a fixed batch, its default, takes any number of rows, and trains as it is."""

from __future__ import annotations

import io
import logging
import warnings
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto
from torch import nn

import neuromatic as nm
from neuromatic.errors import ConversionError
from tests.exports.families import FAMILIES

GOOD = [name for name in FAMILIES if name != "graph"]
"""The graph net scatters through all rows at once."""
DYNAMO = ("recurrent", "encoder", "unet")
"""The newer exporter is slow."""


class Attention(nn.Module):
    """Time first inside, heads merged with the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.head = nn.MultiheadAttention(8, 2), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        t = x.transpose(0, 1)
        return self.head(self.attention(t, t, t)[0].mean(0))


class Windows(nn.Module):
    """Windows of an image, merged with the batch and taken apart again."""

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.head = nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, c, h, w = x.shape
        y = x.permute(0, 2, 3, 1).view(b, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 2, 4, 5)
        y = self.mix(y.reshape(-1, 4, c).softmax(1))
        y = y.view(b, h // 2, w // 2, 2, 2, c).permute(0, 1, 3, 2, 4, 5).reshape(b, h, w, c)
        return self.head(torch.roll(y, (1, 1), (1, 2)).mean((1, 2)))


class States(nn.Module):
    """Recurrent layers with initial states that are given, and a trained one."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.LSTM(4, 5, num_layers=2, bidirectional=True, batch_first=True)
        self.second = nn.GRU(10, 3, batch_first=True)
        self.begin = nn.Parameter(torch.randn(1, 1, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        zeros = torch.zeros(4, x.shape[0], 5)
        y = self.first(x, (zeros, zeros))[0]
        return self.second(y, self.begin.expand(-1, x.shape[0], -1).contiguous())[0]


OWN: dict[str, tuple[type[nn.Module], tuple[int, ...]]] = {
    "attention": (Attention, (5, 8)),
    "windows": (Windows, (8, 4, 4)),
    "states": (States, (6, 4)),
}


def exported(net: nn.Module, example: torch.Tensor, dynamo: bool) -> ModelProto:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            program: Any = torch.onnx.export(net, (example,), dynamo=True, verbose=False)
            model: ModelProto = program.model_proto
            return model
        written: Any = io.BytesIO()
        torch.onnx.export(net, (example,), written, dynamo=False, opset_version=17)
    return onnx.load_from_string(written.getvalue())


CASES = [
    *((name, batch, False) for name in (*GOOD, *OWN) for batch in (1, 4)),
    *((name, batch, True) for name in (*DYNAMO, *OWN) for batch in (1, 4)),
]


@pytest.mark.parametrize(("name", "batch", "dynamo"), CASES)
def test_any_number_of_rows(name: str, batch: int, dynamo: bool) -> None:
    torch.manual_seed(0)
    if name in OWN:
        net, shape = OWN[name][0]().eval(), OWN[name][1]
        x = np.random.default_rng(0).normal(size=(7, *shape)).astype(np.float32)
    else:
        net, x = FAMILIES[name].net(), FAMILIES[name].data()[0][:7]
    model = nm.Model.from_proto(exported(net, torch.from_numpy(x[:batch]), dynamo)).dynamic_batch()
    with torch.no_grad():
        expected = net(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-3, atol=1e-4)


def test_a_net_whose_rows_meet_is_refused_by_node() -> None:
    family = FAMILIES["graph"]
    model = exported(family.net(), torch.from_numpy(family.data()[0][:1]), False)
    with pytest.raises(ConversionError, match=r"cannot be made dynamic at node '/ScatterElements' "):
        nm.Model.from_proto(model).dynamic_batch()


@pytest.mark.parametrize("batch", [1, 4])
def test_the_fixed_file_trains_as_the_dynamic_one(batch: int) -> None:
    family = FAMILIES["vgg"]
    x, y = (array[:16] for array in family.data())
    fixed = nm.Model.from_proto(exported(family.net(), torch.from_numpy(x[:batch]), False))
    losses = []
    for model in (fixed, fixed.dynamic_batch()):
        chosen = model.loss("sparse_categorical_crossentropy", from_logits=True).optimizer(
            "sgd", learning_rate=0.01
        )
        losses.append(chosen.train(x, y, batch_size=batch, verbose=0).step_losses)
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
