"""Control flow that is known while a graph is recorded: a constant condition, a constant number of steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from neuromatic.converters.cntk import ops as ck
from neuromatic.converters.cntk.graph import Tensor, Value
from neuromatic.converters.cntk.registry import ops
from neuromatic.converters.lowering import Body, Scope

MOST_NODES = 10_000
"""Longer loops are refused rather than unrolled."""


@ops.lowers("If", since=(1, 11, 13, 16, 19, 21, 23, 24, 25), pure=False)
def if_(scope: Scope, cond: Value, *, else_branch: Body, then_branch: Body) -> tuple[Any, ...]:
    """The results of ``then_branch`` where the condition holds, else of ``else_branch``.

    https://onnx.ai/onnx/operators/onnx__If.html.  13: sequences.  16: optionals.
    """
    return then_branch() if _truth(cond, "its condition") else else_branch()


@ops.lowers("Loop", since=(1, 11, 13, 16, 19, 21, 23, 24, 25), pure=False)
def loop(
    scope: Scope, M: Value | None = None, cond: Value | None = None, *v_initial: Value, body: Body
) -> tuple[Any, ...]:
    """The state after up to M steps, as long as the condition holds, and the stacked results of all steps.

    ``body`` maps (step, condition, state ...) to (condition, state ..., results ...).
    https://onnx.ai/onnx/operators/onnx__Loop.html.  13: sequences.  16: optionals.
    """
    limit = None if M is None else int(ck.array(M, "its number of steps").item())
    going: Value | None = cond
    state, results, i = list(v_initial), list[Sequence[Value]](), 0
    while (limit is None or i < limit) and (going is None or _truth(going, "its condition")):
        _check_length(body, i + 1)
        given = going if going is not None else np.array(True)
        going, *outputs = body(np.array(i, np.int64), given, *state)
        state, more = outputs[: len(state)], outputs[len(state) :]
        results.append(more)
        i += 1
    return (*state, *(_stacked(scope, column) for column in _columns(body, results, 1 + len(state))))


@ops.lowers("Scan", since=(9, 11, 16, 19, 21, 23, 24, 25), pure=False)
def scan(
    scope: Scope,
    *initial_state_and_scan_inputs: Value,
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
    state = list(initial_state_and_scan_inputs[:count])
    scanned = [ck.tensor(x, scope.context.graph) for x in initial_state_and_scan_inputs[count:]]
    axes = [a % x.rank for a, x in zip(scan_input_axes or [0] * len(scanned), scanned, strict=True)]
    backward = scan_input_directions or [0] * len(scanned)
    length = scanned[0].shape[axes[0]]
    if length is None:
        raise ck.CannotRecordError("a step for each row of the batch")
    _check_length(body, length)
    results = []
    for i in range(length):
        places = [length - 1 - i if back else i for back in backward]
        parts = [
            ck.squeeze(ck.slice_axis(x, axis, place, place + 1), [axis])
            for x, axis, place in zip(scanned, axes, places, strict=True)
        ]
        outputs = body(*state, *parts)
        state = list(outputs[:count])
        results.append(outputs[count:])
    columns = _columns(body, results, count)
    to = zip(
        columns,
        scan_output_axes or [0] * len(columns),
        scan_output_directions or [0] * len(columns),
        strict=True,
    )
    return (*state, *(_stacked(scope, c[::-1] if back else c, axis) for c, axis, back in to))


def _truth(cond: Value, what: str) -> bool:
    return bool(ck.array(cond, what).item())


def _check_length(body: Body, steps: int) -> None:
    if steps * max(body.plan.size, 1) > MOST_NODES:
        raise ck.CannotRecordError(f"a loop that unrolls to more than {MOST_NODES:,} nodes")


def _columns(body: Body, results: Sequence[Sequence[Value]], first: int) -> list[list[Value]]:
    """The results of all steps by output."""
    count = len(body.plan.outputs) - first
    if count and not results:
        raise ck.CannotRecordError("a tensor without elements, of a loop without steps")
    return [[row[i] for row in results] for i in range(count)]


def _stacked(scope: Scope, values: Sequence[Value], axis: int = 0) -> Value:
    """Values one after the other along a new axis."""
    if all(isinstance(v, np.ndarray) for v in values):
        return np.stack([v for v in values if isinstance(v, np.ndarray)], axis)
    tensors: list[Tensor] = [ck.tensor(v, scope.context.graph) for v in values]
    axis %= tensors[0].rank + 1
    return ck.concat([ck.expand_dims(t, [axis]) for t in tensors], axis)
