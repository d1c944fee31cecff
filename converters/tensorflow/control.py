"""Control flow: If, Loop, Scan.

What is known while the graph is traced costs nothing: a known condition picks its branch, a short loop of
known length is unrolled. The rest becomes ``tf.cond`` and ``tf.while_loop``. Gradients flow through all of
them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from neuromatic.converters.lowering import Body, Scope
from neuromatic.converters.tensorflow._iteration import Loop, Step, apart, of_step, stacked, tensors
from neuromatic.converters.tensorflow._tensors import Tensor, known_dimension, normalized, rank, unsupported
from neuromatic.converters.tensorflow.registry import ops
from neuromatic.converters.tensorflow.sequence import TensorSequence


@ops.lowers("If", since=(1, 11, 13, 16, 19, 21, 23, 24, 25), pure=False)
def if_(scope: Scope, cond: Tensor, *, else_branch: Body, then_branch: Body) -> tuple[Any, ...]:
    """The results of ``then_branch`` where the condition holds, else of ``else_branch``.

    https://onnx.ai/onnx/operators/onnx__If.html.  13: sequences.  16: optionals.
    """
    if isinstance(cond, np.ndarray):
        return then_branch() if cond.item() else else_branch()
    then, other = apart(then_branch), apart(else_branch)
    return tuple(
        tf.cond(tf.reshape(cond, []), lambda: tensors(scope, then()), lambda: tensors(scope, other()))
    )


@ops.lowers("Loop", since=(1, 11, 13, 16, 19, 21, 23, 24, 25), pure=False)
def loop(scope: Scope, M: Tensor = None, cond: Tensor = None, *v_initial: Any, body: Body) -> tuple[Any, ...]:
    """The state after up to M steps, as long as the condition holds, and the stacked results of all steps.

    ``body`` maps (step, condition, state ...) to (condition, state ..., results ...).
    https://onnx.ai/onnx/operators/onnx__Loop.html.  13: sequences.  16: optionals.
    """
    if M is None and cond is None:
        raise unsupported(scope, "it never ends; give it a trip count or a condition")

    def step(i: Tensor, going: Tensor, *state: Any) -> tuple[Any, ...]:
        return of_step(body, i)(i, going, *state)

    results = len(body.plan.outputs) - 1 - len(v_initial)
    steps = Loop(scope, body.plan.size, M, cond, v_initial, results)
    return steps.run(lambda: step, lambda: step)


@ops.lowers("Scan", since=(9, 11, 16, 19, 21, 23, 24, 25), pure=False)
def scan(
    scope: Scope,
    *initial_state_and_scan_inputs: Tensor,
    body: Body,
    num_scan_inputs: int,
    scan_input_axes: Sequence[int] | None,
    scan_input_directions: Sequence[int] | None,
    scan_output_axes: Sequence[int] | None,
    scan_output_directions: Sequence[int] | None,
) -> tuple[Any, ...]:
    """The state after one step for each slice of the scanned inputs, and the stacked results of all steps.

    ``body`` maps (state ..., slices ...) to (state ..., results ...). Direction 1 is from the end.
    https://onnx.ai/onnx/operators/onnx__Scan.html.  9: axes, no batch.
    """
    count = len(initial_state_and_scan_inputs) - num_scan_inputs
    state, scanned = initial_state_and_scan_inputs[:count], initial_state_and_scan_inputs[count:]
    ends = zip(
        scan_input_axes or [0] * len(scanned), scan_input_directions or [0] * len(scanned), strict=True
    )
    inputs = [_axis_first(x, *end) for x, end in zip(scanned, ends, strict=True)]
    length = inputs[0].shape[0]
    limit = tf.shape(inputs[0], tf.int64)[0] if length is None else np.array(length)
    steps = Loop(scope, body.plan.size, limit, None, state, len(body.plan.outputs) - count)
    results = steps.run(lambda: _of_parts(body, inputs), lambda: _of_arrays(body, inputs))
    outputs = results[count:]
    ends = zip(
        scan_output_axes or [0] * len(outputs), scan_output_directions or [0] * len(outputs), strict=True
    )
    return (*results[:count], *(_axis_back(y, *end) for y, end in zip(outputs, ends, strict=True)))


@ops.lowers("Scan", since=(8,), pure=False)
def scan_8(
    scope: Scope,
    sequence_lens: Tensor = None,
    *initial_state_and_scan_inputs: Tensor,
    body: Body,
    directions: Sequence[int] | None,
    num_scan_inputs: int,
) -> tuple[Any, ...]:
    """Scan of each example of a batch, the first axis; the second is the one that is scanned.

    https://onnx.ai/onnx/operators/onnx__Scan.html
    """
    if sequence_lens is not None:
        raise unsupported(scope, "sequence_lens is not handled; Scan-9 no longer has it")
    examples = known_dimension(scope, initial_state_and_scan_inputs[0], 0)
    values = [tf.unstack(x, examples) for x in initial_state_and_scan_inputs]
    results = [
        scan(
            scope,
            *example,
            body=body,
            num_scan_inputs=num_scan_inputs,
            scan_input_axes=None,
            scan_input_directions=directions,
            scan_output_axes=None,
            scan_output_directions=None,
        )
        for example in zip(*values, strict=True)
    ]
    return tuple(stacked(parts) for parts in zip(*results, strict=True))


@ops.lowers("SequenceMap", since=(17,), pure=False)
def sequence_map(
    scope: Scope, input_sequence: TensorSequence, *additional_inputs: Any, body: Body
) -> tuple[TensorSequence, ...]:
    """The results of ``body`` for each tensor of the sequence, and of others; tensors are given each time.

    https://onnx.ai/onnx/operators/onnx__SequenceMap.html
    """
    items = input_sequence.items
    if not scope.context.unroll(body.plan.size * len(items)):
        raise unsupported(scope, f"its sequence of {len(items)} tensors is too long to be unrolled; use Scan")
    results = [
        body(item, *(x.items[i] if isinstance(x, TensorSequence) else x for x in additional_inputs))
        for i, item in enumerate(items)
    ]
    columns = zip(*results, strict=True) if results else [()] * len(body.plan.outputs)
    return tuple(TensorSequence(tuple(column)) for column in columns)


def _axis_first(x: Tensor, axis: int, backward: int) -> Tensor:
    """The value with one axis moved to the front, and reversed if it is scanned from the end."""
    axis = normalized(axis, rank(x))
    if axis:
        x = tf.transpose(x, [axis, *(i for i in range(rank(x)) if i != axis)])
    return tf.reverse(x, [0]) if backward else x


def _axis_back(y: Tensor, axis: int, backward: int) -> Tensor:
    """The inverse of :func:`_axis_first`."""
    y = tf.reverse(y, [0]) if backward else y
    axis = normalized(axis, rank(y))
    if not axis:
        return y
    order = list(range(1, rank(y)))
    return tf.transpose(y, [*order[:axis], 0, *order[axis:]])


def _of_parts(body: Body, inputs: Sequence[Tensor]) -> Step:
    """A step on the slices that are taken apart at once: the gradient of that is one stack."""
    parts = [list(x) if isinstance(x, np.ndarray) else tf.unstack(x) for x in inputs]
    return _scanning(body, lambda i: [part[int(i)] for part in parts])


def _of_arrays(body: Body, inputs: Sequence[Tensor]) -> Step:
    """A step on the slices at an index that is not known."""
    values = [tf.convert_to_tensor(x) for x in inputs]
    if tf.executing_eagerly():  # what holds slices there cannot be read in a graph
        return _scanning(body, lambda i: [tf.gather(x, i) for x in values])
    arrays = [tf.TensorArray(x.dtype, tf.shape(x)[0], element_shape=x.shape[1:]).unstack(x) for x in values]
    return _scanning(body, lambda i: [array.read(tf.cast(i, tf.int32)) for array in arrays])


def _scanning(body: Body, slices: Callable[[Tensor], list[Tensor]]) -> Step:
    return lambda i, going, *state: (np.array(True), *of_step(body, i)(*state, *slices(i)))
