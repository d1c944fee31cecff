"""From a name, a class or an object to the object: the one rule for losses, metrics, optimizers ..."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from types import ModuleType
from typing import Any, TypeVar

from neuromatic.errors import UnknownNameError

T = TypeVar("T")


def snake_case(name: str) -> str:
    """A class name as Keras spells its layers: ``MaxPooling2D`` becomes ``max_pooling2d``.

    ReLU is one word here, unlike Keras' ``re_lu``: ``LeakyReLU`` becomes ``leaky_relu``; so are LSTM,
    SiLU, RMSprop and AdamW.
    """
    name = re.sub("P?ReLU|SiLU|RMSprop|AdamW|LSTM", lambda match: match[0].capitalize(), name)
    name = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def by_name(base: type[T], *modules: ModuleType) -> dict[str, type[T]]:
    """The classes that modules export, by the names that stand for them in calls and on the command line.

    These are the class name in snake case and the class's own ``aliases``. A class that a module lists in
    its ``__all__`` needs no other registration.
    """
    found: dict[str, type[T]] = {}
    for module in modules:
        for exported in module.__all__:
            cls = getattr(module, exported)
            if inspect.isclass(cls) and issubclass(cls, base) and not inspect.isabstract(cls):
                for name in (snake_case(exported), *cls.__dict__.get("aliases", ())):
                    found[name] = cls
    return dict(sorted(found.items()))


def from_name(kind: str, given: object, known: Mapping[str, type[T]], base: type[T], **arguments: Any) -> T:
    """Make the ``kind`` that ``given`` stands for; ``arguments`` go to its constructor.

    Names may also be spelt as the class is: ``"MeanSquaredError"``.

    Raises:
        UnknownNameError: a name that is not in ``known``.
        TypeError: neither a name nor of type ``base``, or arguments for a finished object.
    """
    if isinstance(given, str):
        name = given if given in known else snake_case(given)
        if name not in known:
            raise UnknownNameError(kind, given, known)
        return known[name](**arguments)
    if isinstance(given, type) and issubclass(given, base):
        return given(**arguments)
    if isinstance(given, base):
        if arguments:
            raise TypeError(f"give {sorted(arguments)} to {type(given).__name__}(...) itself")
        return given
    raise TypeError(f"a {kind} is a name, a class or an object of {base.__name__}, got {given!r}")
