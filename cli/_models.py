"""The models and data that commands work on: an .onnx file, or a function in a Python file; .npz files."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import neuromatic
from neuromatic import Model, Sequential
from neuromatic.builder.model import problem_of
from neuromatic.cli._errors import FAILED, USAGE, Failure, one_line
from neuromatic.cli._shared import echo
from neuromatic.data import NpzFile, match_arrays, match_inputs
from neuromatic.errors import NeuromaticError, RecipeError, UnknownNameError


def look_at(source: str) -> Model:
    """The model as :func:`load_model` gives it, to be shown even if it cannot run; then that is said.

    Raises:
        NeuromaticError: see :func:`load_model`.
    """
    model = load_model(source, check=False)
    if (problem := problem_of(model.proto)) is not None:
        echo(f"Warning: {source} cannot run: {problem}", err=True)
    return model


def load_model(source: str, *, check: bool = True) -> Model:
    """The model that ``MODEL`` stands for: an .onnx file, or ``file.py:function``.

    Args:
        source: what the command line says.
        check: whether to refuse a file that onnxruntime would refuse.

    Raises:
        Failure: a Python file without a function.
        InvalidModelError: the file cannot be read or is not valid ONNX.
        UnknownNameError: the Python file has no function of that name.
        Failure: the Python file fails, or its function returns something else.
    """
    file, _, function = source.rpartition(":")
    if Path(source).is_dir():
        raise Failure(f"cannot read {source}: it is a folder")
    if file.endswith(".py"):
        return _from_program(Path(file), function)
    if source.endswith(".py"):
        raise Failure(
            f"{source} is a program: name its function that returns the model, as in {source}:build", USAGE
        )
    return neuromatic.load(source, check=check)


def _from_program(file: Path, function: str) -> Model:
    if not file.is_file():
        raise Failure(f"cannot read {file}: there is no such file")
    with _importing_from(file.resolve().parent), _telling_where(file):
        module = _module(file)
        build = getattr(module, function, None)
        result = build() if callable(build) else None
    if not callable(build):
        own = [n for n, x in vars(module).items() if getattr(x, "__module__", "") == module.__name__]
        raise UnknownNameError(f"function in {file}", function, own)
    if isinstance(result, Sequential):
        return result.build()
    if not isinstance(result, Model):
        raise Failure(f"{file}:{function} returned {type(result).__name__}, expected a Model or a Sequential")
    return result


def _module(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"neuromatic_program_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """Let a program import its neighbours, as it could when run by itself."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


@contextmanager
def _telling_where(file: Path) -> Iterator[None]:
    """Turn any failure of a program into one sentence with file, line and exception."""
    try:
        yield
    except (Exception, SystemExit) as error:
        place = f"{file}, line {line}" if (line := _line(error, file)) else str(file)
        code = error.exit_code if isinstance(error, NeuromaticError) else FAILED
        raise Failure(f"{place}: {type(error).__name__}: {one_line(error)}", code) from error


def _line(error: BaseException, file: Path) -> int | None:
    """The line of the program that the failure comes from."""
    program = file.resolve()
    if isinstance(error, SyntaxError) and Path(error.filename or "").resolve() == program:
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    return next((f.lineno for f in reversed(frames) if Path(f.filename).resolve() == program), None)


def training_data(file: str, model: Model) -> tuple[dict[str, Any], dict[str, Any]]:
    """The inputs and targets in a file, checked.

    Raises:
        RecipeError: the model has no recipe, so it has no targets.
        DataError: the file cannot be read, or its arrays do not fit the model.
    """
    if model.recipe is None:
        raise RecipeError("the model has no loss to evaluate; neuromatic train --loss gives it one")
    return match_arrays(NpzFile(file), model.proto, model.recipe, file)


def input_data(file: str, model: Model) -> dict[str, Any]:
    """The inputs in a file, checked.

    Raises:
        DataError: the file cannot be read, or its arrays do not fit the model.
    """
    return match_inputs(NpzFile(file), model.proto, file)
