"""What a layer is, and the symbolic tensors that calling layers produces."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from neuromatic.errors import ShapeError
from neuromatic.graph import DEFAULT_OPSET, GraphBuilder, OpsetTooLowError, Shape, Value, shape_text

Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class SymbolicTensor:
    """What a layer will compute: an edge of a model that is being defined.

    Attributes:
        dtype: element type, as in ``onnx.TensorProto``.
        shape: dimensions; the first is the symbolic batch.
        layer: the layer that computes it, None for an input.
        inputs: what that layer is called on.
        name: the name of an input; None for the result of a layer.
    """

    dtype: int
    shape: Shape | None
    layer: Layer | None = None
    inputs: tuple[SymbolicTensor, ...] = ()
    name: str | None = None

    def __repr__(self) -> str:
        source = f"input {self.name!r}" if self.layer is None else type(self.layer).__name__
        return f"<SymbolicTensor {shape_text(self.shape)} of {source}>"


@dataclass(frozen=True, eq=False)
class Layer(ABC):
    """Base of all layers: immutable arguments, and ``emit``, which writes the layer as ONNX nodes.

    A layer object is also its identity: calling it twice uses the same parameters twice.

    Args:
        name: prefix of the names of its parameters and nodes; by default the class name in snake case,
            numbered from the second one on (``dense``, ``dense_1``, ...).
    """

    name: str | None = field(default=None, kw_only=True)

    @abstractmethod
    def emit(self, g: GraphBuilder, *args: Any, **kwargs: Any) -> Value:
        """Add this layer to a graph. Subclasses take one ``Value`` for each input: ``emit(g, x)``.

        Raises:
            ShapeError: the layer cannot take inputs of these shapes.
        """

    def __call__(self, *inputs: SymbolicTensor | Sequence[SymbolicTensor]) -> SymbolicTensor:
        """Apply the layer to symbolic tensors, given one by one or as a list.

        Raises:
            ShapeError: the layer cannot take inputs of these shapes.
        """
        tensors = tuple(_flat(inputs))
        if not all(isinstance(t, SymbolicTensor) for t in tensors):
            found = ", ".join(sorted({type(t).__name__ for t in tensors}))
            raise TypeError(
                f"{type(self).__name__} takes what Input() or other layers return, got {found}; "
                f"for numbers use model.predict"
            )
        value = _infer(self, tensors)
        return SymbolicTensor(value.dtype, value.shape, self, tensors)


def _flat(inputs: Sequence[Any]) -> Iterator[Any]:
    for item in inputs:
        if isinstance(item, (list, tuple)):
            yield from item
        else:
            yield item


def _infer(layer: Layer, inputs: Sequence[SymbolicTensor]) -> Value:
    """The type of a layer's result, from writing it into a graph that is thrown away."""
    names = layer_names([*layer_order(inputs), layer])
    name = names[layer]

    def emit(opset: int) -> Value:
        g = GraphBuilder(opset=opset, dry=True)
        sources = zip(_sources(inputs, names), inputs, strict=True)
        values = [g.input(source, t.dtype, t.shape or ()) for source, t in sources]
        with g.layer(name):
            try:
                return layer.emit(g, *values)
            except TypeError as error:
                if "positional argument" not in str(error):
                    raise
                message = f"{name}: {type(layer).__name__} cannot be called on {len(inputs)} inputs"
                raise ShapeError(message) from error

    return at_lowest_opset(emit)


def _sources(inputs: Sequence[SymbolicTensor], names: Mapping[Layer, str]) -> list[str]:
    """Where each input comes from, for messages: the name of a layer or of an input; unique."""
    sources: list[str] = []
    for i, tensor in enumerate(inputs):
        source = names[tensor.layer] if tensor.layer else tensor.name or (f"input_{i}" if i else "input")
        sources.append(f"{source}:{i}" if source in sources else source)
    return sources


def at_lowest_opset(build: Callable[[int], Result], opset: int = DEFAULT_OPSET) -> Result:
    """Call ``build(opset)``, again with a higher version for as long as an operator needs one."""
    while True:
        try:
            return build(opset)
        except OpsetTooLowError as error:
            opset = error.needed


def tensor_order(outputs: Sequence[SymbolicTensor]) -> list[SymbolicTensor]:
    """Every tensor that ``outputs`` depend on, them included, each after what it depends on."""
    order: dict[SymbolicTensor, None] = {}
    pending: list[tuple[SymbolicTensor, bool]] = [(t, False) for t in reversed(outputs)]
    while pending:
        tensor, ready = pending.pop()
        if tensor in order:
            continue
        if ready:
            order[tensor] = None
        else:
            pending.append((tensor, True))
            pending.extend((t, False) for t in reversed(tensor.inputs))
    return list(order)


def layer_order(outputs: Sequence[SymbolicTensor]) -> list[Layer]:
    """The layers behind ``outputs``, each once, in the order in which a graph computes them."""
    return list(dict.fromkeys(t.layer for t in tensor_order(outputs) if t.layer is not None))


def layer_names(layers: Sequence[Layer]) -> dict[Layer, str]:
    """The name of each layer: its own, or its class in snake case with a number.

    Raises:
        ShapeError: two layers were given the same name.
    """
    distinct = list(dict.fromkeys(layers))
    given = [layer.name for layer in distinct if layer.name]
    for double in given:
        if given.count(double) > 1:
            raise ShapeError(f"two layers are named {double!r}; layer names in a model are unique")
    taken, names = set(given), {}
    for layer in distinct:
        name = layer.name
        if name is None:
            kind, count = snake_case(type(layer).__name__), 0
            name = kind
            while name in taken:
                count += 1
                name = f"{kind}_{count}"
            taken.add(name)
        names[layer] = name
    return names


def snake_case(name: str) -> str:
    """A class name as Keras spells its layers: ``MaxPooling2D`` becomes ``max_pooling2d``.

    ReLU is one word here, unlike Keras' ``re_lu``: ``LeakyReLU`` becomes ``leaky_relu``.
    """
    name = re.sub("P?ReLU", lambda match: match[0].capitalize(), name)
    name = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
