"""The steps of a loop, one after the other in the graph or as a ``tf.while_loop``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from neuromatic.converters.lowering import Body, Scope
from neuromatic.converters.tensorflow._tensors import Tensor, unsupported
from neuromatic.converters.tensorflow.execution import ChannelsLast, Quantized, channels_first

Step = Callable[..., Sequence[Any]]
"""(i, going, state ...) to (going, state ..., results ...): one step of a loop."""

MOST_UNROLLED_STEPS = 64
MOST_WIDENINGS = 8
"""How often the shapes of a loop's state may turn out to be less known than thought."""


def is_tensor(value: Any) -> bool:
    """Whether TensorFlow can carry a value; a sequence or an empty optional it cannot."""
    return isinstance(value, (np.ndarray, np.generic, tf.Tensor, ChannelsLast, Quantized))


def tensors(scope: Scope, values: Sequence[Any]) -> list[tf.Tensor]:
    """The values as TensorFlow carries them, in ONNX' layout."""
    for value in values:
        if not is_tensor(value):
            raise unsupported(
                scope,
                "its condition or trip count depends on what the graph computes while sequences or optionals "
                "pass through it; make it an initializer or a constant",
            )
    return [tf.convert_to_tensor(channels_first(value)) for value in values]


def stacked(parts: Sequence[Any]) -> Tensor:
    """The results of all steps along a new first axis."""
    parts = [channels_first(part) for part in parts]
    known = all(isinstance(part, np.ndarray) for part in parts)
    return np.stack(parts) if known else tf.stack(parts)


def apart(body: Body) -> Body:
    """The body for use in a graph of its own: what it turns there must not be kept for the graph around."""
    outer = {n: ChannelsLast(v.tensor) if isinstance(v, ChannelsLast) else v for n, v in body.outer.items()}
    return dataclasses.replace(body, outer=outer)


def of_step(body: Body, i: Tensor) -> Body:
    """The body for step ``i`` of its loop, in which it draws other random numbers than in the others.

    Where ``i`` is not known, the step is traced in a graph of its own, and maybe more than once.
    """
    body = apart(body) if isinstance(i, tf.Tensor) else body
    if all(lowering.pure for lowering in body.plan.lowerings()):
        return body
    context = body.context
    step = tf.cast(context.step, tf.int64) * 1_000_003 + tf.cast(i, tf.int64) + 1
    return dataclasses.replace(body, context=dataclasses.replace(context, step=step))


_UNKNOWN: Any = None  # the rank of a shape of which nothing is known


@dataclasses.dataclass(frozen=True)
class Loop:
    """A loop to run.

    Attributes:
        scope: that of its node.
        size: the number of nodes of one step.
        limit: the most steps to take, if there is one.
        going: whether to take the first step; None for True.
        state: what the steps carry.
        results: how many results each step adds.
    """

    scope: Scope
    size: int
    limit: Tensor
    going: Tensor
    state: Sequence[Any]
    results: int

    def run(self, unrolled: Callable[[], Step], traced: Callable[[], Step]) -> tuple[Any, ...]:
        """The last state, and the stacked results."""
        found = None if isinstance(self.limit, tf.Tensor) else self._unrolled(unrolled())
        return self._traced(traced()) if found is None else found

    def _unrolled(self, step: Step) -> tuple[Any, ...] | None:
        """None where the number of steps is not known, is too large, or is 0 and a result has no shape."""
        limit = None if self.limit is None else int(self.limit.item())
        going: Any = np.array(True) if self.going is None else self.going
        state, results = list(self.state), list[list[Any]]()
        while limit is None or len(results) < limit:
            if not isinstance(going, np.ndarray):
                return None
            if not going.item():
                break
            if not self._affordable(len(results) if limit is None else limit):
                return None
            going, *new = step(np.array(len(results), np.int64), going, *state)
            state = new[: len(state)]
            results.append(new[len(state) :])
        if not results and self.results:
            return None
        return (*state, *(stacked(parts) for parts in zip(*results, strict=True)))

    def _affordable(self, steps: int) -> bool:
        carried = all(is_tensor(value) for value in self.state)
        return (not carried or steps <= MOST_UNROLLED_STEPS) and bool(self.scope.context.unroll(self.size))

    def _traced(self, step: Step) -> tuple[Any, ...]:
        count = len(self.state)
        first = tensors(self.scope, self.state)
        limit = tf.reshape(
            tf.cast(np.iinfo(np.int64).max if self.limit is None else self.limit, tf.int64), []
        )
        going = tf.constant(True) if self.going is None else tf.reshape(self.going, [])

        def one(i: Tensor, going: Tensor, *state: Tensor) -> list[tf.Tensor]:
            flag, *rest = tensors(self.scope, step(i, going, *state))
            return [tf.reshape(flag, []), *rest]

        kept, added = _types(self.scope, one, first)
        arrays = [tf.TensorArray(a.dtype, 0, dynamic_size=True, element_shape=a.shape) for a in added]

        def body(i: Tensor, going: Tensor, state: Any, arrays: Any) -> tuple[Any, ...]:
            going, *rest = one(i, going, *state)
            place = tf.cast(i, tf.int32)
            written = [a.write(place, y) for a, y in zip(arrays, rest[count:], strict=True)]
            return i + 1, going, rest[:count], written

        scalar, anything = tf.TensorShape([]), tf.TensorShape(_UNKNOWN)
        shapes = (scalar, scalar, [k.shape for k in kept], [anything] * len(arrays))
        _, _, state, arrays = tf.while_loop(
            lambda i, going, *_: going & (i < limit),
            body,
            (tf.constant(0, tf.int64), going, first, arrays),
            shape_invariants=shapes,
        )
        return (*state, *(a.stack() for a in arrays))


def _types(
    scope: Scope, one: Callable[..., list[tf.Tensor]], state: Sequence[tf.Tensor]
) -> tuple[list[tf.TensorSpec], list[tf.TensorSpec]]:
    """Types of the state, so general that they hold before each step, and of what a step adds."""
    head = [tf.TensorSpec([], tf.int64), tf.TensorSpec([], tf.bool)]
    kept = [tf.TensorSpec(x.shape, x.dtype) for x in state]
    for _ in range(MOST_WIDENINGS):
        _, *found = tf.function(one, autograph=False).get_concrete_function(*head, *kept).structured_outputs
        new = found[: len(kept)]
        for old, value in zip(kept, new, strict=True):
            if old.dtype != value.dtype:
                raise unsupported(
                    scope, f"it carries {old.dtype.name} into a step and {value.dtype.name} out of it"
                )
        wider = [
            tf.TensorSpec(old.shape.most_specific_compatible_shape(value.shape), old.dtype)
            for old, value in zip(kept, new, strict=True)
        ]
        if wider == kept:
            return kept, [tf.TensorSpec(value.shape, value.dtype) for value in found[len(kept) :]]
        kept = wider
    raise unsupported(scope, "the shape of what it carries changes in every step")
