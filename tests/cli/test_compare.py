"""``neuromatic compare``: one recipe on two engines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from neuromatic.cli.main import main
from tests.converters.cntk.cntk_environment import environment_or_skip
from tests.converters.cntk.nets import data, with_recipe


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A model with a recipe, and data for it."""
    folder = tmp_path_factory.mktemp("compare")
    with_recipe("mlp", "momentum").save(folder / "m.onnx")
    x, y = data((12,))
    np.savez(folder / "d.npz", x=x, y=y)
    return str(folder / "m.onnx"), str(folder / "d.npz")


def test_differences_are_printed_and_drawn(files: tuple[str, str], tmp_path: Path) -> None:
    environment_or_skip()
    model, arrays = files
    before = Path(model).read_bytes()
    picture = tmp_path / "parity.png"
    command = ["compare", model, "--data", arrays, "--epochs", "2", "--threads", "1"]
    command += ["--picture", str(picture)]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    assert "largest relative difference of a loss in 10 steps: " in result.stdout
    assert result.stdout.splitlines()[-1] == f"wrote {picture}"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert Path(model).read_bytes() == before


def test_json_holds_every_loss(files: tuple[str, str]) -> None:
    environment_or_skip()
    model, arrays = files
    command = ["compare", model, "--data", arrays, "--threads", "1", "--json"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["engines"] == ["tensorflow", "cntk"]
    assert found["steps"] == len(found["losses"]["cntk"]) == len(found["losses"]["tensorflow"]) == 5
    np.testing.assert_allclose(found["losses"]["cntk"], found["losses"]["tensorflow"], rtol=1e-4)
    assert found["weight_difference"] < 1e-3
    assert found["time_ratio"] is None or found["time_ratio"] > 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--engines", "tensorflow"], "--engines takes two names"),
        (["--engines", "tensorflow,cntkk"], "did you mean 'cntk'?"),
        (["--picture", "p.bmp"], "must end in .png or .svg or .pdf"),
    ],
)
def test_wrong_arguments_are_one_sentence(
    files: tuple[str, str], arguments: list[str], expected: str
) -> None:
    model, arrays = files
    result = CliRunner().invoke(main, ["compare", model, "--data", arrays, *arguments])
    assert result.exit_code == 2
    assert expected in result.stderr
