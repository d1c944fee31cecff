"""A digits net of PyTorch, adapted to harder images by one line of the command line, comes back as it was."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from numpy.typing import NDArray
from torch import nn

import neuromatic as nm
from neuromatic.cli.main import main
from neuromatic.models.digits import load_data
from tests.exports.harness import export

Images = NDArray[np.float32]


class Digits(nn.Module):
    """Two convolutions with BatchNormalization, and probabilities of ten digits."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()),
            *(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        )
        self.classifier = nn.Linear(32 * 4 * 4, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.classifier(self.features(x).flatten(1)), dim=1)


def harder(x: Images) -> Images:
    """The images moved by a pixel or two, with noise."""
    rng = np.random.default_rng(0)
    moved = np.stack([np.roll(image, rng.integers(-2, 3, 2), (1, 2)) for image in x])
    return np.clip(moved + rng.normal(0, 0.15, x.shape), 0, 1).astype(np.float32)


def trained() -> Digits:
    """The net, after some epochs by PyTorch on the images as they are."""
    torch.manual_seed(0)
    (x, y), _ = load_data()
    net, images, labels = Digits(), torch.from_numpy(x), torch.from_numpy(y)
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    for _ in range(5):
        for rows in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            loss = nn.functional.nll_loss(net(images[rows]).log(), labels[rows])
            loss.backward()
            optimizer.step()
    return net.eval()


def accuracy(path: Path, x: Images, y: NDArray[np.int64]) -> float:
    return float((nm.load(path).predict(x).argmax(1) == y).mean())


def test_one_line_adapts_it_and_changes_nothing_but_initializers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (x, y), (x_test, y_test) = load_data()
    onnx.save(export(trained(), torch.from_numpy(x[:2]), dynamo=False), "digits.onnx")
    np.savez("harder.npz", x=harder(x), y=y)
    before = accuracy(tmp_path / "digits.onnx", harder(x_test), y_test)

    line = "train digits.onnx --data harder.npz --loss sparse_categorical_crossentropy --epochs 5"
    result = CliRunner().invoke(main, [*line.split(), "-o", "tuned.onnx"])
    assert result.exit_code == 0, result.output
    assert accuracy(tmp_path / "digits.onnx", x_test, y_test) > 0.95
    assert accuracy(tmp_path / "tuned.onnx", harder(x_test), y_test) > before + 0.1

    CliRunner().invoke(main, ["convert", "tuned.onnx", "-o", "released.onnx", "--strip-training"])
    found = CliRunner().invoke(main, ["diff", "digits.onnx", "released.onnx", "--json"])
    assert found.exit_code == 1
    facts = json.loads(found.output)
    same = ("versions", "values", "nodes", "functions", "metadata", "recipe")
    assert {key: facts[key] for key in same} == {key: [] for key in same}
    assert all(w["first"] == w["second"] for w in facts["weights"])
    assert any(not w["equal"] for w in facts["weights"])
