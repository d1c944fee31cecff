"""Optimizers, each once, as one ONNX node for each parameter.

The node takes (learning rate, step, parameter, gradient, state ...) and gives (new parameter, new state
...), the signature of ``ai.onnx.preview.training``'s own optimizers. Where one of those means what Keras
means it is used; otherwise the node calls a model-local function made of ordinary operators. Either way the
file says in ONNX what an update does, and an engine needs to know nothing of optimizers.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import onnx.parser
from onnx import FunctionProto, TensorProto, helper

from neuromatic import operators as op
from neuromatic._lookup import from_name
from neuromatic.errors import RecipeError
from neuromatic.graph import DEFAULT_OPSET, NEUROMATIC_DOMAIN, TRAINING_DOMAIN, GraphBuilder
from neuromatic.values import Value, dtype_name

_SQUARES = """
        rho = Constant<value_float: float = @rho>()
        epsilon = Constant<value_float: float = @epsilon>()
        one = Constant<value_float: float = 1.0>()
        rest = Sub(one, rho)
        square = Mul(G, G)
        kept = Mul(rho, V)
        fresh = Mul(rest, square)
        V_new = Add(kept, fresh)
"""
"""RMSprop's running mean of squared gradients."""
_DEVIATION = """
        kept_mean = Mul(rho, A)
        fresh_mean = Mul(rest, G)
        A_new = Add(kept_mean, fresh_mean)
        squared_mean = Mul(A_new, A_new)
        variance = Sub(V_new, squared_mean)
        raised = Add(variance, epsilon)
"""
"""Centered, RMSprop takes the squared mean off it."""
_SCALED = """
        root = Sqrt(raised)
        step = Mul(R, G)
        increment = Div(step, root)
"""
_PLAIN = _SQUARES + "raised = Add(V_new, epsilon)" + _SCALED
_CENTERED = _SQUARES + _DEVIATION + _SCALED
_MOMENTUM = """
        momentum = Constant<value_float: float = @momentum>()
        kept_steps = Mul(momentum, M)
        M_new = Add(kept_steps, increment)
        X_new = Sub(X, M_new)
"""

FUNCTIONS = {
    # velocity = momentum * velocity - learning_rate * gradient, as Keras has it: unlike ONNX' Momentum, the
    # velocity remembers the learning rates of earlier steps, so a schedule gives Keras' updates.
    "SGD": "(R, T, X, G) => (X_new) { step = Mul(R, G)  X_new = Sub(X, step) }",
    "SGDMomentum": """<momentum>(R, T, X, G, V) => (X_new, V_new) {
        m = Constant<value_float: float = @momentum>()
        kept = Mul(m, V)
        step = Mul(R, G)
        V_new = Sub(kept, step)
        X_new = Add(X, V_new)
    }""",
    "SGDNesterov": """<momentum>(R, T, X, G, V) => (X_new, V_new) {
        m = Constant<value_float: float = @momentum>()
        kept = Mul(m, V)
        step = Mul(R, G)
        V_new = Sub(kept, step)
        ahead = Mul(m, V_new)
        jump = Sub(ahead, step)
        X_new = Add(X, jump)
    }""",
    # The states V, M and A are the mean square, the momentum and the mean of the gradients.
    "RMSprop": f"<rho, epsilon>(R, T, X, G, V) => (X_new, V_new) {{ {_PLAIN} X_new = Sub(X, increment) }}",
    "RMSpropMomentum": f"""<rho, epsilon, momentum>
        (R, T, X, G, V, M) => (X_new, V_new, M_new) {{ {_PLAIN} {_MOMENTUM} }}""",
    "RMSpropCentered": f"""<rho, epsilon>
        (R, T, X, G, V, A) => (X_new, V_new, A_new) {{ {_CENTERED} X_new = Sub(X, increment) }}""",
    "RMSpropCenteredMomentum": f"""<rho, epsilon, momentum>
        (R, T, X, G, V, M, A) => (X_new, V_new, M_new, A_new) {{ {_CENTERED} {_MOMENTUM} }}""",
}
"""The bodies of the model-local functions, in ONNX' text form."""

