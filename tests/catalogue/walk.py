"""Keras' public classes and what is said of each, as a table: ``python -m tests.catalogue.walk``.

That writes ``docs/keras.md`` anew; ``tests/catalogue/test_walk.py`` compares.
"""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import keras

import neuromatic as nm
from neuromatic.saving import atomic as files
from tests.catalogue.status import STATUS, Kind, Status

PAGE = Path(__file__).parents[2] / "docs" / "keras.md"
KINDS: dict[Kind, tuple[ModuleType, type[Any], ModuleType]] = {
    "layers": (keras.layers, keras.layers.Layer, nm.layers),
    "losses": (keras.losses, keras.losses.Loss, nm.losses),
    "optimizers": (keras.optimizers, keras.optimizers.Optimizer, nm.optimizers),
    "metrics": (keras.metrics, keras.metrics.Metric, nm.metrics),
    "initializers": (keras.initializers, keras.initializers.Initializer, nm.initializers),
    "regularizers": (keras.regularizers, keras.regularizers.Regularizer, nm.regularizers),
    "constraints": (keras.constraints, keras.constraints.Constraint, nm.constraints),
    "schedules": (
        keras.optimizers.schedules,
        keras.optimizers.schedules.LearningRateSchedule,
        nm.schedules,
    ),
}
"""Of each kind: where Keras has it, its base class there, and where we have it."""


def said() -> None:
    """Import every test of this folder, so that :data:`STATUS` is complete."""
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        if path.stem != "test_walk":
            importlib.import_module(f"tests.catalogue.{path.stem}")


def keras_classes(kind: Kind) -> dict[str, list[str]]:
    """Keras' public classes of a kind, base classes aside, each with the other names it has."""
    module, base, _ = KINDS[kind]
    names: dict[type[Any], list[str]] = {}
    for name in sorted(dir(module)):
        found = getattr(module, name)
        if inspect.isclass(found) and issubclass(found, base) and found is not base:
            names.setdefault(found, []).append(name)
    chosen = {c: c.__name__ if c.__name__ in found else found[0] for c, found in names.items()}
    return {name: [n for n in names[c] if n != name] for c, name in chosen.items()}


def status(kind: Kind, name: str) -> Status | None:
    """What is said of a class."""
    return STATUS.get((kind, name))


def counts(kind: Kind) -> dict[str, int]:
    """How many classes of a kind are equal, different, absent."""
    states = [found.state for name in keras_classes(kind) if (found := status(kind, name))]
    return {state: states.count(state) for state in ("equal", "different", "absent")}  # type: ignore[arg-type]


def page() -> str:
    """The table, as Markdown."""
    lines = [
        "# Keras' classes and ours",
        "",
        f"Every public class of Keras {keras.__version__}, base classes aside. *Equal* means that the tests "
        "named compare numbers with Keras: outputs in onnxruntime, gradients or updates on the engine, over "
        "shapes and arguments that Hypothesis draws. Written by `python -m tests.catalogue.walk` from the "
        "tests themselves; a test compares.",
        "",
        "| kind | equal | different | absent |",
        "|---|---:|---:|---:|",
    ]
    for kind in KINDS:
        lines.append(f"| {kind} | {' | '.join(str(n) for n in counts(kind).values())} |")
    for kind in KINDS:
        lines += ["", f"## {kind}", "", "| class | | tests, or why |", "|---|---|---|"]
        for name, others in sorted(keras_classes(kind).items()):
            found = status(kind, name) or Status("absent", "nothing is said")
            also = f" ({', '.join(f'`{n}`' for n in others)})" if others else ""
            reason = _tests(found.reason) if found.state == "equal" else found.reason
            lines.append(f"| `{name}`{also} | {found.state} | {reason} |")
    return "\n".join(lines) + "\n"


def _tests(names: str) -> str:
    return ", ".join(f"`{name}`" for name in dict.fromkeys(names.split(", ")))


if __name__ == "__main__":
    said()
    files.write(PAGE, page().encode())
