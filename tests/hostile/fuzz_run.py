"""What is done with a damaged file: everything the program can, and each outcome has to be a typed one."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
from onnx import TensorProto, helper

import neuromatic as nm
from neuromatic.cli.convert import convert
from neuromatic.cli.diff import diff
from neuromatic.cli.doctor import doctor
from neuromatic.cli.evaluate import evaluate
from neuromatic.cli.info import info
from neuromatic.cli.predict import predict
from neuromatic.cli.train import train
from neuromatic.errors import NeuromaticError
from neuromatic.ir.traversal import data_inputs
from neuromatic.ir.values import Value

TYPED = (NeuromaticError, click.ClickException, click.exceptions.Exit, SystemExit)
"""What may come out of a command; whatever else comes is a finding."""
MOST = 1 << 20
"""Inputs of more numbers are not made."""
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def model_file(folder: Path, original: Path, *, step: bool) -> None:
    """Do with ``model.onnx`` in a folder whatever can be done.

    Args:
        folder: where it is, and where files may be written.
        original: the file that it was, undamaged.
        step: whether to train as well, which is slow.
    """
    file = folder / "model.onnx"
    command(info, file)
    command(info, file, "--json", "--weights")
    with typed():
        model = nm.load(file)
        python(model, folder)
    command(doctor, file)
    command(diff, file, original)
    command(diff, original, file, "--json")
    command(convert, file, "-o", folder / "stripped.onnx", "--strip-training")
    command(convert, file, "-o", folder / "newer.onnx", "--opset", "21")
    with typed():
        arrays = inputs(nm.load(file))
        if arrays is not None:
            np.savez(folder / "data.npz", **arrays)
            command(predict, file, "--data", folder / "data.npz")
            command(evaluate, file, "--data", folder / "data.npz")
            if step:
                training(nm.load(file), file, folder)


def python(model: Any, folder: Path) -> None:
    """The methods of a model that need no engine."""
    named = model.output_names
    for call in (
        model.summary,
        model.roles,
        lambda: model.recipe,
        lambda: model.loss("mse"),
        lambda: model.loss("mse").optimizer("adam").metrics(dict.fromkeys(named[:1], "mae")),
        lambda: model.freeze("*"),
        lambda: model.replace_head(units=2),
        lambda: model.save(folder / "saved.onnx"),
        lambda: model.export(folder / "exported.onnx"),
        lambda: nm.load(folder / "saved.onnx"),
    ):
        with typed():
            call()


def training(model: Any, file: Path, folder: Path) -> None:
    """A step on TensorFlow, by the file's own recipe or by one that is put on it."""
    out = folder / "trained.onnx"
    options = ["--data", folder / "data.npz", "-o", out, "--epochs", "1"]
    with typed():
        recipe = model.recipe
        if recipe is None:
            model = model.loss("mse").optimizer("sgd")
            model.save(file)
        arrays = inputs(model, targets=True)
        if arrays is not None:
            np.savez(folder / "data.npz", **arrays)
            command(train, file, *options)
            command(evaluate, file, "--data", folder / "data.npz")


def data_file(folder: Path, original: Path) -> None:
    """Feed ``data.npz`` in a folder to a model."""
    command(predict, original, "--data", folder / "data.npz", "-o", folder / "out.csv")
    command(evaluate, original, "--data", folder / "data.npz")


def command(action: click.Command, *arguments: object) -> None:
    """Run a command without what turns any exception into a sentence; see what it shows."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), typed():
        action.main([str(a) for a in arguments], prog_name=action.name, standalone_mode=False)
    shown = out.getvalue()
    if UNSEEN.search(shown):
        raise AssertionError(f"{action.name} shows control characters: {shown[:300]!r}")


@contextlib.contextmanager
def typed() -> Any:
    """Let pass what is typed."""
    with warnings.catch_warnings(), contextlib.suppress(*TYPED):
        warnings.simplefilter("ignore")
        yield


def inputs(model: Any, *, targets: bool = False) -> dict[str, Any] | None:
    """Two rows for each input of a model, and for each target; None where there is none to be fed."""
    graphs = [model.proto.graph, *(i.algorithm for i in model.proto.training_info if targets)]
    found: dict[str, Any] = {}
    for graph in graphs:
        names = set(data_inputs(graph))
        for value in (Value.of(i.name, i.type) for i in graph.input if i.name in names):
            array = rows(value)
            if array is None:
                return None
            found[value.name] = array
    return found or None


def rows(value: Value) -> Any:
    """Two rows for one input."""
    shape = [d if isinstance(d, int) else 2 for d in value.shape or (2, 4)]
    if not value.dtype or any(d < 0 for d in shape) or np.prod(shape, dtype=object) > MOST:
        return None
    if value.dtype == TensorProto.STRING:
        return np.full(shape, "a")
    try:
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(value.dtype))
    except KeyError:
        return None
    return np.ones(shape, dtype) if dtype.kind in "biuf" else None


Action = Callable[[Path], None]