LOWEST_OPSET = 12
"""Constants that are attributes of a function exist from opset 12 on."""
CAST_LIKE_OPSET = 15
"""From here on such a constant, which is float32, can be made to fit parameters of other types."""
_CONSTANT = re.compile(r"(\w+) = (Constant<value_float[^>]*>\(\))")


@dataclass(frozen=True)
class UpdateRule:
    """An optimizer's node: operator, domain, attributes and the names of its state, all zero at first."""

    op: str
    domain: str
    attributes: Mapping[str, float | str] = field(default_factory=dict)
    states: tuple[str, ...] = ()


class Optimizer(ABC):
    """Base of all optimizers.

    Attributes:
        learning_rate: step size; written into the file as the default of its ``learning_rate`` input.
    """

    learning_rate: float

    @abstractmethod
    def rule(self) -> UpdateRule:
        """The node that updates one parameter."""

    def function(self, opset: int) -> FunctionProto | None:
        """The model-local function that the node calls, or None for an operator of ONNX."""
        name = self.rule().op
        return local_function(name, opset) if name in FUNCTIONS else None

    def emit(
        self, g: GraphBuilder, parameter: Value, gradient: Value, learning_rate: Value, step: Value
    ) -> dict[str, Value]:
        """Add the update of one parameter; returns the new value of each initializer by its name."""
        rule = self.rule()
        if (function := self.function(g.opset)) is not None:
            g.add_function(function)
            if rule.attributes and g.opset < CAST_LIKE_OPSET and parameter.dtype != TensorProto.FLOAT:
                raise _opset_too_low(f"{rule.op} of {dtype_name(parameter.dtype)}", CAST_LIKE_OPSET, g.opset)
        shape = tuple(int(d) for d in parameter.shape or () if d is not None)
        dtype = helper.tensor_dtype_to_np_dtype(parameter.dtype)
        names = [g.fresh(f"{state}/{parameter.name}") for state in rule.states]
        states = [g.initializer(name, np.zeros(shape, dtype)) for name in names]
        kept = [parameter, *states]
        results = g.add_many(
            rule.op,
            op.cast(g, learning_rate, parameter.dtype),
            step,
            parameter,
            gradient,
            *states,
            domain=rule.domain,
            name=f"update/{parameter.name}",
            outputs=[g.fresh(f"new/{value.name}") for value in kept],
            types=[(value.dtype, value.shape) for value in kept],
            **rule.attributes,
        )
        return {value.name: result for value, result in zip(kept, results, strict=True)}


def local_function(name: str, opset: int) -> FunctionProto:
    """One of :data:`FUNCTIONS` for a model of that opset.

    Raises:
        RecipeError: the opset is too low for it.
    """
    if opset < LOWEST_OPSET:
        raise _opset_too_low(name, LOWEST_OPSET, opset)
    text = FUNCTIONS[name]
    if opset >= CAST_LIKE_OPSET:
        text = _CONSTANT.sub(r"\1_float32 = \2  \1 = CastLike(\1_float32, X)", text)
    header = f'<domain: "{NEUROMATIC_DOMAIN}", opset_import: ["": {opset}]> {name} '
    return onnx.parser.parse_function(header + text)


def _opset_too_low(name: str, needed: int, opset: int) -> RecipeError:
    return RecipeError(
        f"optimizer {name} needs opset {needed}, the model has {opset}; "
        f"raise it with: neuromatic convert MODEL.onnx -o NEW.onnx --opset {DEFAULT_OPSET}"
    )


def _check(optimizer: str, **checks: tuple[float, bool, str]) -> None:
    """Refuse arguments; of each: its value, whether it is right, and what it must be.

    Raises:
        ValueError: names the first that is wrong.
    """
    for name, (value, fine, expected) in checks.items():
        if not fine:
            raise ValueError(f"{optimizer}: {name} must be {expected}, got {value!r}")


