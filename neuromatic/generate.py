"""Writes ``neuromatic/_fluent.py`` anew from the layer classes: ``python -m neuromatic.generate``."""

from __future__ import annotations

import inspect
from keyword import iskeyword
from pathlib import Path

from neuromatic import files, layers
from neuromatic._lookup import snake_case
from neuromatic.layers.base import Layer

HEADER = '''"""The layer methods of Sequential. Written by ``python -m neuromatic.generate``; do not edit."""

from __future__ import annotations

from neuromatic import layers
from neuromatic.fluent import fluent


class FluentLayers:
    """A method for each layer that takes one input, named after it."""

'''


def fluent_layers() -> list[type[Layer]]:
    """The classes of ``neuromatic.layers`` that take one input, by name; each once, under its own name.

    ``Lambda`` is none of them: its method would have the name of a Python keyword.
    """
    exported = ((name, getattr(layers, name)) for name in sorted(layers.__all__))
    named = [c for name, c in exported if inspect.isclass(c) and c.__name__ == name]
    classes = [c for c in named if issubclass(c, Layer) and not iskeyword(snake_case(c.__name__))]
    return [c for c in classes if not inspect.isabstract(c) and not c.merges]


def source() -> str:
    """What ``neuromatic/_fluent.py`` has to be."""
    lines = [f"    {snake_case(c.__name__)} = fluent(layers.{c.__name__})\n" for c in fluent_layers()]
    return HEADER + "".join(lines)


if __name__ == "__main__":
    files.write(Path(__file__).with_name("_fluent.py"), source().encode())
