"""What every update of a step has in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from onnx import TensorProto

from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value


@dataclass(frozen=True)
class Setting:
    """What the update of a step is made of.

    Attributes:
        g: the builder of the algorithm graph.
        rate: the learning rate, a scalar.
        step: the number of this step, from 1 on.
        initial: the initializers of the model, by name.
        masters: by the name of a parameter of half precision, the float32 value that is updated in its place.
    """

    g: GraphBuilder
    rate: Value
    step: Value
    initial: Mapping[str, TensorProto]
    masters: Mapping[str, Value] = field(default_factory=dict)

    def held(self, name: str) -> Value:
        """What holds a parameter or state: its master if it has one."""
        return self.masters[name] if name in self.masters else self.g.value(name)


def shape_of(parameter: Value) -> tuple[int, ...]:
    """The shape of an initializer, whose dimensions are all known."""
    return tuple(int(d) for d in parameter.shape or () if d is not None)
