"""One call that tests everything a layer owes against the Keras layer it is named after.

Keras runs with channels last, because its channels-first kernels need a GPU; ``to_keras`` and ``from_keras``
turn arrays. Numbers are drawn from the case alone, so a failure repeats.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
import tensorflow as tf
from hypothesis import settings
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, numpy_helper

import neuromatic as nm
from neuromatic.converters import lowering
from neuromatic.converters.tensorflow import execution
from neuromatic.converters.tensorflow.context import TensorFlowContext
from neuromatic.converters.tensorflow.lowerings import ops
from neuromatic.layers.base import SymbolicTensor

Array = NDArray[Any]
Turn = Callable[[Array], Array]

FEW = settings(derandomize=True, deadline=None, max_examples=12, database=None)
FORWARD, GRADIENT = 1e-5, 1e-4


def channels_last(array: Array) -> Array:
    """Channels, at axis 1 here, last as in Keras."""
    return np.moveaxis(array, 1, -1)


def channels_first(array: Array) -> Array:
    """The inverse of :func:`channels_last`."""
    return np.moveaxis(array, -1, 1)


def kernel(array: Array) -> Array:
    """A convolution's kernel (out, in, ...) as Keras has it, (..., in, out)."""
    return np.moveaxis(array, (0, 1), (-1, -2))


def same(array: Array) -> Array:
    """As it is."""
    return array


@dataclass(frozen=True)
class Twins:
    """A layer and the Keras layer that it has to equal.

    Attributes:
        ours: our layer, or a function from symbolic inputs to one symbolic output or several.
        theirs: the Keras layer, or a function from tensors to one tensor or several; unbuilt.
        weights: our parameters, by the part of their names after the last slash, to how an array of ours
            becomes Keras' weight; those not named are handed over as they are.
        order: names of our parameters (after the layer's) in the order of Keras' weights, where it differs
            from ours.
        to_keras: turns each input into Keras' layout.
        from_keras: turns each output back.
        keyword: more arguments of the Keras call, for instance ``{"use_causal_mask": True}``.
        spread: whether several inputs go to the Keras call one by one instead of as a list.
    """

    ours: Callable[..., Any]
    theirs: Any
    weights: Mapping[str, Turn] = field(default_factory=dict)
    order: Sequence[str] | None = None
    to_keras: Turn = same
    from_keras: Turn = same
    keyword: Mapping[str, Any] = field(default_factory=dict)
    spread: bool = False


def images(ours: Any, theirs: Any, **more: Any) -> Twins:
    """Twins whose inputs and outputs have channels, and whose kernels are of convolutions."""
    return Twins(
        ours,
        theirs,
        **{"weights": {"kernel": kernel}, "to_keras": channels_last, "from_keras": channels_first} | more,
    )


def numbers(seed: str, shape: Sequence[int], low: float = -2.0, high: float = 2.0) -> Array:
    """Uniform numbers that depend on ``seed`` alone."""
    rng = np.random.default_rng(zlib.crc32(seed.encode()))
    return rng.uniform(low, high, shape).astype(np.float32)


def model_of(
    ours: Callable[..., Any], inputs: Sequence[Array], declared: Sequence[Sequence[Any]] | None = None
) -> nm.Model:
    """The model of one layer, for inputs of these shapes, or of those declared (without the batch)."""
    shapes = [x.shape[1:] for x in inputs] if declared is None else declared
    symbols = [
        nm.Input(s, x.dtype, name=f"x{i}") for i, (x, s) in enumerate(zip(inputs, shapes, strict=True))
    ]
    made = ours(*symbols) if callable(ours) else ours
    return nm.Model(symbols, [made] if isinstance(made, SymbolicTensor) else list(made))


