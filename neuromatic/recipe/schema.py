"""The recipe of a model: its ``training_info``, read, checked and combined with the inference graph.

ONNX defines a training step as the inference graph followed by the algorithm graph; a ``Gradient`` node
stands for backpropagation and ``update_binding`` says which value replaces which initializer. What ONNX has
no place for (which values are metrics, which input is the target of which output) is a small JSON text in
``metadata_props``. The checker of ``onnx`` does not look inside ``training_info``;
:mod:`neuromatic.recipe.validation` does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from onnx import AttributeProto, ModelProto, NodeProto

from neuromatic.errors import RecipeError
from neuromatic.ir.opsets import TRAINING_DOMAIN
from neuromatic.printable import CONTROL

METADATA_KEY = "neuromatic.recipe"
METADATA_VERSION = 1


@dataclass(frozen=True)
class Target:
    """An input of the algorithm that holds the truth for a model output.

    Attributes:
        name: the input.
        output: the model output that it is compared with; None where the file does not say.
        classes: for class indices, how many classes there are.
        ignored: for class indices, a label that is allowed besides, whose samples do not count.
        weights: the input that holds the sample weights of this output's loss; None where it has none.
        axis: the axis of the output that classes lie along, counted from the front; None for the last one.
    """

    name: str
    output: str | None = None
    classes: int | None = None
    ignored: int | None = None
    weights: str | None = None
    axis: int | None = None

    def notes(self) -> dict[str, str | int | None]:
        """What goes into ``metadata_props``; what only some targets have is left out of the others."""
        rare = ("ignored", "weights", "axis")
        return {key: value for key, value in asdict(self).items() if value is not None or key not in rare}


@dataclass(frozen=True)
class MetricSums:
    """A metric in the algorithm.

    Attributes:
        name: under which it is reported.
        sums: the value that holds its sums.
        result: which function of ``metrics.RESULTS`` says what they mean.
        arguments: of that function.
    """

    name: str
    sums: str
    result: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def notes(self) -> dict[str, Any]:
        """What goes into the metadata; arguments only where there are some."""
        return {key: value for key, value in asdict(self).items() if key != "arguments" or value}


@dataclass(frozen=True)
class Recipe:
    """How a model is trained, as names of values in its graphs.

    Attributes:
        loss: the scalar that training makes small.
        trainable: the initializers that gradients are taken for.
        updates: for each initializer that a step replaces, the value that replaces it.
        targets: see :class:`Target`.
        metrics: see :class:`MetricSums`.
        learning_rate: the algorithm input that a schedule sets; its initializer holds the default.
        step: the initializer that counts steps.
        optimizer: name and arguments of the optimizer, where its nodes do not say all of it.
        schedule: name and arguments of the schedule of the learning rate; None for a number.
        gradient_of: what gradients are taken of, if not of the loss itself.
        dropout: "off" where Dropout and the layers like it pass values on in training.
    """

    loss: str
    trainable: tuple[str, ...]
    updates: Mapping[str, str]
    targets: tuple[Target, ...] = ()
    metrics: tuple[MetricSums, ...] = ()
    learning_rate: str | None = None
    step: str | None = None
    optimizer: Mapping[str, Any] | None = None
    schedule: Mapping[str, Any] | None = None
    gradient_of: str | None = None
    dropout: str = "train"

    def metadata(self) -> str:
        """What goes into ``metadata_props``."""
        rare = {
            "optimizer": self.optimizer,
            "schedule": self.schedule,
            "loss": None if self.gradient_of is None else self.loss,
            "dropout": None if self.dropout == "train" else self.dropout,
        }
        return json.dumps(
            {
                "version": METADATA_VERSION,
                "targets": [t.notes() for t in self.targets],
                "metrics": [m.notes() for m in self.metrics],
                "learning_rate": self.learning_rate,
                "step": self.step,
                **{key: value for key, value in rare.items() if value is not None},
            }
        )


def read(model: ModelProto) -> Recipe | None:
    """The recipe in a model; None if it has none.

    Raises:
        RecipeError: ``training_info`` is there but is not a recipe that can be run.
    """
    if not model.training_info:
        return None
    if len(model.training_info) > 1:
        raise RecipeError(f"the model has {len(model.training_info)} training_info entries, expected one")
    info = model.training_info[0]
    gradients = [n for n in info.algorithm.node if is_gradient(n)]
    if len(gradients) != 1:
        raise RecipeError(f"training_info has {len(gradients)} Gradient nodes, expected one")
    xs, y = _gradient_names(gradients[0])
    replaced = [binding.key for binding in info.update_binding]
    if twice := sorted({key for key in replaced if replaced.count(key) > 1}):
        raise RecipeError(f"update_binding replaces {twice[0]!r} twice")
    notes = _read_metadata(model)
    defaults = {t.name for t in info.algorithm.initializer}
    unset = [i.name for i in info.algorithm.input if i.name not in defaults]
    return Recipe(
        loss=notes.get("loss", y),
        trainable=xs,
        updates={binding.key: binding.value for binding in info.update_binding},
        targets=tuple(Target(**t) for t in notes.get("targets", [{"name": name} for name in unset])),
        metrics=tuple(MetricSums(**m) for m in notes.get("metrics", [])),
        learning_rate=notes.get("learning_rate"),
        step=notes.get("step"),
        optimizer=notes.get("optimizer"),
        schedule=notes.get("schedule"),
        gradient_of=y if "loss" in notes else None,
        dropout=notes.get("dropout", "train"),
    )


def is_gradient(node: NodeProto) -> bool:
    """Whether a node stands for backpropagation."""
    return node.op_type == "Gradient" and node.domain == TRAINING_DOMAIN


def _gradient_names(node: NodeProto) -> tuple[tuple[str, ...], str]:
    """The attributes ``xs`` and ``y`` of a Gradient node."""
    given = {a.name: a for a in node.attribute}
    wanted = (("xs", AttributeProto.STRINGS), ("y", AttributeProto.STRING))
    if any(name not in given or given[name].type != kind for name, kind in wanted):
        raise RecipeError("the Gradient node of training_info lacks its attribute 'xs' or 'y'")
    try:
        return tuple(x.decode() for x in given["xs"].strings), given["y"].s.decode()
    except UnicodeDecodeError as error:
        raise RecipeError("the Gradient node of training_info names values that are not text") from error


def _read_metadata(model: ModelProto) -> dict[str, Any]:
    text = next((p.value for p in model.metadata_props if p.key == METADATA_KEY), None)
    if text is None:
        return {}
    try:
        notes = json.loads(text, parse_int=_integer, parse_constant=_no_number)
        if type(notes["version"]) is not int or notes["version"] != METADATA_VERSION:
            raise RecipeError(
                f"metadata {METADATA_KEY!r} has version {notes['version']}, this Neuromatic reads "
                f"{METADATA_VERSION}"
            )
        _check_notes(notes)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RecipeError(f"metadata {METADATA_KEY!r} of the model is damaged: {error}") from error
    return dict(notes)


def _check_notes(notes: Any) -> None:
    """Every entry is there and of its type.

    Raises:
        KeyError, TypeError, ValueError: one is not.
    """
    for target in notes["targets"]:
        found = Target(**target)
        _check_text(found.name, *_given(found.output, found.weights))
        for number in _given(found.classes, found.ignored, found.axis):
            if type(number) is not int:
                raise TypeError(f"{number!r} is not a class or axis")
        for size in _given(found.classes):
            if size < 1:
                raise ValueError(f"{size} is no number of classes")
    for metric in notes["metrics"]:
        sums = MetricSums(**metric)
        _check_text(sums.name, sums.sums, sums.result, *dict(sums.arguments))
    _check_text(*_given(notes["learning_rate"], notes["step"]), notes.get("loss", ""))
    if notes.get("dropout", "train") not in ("train", "off"):
        raise TypeError(f"{notes['dropout']!r} is not a form of dropout")
    for named in (notes.get("optimizer"), notes.get("schedule")):
        if named is not None:
            _check_text(named["name"], *dict(named)["arguments"].keys())


def _given(*values: Any) -> list[Any]:
    """Those that are not null."""
    return [value for value in values if value is not None]


def _integer(text: str) -> int:
    """A whole number of a recipe, which ONNX has to be able to store."""
    if len(text) > 20 or not -(2**63) <= int(text) < 2**63:
        raise ValueError(f"{text[:40]} has more than 64 bits")
    return int(text)


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _check_text(*values: object) -> None:
    for value in values:
        if not isinstance(value, str):
            raise TypeError(f"{value!r} is not a name")
        if CONTROL.search(value):
            raise ValueError(f"the name {value[:60]!r} has a control character")
