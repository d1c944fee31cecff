"""From .onnx to a TensorFlow SavedModel, by the same lowerings that training uses.

Initializers that training would train become ``tf.Variable`` objects named after them, so that the result can
be trained further in TensorFlow.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto

from neuromatic import load
from neuromatic._quiet import quiet
from neuromatic.converters.formats.verify import verify
from neuromatic.converters.tensorflow import engine
from neuromatic.data import Field, input_fields
from neuromatic.errors import ConversionError, StaleRecipeError
from neuromatic.inference import Session
from neuromatic.ir.inference_form import inference_form, training_form_note
from neuromatic.ir.types import FLOATS
from neuromatic.recipe import schema as recipes
from neuromatic.recipe.compose import algorithm_builder
from neuromatic.recipe.sections import strip
from neuromatic.recipe.trainable import trainable_names
from neuromatic.recipe.validation import validate
from neuromatic.saving.atomic import temporary_folder

MARKER = "saved_model.pb"
"""The file by which a folder is known to be a SavedModel."""


def convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    check: bool = True,
    atol: float = 1e-4,
    seed: int = 0,
    tell: Callable[[str], object] = lambda line: None,
) -> float | None:
    """Write an .onnx file as a TensorFlow SavedModel with the signature ``serving_default``.

    Args:
        source: an .onnx file.
        target: the folder to write; an older SavedModel there is replaced, only on success.
        check: whether the result, loaded afresh, is compared with onnxruntime.
        atol: how far they may differ.
        seed: determines the inputs they are compared on.
        tell: called with a sentence on what the result has otherwise than the file.

    Returns:
        The largest difference found; None where nothing was compared.

    Raises:
        InvalidModelError: the file cannot be read or is not valid ONNX.
        EngineNotAvailableError: TensorFlow is not installed.
        UnsupportedOpError: TensorFlow has no lowering for some nodes.
        ConversionError: the target is something else than a SavedModel.
        VerificationError: TensorFlow and onnxruntime differ.
    """
    folder = Path(target)
    if folder.exists() and not (folder / MARKER).is_file():
        raise ConversionError(f"{folder} exists and is not a SavedModel; it is left as it is")
    model = load(source).proto
    engine.load()
    try:
        validate(model)
    except StaleRecipeError as error:  # of a recipe, only the list of what it trains is used here
        tell(f"the recipe cannot be used: {error}")
        model = strip(model)
    if note := training_form_note(model):
        tell(note)
    model = inference_form(model)
    with replacing(folder) as new, quiet(2):
        names = write(model, new)
        return _verify(model, new, names, atol, seed) if check else None


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """A path to write a folder to; it takes the place of ``folder`` when the block succeeds.

    If the block raises, ``folder`` is as it was and what was written is gone.
    """
    with temporary_folder(folder) as temporary:
        new, old = temporary / "new", temporary / "old"
        try:
            yield new
            _sync(new)
            if folder.exists():
                folder.rename(old)
            new.rename(folder)
        finally:
            if old.exists() and not folder.exists():
                old.rename(folder)


def write(model: ModelProto, folder: Path) -> dict[str, str]:
    """Write a SavedModel; returns the name that each input has in the signature.

    Raises:
        UnsupportedOpError: TensorFlow has no lowering for some nodes.
    """
    import tensorflow as tf

    from neuromatic.converters.tensorflow.module import OnnxModule

    fields = input_fields(model)
    names = signature_names([field.name for field in fields])
    module = OnnxModule(strip(model), trained(model), fields, names)
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.serve})
    return names


def signature_names(inputs: Sequence[str]) -> dict[str, str]:
    """A name for each input that can be the name of an argument in Python.

    >>> signature_names(["x", "a/b:0", "a_b_0"])
    {'x': 'x', 'a/b:0': 'a_b_0', 'a_b_0': 'a_b_0_1'}
    """
    found: dict[str, str] = {}
    for name in inputs:
        plain = re.sub(r"\W", "_", name, flags=re.ASCII)
        plain = plain if plain[:1].isalpha() else f"input_{plain}"
        count = 0
        while (unique := f"{plain}_{count}" if count else plain) in found.values():
            count += 1
        found[name] = unique
    return found


def trained(model: ModelProto) -> list[str]:
    """The initializers that a recipe trains, or that training towards the outputs would."""
    recipe = recipes.read(model)
    if recipe is not None:
        return list(recipe.trainable)
    bare = strip(model)
    g = algorithm_builder(bare)
    reached = {
        name
        for output in bare.graph.output
        if g.value(output.name).dtype in FLOATS
        for name in trainable_names(bare, bare.graph.node, output.name, g)
    }
    return [tensor.name for tensor in bare.graph.initializer if tensor.name in reached]


def _verify(model: ModelProto, folder: Path, names: Mapping[str, str], atol: float, seed: int) -> float:
    import tensorflow as tf

    session = Session(strip(model))
    serve = tf.saved_model.load(str(folder)).signatures["serving_default"]

    def found(inputs: dict[str, Any]) -> dict[str, Any]:
        results = serve(**{names[name]: tf.constant(array) for name, array in inputs.items()})
        return {name: np.asarray(value) for name, value in results.items()}

    fields: Sequence[Field] = input_fields(model)
    return verify(session.run, found, fields, what="the SavedModel", atol=atol, seed=seed)


def _sync(folder: Path) -> None:
    """Flush every file of a folder to disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb+") as file:
                os.fsync(file.fileno())
