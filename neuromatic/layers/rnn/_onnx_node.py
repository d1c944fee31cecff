"""ONNX' operators LSTM, GRU and RNN as nodes over a whole sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value
from neuromatic.layers.activations.activation import ActivationLike
from neuromatic.layers.rnn._scan import Scan, Scanned, where_seen

_ACTIVATIONS: dict[str, tuple[str, tuple[float, ...], tuple[float, ...]]] = {
    "celu": ("Elu", (1.0,), ()),
    "elu": ("Elu", (1.0,), ()),
    "hard_sigmoid": ("HardSigmoid", (1.0 / 6.0,), (0.5,)),
    "leaky_relu": ("LeakyRelu", (0.2,), ()),
    "linear": ("Affine", (1.0,), (0.0,)),
    "relu": ("Relu", (), ()),
    "sigmoid": ("Sigmoid", (), ()),
    "softplus": ("Softplus", (), ()),
    "softsign": ("Softsign", (), ()),
    "tanh": ("Tanh", (), ()),
}
"""What the operators know: a name, and what goes into ``activation_alpha`` and ``activation_beta``."""


def node_activations(activations: Sequence[ActivationLike], defaults: Sequence[str]) -> dict[str, Any] | None:
    """The attributes for these activations; None if an operator does not know one of them."""
    names = ["linear" if a is None else a for a in activations]
    if not all(isinstance(name, str) and name in _ACTIVATIONS for name in names):
        return None
    known = [_ACTIVATIONS[str(name)] for name in names]
    if [name for name, _, _ in known] == list(defaults):
        return {}
    alphas = [a for _, alpha, _ in known for a in alpha]
    betas = [b for _, _, beta in known for b in beta]
    return {
        "activations": [name for name, _, _ in known],
        "activation_alpha": alphas or None,
        "activation_beta": betas or None,
    }


@dataclass(frozen=True)
class Parameters:
    """The parameters of one direction.

    Attributes:
        W: (1, gates * units, features).
        R: (1, gates * units, units).
        bias: (1, rows * gates * units), None for none.
        rows: 2 if ``bias`` is that for X and that for H; 1 if it is the first, the second being zero.
    """

    W: Value
    R: Value
    bias: Value | None
    rows: int

    @property
    def width(self) -> int:
        """Units of all gates."""
        return int(self.R.dim(1) or 0)

    def both_biases(self, g: GraphBuilder) -> Value | None:
        """B, as the operators take it."""
        if self.bias is None or self.rows == 2:
            return self.bias
        return g.add("Concat", self.bias, g.const(np.zeros((1, self.width)), self.bias.dtype), axis=1)


@dataclass(frozen=True)
class Node:
    """A recurrent operator.

    Attributes:
        operator: its name.
        states: how many states it has.
        attributes: its attributes, but for direction and hidden_size.
    """

    operator: str
    states: int
    attributes: dict[str, Any]

    def scan(self, g: GraphBuilder, x: Value, parameters: Parameters, scan: Scan) -> Scanned:
        """Run it over a time-major sequence."""
        inputs = [x, parameters.W, parameters.R, parameters.both_biases(g), scan.lengths]
        inputs += [op.unsqueeze(g, state, 0) for state in scan.initial or ()]
        while inputs[-1] is None:
            inputs.pop()
        finals = self.states if scan.states else 0 if scan.sequences else 1
        named = [g.fresh(f"{g.scope}/{part}") for part in ("Y", "Y_h", "Y_c")[: 1 + finals]]
        y, *ends = g.add_many(
            self.operator,
            *inputs,
            outputs=named if scan.sequences else ["", *named[1:]],
            direction="reverse" if scan.backward else "forward",
            hidden_size=parameters.R.dim(2),
            **self.attributes,
        )
        states = tuple(op.squeeze(g, state, 0) for state in ends)
        last = states[0] if states else None
        if scan.lengths is not None and scan.initial is not None and last is not None:
            # The operators give zeros for a sequence of no steps.
            states = tuple(
                where_seen(g, scan.lengths, a, b) for a, b in zip(states, scan.initial, strict=False)
            )
        return Scanned(op.squeeze(g, y, 1) if scan.sequences else None, last, states)
