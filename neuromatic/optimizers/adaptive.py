"""Gradients divided by the root of what their squares have been: RMSprop, Adagrad and others."""

from __future__ import annotations

from dataclasses import dataclass

from neuromatic.ir.values import Value
from neuromatic.optimizers.base import Optimizer, State, UpdateRule
from neuromatic.optimizers.checks import FLAG, NOT_NEGATIVE, NUMBER, POSITIVE, RATE, SHARE, Check, checked
from neuromatic.optimizers.formula import (
    Number,
    formula,
    maximum,
    minimum,
    root_mean_square,
    sqrt,
    square,
)
from neuromatic.optimizers.setting import shape_of
from neuromatic.schedules import Schedule

__all__ = ["Adadelta", "Adafactor", "Adagrad", "Ftrl", "RMSprop"]

Numbers = tuple[Number, ...]


def _mean(old: Number, new: Number, kept: Number) -> Number:
    return kept * old + (1.0 - kept) * new


# The states V, M and A of RMSprop are the mean square, the momentum and the mean of the gradients.


@formula("RMSprop")
def _rmsprop(
    R: Number, T: Number, X: Number, G: Number, V: Number, *, rho: Number, epsilon: Number
) -> Numbers:
    V = _mean(V, square(G), rho)
    return X - R * G / sqrt(V + epsilon), V


@formula("RMSpropMomentum")
def _rmsprop_momentum(
    R: Number,
    T: Number,
    X: Number,
    G: Number,
    V: Number,
    M: Number,
    *,
    rho: Number,
    epsilon: Number,
    momentum: Number,
) -> Numbers:
    V = _mean(V, square(G), rho)
    M = momentum * M + R * G / sqrt(V + epsilon)
    return X - M, V, M


@formula("RMSpropCentered")
def _rmsprop_centered(
    R: Number, T: Number, X: Number, G: Number, V: Number, A: Number, *, rho: Number, epsilon: Number
) -> Numbers:
    V, A = _mean(V, square(G), rho), _mean(A, G, rho)
    return X - R * G / sqrt(V - square(A) + epsilon), V, A


@formula("RMSpropCenteredMomentum")
def _rmsprop_centered_momentum(
    R: Number,
    T: Number,
    X: Number,
    G: Number,
    V: Number,
    M: Number,
    A: Number,
    *,
    rho: Number,
    epsilon: Number,
    momentum: Number,
) -> Numbers:
    V, A = _mean(V, square(G), rho), _mean(A, G, rho)
    M = momentum * M + R * G / sqrt(V - square(A) + epsilon)
    return X - M, V, M, A


@dataclass(frozen=True, repr=False)
class RMSprop(Optimizer):
    """Gradients divided by the root of the running mean of their squares (Tieleman & Hinton 2012; Keras).

    ``V = rho V + (1 - rho) G²;  X -= R G / sqrt(V + epsilon)``; with ``centered``, ``V`` less the square of
    the mean gradient under the root; with ``momentum``, steps that are kept as in SGD.

    Args:
        learning_rate: step size, or a schedule.
        rho: decay of the running means, in [0, 1).
        momentum: how much of the last step is kept, in [0, 1).
        epsilon: added to the mean of squares, under the root.
        centered: whether to take the squared mean of gradients off the mean of squares.
    """

    learning_rate: float | Schedule = checked(RATE, 0.001)
    rho: float = checked(SHARE, 0.9)
    momentum: float = checked(SHARE, 0.0)
    epsilon: float = checked(POSITIVE, 1e-7)
    centered: bool = checked(FLAG, False)

    def rule(self, parameter: Value) -> UpdateRule:
        name, states = "RMSprop", ["velocity"]
        attributes = {"rho": self.rho, "epsilon": self.epsilon}
        if self.centered:
            name += "Centered"
        if self.momentum:
            name += "Momentum"
            states.append("momentum")
            attributes["momentum"] = self.momentum
        if self.centered:
            states.append("average_gradient")
        return UpdateRule.local(name, attributes, *states)


# Not ONNX' Adagrad, which adds epsilon to the root.


@formula("Adagrad")
def _adagrad(R: Number, T: Number, X: Number, G: Number, A: Number, *, epsilon: Number) -> Numbers:
    A = A + square(G)
    return X - R * G / sqrt(A + epsilon), A


