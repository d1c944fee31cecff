"""Random augmentation layers and their Keras twins: with given numbers, and what both draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import tensorflow as tf
from hypothesis import settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto

from neuromatic.converters import lowering
from neuromatic.converters.tensorflow import execution
from neuromatic.converters.tensorflow.context import TensorFlowContext
from neuromatic.converters.tensorflow.lowerings import ops
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value
from neuromatic.layers.augmentation._base import Augmentation
from tests.catalogue.layers import Array, channels_first, channels_last, model_of, numbers

FEW = settings(derandomize=True, deadline=None, max_examples=4, database=None)
ranges = st.sampled_from([(0, 255), (0, 1), (-1.0, 1.0)])
sizes = st.tuples(st.integers(2, 9), st.integers(2, 9))
fill_modes = st.sampled_from(["reflect", "wrap", "constant", "nearest"])
interpolations = st.sampled_from(["bilinear", "nearest"])

MANY = 3000
"""How many images to draw for."""


Step = Callable[[Mapping[str, Array], int], list[Array]]


def training(model: ModelProto, *, seed: int = 0) -> Step:
    """What a training step on TensorFlow makes of inputs and its number: the outputs of a model."""
    plan = lowering.plan(model, ops, training=True)

    def outputs(inputs: Mapping[str, Any], step: Any) -> list[Any]:
        values: dict[str, Any] = dict(inputs)
        lowering.run(plan, values, TensorFlowContext(training=True, seed=seed, step=step), execution.call)
        return [execution.channels_first(values[o.name]) for o in model.graph.output]

    traced = tf.function(outputs, autograph=False)

    def step(inputs: Mapping[str, Array], number: int) -> list[Array]:
        found = traced({n: tf.constant(x) for n, x in inputs.items()}, tf.constant(number, tf.int64))
        return [np.asarray(tf.convert_to_tensor(y)) for y in found]

    return step


def in_training(layer: Augmentation, x: Array) -> Array:
    """What a layer makes of images in a training step."""
    [y] = training(model_of(layer, [x]).proto)({"x0": x}, 0)
    return y


def with_draws(layer: Augmentation, drawn: Sequence[Any]) -> Augmentation:
    """The same layer with these numbers in place of random ones."""

    def constants(b: GraphBuilder, numbers: Any) -> Any:
        if isinstance(numbers, (tuple, list)):
            return [constants(b, n) for n in numbers]
        array = np.asarray(numbers)
        kind = {"b": TensorProto.BOOL, "i": TensorProto.INT64}.get(array.dtype.kind, TensorProto.FLOAT)
        return b.const(array, kind)

    def draws(self: Augmentation, b: GraphBuilder, x: Value) -> Any:
        return constants(b, drawn)

    given = {field.name: getattr(layer, field.name) for field in fields(layer)}
    changed: Augmentation = type(type(layer).__name__, (type(layer),), {"draws": draws})(**given)
    return changed


def their_images(theirs: Any, x: Array, transformation: Any) -> Array:
    """What Keras' layer makes of images with these numbers."""
    y = theirs.transform_images(tf.constant(channels_last(x)), transformation, training=True)
    return channels_first(np.asarray(y))


def our_draws(layer: Augmentation, shape: Sequence[int]) -> list[Array]:
    """The numbers that a layer draws for images of this shape in one training step."""
    return draws_in_steps(layer, shape, [0])[0]


def draws_in_steps(layer: Augmentation, shape: Sequence[int], steps: Sequence[int]) -> list[list[Array]]:
    """Likewise in several steps."""
    g = GraphBuilder()
    drawn = layer.draws(g, g.input("x", TensorProto.FLOAT, ("batch", *shape[1:])))
    for i, value in enumerate(drawn):
        g.output(g.add("Identity", value), f"y{i}")
    step, x = training(g.finish()), np.zeros(shape, np.float32)
    return [step({"x": x}, number) for number in steps]


def distance(first: Array, second: Array) -> float:
    """The largest difference of two empirical distribution functions (Kolmogorov and Smirnov)."""
    first, second = np.sort(np.ravel(first).astype(float)), np.sort(np.ravel(second).astype(float))
    points = np.concatenate([first, second])
    shares = [np.searchsorted(s, points, side="right") / s.size for s in (first, second)]
    return float(np.abs(shares[0] - shares[1]).max())


def assert_same_distribution(ours: Sequence[Array], theirs: Sequence[Array]) -> None:
    """Samples of the same distributions, one after the other; 3000 numbers differ by 0.05 in 1 of 1000."""
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        assert distance(mine, np.asarray(other)) < 0.05


@dataclass(frozen=True)
class Case:
    """A layer and its Keras twin with the same arguments.

    Attributes:
        ours: our class.
        theirs: Keras' class.
        arguments: of both.
        given: from a generator and the shape of a batch, some numbers as our layer draws them.
        keras: those numbers as Keras' ``get_random_transformation`` returns them.
    """

    ours: Callable[..., Augmentation]
    theirs: Callable[..., Any]
    arguments: Mapping[str, Any]
    given: Callable[[np.random.Generator, tuple[int, ...]], list[Any]]
    keras: Callable[[list[Any], tuple[int, ...]], Any]


def assert_transforms_equal(case: Case, x: Array, tolerance: float, mismatches: float = 0.0) -> None:
    """Both layers make the same of the images with the same numbers, but for a share of pixels."""
    drawn = case.given(np.random.default_rng(5), x.shape)
    found = in_training(with_draws(case.ours(**case.arguments), drawn), x)
    wanted = their_images(case.theirs(**case.arguments), x, case.keras(drawn, x.shape))
    assert found.shape == wanted.shape
    scale = max(1.0, float(np.abs(wanted).max()))
    wrong = np.abs(found - wanted) > tolerance * scale
    assert wrong.mean() <= mismatches, np.abs(found - wanted).max()


def pixels(shape: tuple[int, ...], limits: tuple[float, float] = (0, 255)) -> Array:
    return numbers("pixels", shape, *limits)


def each(low: float, high: float, count: int = 1) -> Callable[..., list[Array]]:
    """Numbers for each image."""
    return lambda rng, shape: [rng.uniform(low, high, (shape[0], 1, 1, 1)) for _ in range(count)]


def coins(rng: np.random.Generator, shape: tuple[int, ...]) -> list[Array]:
    return [np.arange(shape[0]).reshape(-1, 1, 1, 1) % 2 == 0]


def flat(array: Any) -> Any:
    return tf.constant(np.reshape(array, -1), tf.bool if np.asarray(array).dtype == bool else tf.float32)


def square(array: Any) -> Any:
    return tf.constant(np.asarray(array, np.float32))


def named(key: str, turn: Callable[[Any], Any] = flat) -> Callable[..., Any]:
    """A dictionary of the only number."""
    return lambda drawn, shape: {key: turn(drawn[0])}


def assert_draws_equal(case: Case, parts: Callable[[Any], list[Any]], shape: tuple[int, ...]) -> None:
    """Ours and Keras' layer draw from the same distribution; ``parts`` makes our numbers of Keras'."""
    shape = (MANY, *shape)
    theirs = case.theirs(**case.arguments, seed=3)
    data = tf.zeros((shape[0], *shape[2:], shape[1]))
    transformation = theirs.get_random_transformation(data, training=True)
    mine = our_draws(case.ours(**case.arguments), shape)
    assert_same_distribution(mine, [np.asarray(p) for p in parts(transformation)])
