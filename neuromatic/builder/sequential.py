"""Sequential: a model as a chain of layers, defined by fluent calls."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Concatenate, ParamSpec, TypeVar

import onnx
from numpy.typing import DTypeLike
from onnx import ModelProto

from neuromatic.builder._fluent import FluentLayers
from neuromatic.builder.functional import Assembled, Input, assemble
from neuromatic.builder.model import Model
from neuromatic.errors import ShapeError
from neuromatic.ir.opsets import DEFAULT_OPSET
from neuromatic.ir.values import Dim
from neuromatic.layers.base import Layer, SymbolicTensor

P = ParamSpec("P")
R = TypeVar("R")


def delegated(method: Callable[Concatenate[Model, P], R]) -> Callable[Concatenate[Sequential, P], R]:
    """The same method on the model that the chain builds."""

    @functools.wraps(method)
    def call(self: Sequential, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return method(self.build(), *args, **kwargs)

    return call


@dataclass(frozen=True)
class Sequential(FluentLayers):
    """A chain of layers. Immutable: each call returns a new one, so that a prefix can be used twice.

    Each layer class of ``neuromatic.layers`` that takes one input has its method here, named after it:
    ``MaxPooling2D`` is ``max_pooling2d``.

    Args:
        input_shape: dimensions of the input without the batch; None or a name for one that varies.
        dtype: element type of the input.
        seed: with a parameter's name, determines its initial values.
        opset: version of ONNX' operator set, 17 or more; raised as far as an operator needs.
        name: name of the graph.
        layers: layers to begin with.
        data_format: ``"channels_last"`` where the data are (batch, ..., channels), and ``input_shape`` too;
            the layers get them with channels first, see :func:`neuromatic.Input`.

    Attributes:
        input: the symbolic input, channels first.
        output: what the last layer computes; the input as long as there is none.

    Raises:
        ValueError: a dimension, the opset or ``data_format`` is not possible.
        ShapeError: a layer cannot take what the one before it gives.

    >>> model = Sequential((1, 28, 28)).conv2d(8, 3, activation="relu").flatten().dense(10)
    >>> model.output.shape
    ('batch', 10)
    >>> [w.name for w in model.onnx().graph.initializer]
    ['conv2d/kernel', 'conv2d/bias', 'dense/kernel', 'dense/bias']
    """

    input_shape: Sequence[Dim]
    dtype: DTypeLike = "float32"
    _: KW_ONLY
    seed: int = 0
    opset: int = DEFAULT_OPSET
    name: str = "sequential"
    layers: tuple[Layer, ...] = ()
    data_format: str = "channels_first"
    input: SymbolicTensor = field(init=False, repr=False, compare=False)
    output: SymbolicTensor = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        newest = onnx.defs.onnx_opset_version()
        if not DEFAULT_OPSET <= self.opset <= newest:
            raise ValueError(
                f"Sequential: opset must be from {DEFAULT_OPSET} to {newest}, the newest that the installed "
                f"onnx knows, got {self.opset}"
            )
        tensor = Input(self.input_shape, self.dtype, data_format=self.data_format)
        self._set(input_shape=tuple(self.input_shape), layers=tuple(self.layers), input=tensor)
        for layer in self.layers:
            tensor = _only_result(layer, tensor)
        self._set(output=tensor)

    def _set(self, **fields: object) -> None:
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def append(self, layer: Layer) -> Sequential:
        """A new chain with ``layer`` at its end; this one stays as it is.

        Raises:
            ShapeError: the layer cannot take what the last one gives; the message has the layer's name.
        """
        longer = copy.copy(self)  # and not dataclasses.replace, which would call every layer again
        longer._set(layers=(*self.layers, layer), output=_only_result(layer, self.output))
        return longer

    def onnx(self) -> ModelProto:
        """The checked ONNX model, its parameters at their initial values.

        Raises:
            ModelError: two layers have one name, or the graph is not valid ONNX.
        """
        return self._assembled().proto

    def _assembled(self) -> Assembled:
        made = assemble([self.input], [self.output], seed=self.seed, opset=self.opset)
        made.proto.graph.name = self.name
        return made

    # -- the model: build() and what it delegates to Model ------------------------------------------

    def build(self) -> Model:
        """The chain as a :class:`neuromatic.Model`, at its initial parameters.

        The methods below are those of that model, called on a new one each time.
        """
        return Model.from_proto(*self._assembled())

    loss = delegated(Model.loss)
    optimizer = delegated(Model.optimizer)
    metrics = delegated(Model.metrics)
    freeze = delegated(Model.freeze)
    unfreeze = delegated(Model.unfreeze)
    train_only = delegated(Model.train_only)
    train_last = delegated(Model.train_last)
    insert_dropout = delegated(Model.insert_dropout)
    replace_head = delegated(Model.replace_head)
    train = delegated(Model.train)
    evaluate = delegated(Model.evaluate)
    predict = delegated(Model.predict)
    run = delegated(Model.run)
    summary = delegated(Model.summary)
    plot = delegated(Model.plot)
    save = delegated(Model.save)
    export = delegated(Model.export)


def _only_result(layer: Layer, tensor: SymbolicTensor) -> SymbolicTensor:
    """The result of a layer in a chain.

    Raises:
        ShapeError: there are several.
    """
    first, *others = layer.results(tensor)
    if others:
        raise ShapeError(
            f"{type(layer).__name__} returns {1 + len(others)} values, a chain passes one on; "
            f"use Input, the layer and Model(inputs, outputs) instead"
        )
    return first