@dataclass(frozen=True, repr=False)
class Adagrad(Optimizer):
    """Gradients divided by the root of the sum of all their squares (Duchi et al. 2011; Keras ``Adagrad``).

    ``A += G²;  X -= R G / sqrt(A + epsilon)``.

    Args:
        learning_rate: step size, or a schedule.
        initial_accumulator_value: what the sums of squares begin with.
        epsilon: added to the sum of squares, under the root.
    """

    learning_rate: float | Schedule = checked(RATE, 0.001)
    initial_accumulator_value: float = checked(NOT_NEGATIVE, 0.1)
    epsilon: float = checked(POSITIVE, 1e-7)

    def rule(self, parameter: Value) -> UpdateRule:
        state = State("accumulator", self.initial_accumulator_value)
        return UpdateRule.local("Adagrad", {"epsilon": self.epsilon}, state)


@formula("Adadelta")
def _adadelta(
    R: Number, T: Number, X: Number, G: Number, A: Number, D: Number, *, rho: Number, epsilon: Number
) -> Numbers:
    A = _mean(A, square(G), rho)
    step = sqrt(D + epsilon) * G / sqrt(A + epsilon)
    return X - R * step, A, _mean(D, square(step), rho)


@dataclass(frozen=True, repr=False)
class Adadelta(Optimizer):
    """Gradients scaled by past steps over past gradients (Zeiler 2012; Keras ``Adadelta``).

    ``A = rho A + (1 - rho) G²;  S = G sqrt(D + epsilon) / sqrt(A + epsilon);  X -= R S;
    D = rho D + (1 - rho) S²``.

    Args:
        learning_rate: step size, or a schedule; 1 in the original paper.
        rho: decay of the running means, in [0, 1).
        epsilon: added to the means, under the roots.
    """

    learning_rate: float | Schedule = checked(RATE, 0.001)
    rho: float = checked(SHARE, 0.95)
    epsilon: float = checked(POSITIVE, 1e-7)

    def rule(self, parameter: Value) -> UpdateRule:
        attributes = {"rho": self.rho, "epsilon": self.epsilon}
        return UpdateRule.local("Adadelta", attributes, "accumulated_grad", "accumulated_delta_var")


@formula("Ftrl")
def _ftrl(
    R: Number,
    T: Number,
    X: Number,
    G: Number,
    A: Number,
    L: Number,
    *,
    power: Number,
    l1: Number,
    l2: Number,
    shrinkage: Number,
    beta: Number,
) -> Numbers:
    new = A + square(G)
    raised = new**power
    L = L + (G + 2.0 * shrinkage * X - (raised - A**power) / R * X)
    quadratic = raised / R + 2.0 * (l2 + beta / (2.0 * R))
    return (minimum(maximum(L, -l1), l1) - L) / quadratic, new, L


_NOT_POSITIVE: Check = (lambda v: NUMBER[0](v) and v <= 0, "a finite number of at most 0")


@dataclass(frozen=True, repr=False)
class Ftrl(Optimizer):
    """Follow the regularized leader (McMahan et al. 2013; Keras ``Ftrl``), for sparse linear models.

    With ``p = -learning_rate_power``: ``A' = A + G²;  L += G + 2 shrinkage X - (A'^p - A^p) X / R;
    X = (clip(L, -l1, l1) - L) / (A'^p / R + 2 l2 + beta / R)``.

    Args:
        learning_rate: step size, above 0, or a schedule.
        learning_rate_power: how the learning rate falls with the sum of squares, at most 0.
        initial_accumulator_value: what the sums of squares begin with.
        l1_regularization_strength: pulls parameters to 0.
        l2_regularization_strength: keeps parameters small.
        l2_shrinkage_regularization_strength: likewise, but by the gradient.
        beta: makes first steps smaller.
    """

    learning_rate: float | Schedule = checked(RATE, 0.001)
    learning_rate_power: float = checked(_NOT_POSITIVE, -0.5)
    initial_accumulator_value: float = checked(NOT_NEGATIVE, 0.1)
    l1_regularization_strength: float = checked(NOT_NEGATIVE, 0.0)
    l2_regularization_strength: float = checked(NOT_NEGATIVE, 0.0)
    l2_shrinkage_regularization_strength: float = checked(NOT_NEGATIVE, 0.0)
    beta: float = checked(NOT_NEGATIVE, 0.0)

    def rule(self, parameter: Value) -> UpdateRule:
        attributes = {
            "power": -self.learning_rate_power,
            "l1": self.l1_regularization_strength,
            "l2": self.l2_regularization_strength,
            "shrinkage": self.l2_shrinkage_regularization_strength,
            "beta": self.beta,
        }
        state = State("accumulator", self.initial_accumulator_value)
        return UpdateRule.local("Ftrl", attributes, state, "linear")


