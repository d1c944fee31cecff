"""What a layer is, and the symbolic tensors that calling layers produces."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from onnx import TensorProto

from neuromatic._names import snake_case
from neuromatic.errors import NeuromaticError, ShapeError
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.opsets import DEFAULT_OPSET, OpsetTooLowError
from neuromatic.ir.values import Shape, Value, shape_text

Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Call:
    """A layer called once.

    Attributes:
        layer: the layer.
        inputs: the tensors that it is called on, those given by keyword last.
        keywords: the keywords of the latter; one for each tensor of a list.
        options: other keyword arguments, for instance ``use_causal_mask=True``.
    """

    layer: Layer
    inputs: tuple[SymbolicTensor, ...]
    keywords: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def emit(self, g: GraphBuilder, values: Sequence[Value]) -> tuple[Value, ...]:
        """Write the layer for these values of its inputs; masks pass through layers that keep them."""
        plain = len(values) - len(self.keywords)
        named: dict[str, Any] = {}
        for key, value in zip(self.keywords, values[plain:], strict=True):
            named[key] = (*_flat([named[key]]), value) if key in named else value
        result = self.layer.emit(g, *values[:plain], **named, **self.options)
        results = result if isinstance(result, tuple) else (result,)
        mask = next((m for m in map(g.mask, values) if m is not None), None)
        if self.layer.keeps_mask and mask is not None:
            for value in results:
                if g.mask(value) is None:
                    g.set_mask(value, mask)
        return results


@dataclass(frozen=True, eq=False)
class SymbolicTensor:
    """What a layer will compute: an edge of a model that is being defined.

    Attributes:
        dtype: element type, as in ``onnx.TensorProto``.
        shape: dimensions; the first is the symbolic batch.
        call: the call of a layer that computes it, None for an input.
        index: which result of that call it is.
        name: the name of an input; None for the result of a layer.
        masked: whether a mask says which of its steps count.
    """

    dtype: int
    shape: Shape | None
    call: Call | None = None
    index: int = 0
    name: str | None = None
    masked: bool = False

    @property
    def layer(self) -> Layer | None:
        """The layer that computes it, None for an input."""
        return None if self.call is None else self.call.layer

    @property
    def inputs(self) -> tuple[SymbolicTensor, ...]:
        """What that layer is called on."""
        return () if self.call is None else self.call.inputs

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

    Attributes:
        keeps_mask: whether the mask of an input, if it has one, is that of the result too.
        merges: whether it needs several inputs, so that a chain cannot have it.
    """

    keeps_mask: ClassVar[bool] = False
    merges: ClassVar[bool] = False

    name: str | None = field(default=None, kw_only=True)

    @abstractmethod
    def emit(self, g: GraphBuilder, *args: Any, **kwargs: Any) -> Value | tuple[Value, ...]:
        """Add this layer to a graph. Subclasses take one ``Value`` for each input: ``emit(g, x)``.

        Raises:
            ShapeError: the layer cannot take inputs of these shapes.
        """

    def __call__(self, *inputs: SymbolicTensor | Sequence[SymbolicTensor], **options: Any) -> SymbolicTensor:
        """Apply the layer to symbolic tensors, given one by one, as a list, or by keyword.

        Returns:
            The result. A layer with several results, which says so, returns a tuple of them.

        Raises:
            ShapeError: the layer cannot take inputs of these shapes.
        """
        results = self.results(*inputs, **options)
        return results[0] if len(results) == 1 else results  # type: ignore[return-value]

    def results(
        self, *inputs: SymbolicTensor | Sequence[SymbolicTensor], **options: Any
    ) -> tuple[SymbolicTensor, ...]:
        """What :meth:`__call__` returns, as a tuple even of one."""
        tensors = tuple(_flat(inputs))
        if not all(isinstance(t, SymbolicTensor) for t in tensors):
            found = ", ".join(sorted({type(t).__name__ for t in tensors}))
            raise TypeError(
                f"{type(self).__name__} takes what Input() or other layers return, got {found}; "
                f"for numbers use model.predict"
            )
        named = [
            (key, tensor)
            for key, value in options.items()
            for tensor in _flat([value])
            if isinstance(tensor, SymbolicTensor)
        ]
        keywords = tuple(key for key, _ in named)
        others = {key: value for key, value in options.items() if key not in keywords}
        call = Call(self, (*tensors, *(tensor for _, tensor in named)), keywords, others)
        types = _infer(call)
        return tuple(
            SymbolicTensor(value.dtype, value.shape, call, i, masked=masked)
            for i, (value, masked) in enumerate(types)
        )


def _flat(inputs: Sequence[Any]) -> Iterator[Any]:
    for item in inputs:
        if isinstance(item, (list, tuple)):
            yield from item
        else:
            yield item


def _infer(call: Call) -> list[tuple[Value, bool]]:
    """The types of a call's results and whether they have masks, from a graph that is thrown away.

    Only messages need the names that layers will have in the model; to find them, all layers before this one
    are walked, so that is done once something is wrong.
    """
    try:
        return _types(call, {})
    except NeuromaticError:
        return _types(call, layer_names([*layer_order(call.inputs), call.layer]))


def _types(call: Call, names: Mapping[Layer, str]) -> list[tuple[Value, bool]]:
    layer, inputs = call.layer, call.inputs
    name = names.get(layer) or _own_name(layer)

    def emit(opset: int) -> list[tuple[Value, bool]]:
        g = GraphBuilder(opset=opset, dry=True)
        sources = zip(_sources(inputs, names), inputs, strict=True)
        values = [g.input(source, t.dtype, t.shape or ()) for source, t in sources]
        for value, tensor in zip(values, inputs, strict=True):
            if tensor.masked:
                mask = g.input(f"{value.name}/mask", TensorProto.BOOL, (tensor.shape or ())[:2])
                g.set_mask(value, mask)
        with g.layer(name):
            try:
                results = call.emit(g, values)
            except TypeError as error:
                if "positional argument" not in str(error):
                    raise
                message = f"{name}: {type(layer).__name__} cannot be called on {len(inputs)} inputs"
                raise ShapeError(message) from error
        return [(value, g.mask(value) is not None) for value in results]

    return at_lowest_opset(emit)


def _sources(inputs: Sequence[SymbolicTensor], names: Mapping[Layer, str]) -> list[str]:
    """Where each input comes from, for messages: the name of a layer or of an input; unique."""
    sources: list[str] = []
    for i, tensor in enumerate(inputs):
        layer = tensor.layer
        made_by = None if layer is None else names.get(layer) or _own_name(layer)
        source = made_by or tensor.name or (f"input_{i}" if i else "input")
        sources.append(f"{source}:{i}" if source in sources else source)
    return sources


def _own_name(layer: Layer) -> str:
    return layer.name or snake_case(type(layer).__name__)


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
    given = Counter(layer.name for layer in distinct if layer.name)
    for double, count in given.items():
        if count > 1:
            raise ShapeError(f"two layers are named {double!r}; layer names in a model are unique")
    taken, names = set(given), {}
    used: Counter[str] = Counter()
    for layer in distinct:
        name = layer.name
        if name is None:
            kind = snake_case(type(layer).__name__)
            name = f"{kind}_{used[kind]}" if used[kind] else kind
            while name in taken:
                used[kind] += 1
                name = f"{kind}_{used[kind]}"
            taken.add(name)
        names[layer] = name
    return names
