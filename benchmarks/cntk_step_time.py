"""Time of a training step on CNTK against the same net written for CNTK by hand, in turns.

    python benchmarks/cntk_step_time.py [--rounds N] [--threads N]

Both sides run in a Python 3.6 of their own with the same number of threads, batch size and optimizer (Adam).
Ours is timed here, so that it includes what goes between the processes; the other side times itself. Each
round runs some steps of one and then of the other, and what is reported is the ratio of a round (median and
range), since machines are noisy. The first steps are not counted.
"""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np

import neuromatic as nm
from neuromatic import engines
from neuromatic.cli._shared import echo
from neuromatic.converters.cntk.environment import require

BY_HAND = Path(__file__).with_name("cntk_by_hand.py")
ROWS = 20


def mlp() -> nm.Model:
    """MLP 784-512-512-10."""
    net = nm.Sequential((784,)).dense(512, activation="relu").dense(512, activation="relu")
    return with_recipe(net.dense(10, activation="softmax"))


def cnn() -> nm.Model:
    """Two convolutions and two dense layers on 28x28 images."""
    net = nm.Sequential((1, 28, 28)).conv2d(32, 3, padding="same", activation="relu").max_pooling2d(2)
    net = net.conv2d(64, 3, padding="same", activation="relu").max_pooling2d(2)
    return with_recipe(net.flatten().dense(128, activation="relu").dense(10, activation="softmax"))


def with_recipe(net: nm.Sequential) -> nm.Model:
    """What both sides train by."""
    return net.loss("sparse_categorical_crossentropy").optimizer("adam").metrics("accuracy")


CASES: dict[str, tuple[Callable[[], nm.Model], tuple[int, ...], int, int]] = {
    "mlp": (mlp, (784,), 128, 40),
    "cnn": (cnn, (1, 28, 28), 64, 10),
}
"""For each: our net, the shape of a row, the batch size, and how many steps a round has."""


def our_steps(kind: str, threads: int) -> Callable[[int], float]:
    """A function that trains some steps with Neuromatic and gives the seconds that they took."""
    build, shape, batch, _ = CASES[kind]
    model = build()
    assert model.recipe is not None
    program = engines.find("cntk").compile(model.proto, seed=0, options={"threads": threads})
    rng = np.random.default_rng(0)
    x = rng.random((ROWS * batch, *shape), np.float32)
    y = rng.integers(10, size=len(x))
    dataset = program.load({model.input_names[0]: x, model.recipe.targets[0].name: y})

    def run(steps: int) -> float:
        started = time.perf_counter()
        rows = rng.integers(0, len(x), (steps, batch))
        program.train(dataset, rows, np.full(steps, 1e-3, np.float32))
        return time.perf_counter() - started

    return run


def steps_by_hand(kind: str, threads: int) -> Callable[[int], float]:
    """The same for the net written by hand."""
    environment = require()
    process = subprocess.Popen(
        [str(environment.python), "-W", "ignore", str(BY_HAND), kind, str(threads)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment.environ(threads),
        text=True,
    )
    to, answers = process.stdin, process.stdout
    assert to is not None
    assert answers is not None

    def run(steps: int) -> float:
        to.write(f"{steps}\n")
        to.flush()
        return float(answers.readline())

    return run


@click.command()
@click.option("--rounds", default=9, show_default=True)
@click.option("--threads", default=1, show_default=True)
@click.option("--only", type=click.Choice(list(CASES)), multiple=True)
def main(rounds: int, threads: int, only: tuple[str, ...]) -> None:
    """Print the ratio of the two times for each net."""
    for kind in only or CASES:
        ours, theirs, steps = our_steps(kind, threads), steps_by_hand(kind, threads), CASES[kind][3]
        for run in (ours, theirs):
            run(5)
        times = [(ours(steps) / steps, theirs(steps) / steps) for _ in range(rounds)]
        ratios = sorted(a / b for a, b in times)
        ours_ms, theirs_ms = (1000 * statistics.median(column) for column in zip(*times, strict=True))
        echo(
            f"{kind}: ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}); "
            f"ours {ours_ms:.1f} ms, by hand {theirs_ms:.1f} ms a step, {threads} thread(s)"
        )


if __name__ == "__main__":
    main()
