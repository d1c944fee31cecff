"""Time of a training step against Keras' ``fit`` on the same engine, in turns, in one process.

    python benchmarks/step_time.py [--rounds N]

For each model both sides get the same data, batch size, optimizer and number of epochs; each round times an
epoch of one and then of the other, and the ratio of a round is what is reported (median, and the range),
since machines are noisy. Compilation is not counted: a first epoch of both comes before the rounds.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import click
import keras
import numpy as np
from numpy.typing import NDArray

import neuromatic as nm
from neuromatic import engines
from neuromatic.cli._shared import echo
from neuromatic.training.loop import fit


@dataclass(frozen=True)
class Case:
    """A model written twice, and how much data an epoch has."""

    name: str
    ours: Callable[[], nm.Model]
    theirs: Callable[[], keras.Model]
    shape: tuple[int, ...]
    rows: int
    batch_size: int


def compiled(model: nm.Sequential) -> nm.Model:
    """With the recipe that both sides use."""
    return model.loss("sparse_categorical_crossentropy").optimizer("adam").metrics("accuracy")


def mlp() -> nm.Model:
    """MLP 784-512-512-10."""
    model = nm.Sequential(input_shape=(784,))
    return compiled(
        model.dense(512, activation="relu").dense(512, activation="relu").dense(10, activation="softmax")
    )


def keras_mlp() -> keras.Model:
    """The same in Keras."""
    dense = keras.layers.Dense
    return keras.Sequential(
        [
            keras.Input((784,)),
            dense(512, activation="relu"),
            dense(512, activation="relu"),
            dense(10, activation="softmax"),
        ]
    )


def cnn() -> nm.Model:
    """The digits net of models/digits.py."""
    from neuromatic.models.digits import build

    return build()


def keras_cnn() -> keras.Model:
    """The same in Keras, channels last, as Keras is fastest."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Dropout(0.25),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ]
    )


CASES = [
    Case("MLP 784-512-512-10, batch 128", mlp, keras_mlp, (784,), 12_800, 128),
    Case("digits CNN 8x8, batch 64", cnn, keras_cnn, (1, 8, 8), 6_400, 64),
    Case("digits CNN 8x8, batch 128", cnn, keras_cnn, (1, 8, 8), 12_800, 128),
]


def our_epoch(case: Case, x: NDArray[np.float32], y: NDArray[np.int64]) -> Callable[[], object]:
    """A function that trains one more epoch with Neuromatic."""
    model = case.ours()
    assert model.recipe is not None
    program = engines.find("tensorflow").compile(model.proto, seed=0, options={})
    data = {model.input_names[0]: x, model.recipe.targets[0].name: y}
    return lambda: fit(
        program,
        data,
        metrics=model.recipe.metrics if model.recipe else (),
        epochs=1,
        batch_size=case.batch_size,
        learning_rate=1e-3,
        seed=0,
    )


def keras_epoch(case: Case, x: NDArray[np.float32], y: NDArray[np.int64]) -> Callable[[], object]:
    """A function that trains one more epoch with Keras."""
    model = case.theirs()
    loss = "sparse_categorical_crossentropy"
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss=loss, metrics=["accuracy"])
    data = x.transpose(0, 2, 3, 1).copy() if x.ndim == 4 else x
    return lambda: model.fit(data, y, batch_size=case.batch_size, epochs=1, verbose=0)


def seconds(run: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


@click.command()
@click.option("--rounds", default=7, show_default=True, help="Rounds to time after the first epoch.")
def main(rounds: int) -> None:
    """Print the step times and their ratio for each case."""
    rng = np.random.default_rng(0)
    for case in CASES:
        x = rng.random((case.rows, *case.shape), np.float32)
        y = rng.integers(0, 10, case.rows)
        ours, theirs = our_epoch(case, x, y), keras_epoch(case, x, y)
        ours(), ours(), theirs()
        steps = case.rows // case.batch_size
        pairs = [(seconds(ours) / steps * 1e3, seconds(theirs) / steps * 1e3) for _ in range(rounds)]
        ratios = sorted(a / b for a, b in pairs)
        echo(
            f"{case.name}: neuromatic {statistics.median(a for a, _ in pairs):.2f} ms, "
            f"keras {statistics.median(b for _, b in pairs):.2f} ms a step; "
            f"ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}, {rounds} rounds)"
        )


if __name__ == "__main__":
    main()
