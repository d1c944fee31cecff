"""Recorded graphs: what the worker will compute, written down call by call with the shapes of ONNX.

A lowering gets :class:`Tensor` values and calls the functions of ``converters.cntk.ops``, which add
instructions to the tensors' :class:`Graph`. Nothing is computed here; the worker later runs the instructions,
each of which is one call of CNTK.

CNTK keeps the batch out of a value's shape. A tensor therefore has the shape that ONNX gives it, with None in
the place of the batch, and its *static* shape without that place.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Shape = tuple[int | None, ...]
Stage = Literal["forward", "update"]


class HostValue:
    """A value that depends on the batch size, the step or the learning rate, computed here for each step.

    Args:
        compute: from a :class:`Moment` to an array.
        moves: whether it depends on more than the batch size.
    """

    def __init__(self, compute: Callable[[Moment], Array], *, moves: bool = False) -> None:
        self._compute = compute
        self.moves = moves

    def at(self, moment: Moment) -> Array:
        """The value at a step."""
        if self not in moment.known:
            moment.known[self] = self._compute(moment)
        return moment.known[self]


@dataclass(frozen=True)
class Moment:
    """What may differ from step to step: number of rows, steps done before, learning rate."""

    batch: int
    step: int = 0
    learning_rate: float = 0.0
    known: dict[HostValue, Array] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, eq=False)
class Tensor:
    """A value of the worker.

    Attributes:
        graph: where it is recorded.
        register: its number there.
        shape: as ONNX has it, None in the place of the batch.
        dtype: the type that ONNX gives it; CNTK computes in float32 alone.
        stage: ``"update"`` if it depends on gradients.
        cell: whether the update may read it: parameters, states, constants, numbers of the host.
    """

    graph: Graph
    register: int
    shape: Shape
    dtype: np.dtype[Any]
    stage: Stage = "forward"
    cell: bool = False

    @property
    def rank(self) -> int:
        """Number of axes as ONNX counts them."""
        return len(self.shape)

    @cached_property
    def batch(self) -> int | None:
        """Which axis is the batch; None if the value is the same for all rows."""
        return self.shape.index(None) if None in self.shape else None

    @cached_property
    def static(self) -> tuple[int, ...]:
        """The shape as CNTK has it."""
        return tuple(size for size in self.shape if size is not None)

    def axis(self, axis: int) -> int | None:
        """Where CNTK has an axis of ONNX, which may be negative; None for the batch."""
        axis %= max(self.rank, 1)
        if axis == self.batch:
            return None
        return axis - (self.batch is not None and axis > self.batch)


Value = Tensor | HostValue | Array
"""What a lowering may get: a value of the worker, one of the host, or a constant."""


SEVERAL = ("scan", "native")
"""Calls that give a list of values, also where there is one."""


class Graph:
    """Instructions as they are recorded, and the arrays that they refer to.

    Attributes:
        forward, update: the instructions before and after gradients are known.
        arrays: constants.
        cells: register by name, of parameters and states that the worker keeps.
        feeds: values of the host, by register.
        node: the node of ONNX that is being recorded, as errors name it.
    """

    def __init__(self) -> None:
        self.forward: list[dict[str, Any]] = []
        self.update: list[dict[str, Any]] = []
        self.arrays: list[Array] = []
        self.cells: dict[str, Tensor] = {}
        self.inputs: dict[str, Tensor] = {}
        self.gradients: dict[str, Tensor] = {}
        self.feeds: dict[HostValue, Tensor] = {}
        self.noise: list[dict[str, Any]] = []
        self.kept: dict[int, Tensor] = {}
        self.written: list[Tensor] = []
        self.memo: dict[Any, Any] = {}
        self.node = ""
        self._constants: dict[int, tuple[Array, Tensor]] = {}
        self._registers = 0

    def new(
        self, shape: Iterable[int | None], dtype: Any, stage: Stage = "forward", cell: bool = False
    ) -> Tensor:
        """A tensor of a register of its own."""
        self._registers += 1
        return Tensor(self, self._registers, tuple(shape), np.dtype(dtype), stage, cell)

    def add(
        self,
        op: str,
        inputs: Sequence[Tensor],
        shape: Iterable[int | None],
        dtype: Any = None,
        **arguments: Any,
    ) -> Tensor:
        """Record one call; of the first input's type unless said otherwise."""
        kind = inputs[0].dtype if dtype is None else dtype
        return self.add_many(op, inputs, [(shape, kind)], **arguments)[0]

    def add_many(
        self,
        op: str,
        inputs: Sequence[Tensor],
        results: Sequence[tuple[Iterable[int | None], Any]],
        *,
        writes: Sequence[Tensor] = (),
        **arguments: Any,
    ) -> list[Tensor]:
        """Record one call that gives several values, or one.

        Args:
            inputs: what it reads.
            results: shape and type of each value.
            writes: scratch cells that it writes to, passed after the inputs.
        """
        stage: Stage = "update" if any(x.stage == "update" for x in inputs) else "forward"
        if stage == "update":
            inputs = [self.after_gradients(x) for x in inputs]
        made = [self.new(shape, dtype, stage) for shape, dtype in results]
        out = made[0].register if len(made) == 1 and op not in SEVERAL else [t.register for t in made]
        instruction = {"op": op, "in": [x.register for x in [*inputs, *writes]], "out": out, **arguments}
        if self.node:
            instruction["node"] = self.node
        (self.update if stage == "update" else self.forward).append(instruction)
        return made

    def after_gradients(self, x: Tensor) -> Tensor:
        """``x`` for the update, which cannot look into the forward graph: there it is kept in a cell."""
        if x.stage == "update" or x.cell:
            return x
        if x.batch is not None:
            raise ValueError("an update cannot depend on single rows of a batch")
        if x.register not in self.kept:
            self.kept[x.register] = self.new(x.shape, x.dtype, cell=True)
        return self.kept[x.register]

    def constant(self, array: Array) -> Tensor:
        """A constant, recorded once; of a cell for both stages where it is used in the update."""
        if id(array) not in self._constants:
            tensor = self.new(array.shape, array.dtype, cell=True)
            self.forward.append(
                {"op": "constant", "in": [], "out": tensor.register, "array": len(self.arrays)}
            )
            self.arrays.append(np.asarray(array, np.float32))
            self._constants[id(array)] = (array, tensor)
        return self._constants[id(array)][1]

    def feed(self, value: HostValue) -> Tensor:
        """A value of the host as one of the worker, which gets its number at each step."""
        if value not in self.feeds:
            example = np.asarray(value.at(Moment(1)))
            self.feeds[value] = self.new(example.shape, example.dtype, cell=True)
        return self.feeds[value]

    def input(self, name: str, shape: Sequence[int | None], dtype: Any) -> Tensor:
        """Data of a name; None in the shape is the batch."""
        self.inputs[name] = self.new(shape, dtype)
        return self.inputs[name]

    def scratch(self, shape: Sequence[int]) -> Tensor:
        """A float32 cell that a call of CNTK writes to while it computes, for the update to read."""
        made = self.new(shape, np.float32, "update", cell=True)
        self.written.append(made)
        return made

    def cell(self, name: str, array: Array) -> Tensor:
        """A parameter or state of the worker."""
        if name not in self.cells:
            self.cells[name] = self.new(array.shape, array.dtype, cell=True)
        return self.cells[name]

    def noise_like(self, like: Tensor, kind: str, seed: float | None = None, **arguments: float) -> Tensor:
        """Random numbers, drawn anew in each step, with the shape of ``like`` and its batch in front.

        Args:
            kind: ``"mask"``: 0 with probability ``rate``, else 1 / (1 - rate); ``"uniform"`` from ``low`` to
                ``high``; ``"normal"`` of ``mean`` and ``scale``.
            seed: the node's own, which makes the numbers others.
        """
        drawn = self.new((None, *like.static), np.float32)
        key = len(self.noise)
        if seed is not None:
            key += (zlib.crc32(f"{seed:g}".encode()) + 1) << 24
        entry = {"register": drawn.register, "shape": like.static, "kind": kind, "key": key}
        self.noise.append(entry | arguments)
        return drawn


