"""Sequential: a model as a chain of layers, defined by fluent calls."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Concatenate, ParamSpec, TypeVar

import onnx
from numpy.typing import DTypeLike
from onnx import ModelProto

from neuromatic import layers as nm_layers
from neuromatic.functional import Input, assemble
from neuromatic.graph import DEFAULT_OPSET, Dim
from neuromatic.layers.base import Layer, SymbolicTensor, snake_case
from neuromatic.model import Model

P = ParamSpec("P")
R = TypeVar("R")


def fluent(layer: Callable[P, Layer]) -> Callable[Concatenate[Sequential, P], Sequential]:
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


def delegated(method: Callable[Concatenate[Model, P], R]) -> Callable[Concatenate[Sequential, P], R]:
    """The same method on the model that the chain builds."""

    @functools.wraps(method)
    def call(self: Sequential, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return method(self.build(), *args, **kwargs)

    return call


@dataclass(frozen=True)
class Sequential:
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

    Attributes:
        input: the symbolic input.
        output: what the last layer computes; the input as long as there is none.

    Raises:
        ValueError: a dimension or the opset is not possible.
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
    input: SymbolicTensor = field(init=False, repr=False, compare=False)
    output: SymbolicTensor = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        newest = onnx.defs.onnx_opset_version()
        if not DEFAULT_OPSET <= self.opset <= newest:
            raise ValueError(
                f"Sequential: opset must be from {DEFAULT_OPSET} to {newest}, the newest that the installed "
                f"onnx knows, got {self.opset}"
            )
        tensor = Input(self.input_shape, self.dtype)
        self._set(input_shape=tuple(self.input_shape), layers=tuple(self.layers), input=tensor)
        for layer in self.layers:
            tensor = layer(tensor)
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
        longer._set(layers=(*self.layers, layer), output=layer(self.output))
        return longer

    def onnx(self) -> ModelProto:
        """The checked ONNX model, its parameters at their initial values.

        Raises:
            ModelError: two layers have one name, or the graph is not valid ONNX.
        """
        model = assemble([self.input], [self.output], seed=self.seed, opset=self.opset)
        model.graph.name = self.name
        return model

    # -- layers, one line for each class of neuromatic.layers that takes one input -------------------

    activation = fluent(nm_layers.Activation)
    average_pooling2d = fluent(nm_layers.AveragePooling2D)
    batch_normalization = fluent(nm_layers.BatchNormalization)
    conv2d = fluent(nm_layers.Conv2D)
    dense = fluent(nm_layers.Dense)
    dropout = fluent(nm_layers.Dropout)
    elu = fluent(nm_layers.ELU)
    flatten = fluent(nm_layers.Flatten)
    global_average_pooling2d = fluent(nm_layers.GlobalAveragePooling2D)
    global_max_pooling2d = fluent(nm_layers.GlobalMaxPooling2D)
    leaky_relu = fluent(nm_layers.LeakyReLU)
    max_pooling2d = fluent(nm_layers.MaxPooling2D)
    prelu = fluent(nm_layers.PReLU)
    relu = fluent(nm_layers.ReLU)
    reshape = fluent(nm_layers.Reshape)
    softmax = fluent(nm_layers.Softmax)

    # -- the model: build() and what it delegates to Model ------------------------------------------

    def build(self) -> Model:
        """The chain as a :class:`neuromatic.Model`, at its initial parameters.

        The methods below are those of that model, called on a new one each time.
        """
        return Model.from_proto(self.onnx())

    loss = delegated(Model.loss)
    optimizer = delegated(Model.optimizer)
    metrics = delegated(Model.metrics)
    freeze = delegated(Model.freeze)
    train = delegated(Model.train)
    evaluate = delegated(Model.evaluate)
    predict = delegated(Model.predict)
    summary = delegated(Model.summary)
    save = delegated(Model.save)
    export = delegated(Model.export)