def _rate(value: float) -> tuple[float, bool, str]:
    number = isinstance(value, (int, float, np.number))
    fine = bool(number and 0.0 <= value <= float(np.finfo(np.float32).max))
    return value, fine, "a finite number of at least 0"


def _share(value: float) -> tuple[float, bool, str]:
    return value, 0.0 <= value < 1.0, "in [0, 1)"


@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent, with momentum and Nesterov's variant of it (Keras ``SGD``).

    Args:
        learning_rate: step size.
        momentum: how much of the last step is kept, in [0, 1).
        nesterov: whether to look ahead along the velocity.
    """

    learning_rate: float = 0.01
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        _check("SGD", learning_rate=_rate(self.learning_rate), momentum=_share(self.momentum))

    def rule(self) -> UpdateRule:
        if not self.momentum:
            return UpdateRule("SGD", NEUROMATIC_DOMAIN)
        name = "SGDNesterov" if self.nesterov else "SGDMomentum"
        return UpdateRule(name, NEUROMATIC_DOMAIN, {"momentum": self.momentum}, ("momentum",))


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam (Kingma & Ba 2014; Keras ``Adam``, ONNX ``ai.onnx.preview.training.Adam-1``).

    Args:
        learning_rate: step size.
        beta_1: decay of the mean of gradients.
        beta_2: decay of the mean of squared gradients.
        epsilon: added to the root of the latter.
    """

    learning_rate: float = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    STATES: ClassVar[tuple[str, str]] = ("momentum", "velocity")

    def __post_init__(self) -> None:
        _check(
            "Adam",
            learning_rate=_rate(self.learning_rate),
            beta_1=_share(self.beta_1),
            beta_2=_share(self.beta_2),
            epsilon=(self.epsilon, self.epsilon > 0, "above 0"),
        )

    def rule(self) -> UpdateRule:
        attributes: dict[str, float | str] = {
            "alpha": self.beta_1,
            "beta": self.beta_2,
            "epsilon": self.epsilon,
        }
        return UpdateRule("Adam", TRAINING_DOMAIN, attributes, self.STATES)


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """Gradients divided by the root of the running mean of their squares (Tieleman & Hinton 2012; Keras).

    Args:
        learning_rate: step size.
        rho: decay of the running means, in [0, 1).
        momentum: how much of the last step is kept, in [0, 1).
        epsilon: added to the mean of squares, under the root.
        centered: whether to take the squared mean of gradients off the mean of squares.
    """

    learning_rate: float = 0.001
    rho: float = 0.9
    momentum: float = 0.0
    epsilon: float = 1e-7
    centered: bool = False

    def __post_init__(self) -> None:
        _check(
            "RMSprop",
            learning_rate=_rate(self.learning_rate),
            rho=_share(self.rho),
            momentum=_share(self.momentum),
            epsilon=(self.epsilon, self.epsilon > 0, "above 0"),
        )

    def rule(self) -> UpdateRule:
        name, states = "RMSprop", ["velocity"]
        attributes: dict[str, float | str] = {"rho": self.rho, "epsilon": self.epsilon}
        if self.centered:
            name += "Centered"
        if self.momentum:
            name += "Momentum"
            states.append("momentum")
            attributes["momentum"] = self.momentum
        if self.centered:
            states.append("average_gradient")
        return UpdateRule(name, NEUROMATIC_DOMAIN, attributes, tuple(states))


OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "adam": Adam, "rmsprop": RMSprop}

OptimizerLike = str | type[Optimizer] | Optimizer


def get(optimizer: OptimizerLike, **arguments: Any) -> Optimizer:
    """An optimizer from its Keras name, its class or itself.

    >>> get("sgd", learning_rate=0.1)
    SGD(learning_rate=0.1, momentum=0.0, nesterov=False)

    Raises:
        UnknownNameError: there is none of that name.
    """
    return from_name("optimizer", optimizer, OPTIMIZERS, Optimizer, **arguments)
