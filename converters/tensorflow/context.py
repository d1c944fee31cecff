"""What TensorFlow lowerings of training operators need of the step they are traced in."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from neuromatic.converters.lowering import Context


@dataclass
class TensorFlowContext(Context):
    """The context of one traced step.

    Attributes:
        seed: the run's seed.
        step: number of steps done before this one, an int64 scalar, known or a tensor.
        tape: records the step for its Gradient node; None outside training.
        values: every value of the graph by name, as far as it has been computed.
    """

    seed: int = 0
    step: Any = 0
    tape: tf.GradientTape | None = None
    values: Mapping[str, Any] = field(default_factory=dict)

    def random_seed(self, name: str) -> tf.Tensor:
        """The seed of a ``tf.random.stateless_*`` call: a function of the run's seed, step and ``name``.

        Numbers depend on no earlier draw, so a resumed run draws what an uninterrupted one would.
        """
        node = zlib.crc32(name.encode()) ^ (self.seed & 0x7FFFFFFF)
        return tf.stack([tf.constant(node, tf.int64), tf.cast(self.step, tf.int64)])
