"""neuromatic train: the options of the optimizer and of the schedule."""

from __future__ import annotations

from pathlib import Path

import pytest

import neuromatic as nm
from tests.cli.test_train import CHAIN, CROSSENTROPY, TRAINED, Fails, Run, learning_rate


def test_options_of_the_optimizer_go_into_the_file(run: Run, folder: Path) -> None:
    schedule = "cosine_decay:decay_steps=20,alpha=0.1"
    chosen = ["--optimizer", "adamw", "--lr", "0.01", "--lr-schedule", schedule]
    result = run(*CHAIN, *CROSSENTROPY, *chosen, "--weight-decay", "0.1", "--clip-norm", "0.5")
    assert result.exit_code == 0, result.output
    found = nm.load(folder / "out.onnx").recipe
    assert found is not None
    assert found.optimizer == {"name": "adamw", "arguments": {"weight_decay": 0.1, "global_clipnorm": 0.5}}
    assert found.schedule is not None
    assert nm.schedules.from_config(found.schedule) == nm.schedules.CosineDecay(0.01, 20, alpha=0.1)
    again = run("train", "out.onnx", "--data", "data.npz", "-o", "out.onnx", "--epochs", "1")
    assert again.exit_code == 0, again.output


def test_a_schedule_for_this_run_alone(run: Run, folder: Path) -> None:
    before = learning_rate(folder / "trained.onnx")
    schedule = "piecewise_constant_decay:boundaries=[3,5],values=[0.1,0.01,0.001]"
    result = run(*TRAINED, "--epochs", "1", "--lr-schedule", schedule)
    assert result.exit_code == 0, result.output
    model = nm.load(folder / "out.onnx")
    assert model.recipe is not None
    assert model.recipe.schedule is None
    assert learning_rate(folder / "out.onnx") == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--weight-decay", "0.1"], "MODEL has an optimizer: give --weight-decay together with --optimizer"),
        (["--clip-norm", "0.1"], "MODEL has an optimizer: give --clip-norm together with --optimizer"),
        (["--lr-schedule", "cosine"], "there is no schedule named 'cosine'; did you mean 'cosine_decay'?"),
        (
            ["--lr-schedule", "cosine_decay:decay_steps"],
            "--lr-schedule: write NAME:ARGUMENT=VALUE,..., got 'decay_steps' in 'cosine_decay:decay_steps'",
        ),
        (
            ["--lr-schedule", "cosine_decay:steps=3"],
            "there is no argument of cosine_decay named 'steps'; did you mean",
        ),
        (
            ["--lr-schedule", "cosine_decay:decay_steps=0"],
            "--lr-schedule cosine_decay: CosineDecay: decay_steps must be above 0, got 0; its arguments: ",
        ),
        (["--lr-schedule", "one_cycle"], "missing 1 required positional argument: 'total_steps'"),
        (
            ["--lr-schedule", "one_cycle:total_steps=3-4"],
            "--lr-schedule: total_steps=3-4 is no number, list or word",
        ),
        (
            ["--lr-schedule", "one_cycle:total_steps=9,anneal_strategy=up"],
            """OneCycle: anneal_strategy must be "cos" or "linear", got 'up'""",
        ),
    ],
)
def test_mistakes_about_the_optimizer(fails: Fails, arguments: list[str], message: str) -> None:
    assert message in fails(2, *TRAINED, *arguments)
