"""Expressions that a file brings mean what they mean to a caller, and none of them hangs."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from onnx import ModelProto

import neuromatic as nm
from neuromatic.cli.main import main
from neuromatic.errors import RecipeError
from neuromatic.optimizers import SGD, AdamW, MultiOptimizer, Muon, Optimizer, from_config
from neuromatic.optimizers.expressions import any_found, of_file
from neuromatic.recipe.schema import METADATA_KEY

SECONDS = 10
NAMES = [
    "dense/bias",
    "dense_1/kernel",
    "a" * 12 + "!",
    "norm.weight",
    "block_12/norm/gamma",
    "x\\y",
    "",
    "été/w",
]
SAME = [
    *("bias", "^dense", "weight$", "norm.weight", r"norm\.weight", "bias|gamma", r"block_\d+/", "(?i)BIAS"),
    *(
        "^(a+)+$",
        "(a|a)*!",
        r"[^/]+/kernel$",
        "a{3,}",
        "",
        "^$",
        r"\\",
        "(?P<layer>dense)_1",
        "a.*b.*c.*d.*e",
    ),
]
"""What both engines know."""
HANGING = ["^(a+)+$", "^(a|a)*$", "(a*)*b", "^(.*a){25}$", "a*a*a*a*a*a*a*a*a*a*b", "^((a|b)*c)*$"]
UNKNOWN = ["(?=a)b", r"(a)\1", "(", "a{2000}", "(?:(?:a{500}){500}){500}", r"a\Z"]


@pytest.mark.parametrize("expression", SAME)
def test_a_file_means_what_a_caller_means(expression: str) -> None:
    ascii_only = [name for name in NAMES if name.isascii() or "\\" not in expression]
    for name in ascii_only:
        expected = re.search(expression, name) is not None
        assert any_found(of_file([expression]), name) == expected, name
        assert any_found([expression], name) == expected, name


def test_several_expressions_of_a_file() -> None:
    mixed = of_file(["gamma", r"^dense_\d/", "(?i)BIAS"])
    assert [any_found(mixed, name) for name in NAMES[:5]] == [True, True, False, False, True]


@pytest.mark.parametrize("expression", UNKNOWN)
def test_what_takes_no_linear_time_is_refused(expression: str) -> None:
    with pytest.raises(RecipeError, match=r"of the file's regular expressions .* one is wrong, or has what"):
        any_found(of_file([expression]), "dense/bias")


def test_classes_and_letters_beyond_ascii_are_refused() -> None:
    assert re.search(r"^\w+/w", "été/w")
    with pytest.raises(RecipeError, match=r"cannot be matched with 'été/w': classes such as \\w have only"):
        any_found(of_file([r"^\w+/w"]), "été/w")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("bias", "expected a list of regular expressions, got 'bias'"),
        ([1], r"expected a list of regular expressions, got '\[1\]'"),
        (["a" * 2001], "has 2,001 characters, more than 2,000"),
        ([str(i) for i in range(1001)], "1,001 patterns for names are more than 1,000"),
    ],
)
def test_limits(given: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        of_file(given)


@pytest.mark.parametrize("key", ["learning_rates", "optimizer_map"])
def test_patterns_have_limits(key: str) -> None:
    config = {"name": "sgd", "arguments": {key: {"[" * 100_000: 0.5}}}
    with pytest.raises(ValueError, match="has 100,000 characters, more than 2,000"):
        from_config(config, 0.1, ())


def net(optimizer: Optimizer, name: str = "a" * 60) -> nm.Model:
    model = nm.Sequential(input_shape=(4,)).dense(3, name=name).dense(2, name="last")
    return model.build().loss("mse").optimizer(optimizer)


def planted(folder: Path, optimizer: Optimizer, old: str, new: str) -> Path:
    """A file whose metadata has another expression than the optimizer it was made with."""
    model = ModelProto()
    model.CopyFrom(net(optimizer).proto)
    (entry,) = (p for p in model.metadata_props if p.key == METADATA_KEY)
    assert old in entry.value
    entry.value = entry.value.replace(json.dumps(old), json.dumps(new))
    (folder / "net.onnx").write_bytes(model.SerializeToString())
    return folder / "net.onnx"


OPTIMIZERS = {
    "AdamW": lambda: AdamW(exclude_from_weight_decay=["planted"]),
    "Muon": lambda: Muon(exclude_layers=["planted"], ns_steps=1),
    "Muon's decay": lambda: Muon(exclude_from_weight_decay=["planted"], ns_steps=1),
    "one of several": lambda: MultiOptimizer(
        SGD(0.1), {"last/*": AdamW(exclude_from_weight_decay=["planted"])}
    ),
}


@pytest.mark.parametrize("expression", HANGING)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_no_expression_hangs(optimizer: str, expression: str, tmp_path: Path) -> None:
    path = planted(tmp_path, OPTIMIZERS[optimizer](), "planted", expression)
    started = time.perf_counter()
    nm.load(path).freeze("last/*").metrics("mae")
    assert time.perf_counter() - started < SECONDS


def test_freezing_on_the_command_line_does_not_hang(tmp_path: Path) -> None:
    path = planted(tmp_path, AdamW(exclude_from_weight_decay=["planted"]), "planted", "^(a+)+$")
    np.savez(tmp_path / "d.npz", x=np.ones((4, 4), "f"), y=np.ones((4, 2), "f"))
    arguments = ["--data", str(tmp_path / "d.npz"), "--freeze", "last/*", "-o", str(tmp_path / "out.onnx")]
    result = CliRunner().invoke(main, ["train", str(path), *arguments, "--epochs", "1"])
    assert result.exit_code == 0, result.output


def test_a_new_layer_is_excluded_by_the_expression_of_the_file(tmp_path: Path) -> None:
    model = net(AdamW(exclude_from_weight_decay=["bias$", r"/b\w+s$"], weight_decay=0.1), "first")
    model.save(tmp_path / "net.onnx")
    expected = model.replace_head(units=5).loss("mse").proto
    assert nm.load(tmp_path / "net.onnx").replace_head(units=5).loss("mse").proto == expected
