"""What every recurrent layer does: masks, directions, initial states, and which results it returns."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self, TypeVar

from onnx import TensorProto

from neuromatic.errors import ShapeError
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value, shape_text
from neuromatic.layers._parameters import penalize_activity
from neuromatic.layers.base import Layer
from neuromatic.layers.rnn._cell import run, state_sizes
from neuromatic.layers.rnn._scan import Packing, Scan, States, as_steps, reversed_steps
from neuromatic.regularizers import RegularizerLike

C = TypeVar("C", bound=Layer)


@dataclass(frozen=True)
class RecurrentResult:
    """What a recurrent layer computed.

    Attributes:
        y: the outputs of all steps (batch, steps, ...) in the order of time, or that of the last step.
        states: the last states, if the layer returns them.
        mask: which steps of the input count; None: all.
    """

    y: Value
    states: States
    mask: Value | None


class Recurrent(Layer):
    """A layer that runs a cell over the steps of its input."""

    return_sequences: bool
    return_state: bool
    go_backwards: bool
    stateful: bool
    zero_output_for_mask: bool
    activity_regularizer: RegularizerLike

    @property
    @abstractmethod
    def inner(self) -> Layer:
        """The cell."""

    def but(self, **changes: Any) -> Self:
        """This layer with other arguments."""
        return replace(self, **changes)

    @property
    def state_count(self) -> int:
        """How many states the cell has."""
        return len(state_sizes(self.inner))

    def emit(
        self,
        g: GraphBuilder,
        x: Value,
        *states: Value,
        initial_state: Value | Sequence[Value] | None = None,
        mask: Value | None = None,
    ) -> Value | tuple[Value, ...]:
        ran = self.run(g, x, given_states(states, initial_state), mask)
        y = reversed_steps(g, ran.y) if self.return_sequences and self.go_backwards else ran.y
        if self.return_sequences and ran.mask is not None:
            g.set_mask(y, ran.mask)
        results = tuple(penalize_activity(g, v, self.activity_regularizer) for v in (y, *ran.states))
        return results if self.return_state else y

    def run(self, g: GraphBuilder, x: Value, initial: States, mask: Value | None) -> RecurrentResult:
        """Write the layer, its outputs in the order of time also where it goes backwards."""
        self._check(g, x, initial)
        mask = g.mask(x) if mask is None else mask
        packing = None if mask is None else Packing.of(g, _booleans(g, mask))
        scan = Scan(
            self.go_backwards,
            self.return_sequences,
            self.return_state,
            None if packing is None else packing.lengths,
            initial or None,
        )
        steps = as_steps(g, x if packing is None else packing.packed(g, x))
        result = run(g, self.inner, steps, scan)
        y = result.last if result.outputs is None else as_steps(g, result.outputs)
        assert y is not None
        if packing is not None:
            place = packing.unpacked if self.return_sequences else packing.last
            y = place(g, y, backward=self.go_backwards, zero=self.zero_output_for_mask)
        return RecurrentResult(y, result.states if self.return_state else (), mask)

    def _check(self, g: GraphBuilder, x: Value, initial: States) -> None:
        name, wanted = type(self).__name__, self.state_count
        if x.shape is None or len(x.shape) < 3:
            raise ShapeError(
                f"{g.scope}: {name} takes (batch, steps, features), got {shape_text(x.shape)} "
                f"from {x.name!r}; put a reshape() before it"
            )
        if initial and len(initial) != wanted:
            raise ShapeError(f"{g.scope}: {name} has {wanted} initial states, got {len(initial)}")


def given_states(states: Sequence[Value], initial_state: Value | Sequence[Value] | None) -> States:
    """The initial states, given after the input or by keyword."""
    if initial_state is None:
        return tuple(states)
    return (*states, *([initial_state] if isinstance(initial_state, Value) else initial_state))


def check_layer(layer: Any) -> None:
    """Refuse states that outlive a batch."""
    if layer.stateful:
        raise ValueError(
            f"{type(layer).__name__}: stateful must be False, because an ONNX model keeps nothing between "
            f"two calls; use return_state=True and give the states to the next call as initial_state"
        )


def cell_of(layer: Any, cell: type[C]) -> C:
    """The cell of a layer that has its arguments."""
    names = [f.name for f in fields(cell) if f.name != "name"]
    return cell(**{name: getattr(layer, name) for name in names})


def _booleans(g: GraphBuilder, mask: Value) -> Value:
    return mask if mask.dtype == TensorProto.BOOL else g.add("Cast", mask, to=TensorProto.BOOL)
