"""What recurrent cells share: one step, and how they run over a sequence."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from neuromatic import initializers
from neuromatic.constraints import ConstraintLike
from neuromatic.errors import ShapeError
from neuromatic.initializers import Initializer, InitializerLike
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value, shape_text
from neuromatic.layers._arguments import check_positive, check_share
from neuromatic.layers.base import Layer
from neuromatic.layers.rnn._gates import Gates, ParameterSpec
from neuromatic.layers.rnn._onnx_node import Node, Parameters
from neuromatic.layers.rnn._scan import Scan, Scanned, States, batch_first, dropped, unrolled
from neuromatic.regularizers import RegularizerLike


def check_recurrent(owner: Any) -> None:
    """Refuse wrong arguments that the recurrent layers and cells share."""
    check_positive(type(owner).__name__, "units", owner.units)
    check_dropouts(owner)


def check_dropouts(owner: Any) -> None:
    """Refuse a ``dropout`` that is no share, and any ``recurrent_dropout``."""
    name = type(owner).__name__
    check_share(name, "dropout", owner.dropout)
    if owner.recurrent_dropout:
        raise ValueError(
            f"{name}: recurrent_dropout must be 0, because ONNX' recurrent operators cannot drop anything "
            f"between their steps, got {owner.recurrent_dropout!r}; use dropout"
        )


class Cell(Layer):
    """What runs over a sequence step by step; ``emit(g, x, *states)`` is one step."""

    merges: ClassVar[bool] = True

    @property
    @abstractmethod
    def state_size(self) -> tuple[int, ...]:
        """The size of each state."""

    @abstractmethod
    def scan(self, g: GraphBuilder, x: Value, scan: Scan) -> Scanned:
        """Run over a time-major sequence (steps, batch, features)."""


class OperatorCell(Cell):
    """A cell that is an operator of ONNX."""

    order: ClassVar[tuple[int, ...]]
    """For each gate in ONNX' order, its place in Keras' order."""

    units: int
    use_bias: bool
    kernel_initializer: InitializerLike
    recurrent_initializer: InitializerLike
    bias_initializer: InitializerLike
    kernel_regularizer: RegularizerLike
    recurrent_regularizer: RegularizerLike
    bias_regularizer: RegularizerLike
    kernel_constraint: ConstraintLike
    recurrent_constraint: ConstraintLike
    bias_constraint: ConstraintLike
    dropout: float

    def __post_init__(self) -> None:
        check_recurrent(self)

    @property
    def state_size(self) -> tuple[int, ...]:
        """The size of each state."""
        return (self.units,)

    @abstractmethod
    def node(self) -> Node | None:
        """The operator; None if it lacks one of the activations."""

    @abstractmethod
    def step(self, g: GraphBuilder, weights: Parameters, x: Value, states: States) -> States:
        """The states after one step, written out; the first one is the output."""

    def emit(self, g: GraphBuilder, x: Value, *states: Value) -> tuple[Value, ...]:
        name, count = type(self).__name__, len(self.state_size)
        if len(states) != count:
            raise ShapeError(f"{g.scope}: {name} takes an input and {count} states, got {len(states)} states")
        weights = self._parameters(g, x, "(batch, features)", shape_text(x.shape))
        new = self.step(g, weights, dropped(g, x, self.dropout, sequence=False), states)
        return (new[0], *new)

    def scan(self, g: GraphBuilder, x: Value, scan: Scan) -> Scanned:
        """Run over a time-major sequence, as the operator or, if that cannot be, step by step."""
        weights = self._parameters(g, x, "(batch, steps, features)", batch_first(x))
        x, node = dropped(g, x, self.dropout), self.node()
        if node is not None:
            return node.scan(g, x, weights, scan)

        def step(x: Value, states: States) -> tuple[Value, ...]:
            new = self.step(g, weights, x, states)
            return (new[0], *new)

        return unrolled(g, step, x, [(size,) for size in self.state_size], scan)

    def _parameters(self, g: GraphBuilder, x: Value, wanted: str, found: str) -> Parameters:
        features = x.dim(-1)
        if not isinstance(features, int) or x.rank != wanted.count(",") + 1:
            raise ShapeError(
                f"{g.scope}: {type(self).__name__} takes {wanted} with known features, got {found}"
            )
        gates = Gates(self.order, self.units)
        kernel = ParameterSpec(self.kernel_initializer, self.kernel_regularizer, self.kernel_constraint)
        recurrent = ParameterSpec(
            self.recurrent_initializer, self.recurrent_regularizer, self.recurrent_constraint
        )
        bias = ParameterSpec(self._first_bias(), self.bias_regularizer, self.bias_constraint)
        rows = self._bias_rows()
        return Parameters(
            gates.matrix(g, "kernel", features, kernel, x.dtype),
            gates.matrix(g, "recurrent_kernel", self.units, recurrent, x.dtype),
            gates.biases(g, rows, bias, x.dtype) if self.use_bias else None,
            rows,
        )

    def _first_bias(self) -> Initializer:
        return initializers.get(self.bias_initializer)

    def _bias_rows(self) -> int:
        return 1


def state_sizes(cell: Layer) -> tuple[int, ...]:
    """The sizes of the states of a cell, which may name one alone."""
    size: Any = cell.state_size  # type: ignore[attr-defined]
    return (size,) if isinstance(size, int) else tuple(size)


def check_cell(owner: str, cell: object) -> None:
    """Refuse what is not a cell."""
    if not isinstance(cell, Layer) or not hasattr(cell, "state_size"):
        raise TypeError(f"{owner}: a cell is a layer with a state_size, got {cell!r}")


def run(g: GraphBuilder, cell: Layer, x: Value, scan: Scan) -> Scanned:
    """Run any cell over a time-major sequence."""
    if isinstance(cell, Cell):
        return cell.scan(g, x, scan)

    def step(x: Value, states: States) -> tuple[Value, ...]:
        return one_step(g, cell, x, states)

    return unrolled(g, step, x, [(size,) for size in state_sizes(cell)], scan)


def one_step(g: GraphBuilder, cell: Layer, x: Value, states: States) -> tuple[Value, ...]:
    """The output and the new states of any cell.

    Raises:
        ShapeError: the cell gives another number of states.
    """
    result = cell.emit(g, x, *states)
    y, *new = result if isinstance(result, tuple) else (result,)
    if len(new) != len(states):
        raise ShapeError(
            f"{g.scope}: {type(cell).__name__} has {len(states)} states, "
            f"but returned {len(new)} after its output"
        )
    return (y, *new)
