"""What an engine is, and the one place where an engine is found by its name.

An engine turns a model with a recipe into a :class:`Program`; the program trains, and nothing else about
training is engine code. Data are handed over once, then steps refer to rows by number, so that an engine may
keep them on its device or read them itself, and several steps may run in one call.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from neuromatic._interrupts import interrupts_after
from neuromatic.errors import UnknownNameError

Array = NDArray[Any]


@dataclass(frozen=True)
class Outcome:
    """What some steps gave.

    Attributes:
        loss: the loss of each step, (steps,) float32.
        sums: for each metric, by name, the sums of each step, (steps, k) float32.
    """

    loss: NDArray[np.float32]
    sums: Mapping[str, NDArray[np.float32]]


class Dataset(Protocol):
    """Data that were handed to a program; what it is inside is the engine's affair."""


class Program(Protocol):
    """A compiled training program and its current parameters."""

    steps_per_call: int
    """How many steps the engine likes to run in one call of :meth:`train`."""
    steps_done: int
    """How many steps there have been; numbers the random draws of a recipe that counts none itself."""

    def load(self, arrays: Mapping[str, Array], whole: Collection[str] = ()) -> Any:
        """Hand over data, an array for each input and target; returns the dataset.

        Args:
            arrays: of equal length.
            whole: names of those that have no rows: each step gets all of them.

        Raises:
            UnsupportedFeatureError: the engine takes rows only.
        """
        ...

    def train(self, dataset: Any, rows: NDArray[np.int64], learning_rates: NDArray[np.float32]) -> Outcome:
        """Run one training step for each line of ``rows`` (steps, batch size), with its learning rate."""
        ...

    def evaluate(self, dataset: Any, rows: NDArray[np.int64]) -> Outcome:
        """Loss and metrics in inference form for each line of ``rows``; changes nothing."""
        ...

    def predict(
        self, dataset: Any, rows: NDArray[np.int64], values: Sequence[str] | None = None
    ) -> dict[str, Array]:
        """The model's outputs, by name, for some rows (n,), in inference form.

        Outputs that the engine lacks operators for, and that training does not need, are left out.

        Args:
            values: other values of the inference graph to give instead, as far as the outputs depend on them.
        """
        ...

    def parameters(self) -> dict[str, Array]:
        """The current value of every initializer that the recipe updates, by name."""
        ...

    def assign(self, parameters: Mapping[str, Array]) -> None:
        """Replace parameters by name."""

    def close(self) -> None:
        """Release what the program holds."""


class Forward(Protocol):
    """A model's graph, ready to be run forward."""

    def run(self, inputs: Mapping[str, Array], batched: Collection[str], step: int) -> dict[str, Array]:
        """The outputs of one batch, by name.

        Outputs that the engine lacks operators for are left out.

        Args:
            inputs: an array for each input.
            batched: names of those whose first axis is the batch.
            step: numbers the random draws.
        """
        ...

    def close(self) -> None:
        """Release what it holds."""


class Engine(Protocol):
    """An engine that can train ONNX models."""

    def compile(self, model: ModelProto, *, seed: int, options: Mapping[str, Any]) -> Program:
        """A program for a model with a recipe.

        Raises:
            UnsupportedOpError: some nodes have no lowering on this engine; it lists them all.
            TypeError: an option that this engine does not know.
        """
        ...

    def forward(
        self,
        model: ModelProto,
        *,
        training: bool,
        updated: Collection[str],
        seed: int,
        options: Mapping[str, Any],
    ) -> Forward:
        """The graph of a model without a recipe.

        Args:
            model: an ONNX model.
            training: whether Dropout, BatchNormalization and the like have their training meaning.
            updated: initializers that a training step would replace; BatchNormalization takes the statistics
                of a batch only if its running ones are among them.
            seed: determines what is drawn at random.
            options: as for :meth:`compile`.

        Raises:
            UnsupportedOpError: some nodes have no lowering on this engine, so that no output can be computed.
            TypeError: an option that this engine does not know.
        """
        ...


ENGINES = {
    "tensorflow": "neuromatic.converters.tensorflow.engine",
    "cntk": "neuromatic.converters.cntk.engine",
}
"""The modules that hold an ``engine`` object, by engine name."""


def find(name: str) -> Engine:
    """The engine of that name; this imports it.

    Raises:
        UnknownNameError: there is no such engine.
        EngineNotAvailableError: it is not installed; says how to install it.
    """
    if name not in ENGINES:
        raise UnknownNameError("engine", name, ENGINES)
    with interrupts_after():
        module = importlib.import_module(ENGINES[name])
        engine: Engine = module.load()
    return engine
