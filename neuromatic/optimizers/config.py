"""Optimizers by name and arguments, as a file keeps what its nodes do not say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onnx import FunctionProto

from neuromatic._names import snake_case
from neuromatic.optimizers.base import Optimizer, changed
from neuromatic.optimizers.expressions import check_texts, of_file
from neuromatic.optimizers.function import FunctionOptimizer
from neuromatic.schedules import Schedule

Config = dict[str, Any]
EXPRESSIONS = ("exclude_from_weight_decay", "exclude_layers")
"""The arguments that are regular expressions."""
PATTERNS = ("learning_rates", "optimizer_map")
"""The arguments that are by pattern of names."""


def to_config(optimizer: Optimizer, known: Mapping[str, type[Optimizer]]) -> Config | None:
    """Name and arguments of an optimizer, as JSON has them, without its learning rate.

    Returns:
        None for an optimizer of a class that is not known by name.
    """
    name = snake_case(type(optimizer).__name__)
    if known.get(name) is not type(optimizer):
        return None
    arguments: Config = {}
    for key, value in changed(optimizer).items():
        if key == "learning_rate":
            continue
        if key in ("default_optimizer", "optimizer_map"):
            value = _nested(value, known)
            if value is None:
                return None
        arguments[key] = value.name if isinstance(value, FunctionProto) else _plain(value)
    return {"name": name, "arguments": arguments}


def _nested(value: Optimizer | Mapping[str, Optimizer], known: Mapping[str, type[Optimizer]]) -> Any:
    if isinstance(value, Mapping):
        found = {pattern: _nested(one, known) for pattern, one in value.items()}
        return None if None in found.values() else found
    config = to_config(value, known)
    return None if config is None else {**config, "learning_rate": value.first_rate}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value.item() if hasattr(value, "item") else value


def from_config(
    config: Mapping[str, Any],
    learning_rate: float | Schedule,
    functions: Sequence[FunctionProto],
    known: Mapping[str, type[Optimizer]],
) -> Optimizer:
    """The optimizer of a name and arguments.

    Args:
        config: what :func:`to_config` gave.
        learning_rate: a number or a schedule.
        functions: those of the file, for optimizers that are one.

    Raises:
        ValueError, TypeError, KeyError: it is not what :func:`to_config` gives.
    """
    cls, arguments = known[config["name"]], dict(config["arguments"])
    arguments |= {key: of_file(arguments[key]) for key in EXPRESSIONS if key in arguments}
    for key in PATTERNS:
        check_texts(list(arguments.get(key, ())))
    if cls is FunctionOptimizer:
        body = next((f for f in functions if f.name == arguments["body"]), None)
        if body is None:
            raise KeyError(arguments["body"])
        return cls(learning_rate, **{**arguments, "body": body})
    if "default_optimizer" not in arguments:
        return cls(learning_rate=learning_rate, **arguments)
    first = arguments.pop("default_optimizer")
    rate = learning_rate(0) if isinstance(learning_rate, Schedule) else learning_rate
    scale = rate / first["learning_rate"]
    others = {
        pattern: from_config(one, one["learning_rate"] * scale, functions, known)
        for pattern, one in arguments.pop("optimizer_map", {}).items()
    }
    default = from_config(first, learning_rate, functions, known)
    return cls(default_optimizer=default, optimizer_map=others, **arguments)  # type: ignore[call-arg]