def _adafactor_step(
    R: Number, T: Number, X: Number, u: Number, epsilon_2: Number, clip_threshold: Number
) -> Number:
    """The new parameter from the gradient over the root of its mean square."""
    rate = maximum(epsilon_2, root_mean_square(X)) * minimum(R, 1.0 / sqrt(T))
    return X - rate * (u / maximum(root_mean_square(u) / clip_threshold, 1.0))


@formula("Adafactor")
def _adafactor(
    R: Number,
    T: Number,
    X: Number,
    G: Number,
    V: Number,
    *,
    beta_2_decay: Number,
    epsilon_1: Number,
    epsilon_2: Number,
    clip_threshold: Number,
) -> Numbers:
    V = _mean(V, square(G) + epsilon_1, 1.0 - T**beta_2_decay)
    return _adafactor_step(R, T, X, G / sqrt(V), epsilon_2, clip_threshold), V


@formula("AdafactorMatrix")
def _adafactor_matrix(
    R: Number,
    T: Number,
    X: Number,
    G: Number,
    A: Number,
    C: Number,
    *,
    beta_2_decay: Number,
    epsilon_1: Number,
    epsilon_2: Number,
    clip_threshold: Number,
) -> Numbers:
    kept, squares = 1.0 - T**beta_2_decay, square(G) + epsilon_1
    A = _mean(A, squares.reduced("ReduceMean", -1), kept)
    C = _mean(C, squares.reduced("ReduceMean", -2), kept)
    V = A / A.reduced("ReduceMean", -2) * C
    return _adafactor_step(R, T, X, G / sqrt(V), epsilon_2, clip_threshold), A, C


@dataclass(frozen=True, repr=False)
class Adafactor(Optimizer):
    """Adam's scaling with little memory (Shazeer & Stern 2018; Keras ``Adafactor``).

    The mean squares of a matrix's gradients are kept as the means of its rows and columns: along the last
    two axes of the parameter as it is stored. Kernels of convolutions are stored as (filters, channels,
    height, width), so these are height and width, where Keras takes channels and filters.

    Args:
        learning_rate: upper bound of the relative step size, or a schedule.
        beta_2_decay: a step ``t`` forgets the share ``t ** beta_2_decay`` of the mean squares; below 0.
        epsilon_1: added to squared gradients.
        epsilon_2: least size of a parameter that steps are relative to.
        clip_threshold: root mean square of a step before it is scaled down.
        relative_step: Keras' argument; the step size never exceeds ``1 / sqrt(t)`` either way.
    """

    learning_rate: float | Schedule = checked(RATE, 0.001)
    beta_2_decay: float = checked(NUMBER, -0.8)
    epsilon_1: float = checked(NOT_NEGATIVE, 1e-30)
    epsilon_2: float = checked(NOT_NEGATIVE, 1e-3)
    clip_threshold: float = checked(POSITIVE, 1.0)
    relative_step: bool = checked(FLAG, True)

    def rule(self, parameter: Value) -> UpdateRule:
        attributes = {
            "beta_2_decay": self.beta_2_decay,
            "epsilon_1": self.epsilon_1,
            "epsilon_2": self.epsilon_2,
            "clip_threshold": self.clip_threshold,
        }
        shape = shape_of(parameter)
        if len(shape) < 2:
            return UpdateRule.local("Adafactor", attributes, "velocity")
        rows, columns = (*shape[:-1], 1), (*shape[:-2], 1, shape[-1])
        states = State("row", shape=rows), State("column", shape=columns)
        return UpdateRule.local("AdafactorMatrix", attributes, *states)
