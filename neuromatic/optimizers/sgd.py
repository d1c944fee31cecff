"""Steps along the gradient, or along its sign: SGD and Lion."""

from __future__ import annotations

from dataclasses import dataclass

from neuromatic.ir.values import Value
from neuromatic.optimizers.base import Optimizer, UpdateRule
from neuromatic.optimizers.checks import FLAG, RATE, SHARE, Check, checked
from neuromatic.optimizers.formula import Number, formula, sign
from neuromatic.schedules import Schedule

__all__ = ["SGD", "Lion"]

Numbers = tuple[Number, ...]


@formula("SGD")
def _sgd(R: Number, T: Number, X: Number, G: Number) -> Numbers:
    return (X - R * G,)


# Unlike the velocity of ONNX' Momentum, Keras' remembers the learning rates of earlier steps, so that both
# follow a schedule alike only if this is written out.


@formula("SGDMomentum")
def _sgd_momentum(R: Number, T: Number, X: Number, G: Number, V: Number, *, momentum: Number) -> Numbers:
    V = momentum * V - R * G
    return X + V, V


@formula("SGDNesterov")
def _sgd_nesterov(R: Number, T: Number, X: Number, G: Number, V: Number, *, momentum: Number) -> Numbers:
    step = R * G
    V = momentum * V - step
    return X + (momentum * V - step), V


@dataclass(frozen=True, repr=False)
class SGD(Optimizer):
    """Stochastic gradient descent, with momentum and Nesterov's variant of it (Keras ``SGD``).

    ``V = momentum V - R G;  X += V``, or ``X += momentum V - R G`` with ``nesterov``.

    Args:
        learning_rate: step size, or a schedule.
        momentum: how much of the last step is kept, in [0, 1).
        nesterov: whether to look ahead along the velocity.
    """

    learning_rate: float | Schedule = checked(RATE, 0.01)
    momentum: float = checked(SHARE, 0.0)
    nesterov: bool = checked(FLAG, False)

    def rule(self, parameter: Value) -> UpdateRule:
        if not self.momentum:
            return UpdateRule.local("SGD", {})
        name = "SGDNesterov" if self.nesterov else "SGDMomentum"
        return UpdateRule.local(name, {"momentum": self.momentum}, "momentum")


@formula("Lion")
def _lion(
    R: Number, T: Number, X: Number, G: Number, M: Number, *, beta_1: Number, beta_2: Number
) -> Numbers:
    direction = sign(M * beta_1 + G * (1.0 - beta_1))
    return X - R * direction, M * beta_2 + G * (1.0 - beta_2)


_FIRST_BETA: Check = (lambda v: isinstance(v, (int, float)) and 0.0 < v <= 1.0, "in (0, 1]")


@dataclass(frozen=True, repr=False)
class Lion(Optimizer):
    """Steps of one size, along the sign of a mean gradient (Chen et al. 2023; Keras ``Lion``).

    ``X -= R sign(beta_1 M + (1 - beta_1) G);  M = beta_2 M + (1 - beta_2) G``.

    Args:
        learning_rate: step size, or a schedule; a third to a tenth of what Adam would take.
        beta_1: how much of the mean gradient is in a step, in (0, 1].
        beta_2: decay of the mean gradient.
    """

    learning_rate: float | Schedule = checked(RATE, 0.001)
    beta_1: float = checked(_FIRST_BETA, 0.9)
    beta_2: float = checked(SHARE, 0.99)

    def rule(self, parameter: Value) -> UpdateRule:
        return UpdateRule.local("Lion", {"beta_1": self.beta_1, "beta_2": self.beta_2}, "momentum")
