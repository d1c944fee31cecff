"""Muon: steps of a matrix along the orthogonal matrix nearest to its momentum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from math import sqrt

from onnx import FunctionProto

from neuromatic.ir.values import Value
from neuromatic.optimizers.adam import adam_rule
from neuromatic.optimizers.base import Optimizer, UpdateRule
from neuromatic.optimizers.checks import (
    COUNT,
    FLAG,
    NOT_NEGATIVE,
    NUMBER,
    POSITIVE,
    RATE,
    SHARE,
    Check,
    checked,
    optional,
)
from neuromatic.optimizers.expressions import any_found
from neuromatic.optimizers.formula import Formula, Number, norm
from neuromatic.optimizers.setting import Setting, shape_of
from neuromatic.schedules import Schedule

__all__ = ["Muon"]

FEW: Check = (lambda v: COUNT[0](v) and v <= 100, "an integer from 1 to 100")
"""Each step is some nodes; more than ten change nothing."""


@dataclass(frozen=True, repr=False)
class Muon(Optimizer):
    """Orthogonal steps for matrices, Adam for the rest (Jordan et al. 2024; Keras ``Muon``).

    ``M = momentum M + G;  X -= R scale O``, where ``O`` is ``M`` (with ``nesterov`` ``G + momentum M``)
    divided by its norm and brought near the closest orthogonal matrix by ``ns_steps`` times
    ``O = a O + (b O O' + c (O O')²) O``, and ``scale = rms_rate sqrt(max(rows, columns))``.

    Matrices are updated so unless their name says embedding or is excluded. All other parameters are updated
    by Adam.

    Args:
        learning_rate: step size, or a schedule.
        adam_beta_1: Adam's decay of the mean of gradients.
        adam_beta_2: Adam's decay of the mean of squared gradients.
        adam_weight_decay: weight decay of what Adam updates; None for none.
        epsilon: Adam's, added to the root.
        weight_decay: weight decay of the matrices; None for none.
        exclude_layers: regular expressions; matrices whose names contain one are Adam's.
        exclude_embeddings: whether embeddings are Adam's.
        muon_a: factor ``a``.
        muon_b: factor ``b``.
        muon_c: factor ``c``.
        adam_lr_ratio: what the learning rate is multiplied by for Adam.
        momentum: how much of the momentum is kept.
        ns_steps: how many steps towards an orthogonal matrix.
        nesterov: whether to look ahead along the momentum.
        rms_rate: root mean square of a step of size 1; None leaves steps as they are.
    """

    learning_rate: float | Schedule = checked(RATE, 0.001)
    adam_beta_1: float = checked(SHARE, 0.9)
    adam_beta_2: float = checked(SHARE, 0.999)
    adam_weight_decay: float | None = checked(optional(NOT_NEGATIVE), 0.004)
    epsilon: float = checked(POSITIVE, 1e-7)
    _: KW_ONLY
    weight_decay: float | None = checked(optional(NOT_NEGATIVE), 0.004)
    exclude_layers: Sequence[str] = ()
    exclude_embeddings: bool = checked(FLAG, True)
    muon_a: float = checked(NUMBER, 3.4445)
    muon_b: float = checked(NUMBER, -4.775)
    muon_c: float = checked(NUMBER, 2.0315)
    adam_lr_ratio: float = checked(NOT_NEGATIVE, 1.0)
    momentum: float = checked(SHARE, 0.95)
    ns_steps: int = checked(FEW, 5)
    nesterov: bool = checked(FLAG, True)
    rms_rate: float | None = checked(optional(NOT_NEGATIVE), 0.2)

    def by_adam(self, parameter: Value) -> bool:
        """Whether a parameter is updated by Adam."""
        name = parameter.name
        if len(shape_of(parameter)) != 2 or (self.exclude_embeddings and "embedding" in name.lower()):
            return True
        return any_found(self.exclude_layers, name)

    def rule(self, parameter: Value) -> UpdateRule:
        if self.by_adam(parameter):
            return adam_rule(self.adam_beta_1, self.adam_beta_2, self.epsilon)
        rows, columns = shape_of(parameter)
        attributes = {
            "momentum": self.momentum,
            "scale": 1.0 if self.rms_rate is None else self.rms_rate * sqrt(max(rows, columns)),
            "a": self.muon_a,
            "b": self.muon_b,
            "c": self.muon_c,
        }
        name = f"Muon{'Nesterov' if self.nesterov else ''}{'Tall' if rows > columns else ''}{self.ns_steps}"
        return UpdateRule.local(name, attributes, "momentum")

    def function(self, rule: UpdateRule, opset: int) -> FunctionProto | None:
        if rule.op == "Adam":
            return None
        steps, nesterov, tall = self.ns_steps, self.nesterov, "Tall" in rule.op

        def body(
            R: Number,
            T: Number,
            X: Number,
            G: Number,
            M: Number,
            *,
            momentum: Number,
            scale: Number,
            a: Number,
            b: Number,
            c: Number,
        ) -> tuple[Number, ...]:
            M = momentum * M + G
            wanted = G + momentum * M if nesterov else M
            unit = _turned(wanted) if tall else wanted
            unit = unit / (norm(unit) + 1e-7)
            for _ in range(steps):
                product = unit @ _turned(unit)
                unit = a * unit + (b * product + c * product @ product) @ unit
            return X - R * (_turned(unit) if tall else unit) * scale, M

        return Formula.of(rule.op, body).function(opset)

    def decay(self, parameter: Value) -> float | None:
        if self.keeps_weight(parameter):
            return None
        return self.adam_weight_decay if self.by_adam(parameter) else self.weight_decay

    def emit(
        self, setting: Setting, parameter: Value, current: Value, gradient: Value, *, prefix: str = "new"
    ) -> dict[str, Value]:
        if self.adam_lr_ratio != 1.0 and self.by_adam(parameter):
            g, rate = setting.g, setting.rate
            ratio = g.const(self.adam_lr_ratio, rate.dtype)
            setting = replace(setting, rate=g.add("Mul", rate, ratio, name=f"adam_rate/{parameter.name}"))
        return super().emit(setting, parameter, current, gradient, prefix=prefix)


def _turned(x: Number) -> Number:
    return x.apply("Transpose", perm=[1, 0])
