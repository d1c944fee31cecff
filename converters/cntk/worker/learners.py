"""How parameters move: CNTK's own learners where they mean the same, else the recorded update graph.

CNTK divides the gradients it passes to a learner by the number of samples, unless there is one: the loss of
a recipe is a number for the whole batch, so that every update counts as one sample.
"""

import importlib
from typing import Any, Dict

import numpy as np

# By name, for type checkers take ``import cntk`` for the folder that this one is in.
C: Any = importlib.import_module("cntk")
_to_cntk_dict_value: Any = importlib.import_module("cntk.internal.utils")._to_cntk_dict_value

S = C.learning_parameter_schedule
M = C.momentum_schedule

SMALLEST_RATE = 1e-30
"""In place of 0, at which CNTK skips an update, so that a velocity would not decay."""


class BuiltIn:
    """SGD, momentum, Nesterov or Adam by CNTK's own learner, whose state is read and set by name.

    CNTK keeps Keras' velocity with the other sign, and Adam's two means stacked, that of squares first.
    """

    def __init__(self, kind: Any, parameters: Any, states: Any, settings: Any, cells: Any) -> None:
        self.kind, self.parameters, self.states, self.cells = kind, parameters, states, cells
        self.count = cells[settings["step"]] if kind == "adam" else None
        self.learner = self._make(kind, parameters, settings)
        self.rate = None
        self.restore()

    @staticmethod
    def _make(kind: Any, parameters: Any, settings: Any) -> Any:
        if kind == "sgd":
            return C.sgd(parameters, S(0.0))
        if kind == "momentum":
            return C.momentum_sgd(parameters, S(0.0), M(settings["momentum"]), unit_gain=False)
        if kind == "nesterov":
            return C.nesterov(parameters, S(0.0), M(settings["momentum"]), unit_gain=False)
        return C.adam(
            parameters,
            S(0.0),
            M(settings["alpha"]),
            unit_gain=True,
            variance_momentum=M(settings["beta"]),
            epsilon=settings["epsilon"],
        )

    def update(self, gradients: Any, rate: Any) -> None:
        if rate != self.rate:
            self.learner.reset_learning_rate(S(max(rate, SMALLEST_RATE)))
            self.rate = rate
        self.learner.update(gradients, 1, False)

    def restore(self) -> None:
        """Give the learner the state that the cells hold."""
        if not self.states:
            return
        values = [[self.cells[name].value for name in names] for names in self.states]
        if self.kind == "adam":
            kept = [np.concatenate([np.atleast_1d(h), np.atleast_1d(v)]) for v, h in values]
        else:
            kept = [-velocity for (velocity,) in values]
        checkpoint = self.learner.create_checkpoint()
        shapes = [array.shape for array in checkpoint["smoothed_gradients"]]
        kept = [array.reshape(shape) for array, shape in zip(kept, shapes)]
        checkpoint["smoothed_gradients"] = _to_cntk_dict_value(kept)
        if self.count is not None:
            checkpoint["smoothed_count"] = _to_cntk_dict_value(float(self.count.value))
        self.learner.restore_from_checkpoint(checkpoint)

    def read(self) -> Dict[str, Any]:
        """The state by name."""
        if not self.states:
            return {}
        kept = self.learner.create_checkpoint()["smoothed_gradients"]
        found: Dict[str, Any] = {}
        for parameter, names, array in zip(self.parameters, self.states, kept):
            parts = np.split(array, 2)[::-1] if self.kind == "adam" else [-array]
            found.update((name, part.reshape(parameter.shape)) for name, part in zip(names, parts))
        return found


class Recorded:
    """Any update, as it was recorded; its state is in the cells."""

    def __init__(self, parameters: Any, build: Any) -> None:
        self.learner = C.universal(build, parameters)

    def update(self, gradients: Any, rate: Any) -> None:
        self.learner.update(gradients, 1, False)

    def restore(self) -> None:
        pass

    def read(self) -> Dict[str, Any]:
        return {}
