"""Registries of lowerings: functions that say what an ONNX operator means on an engine.

A lowering mirrors the operator's ONNX schema. Its first parameter is the scope, its positional
parameters are the schema's inputs and its keyword-only parameters the schema's attributes, all under
ONNX' own names::

    ops = Registry("tensorflow")

    @ops.lowers("Gemm", since=(7, 9, 11, 13))
    def gemm(scope, A, B, C=None, *, alpha, beta, transA, transB): ...

``Registry.lowers`` compares the signature with ``onnx.defs`` when the module is imported, so a misspelt or
forgotten attribute is a ``TypeError`` at once, and every engine has the same signatures.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import onnx.defs
from onnx import ModelProto
from onnx.defs import OpSchema, SchemaError

Function = TypeVar("Function", bound=Callable[..., Any])

Layout = Literal["NCHW", "NHWC", "any", "axis"]
"""The layout in which a lowering takes and returns image-like values (rank 3 and more).

``"NCHW"``: ONNX' own, always right. ``"NHWC"``: the first input comes, and the outputs go, channels last.
``"any"``: elementwise, right in either layout as long as all inputs share it.
``"axis"``: the same, of inputs of one rank, if the attribute ``axis`` is counted in that layout.
"""

TRAINING_DOMAIN = "ai.onnx.preview.training"


def domain_name(domain: str) -> str:
    """Fold the two spellings of ONNX' default domain into ``""``."""
    return "" if domain == "ai.onnx" else domain


@dataclass(frozen=True)
class OpKey:
    """An operator as one schema defines it; ``str`` gives ``Gemm-13`` or ``domain.Op-1``."""

    domain: str
    op: str
    since_version: int

    def __str__(self) -> str:
        prefix = f"{self.domain}." if self.domain else ""
        return f"{prefix}{self.op}-{self.since_version}"


@dataclass(frozen=True)
class Lowering:
    """One function of an engine, for one schema version of one operator.

    Attributes:
        key: the operator.
        function: called as ``function(scope, *inputs, **attributes)``.
        schema: the ONNX schema whose defaults fill in absent attributes; where ``function`` serves several
            versions, the newest of them, so that an old node gets the neutral default of a newer attribute.
        layout: see :data:`Layout`.
        pure: whether equal inputs give equal outputs, so that constants may be folded.
    """

    key: OpKey
    function: Callable[..., Any]
    schema: OpSchema
    layout: Layout = "NCHW"
    pure: bool = True


def find_schema(op: str, opset: int, domain: str = "") -> OpSchema | None:
    """The schema that an operator has at an opset version, or None if ONNX has none."""
    try:
        return onnx.defs.get_schema(op, opset, domain)
    except SchemaError:
        return None


class Registry:
    """The lowerings of one engine, keyed by domain, operator and schema version."""

    def __init__(self, engine: str) -> None:
        self.engine = engine
        self._lowerings: dict[OpKey, Lowering] = {}

    def lowers(
        self,
        op: str,
        *,
        since: Iterable[int],
        domain: str = "",
        layout: Layout = "NCHW",
        pure: bool = True,
    ) -> Callable[[Function], Function]:
        """Register the decorated function for the schema versions ``since`` of ``op``.

        The signature mirrors the newest of these versions; older ones may have fewer trailing inputs and
        fewer attributes.

        Raises:
            TypeError: the signature does not mirror the schema, a version is not one, or is taken.
        """
        versions = sorted(since)

        def register(function: Function) -> Function:
            newest = _schema_of_version(op, versions[-1], domain)
            _check_mirrors(function, newest)
            for version in versions:
                key = OpKey(domain, op, version)
                _check_covers(_schema_of_version(op, version, domain), newest)
                if key in self._lowerings:
                    raise TypeError(f"{self.engine} already has a lowering for {key}")
                self._lowerings[key] = Lowering(key, function, newest, layout, pure)
            return function

        return register

    def find(self, op: str, opset: int, domain: str = "") -> Lowering | None:
        """The lowering for ``op`` as the opset version defines it; None if there is none."""
        schema = find_schema(op, opset, domain)
        return None if schema is None else self._lowerings.get(OpKey(domain, op, schema.since_version))

    def otherwise(self, op: str, opset: int, domain: str = "") -> Lowering | None:
        """What stands for an operator that has neither a lowering nor a function; by default nothing does."""
        return None

    def elsewhere(self, model: ModelProto) -> frozenset[str]:
        """Values of a graph that need no lowering, since they are computed elsewhere; by default none."""
        return frozenset()

    def versions(self, op: str, domain: str = "") -> list[int]:
        """The schema versions of ``op`` that have a lowering, in order."""
        return sorted(key.since_version for key in self._lowerings if (key.domain, key.op) == (domain, op))

    def __iter__(self) -> Iterator[Lowering]:
        return iter(self._lowerings.values())

    def __len__(self) -> int:
        return len(self._lowerings)


def _schema_of_version(op: str, version: int, domain: str) -> OpSchema:
    schema = find_schema(op, version, domain)
    if schema is None or schema.since_version != version:
        known = "no schema" if schema is None else f"{op}-{schema.since_version}"
        raise TypeError(f"{op}-{version} is not a schema version of ONNX (found {known})")
    return schema


def _check_mirrors(function: Callable[..., Any], schema: OpSchema) -> None:
    _scope, *parameters = inspect.signature(function).parameters.values()
    inputs = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
    attributes = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
    expected = [i.name for i in schema.inputs]
    if inputs != expected or attributes != set(schema.attributes):
        raise TypeError(
            f"{getattr(function, '__qualname__', function)} must mirror "
            f"{schema.name}-{schema.since_version}: inputs {expected}, keyword-only attributes "
            f"{sorted(schema.attributes)}; it has inputs {inputs}, attributes {sorted(attributes)}"
        )


def _check_covers(older: OpSchema, newest: OpSchema) -> None:
    extra = set(older.attributes) - set(newest.attributes)
    if extra or len(older.inputs) > len(newest.inputs):
        raise TypeError(
            f"{older.name}-{older.since_version} needs a lowering of its own: it has "
            f"{sorted(extra) or 'more inputs'} that {newest.name}-{newest.since_version} has not"
        )