def randomize(model: ModelProto, low: float = -1.0, high: float = 1.0) -> None:
    """Give every float parameter new values, so that zeros and ones hide nothing; variances are positive."""
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            values = numbers(tensor.name, tuple(tensor.dims), low, high)
            if tensor.name.endswith("variance"):
                values = np.abs(values) + np.float32(0.5)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def run(model: ModelProto, inputs: Sequence[Array]) -> list[Array]:
    """The outputs of a model in onnxruntime."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return [np.asarray(y) for y in session.run(None, {f"x{i}": x for i, x in enumerate(inputs)})]


def check(model: ModelProto, *, opset: int = 17) -> None:
    """What every layer's graph owes: valid ONNX of the expected versions, a symbolic batch, named nodes."""
    onnx.checker.check_model(model, full_check=True)
    versions = {o.domain: o.version for o in model.opset_import}
    assert versions[""] == opset
    names = [node.name for node in model.graph.node]
    assert all(names)
    assert len(names) == len(set(names))
    for value in model.graph.output:
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch", value


def assert_equals_keras(
    twins: Twins,
    *inputs: Array,
    declared: Sequence[Sequence[Any]] | None = None,
    opset: int = 17,
    forward: float = FORWARD,
    gradient: float | None = GRADIENT,
    randomized: bool = True,
) -> nm.Model:
    """Our layer's graph is valid, computes in onnxruntime what Keras' computes, and has its gradients.

    Args:
        inputs: data with the batch, in our layout; float inputs are differentiated by too.
        declared: the shapes (without the batch) the model is built for, where they say less.
        opset: the opset that the layer needs.
        forward: largest difference of outputs, absolute and relative to the largest one.
        gradient: likewise of gradients on TensorFlow; None where there are none.
        randomized: whether parameters get random values.
    """
    model = model_of(twins.ours, inputs, declared)
    check(model.proto, opset=opset)
    if randomized:
        randomize(model.proto)
    found = run(model.proto, inputs)
    theirs = [tf.constant(twins.to_keras(x)) for x in inputs]
    expected, gradients = _keras(twins, theirs, model.proto)
    assert len(found) == len(expected)
    for y, wanted in zip(found, expected, strict=True):
        _close(y, twins.from_keras(wanted), forward, "output")
    if gradient is not None:
        mine = _our_gradients(model.proto, inputs)
        for name, wanted in gradients.items():
            _close(mine[name], wanted, gradient, f"gradient of {name}")
    return model


def _close(found: Array, wanted: Array, tolerance: float, what: str) -> None:
    assert found.shape == wanted.shape, f"{what}: {found.shape}, expected {wanted.shape}"
    scale = max(1.0, float(np.abs(wanted).max(initial=0.0)))
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance * scale, err_msg=what)


def _probe(shape: Sequence[int], index: int) -> Array:
    """What outputs are multiplied with to make a scalar to differentiate."""
    return numbers(f"probe {index}", shape)


def _is_float(x: Any) -> bool:
    return np.issubdtype(np.asarray(x).dtype, np.floating)


