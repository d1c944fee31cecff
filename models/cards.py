"""The trained models of this folder: what they are trained on, their files, and the page that describes them.

``python -m neuromatic.models.cards`` trains each model that has no file yet and writes the page anew. The
page's figures are measured on the files in onnxruntime, never typed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

import neuromatic as nm
from neuromatic.data import read_npz
from neuromatic.models import autoencoder, lenet5, recurrent, vit, wide_and_deep
from neuromatic.reports.summary import rows
from neuromatic.saving import atomic as files

Arrays = dict[str, NDArray[Any]]

FOLDER = Path(__file__).parent / "trained"
DATA = Path(__file__).parent / "data"
DIGITS = "UCI handwritten digits (doi:10.24432/C50P49, CC BY 4.0)"
CANCER = "Breast Cancer Wisconsin (doi:10.24432/C5DW2B, CC BY 4.0)"


@dataclass(frozen=True)
class Card:
    """A trained model.

    Attributes:
        name: of the file, without its ending.
        build: makes the model, untrained.
        about: what goes in and what comes out.
        source: the data.
        load: their rows by the names of inputs and targets, for ``"train"`` or ``"test"``.
        epochs: how long it is trained,
        batch_size: and how many rows a step has.
    """

    name: str
    build: Callable[[], nm.Model]
    about: str
    source: str
    load: Callable[[str], Arrays]
    epochs: int
    batch_size: int = 32

    @property
    def path(self) -> Path:
        """The file."""
        return FOLDER / f"{self.name}.onnx"

    @property
    def module(self) -> str:
        """The module of this folder that builds it."""
        build = self.build.func if isinstance(self.build, partial) else self.build
        return build.__module__.rpartition(".")[2]

    def train(self) -> None:
        """Train the model from seed 0 and write its file, recipe and optimizer state included."""
        model = self.build()
        model.train(self.load("train"), epochs=self.epochs, batch_size=self.batch_size, seed=0, verbose=0)
        model.save(self.path)

    def text(self) -> str:
        """The card, as Markdown."""
        model, test = nm.load(self.path), self.load("test")
        layers = rows(model.proto)
        assert model.recipe is not None
        figures = ", ".join(f"{name} {value:.4f}" for name, value in model.evaluate(test).items())
        opset = next(o.version for o in model.proto.opset_import if not o.domain)
        shown = {
            "Computes": self.about,
            "Architecture": f"`models/{self.module}.py`",
            "Data": f"{self.source}; {_count(self.load('train')):,} rows to train, {_count(test):,} to test",
            "Trained": f"{self.epochs} epochs of {self.batch_size} rows a step, seed 0",
            "On the test rows": figures,
            "Parameters": f"{sum(row.count for row in layers):,}",
            "FLOPs for one row": f"about {sum(row.flops for row in layers):,}",
            "File": f"`{self.path.name}`, opset {opset}, IR version {model.proto.ir_version}, "
            "with its recipe and optimizer state",
        }
        lines = [f"## {self.name}", "", *(f"- **{label}**: {text}" for label, text in shown.items())]
        return "\n".join(lines) + "\n"


def _count(arrays: Arrays) -> int:
    return len(next(iter(arrays.values())))


def _digits(part: str) -> Arrays:
    arrays = read_npz(DATA / f"digits-{part}.npz")
    return {"input": arrays["x"], "target": arrays["y"]}


def _digit_rows(part: str) -> Arrays:
    """The eight rows of a digit as a sequence."""
    arrays = _digits(part)
    return arrays | {"input": arrays["input"].reshape(-1, 8, 8)}


def _digits_twice(part: str) -> Arrays:
    arrays = _digits(part)
    return arrays | {"target": arrays["input"]}


def _cancer(part: str) -> Arrays:
    arrays = read_npz(DATA / f"cancer-{part}.npz")
    return {"numbers": arrays["numbers"], "categories": arrays["categories"], "target": arrays["y"]}


CARDS = (
    Card(
        "lenet5-digits",
        partial(lenet5.build, (1, 8, 8)),
        "images (batch, 1, 8, 8) in [0, 1] to the probabilities of ten digits",
        DIGITS,
        _digits,
        epochs=60,
    ),
    Card(
        "gru-digits",
        recurrent.gru,
        "the eight rows of an image, as a sequence (batch, 8, 8), to the probabilities of ten digits",
        DIGITS,
        _digit_rows,
        epochs=40,
    ),
    Card(
        "vit-digits",
        partial(vit.build, (1, 8, 8), patch=2, features=32, depth=2),
        "images (batch, 1, 8, 8) in [0, 1] to the probabilities of ten digits",
        DIGITS,
        _digits,
        epochs=40,
    ),
    Card(
        "autoencoder-digits",
        partial(autoencoder.build, (1, 8, 8), code=8),
        "images (batch, 1, 8, 8) in [0, 1] to themselves, through eight numbers",
        DIGITS,
        _digits_twice,
        epochs=60,
    ),
    Card(
        "wide-and-deep-cancer",
        partial(wide_and_deep.build, 30, (8, 8, 8)),
        "30 standardized numbers and 3 categories of a tumour to the probability that it is benign",
        CANCER,
        _cancer,
        epochs=30,
    ),
)


def page() -> str:
    """The page that describes all of them, as Markdown."""
    introduction = (
        "Small models, trained by Neuromatic on real data, each one file for every ONNX runtime; "
        "`neuromatic train FILE --data ...` trains them on. Written by `python -m neuromatic.models.cards`, "
        "which measures the figures on the files in onnxruntime; a test compares."
    )
    return "\n".join(["# Trained models", "", introduction, "", *(card.text() for card in CARDS)])


def main() -> None:
    """Train what has no file yet and write the page."""
    FOLDER.mkdir(exist_ok=True)
    for card in CARDS:
        if not card.path.exists():
            card.train()
    files.write(FOLDER / "README.md", page().encode())


if __name__ == "__main__":
    main()
