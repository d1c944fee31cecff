"""The methods of :class:`neuromatic.Sequential` that append a layer, made from the layer classes.

``neuromatic/_fluent.py`` lists them, one line for each class, so that editors and type checkers know their
signatures; ``python -m neuromatic.generate`` writes that file anew from the classes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

from neuromatic._lookup import snake_case
from neuromatic.layers.base import Layer

if TYPE_CHECKING:
    from neuromatic.sequential import Sequential

P = ParamSpec("P")


def fluent(layer: Callable[P, Layer]) -> Callable[Concatenate[Any, P], Sequential]:
    """The method that appends a layer of this class; its arguments and docstring are those of the class."""

    def method(self: Sequential, /, *args: P.args, **kwargs: P.kwargs) -> Sequential:
        return self.append(layer(*args, **kwargs))

    signature = inspect.signature(layer)
    this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    parameters = [this, *signature.parameters.values()]
    method.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=parameters, return_annotation="Sequential"
    )
    method.__doc__ = layer.__doc__
    method.__name__ = snake_case(layer.__name__)
    method.__qualname__ = f"Sequential.{method.__name__}"
    return method
