"""Writes what is made from the layer classes: ``python -m neuromatic.builder.generate``.

These are ``neuromatic/layers/__init__.py``, which knows the family of each layer and imports it when it is
first asked for, and ``neuromatic/builder/_fluent.py``, the methods of Sequential. A layer that a family lists
in its ``__all__`` needs no other registration.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable
from keyword import iskeyword
from pathlib import Path
from typing import Any

from neuromatic._names import snake_case
from neuromatic.layers.base import Layer
from neuromatic.saving import atomic as files

FOLDER = Path(__file__).parent
LAYERS = FOLDER.parent / "layers" / "__init__.py"
FLUENT = FOLDER / "_fluent.py"

_LAYERS = '''"""The layers, with Keras' names, arguments and defaults; images are channels first, as in ONNX.

A layer's module is imported when the layer is first asked for. Written by
``python -m neuromatic.builder.generate`` from the ``__all__`` of the modules here; do not edit.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from neuromatic.layers.base import Layer

if TYPE_CHECKING:
{imports}
FAMILIES = {{
{families}}}
"""The module of each layer."""

__all__ = [
{names}]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in FAMILIES:
            raise AttributeError(f"module {{__name__!r}} has no attribute {{name!r}}")
        globals()[name] = getattr(importlib.import_module(f"{{__name__}}.{{FAMILIES[name]}}"), name)
        return globals()[name]

    def __dir__() -> list[str]:
        return sorted({{*globals(), *FAMILIES}})
'''

_FLUENT = '''"""The layer methods of Sequential.

Written by ``python -m neuromatic.builder.generate``; do not edit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from neuromatic import layers
from neuromatic.builder.fluent import fluent, methods

if TYPE_CHECKING:

    class FluentLayers:
        """A method for each layer that takes one input, named after it."""

{methods}
else:

    @methods(
{names}    )
    class FluentLayers:
        """A method for each layer that takes one input, named after it."""
'''


def families() -> dict[str, list[str]]:
    """What each module of layers exports, by name."""
    paths = [path.relative_to(LAYERS.parent).with_suffix("") for path in LAYERS.parent.rglob("*.py")]
    modules = sorted(".".join(path.parts) for path in paths if not path.name.startswith("_"))
    return {name: sorted(_family(name).__all__) for name in modules if name != "base"}


def _family(name: str) -> Any:
    return importlib.import_module(f"neuromatic.layers.{name}")


def fluent_layers() -> list[type[Layer]]:
    """The layers that take one input, by name; each once, under its own name.

    ``Lambda`` is none of them: its method would have the name of a Python keyword.
    """
    exported = [(n, getattr(_family(family), n)) for family, names in families().items() for n in names]
    named = [c for name, c in exported if inspect.isclass(c) and c.__name__ == name]
    classes = [c for c in named if issubclass(c, Layer) and not iskeyword(snake_case(c.__name__))]
    chosen = [c for c in classes if not inspect.isabstract(c) and not c.merges]
    return sorted(chosen, key=lambda c: c.__name__)


def layers_source() -> str:
    """What ``neuromatic/layers/__init__.py`` has to be."""
    found = families()
    imports = [f"    from neuromatic.layers.{m} import {n}\n" for m, names in found.items() for n in names]
    by_name = sorted((name, module) for module, names in found.items() for name in names)
    return _LAYERS.format(
        imports="".join(imports),
        families="".join(f'    "{name}": "{module}",\n' for name, module in by_name),
        names=_listed(sorted(["Layer", *(name for name, _ in by_name)]), 4),
    )


def fluent_source() -> str:
    """What ``neuromatic/builder/_fluent.py`` has to be."""
    names = [c.__name__ for c in fluent_layers()]
    lines = [f"        {snake_case(name)} = fluent(layers.{name})\n" for name in names]
    return _FLUENT.format(methods="".join(lines), names=_listed(names, 8))


def _listed(names: Iterable[str], indent: int) -> str:
    return "".join(f'{" " * indent}"{name}",\n' for name in names)


if __name__ == "__main__":
    files.write(LAYERS, layers_source().encode())
    files.write(FLUENT, fluent_source().encode())
