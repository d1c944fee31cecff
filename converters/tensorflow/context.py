"""What TensorFlow lowerings of training operators need of the step they are traced in."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from neuromatic.converters.lowering import Context

MOST_UNROLLED_NODES = 20_000
"""Loops that a graph is to be unrolled for are unrolled as long as this many nodes suffice, over all."""


@dataclass
class Unrolled:
    """How many nodes have come into a graph by unrolled loops."""

    nodes: int = 0


@dataclass(frozen=True)
class Draws:
    """What the random numbers of a graph in inference form depend on.

    Attributes:
        seed: the run's.
        step: how many steps there have been.
    """

    seed: int
    step: Any


@dataclass
class TensorFlowContext(Context):
    """The context of one traced step.

    Attributes:
        seed: the run's seed.
        step: number of steps done before this one, an int64 scalar, known or a tensor.
        tape: records the step for its Gradient node; None outside training.
        values: every value of the graph by name, as far as it has been computed.
        unrolled: what unrolled loops have cost so far.
        draws: whether random numbers may be drawn outside training.
    """

    seed: int = 0
    step: Any = 0
    tape: tf.GradientTape | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    unrolled: Unrolled = field(default_factory=Unrolled)
    draws: bool = False

    def unroll(self, nodes: int) -> bool:
        """Whether a step of that many nodes may be unrolled, and if so, count it."""
        if self.unrolled.nodes + nodes > MOST_UNROLLED_NODES:
            return False
        self.unrolled.nodes += nodes
        return True

    def random_seed(self, name: str) -> tf.Tensor:
        """The seed of a ``tf.random.stateless_*`` call: a function of the run's seed, step and ``name``.

        Numbers depend on no earlier draw, so a resumed run draws what an uninterrupted one would.
        """
        node = zlib.crc32(name.encode()) ^ (self.seed & 0x7FFFFFFF)
        return tf.stack([tf.constant(node, tf.int64), tf.cast(self.step, tf.int64)])
