"""Mean gradients over the root of mean squares: Adam and its variants."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from neuromatic.ir.opsets import TRAINING_DOMAIN
from neuromatic.ir.values import Value
from neuromatic.optimizers.base import Attributes, Optimizer, State, UpdateRule
from neuromatic.optimizers.checks import FLAG, NOT_NEGATIVE, POSITIVE, RATE, SHARE, STEPS, Check, checked
from neuromatic.optimizers.formula import Number, formula, maximum, minimum, norm, sqrt, square, where
from neuromatic.schedules import Schedule

__all__ = ["Adam", "AdamW", "Adamax", "Lamb", "Nadam", "ScheduleFreeAdamW"]

Numbers = tuple[Number, ...]


def moved(old: Number, new: Number, kept: Number) -> Number:
    """A running mean, ``kept`` of which stays; written so that equal numbers stay equal."""
    return old + (new - old) * (1.0 - kept)


@formula("AdamAmsgrad")
def _adam_amsgrad(
    R: Number,
    T: Number,
    X: Number,
    G: Number,
    M: Number,
    V: Number,
    H: Number,
    *,
    beta_1: Number,
    beta_2: Number,
    epsilon: Number,
) -> Numbers:
    M, V = moved(M, G, beta_1), moved(V, square(G), beta_2)
    H = maximum(H, V)
    rate = R * sqrt(1.0 - beta_2**T) / (1.0 - beta_1**T)
    return X - M * rate / (sqrt(H) + epsilon), M, V, H


@dataclass(frozen=True, repr=False)
class Adam(Optimizer):
    """Adam (Kingma & Ba 2014; Keras ``Adam``, ONNX ``ai.onnx.preview.training.Adam-1``).

    ``M = beta_1 M + (1 - beta_1) G;  V = beta_2 V + (1 - beta_2) G²;
    X -= R sqrt(1 - beta_2^t) / (1 - beta_1^t) M / (sqrt(V) + epsilon)``.

    Args:
        learning_rate: step size, or a schedule.
        beta_1: decay of the mean of gradients.
        beta_2: decay of the mean of squared gradients.
        epsilon: added to the root of the latter.
        amsgrad: whether to divide by the largest mean square so far (Reddi et al. 2018), which is not an
            operator of ONNX but a function in the file.
    """

    learning_rate: float | Schedule = checked(RATE, 0.001)
    beta_1: float = checked(SHARE, 0.9)
    beta_2: float = checked(SHARE, 0.999)
    epsilon: float = checked(POSITIVE, 1e-7)
    amsgrad: bool = checked(FLAG, False)

    def rule(self, parameter: Value) -> UpdateRule:
        if self.amsgrad:
            attributes = {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
            return UpdateRule.local("AdamAmsgrad", attributes, "momentum", "velocity", "velocity_hat")
        return adam_rule(self.beta_1, self.beta_2, self.epsilon)


def adam_rule(beta_1: float, beta_2: float, epsilon: float) -> UpdateRule:
    """ONNX' own Adam."""
    attributes = {"alpha": beta_1, "beta": beta_2, "epsilon": epsilon}
    return UpdateRule("Adam", TRAINING_DOMAIN, attributes, (State("momentum"), State("velocity")))


@dataclass(frozen=True, repr=False)
class AdamW(Adam):
    """Adam after weights have decayed (Loshchilov & Hutter 2019; Keras ``AdamW``).

    Args:
        weight_decay: as for every optimizer, but on.
    """

    _: KW_ONLY
    weight_decay: float = checked(NOT_NEGATIVE, 0.004)


@formula("Adamax")
def _adamax(
    R: Number,
    T: Number,
    X: Number,
    G: Number,
    M: Number,
    U: Number,
    *,
    beta_1: Number,
    beta_2: Number,
    epsilon: Number,
) -> Numbers:
    M, U = moved(M, G, beta_1), maximum(beta_2 * U, abs(G))
    return X - R * M / ((1.0 - beta_1**T) * (U + epsilon)), M, U


@dataclass(frozen=True, repr=False)
class Adamax(Optimizer):
    """Adam with the largest gradient in place of the mean square (Kingma & Ba 2014; Keras ``Adamax``).

    ``M = beta_1 M + (1 - beta_1) G;  U = max(beta_2 U, |G|);  X -= R M / ((1 - beta_1^t) (U + epsilon))``.

    Args:
        learning_rate: step size, or a schedule.
        beta_1: decay of the mean of gradients.
        beta_2: decay of the largest gradient.
        epsilon: added to the latter.
    """

    learning_rate: float | Schedule = checked(RATE, 0.001)
    beta_1: float = checked(SHARE, 0.9)
    beta_2: float = checked(SHARE, 0.999)
    epsilon: float = checked(POSITIVE, 1e-7)

    def rule(self, parameter: Value) -> UpdateRule:
        return UpdateRule.local("Adamax", _betas(self), "momentum", "norm")


@formula("Nadam")
def _nadam(
    R: Number,
    T: Number,
    X: Number,
    G: Number,
    M: Number,
    V: Number,
    P: Number,
    *,
    beta_1: Number,
    beta_2: Number,
    epsilon: Number,
) -> Numbers:
    now, after = (beta_1 * (1.0 - 0.5 * 0.96**t) for t in (T, T + 1.0))
    P = P * now
    M, V = moved(M, G, beta_1), moved(V, square(G), beta_2)
    mean = after * M / (1.0 - P * after) + (1.0 - now) * G / (1.0 - P)
    return X - mean * R / (sqrt(V / (1.0 - beta_2**T)) + epsilon), M, V, P