def described(graph: Graph, *, outputs: Sequence[int], **more: Any) -> dict[str, Any]:
    """A graph as the header of a message, without what its outputs and updates do not need."""
    assigned = [entry["register"] for entry in more.get("assign", ())]
    forward, needed = _needed(graph, [*outputs, *assigned])
    return {
        "outputs": list(outputs),
        "forward": forward,
        "update": graph.update,
        "inputs": [
            {"name": name, "register": t.register, "shape": t.static, "batch": t.batch is not None}
            for name, t in graph.inputs.items()
            if t.register in needed
        ],
        "cells": [{"name": name, "register": t.register} for name, t in graph.cells.items()],
        "feeds": [{"register": t.register, "shape": t.static} for t in graph.feeds.values()],
        "noise": [entry for entry in graph.noise if entry["register"] in needed],
        "keeps": [
            *({"value": value, "cell": t.register, "shape": t.static} for value, t in graph.kept.items()),
            *({"value": None, "cell": t.register, "shape": t.static} for t in graph.written),
        ],
        **more,
    }


def _needed(graph: Graph, wanted: Sequence[int]) -> tuple[list[dict[str, Any]], set[int]]:
    """The instructions that some registers and the updates depend on, and all registers that they read."""
    needed, scratch = {*wanted, *graph.kept}, {t.register for t in graph.written}
    for instruction in graph.update:
        needed.update(instruction["in"])
    kept = []
    for instruction in reversed(graph.forward):
        out = instruction["out"]
        made = out if isinstance(out, list) else [out]
        if needed.intersection(made) or scratch.intersection(instruction["in"]):
            kept.append(instruction)
            needed.update(instruction["in"])
    return kept[::-1], needed


def feeds_at(graph: Graph, moment: Moment) -> Array:
    """What the host gives for one step, one number after the other."""
    values = [np.asarray(value.at(moment), np.float32).ravel() for value in graph.feeds]
    return np.concatenate(values) if values else np.zeros(0, np.float32)
