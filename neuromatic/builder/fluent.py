"""The methods of :class:`neuromatic.Sequential` that append a layer, made from the layer classes.

``neuromatic/builder/_fluent.py`` lists them, one line for each class, so that editors and type checkers know
their signatures; ``python -m neuromatic.builder.generate`` writes that file anew from the classes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from neuromatic import layers
from neuromatic._names import snake_case
from neuromatic.layers.base import Layer

if TYPE_CHECKING:
    from neuromatic.builder.sequential import Sequential

P = ParamSpec("P")
T = TypeVar("T")


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


class _Method:
    """Stands for a method until it is first asked for, so that the layer's module is imported only then."""

    def __init__(self, layer: str, owner: type[Any]) -> None:
        self.layer, self.owner = layer, owner

    def __get__(self, instance: object, owner: type[Any] | None = None) -> Any:
        method = fluent(getattr(layers, self.layer))
        setattr(self.owner, method.__name__, method)
        return getattr(self.owner if instance is None else instance, method.__name__)


def methods(*names: str) -> Callable[[type[T]], type[T]]:
    """Give the decorated class a method for each of these layers."""

    def decorate(cls: type[T]) -> type[T]:
        for name in names:
            setattr(cls, snake_case(name), _Method(name, cls))
        return cls

    return decorate