@dataclass(frozen=True, repr=False)
class Nadam(Optimizer):
    """Adam with Nesterov's momentum (Dozat 2015; Keras ``Nadam``).

    With ``u_t = beta_1 (1 - 0.96^t / 2)`` and ``P_t`` the product of these so far:
    ``X -= R (u_(t+1) M / (1 - P_(t+1)) + (1 - u_t) G / (1 - P_t)) / (sqrt(V / (1 - beta_2^t)) + epsilon)``.

    Args:
        learning_rate: step size, or a schedule.
        beta_1: decay of the mean of gradients.
        beta_2: decay of the mean of squared gradients.
        epsilon: added to the root of the latter.
    """

    learning_rate: float | Schedule = checked(RATE, 0.001)
    beta_1: float = checked(SHARE, 0.9)
    beta_2: float = checked(SHARE, 0.999)
    epsilon: float = checked(POSITIVE, 1e-7)

    def rule(self, parameter: Value) -> UpdateRule:
        product = State("u_product", 1.0, shape=())
        return UpdateRule.local("Nadam", _betas(self), "momentum", "velocity", product)


@formula("Lamb")
def _lamb(
    R: Number,
    T: Number,
    X: Number,
    G: Number,
    M: Number,
    V: Number,
    *,
    beta_1: Number,
    beta_2: Number,
    epsilon: Number,
) -> Numbers:
    M, V = moved(M, G, beta_1), moved(V, square(G), beta_2)
    step = M / (1.0 - beta_1**T) / (sqrt(V / (1.0 - beta_2**T)) + epsilon)
    size, length = norm(X), norm(step)
    known = where(length > 0.0, length, 1.0)
    ratio = where(size > 0.0, where(length > 0.0, size / known, 1.0), 1.0)
    return X - ratio * R * step, M, V


@dataclass(frozen=True, repr=False)
class Lamb(Optimizer):
    """Adam's step made as long as the learning rate times the parameter (You et al. 2020; Keras ``Lamb``).

    ``S = M / (1 - beta_1^t) / (sqrt(V / (1 - beta_2^t)) + epsilon);  X -= R |X| / |S| S``, without the ratio
    where a norm is 0.

    Args:
        learning_rate: step size, or a schedule.
        beta_1: decay of the mean of gradients.
        beta_2: decay of the mean of squared gradients.
        epsilon: added to the root of the latter.
    """

    learning_rate: float | Schedule = checked(RATE, 0.001)
    beta_1: float = checked(SHARE, 0.9)
    beta_2: float = checked(SHARE, 0.999)
    epsilon: float = checked(POSITIVE, 1e-7)

    def rule(self, parameter: Value) -> UpdateRule:
        return UpdateRule.local("Lamb", _betas(self), "momentum", "velocity")


@formula("ScheduleFreeAdamW")
def _schedule_free(
    R: Number,
    T: Number,
    X: Number,
    G: Number,
    Z: Number,
    V: Number,
    *,
    beta_1: Number,
    beta_2: Number,
    epsilon: Number,
    warmup: Number,
) -> Numbers:
    V = moved(V, square(G), beta_2)
    rate = R * minimum(T / warmup, 1.0)
    new = Z - rate * G / (sqrt(V / (1.0 - beta_2**T)) + epsilon)
    share = 1.0 / T
    average = (1.0 - share) * ((X - (1.0 - beta_1) * Z) / beta_1) + share * new
    return (1.0 - beta_1) * new + beta_1 * average, new, V


_INNER: Check = (lambda v: SHARE[0](v) and v > 0.0, "in (0, 1)")


@dataclass(frozen=True, repr=False)
class ScheduleFreeAdamW(Optimizer):
    """Adam without a schedule: gradients are taken between a fast iterate and its mean (Defazio et al. 2024).

    Keras ``ScheduleFreeAdamW``. The iterate ``Z`` starts as the parameter:
    ``Z' = Z - R G / (sqrt(V / (1 - beta_2^t)) + epsilon);  mean' = (1 - 1/t) mean + Z' / t;
    X = (1 - beta_1) Z' + beta_1 mean'``.

    Args:
        learning_rate: step size, or a schedule.
        beta_1: how close to the mean gradients are taken, in (0, 1).
        beta_2: decay of the mean of squared gradients.
        epsilon: added to the root of the latter.
        warmup_steps: over how many steps the learning rate rises from 0.
    """

    learning_rate: float | Schedule = checked(RATE, 0.0025)
    beta_1: float = checked(_INNER, 0.9)
    beta_2: float = checked(SHARE, 0.999)
    epsilon: float = checked(POSITIVE, 1e-8)
    warmup_steps: int = checked(STEPS, 0)

    def rule(self, parameter: Value) -> UpdateRule:
        attributes = {**_betas(self), "warmup": float(max(1, self.warmup_steps))}
        return UpdateRule.local("ScheduleFreeAdamW", attributes, State("momentum", copies=True), "velocity")


def _betas(optimizer: Adamax | Nadam | Lamb | ScheduleFreeAdamW) -> Attributes:
    return {"beta_1": optimizer.beta_1, "beta_2": optimizer.beta_2, "epsilon": optimizer.epsilon}
