"""Layers around a layer: both directions of a sequence, and every step of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from neuromatic.errors import ShapeError
from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value, shape_text
from neuromatic.layers.activations.activation import ELU, Activation, LeakyReLU, ReLU, Softmax
from neuromatic.layers.base import Layer
from neuromatic.layers.core.dense import Dense
from neuromatic.layers.normalization.batch_and_layer import LayerNormalization
from neuromatic.layers.regularization import Dropout
from neuromatic.layers.rnn._layer import Recurrent, RecurrentResult, given_states
from neuromatic.layers.rnn._scan import reversed_steps, step_of

__all__ = ["Bidirectional", "TimeDistributed"]

MergeMode = Literal["sum", "mul", "concat", "ave"] | None


@dataclass(frozen=True, eq=False)
class Bidirectional(Layer):
    """Runs a recurrent layer forward and another one backward, and merges both (Keras ``Bidirectional``).

    ONNX: the operator of the layer twice, the second time with ``direction="reverse"``, then ``Concat``,
    ``Add`` or ``Mul``.

    Input: as the layer's; initial states first for the forward layer, then for the backward one.
    Output: as the layer's, with ``"concat"`` of twice the size; with ``return_state`` then the states of the
    forward layer and those of the backward one.
    Parameters: ``<name>/forward/kernel`` ..., ``<name>/backward/kernel`` ...: those of the layers.
    The outputs of steps that a mask does not count are zeros.

    Args:
        layer: a recurrent layer.
        merge_mode: how outputs are merged: ``"concat"`` along the features, ``"sum"``, ``"mul"``, ``"ave"``
            for the mean, or None, which returns both.
        backward_layer: the layer for the other direction; by default one like ``layer``.

    Raises:
        TypeError: a layer is not recurrent.
        ValueError: the merge mode is none of these, or both layers go in one direction or return different
            things.
        ShapeError: as by the layer.

    >>> import neuromatic as nm
    >>> nm.layers.Bidirectional(nm.layers.LSTM(4))(nm.Input((5, 3))).shape
    ('batch', 8)
    """

    layer: Layer
    merge_mode: MergeMode = "concat"
    backward_layer: Layer | None = None

    def __post_init__(self) -> None:
        if self.merge_mode not in ("sum", "mul", "concat", "ave", None):
            raise ValueError(
                f'Bidirectional: merge_mode must be "sum", "mul", "concat", "ave" or None, '
                f"got {self.merge_mode!r}"
            )
        forward, backward = self._layers()
        if forward.go_backwards == backward.go_backwards:
            raise ValueError(
                f"Bidirectional: one of both layers must have go_backwards=True, got "
                f"{forward.go_backwards} for both"
            )
        for argument in ("return_sequences", "return_state"):
            found = getattr(forward, argument), getattr(backward, argument)
            if found[0] != found[1]:
                raise ValueError(
                    f"Bidirectional: {argument} must be the same in both layers, "
                    f"got {found[0]} and {found[1]}"
                )

    def _layers(self) -> tuple[Recurrent, Recurrent]:
        """The forward and the backward layer."""
        forward = _recurrent("layer", self.layer)
        if self.backward_layer is None:
            return forward, forward.but(go_backwards=True)
        return forward, _recurrent("backward_layer", self.backward_layer)

    def emit(
        self,
        g: GraphBuilder,
        x: Value,
        *states: Value,
        initial_state: Value | Sequence[Value] | None = None,
        mask: Value | None = None,
    ) -> Value | tuple[Value, ...]:
        given = given_states(states, initial_state)
        forward, backward = self._layers()
        sequences = forward.return_sequences
        half = len(given) // 2
        with g.layer("forward", inside=True):
            first = _with_zeros(forward).run(g, x, given[:half], mask)
        with g.layer("backward", inside=True):
            second = _with_zeros(backward).run(g, x, given[half:], mask)
        # Keras turns the outputs of the second one around, whichever of both goes backwards.
        ys = [
            _reversed(g, first, sequences and forward.go_backwards),
            _reversed(g, second, sequences and not backward.go_backwards),
        ]
        merged = self._merged(g, *ys)
        if sequences and first.mask is not None:
            for y in merged:
                g.set_mask(y, first.mask)
        results = (*merged, *first.states, *second.states)
        y, *others = results
        return results if others else y

    def _merged(self, g: GraphBuilder, first: Value, second: Value) -> tuple[Value, ...]:
        match self.merge_mode:
            case None:
                return first, second
            case "concat":
                return (g.add("Concat", first, second, axis=-1),)
            case "mul":
                return (g.add("Mul", first, second),)
            case _:
                total = g.add("Add", first, second)
        return (total,) if self.merge_mode == "sum" else (g.add("Mul", total, g.const(0.5, total.dtype)),)


def _recurrent(argument: str, layer: object) -> Recurrent:
    if not isinstance(layer, Recurrent):
        raise TypeError(
            f"Bidirectional: {argument} must be a recurrent layer, such as LSTM(8), got {layer!r}"
        )
    return layer


def _with_zeros(layer: Recurrent) -> Recurrent:
    return layer.but(zero_output_for_mask=layer.return_sequences)


def _reversed(g: GraphBuilder, ran: RecurrentResult, turn: bool) -> Value:
    return reversed_steps(g, ran.y) if turn else ran.y


@dataclass(frozen=True, eq=False)
class TimeDistributed(Layer):
    """Applies a layer to every step of its input with the same parameters (Keras ``TimeDistributed``).

    What works along the last axis alone, such as ``Dense``, takes the whole sequence at once. Of other layers
    each step has its own ONNX nodes, between ``Gather`` and ``Concat``; where the number of steps is unknown,
    the batch and the steps become one axis by ``Reshape``.

    Input: (batch, steps, ...), what follows as the layer takes it.  Output: (batch, steps, ...), what follows
    as the layer gives it. The mask of the input is that of the output.
    Parameters: ``<name>/layer/kernel`` ...: those of the layer.

    Args:
        layer: the layer; it takes one input and gives one result.

    Raises:
        TypeError: ``layer`` is no layer, or needs several inputs.
        ShapeError: the input has no steps, or the layer cannot take one of them.

    >>> import neuromatic as nm
    >>> nm.layers.TimeDistributed(nm.layers.Conv2D(4, 3))(nm.Input((5, 1, 8, 8))).shape
    ('batch', 5, 4, 6, 6)
    """

    keeps_mask = True

    layer: Layer

    def __post_init__(self) -> None:
        if not isinstance(self.layer, Layer) or self.layer.merges:
            raise TypeError(f"TimeDistributed: layer must be a layer of one input, got {self.layer!r}")

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        if x.shape is None or len(x.shape) < 3:
            raise ShapeError(
                f"{g.scope}: TimeDistributed takes (batch, steps, ...) of rank 3 or more, "
                f"got {shape_text(x.shape)} from {x.name!r}"
            )
        with g.layer("layer", inside=True):
            if _works_along_the_last_axis(self.layer):
                return _only(g, self.layer.emit(g, x))
            if isinstance(x.dim(1), int):
                return self._each_step(g, x, int(x.dim(1) or 0))
            return self._as_one_batch(g, x)

    def _each_step(self, g: GraphBuilder, x: Value, steps: int) -> Value:
        ys = [_only(g, self.layer.emit(g, step_of(g, x, t, axis=1))) for t in range(steps)]
        return g.add("Concat", *(op.unsqueeze(g, y, 1) for y in ys), axis=1)

    def _as_one_batch(self, g: GraphBuilder, x: Value) -> Value:
        rest = [d for d in (x.shape or ())[2:] if isinstance(d, int)]
        if len(rest) < x.rank - 2:
            raise ShapeError(
                f"{g.scope}: TimeDistributed needs known sizes after unknown steps, "
                f"got {shape_text(x.shape)} from {x.name!r}"
            )
        rows = g.add("Reshape", x, g.ints(-1, *rest))
        y = _only(g, self.layer.emit(g, rows))
        sizes = g.add("Slice", g.add("Shape", x), g.ints(0), g.ints(2), g.ints(0))
        after = g.add("Slice", g.add("Shape", y), g.ints(1), g.ints(y.rank), g.ints(0))
        shape = g.add("Concat", sizes, after, axis=0)
        kind = (y.dtype, (x.dim(0), x.dim(1), *(y.shape or ())[1:]))
        # Shape inference does not see that the first two axes are those of x.
        return g.add("Reshape", y, shape, types=[kind])


def _only(g: GraphBuilder, result: Value | tuple[Value, ...]) -> Value:
    if isinstance(result, tuple):
        raise ShapeError(
            f"{g.scope}: TimeDistributed takes a layer of one result, this one has {len(result)}"
        )
    return result


def _works_along_the_last_axis(layer: Layer) -> bool:
    """Whether the axes before the last one are all alike to the layer."""
    if isinstance(layer, (Activation, Dense)):
        return layer.activation is None or isinstance(layer.activation, str)
    if isinstance(layer, (LayerNormalization, Softmax)):
        return layer.axis == -1
    return isinstance(layer, (Dropout, ELU, LeakyReLU, ReLU))