def _keras(twins: Twins, inputs: list[Any], model: ModelProto) -> tuple[list[Array], dict[str, Array]]:
    """Keras' outputs, and the gradients of the probed sum in our layout by our names."""
    layer = twins.theirs
    arguments = inputs if twins.spread or len(inputs) == 1 else [inputs]
    options = dict(twins.keyword)
    if isinstance(layer, keras.layers.Layer):
        options = {"training": False} | options
    layer(*arguments, **options)  # builds it
    mine = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    variables = _variables(twins, mine)
    for name, variable in variables.items():
        variable.assign(_turn(twins, name)(mine[name]))
    watched = {f"x{i}": x for i, x in enumerate(inputs) if x.dtype.is_floating}
    with tf.GradientTape() as tape:
        tape.watch(list(watched.values()))
        result = layer(*arguments, **options)
        results = list(result) if isinstance(result, (list, tuple)) else [result]
        total = _probed(results, lambda y, i: _their_probe(twins, y, i))
    outputs = [keras.ops.convert_to_numpy(y) for y in results]
    sources = watched | {name: v.value for name, v in variables.items() if v.trainable}
    found = tape.gradient(total, sources, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    gradients = {name: _dense(g) for name, g in found.items()}
    for name, g in gradients.items():
        turned = twins.from_keras(g) if name in watched else None
        gradients[name] = _turned_back(_turn(twins, name), g, mine[name].shape) if turned is None else turned
    return outputs, gradients


def _variables(twins: Twins, mine: Mapping[str, Array]) -> dict[str, Any]:
    """Keras' weights by our names."""
    weights = twins.theirs.weights if isinstance(twins.theirs, keras.layers.Layer) else []
    kept = [v for v in weights if "seed_generator" not in v.path]
    names = list(mine) if twins.order is None else [_named(mine, part) for part in twins.order]
    assert len(names) == len(kept), (names, [v.path for v in kept])
    return dict(zip(names, kept, strict=True))


def _probed(results: Sequence[Any], probe: Callable[[Any, int], Any]) -> Any:
    """The sum of the float results, each element times its probe; a constant where there are none."""
    floats = [(tf.convert_to_tensor(y), i) for i, y in enumerate(results)]
    terms = [tf.reduce_sum(y * probe(y, i)) for y, i in floats if y.dtype.is_floating]
    return tf.add_n(terms) if terms else tf.constant(0.0)


def _their_probe(twins: Twins, y: Any, index: int) -> Any:
    shape = twins.from_keras(y.numpy()).shape
    return tf.constant(_turned_back(twins.from_keras, _probe(shape, index), None))


def _dense(g: Any) -> Array:
    return np.asarray(tf.convert_to_tensor(g))


def _turned_back(turn: Turn, array: Array, shape: tuple[int, ...] | None) -> Array:
    """The array that ``turn`` makes ``array`` of; ``turn`` moves elements only.

    ``shape`` is that of the result; None if it follows from turning axes.
    """
    if turn is same:
        return array
    if shape is None:
        axes = turn(np.empty(tuple(range(2, 2 + array.ndim)))).shape
        return array.transpose(np.argsort([a - 2 for a in axes]))
    places = turn(np.arange(int(np.prod(shape))).reshape(shape))
    result = np.empty(int(np.prod(shape)), array.dtype)
    result[places.ravel()] = array.ravel()
    return result.reshape(shape)


def _turn(twins: Twins, name: str) -> Turn:
    keys = [key for key in twins.weights if name == key or name.endswith(f"/{key}")]
    return twins.weights[max(keys, key=len)] if keys else same


def _named(mine: Mapping[str, Array], part: str) -> str:
    found = [name for name in mine if name == part or name.endswith(f"/{part}")]
    assert len(found) == 1, (part, list(mine))
    return found[0]


def _our_gradients(model: ModelProto, inputs: Sequence[Array]) -> dict[str, Array]:
    """Gradients on TensorFlow of the probed sum of outputs, by inputs and float parameters."""
    plan = lowering.plan(model, ops)
    given = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    data = {f"x{i}": x for i, x in enumerate(inputs)}
    given |= data
    sources = {name: tf.constant(array) for name, array in given.items() if _is_float(array)}
    known = {name: array for name, array in given.items() if name not in sources and not name.startswith("x")}
    fed = {
        name: tf.constant(array) for name, array in given.items() if name not in sources and name not in known
    }

    def total(sources: Mapping[str, Any]) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(list(sources.values()))
            values: dict[str, Any] = {**known, **fed, **sources}
            context = TensorFlowContext(tape=tape, values=values)
            lowering.run(plan, values, context, execution.call)
            results = [execution.channels_first(values[o.name]) for o in model.graph.output]
            summed = _probed(results, lambda y, i: _probe(y.shape, i))
        return tape.gradient(summed, sources, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    found = tf.function(total, autograph=False)(sources)
    return {name: _dense(g) for name, g in found.items()}
