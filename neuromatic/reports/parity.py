"""Two engines, one recipe: how far apart they end, and which is faster."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from neuromatic.data import rows_of
from neuromatic.errors import EngineNotAvailableError
from neuromatic.ir.parameters import stored_tensors
from neuromatic.ir.tensors import array_of
from neuromatic.recipe.schema import read
from neuromatic.saving.atomic import replacing
from neuromatic.training.callbacks import Callback, Run
from neuromatic.training.history import History

Array = NDArray[Any]


class Trainable(Protocol):
    """What is needed of :class:`neuromatic.Model`, which stands above reports."""

    @property
    def proto(self) -> ModelProto: ...
    @property
    def input_names(self) -> tuple[str, ...]: ...
    @classmethod
    def from_proto(cls, proto: ModelProto, /) -> Self: ...
    @property
    def train(self) -> Callable[..., History]: ...
    def arrays(self, x: Any, y: Any, /) -> Mapping[str, Array]: ...
    def predict(self, x: Any, /) -> Any: ...


class StepTimes(Callback):
    """Seconds for each step; those of the first call of an engine, which compiles, are left out.

    Attributes:
        seconds: of one step, for each call of the engine.
    """

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._last: tuple[float, int] | None = None

    def on_train_batch_end(self, run: Run, step: int, logs: Mapping[str, float]) -> None:
        now = time.perf_counter()
        if self._last is not None and step > self._last[1]:
            self.seconds.append((now - self._last[0]) / (step - self._last[1]))
        self._last = now, step

    def on_epoch_begin(self, run: Run, epoch: int) -> None:
        self._last = None


@dataclass(frozen=True)
class Parity:
    """What training by two engines gave.

    Attributes:
        engines: their names; all ratios and differences are of the second to the first.
        losses: by engine, the loss of each step.
        loss_difference: the largest difference of the losses of one step, relative to the first engine's.
        weight_difference: the largest absolute difference of a trained value, and its name.
        output_difference: the largest absolute difference of a model output for the compared rows.
        step_seconds: by engine, the median time of a step.
    """

    engines: tuple[str, str]
    losses: Mapping[str, Sequence[float]]
    loss_difference: float
    weight_difference: tuple[float, str]
    output_difference: float
    step_seconds: Mapping[str, float]

    @property
    def time_ratio(self) -> float:
        """How many times as long a step takes on the second engine."""
        first, second = (self.step_seconds[name] for name in self.engines)
        return second / first

    def summary(self) -> dict[str, Any]:
        """The numbers alone, for JSON."""
        return {
            "engines": list(self.engines),
            "steps": len(self.losses[self.engines[0]]),
            "loss_difference": self.loss_difference,
            "weight_difference": self.weight_difference[0],
            "weight": self.weight_difference[1],
            "output_difference": self.output_difference,
            "step_seconds": dict(self.step_seconds),
            "time_ratio": self.time_ratio,
        }


def compare(
    model: Trainable,
    x: Any,
    y: Any,
    *,
    engines: tuple[str, str] = ("tensorflow", "cntk"),
    rows: int = 256,
    **settings: Any,
) -> Parity:
    """Train copies of a model on two engines, with the same seed and the same batches.

    Args:
        model: a model with a recipe; it stays as it is.
        x, y: as for :meth:`neuromatic.Model.train`.
        engines: two names.
        rows: how many rows the outputs of the trained models are compared on.
        settings: more arguments of :meth:`neuromatic.Model.train`; ``engine_options`` by engine name.

    Raises:
        ValueError: there are no steps to compare.
        NeuromaticError: as for :meth:`neuromatic.Model.train`.
    """
    options: Mapping[str, Any] = settings.pop("engine_options", None) or {}
    trained, losses, seconds = [], {}, {}
    for engine in engines:
        copy, times = type(model).from_proto(model.proto), StepTimes()
        history = copy.train(
            x, y, engine=engine, engine_options=options.get(engine), callbacks=[times], **settings
        )
        if not history.step_losses:
            raise ValueError("comparing engines needs at least one epoch")
        trained.append(copy)
        losses[engine] = history.step_losses
        seconds[engine] = float(np.median(times.seconds or [float("nan")]))
    first, second = (np.array(losses[engine], np.float64) for engine in engines)
    given = {name: array for name, array in model.arrays(x, y).items() if name in model.input_names}
    kind = rows_of(model.proto)
    inputs = given if kind.whole else kind.take(given, slice(rows))
    outputs = [copy.predict(inputs) for copy in trained]
    return Parity(
        engines,
        losses,
        float((np.abs(second - first) / np.maximum(np.abs(first), np.finfo(np.float32).tiny)).max()),
        _weights(*trained),
        _largest(*outputs),
        seconds,
    )


def engines_options(threads: int | None) -> dict[str, dict[str, Any]]:
    """Options by engine for a number of threads."""
    return {"cntk": {"threads": threads}} if threads else {}


def _weights(first: Trainable, second: Trainable) -> tuple[float, str]:
    """The largest absolute difference of what a recipe updates in the model's graph, and where it is."""
    values = [stored_tensors(model.proto) for model in (first, second)]
    kept = {tensor.name for tensor in first.proto.graph.initializer}
    recipe = read(first.proto)
    updated = recipe.updates if recipe else {}
    found = [
        (_difference(*(array_of(stored[name]) for stored in values)), name)
        for name in updated
        if name in kept
    ]
    return max(found, default=(0.0, ""))


def _difference(first: Array, second: Array) -> float:
    return float(np.abs(first.astype(np.float64) - second.astype(np.float64)).max(initial=0.0))


def _largest(first: Any, second: Any) -> float:
    if isinstance(first, Mapping):
        return max(_difference(first[name], second[name]) for name in first)
    return _difference(first, second)


def draw(parity: Parity, path: Path) -> None:
    """Draw losses and their differences, step by step, into a picture (.png, .svg or .pdf).

    Raises:
        EngineNotAvailableError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise EngineNotAvailableError("matplotlib", str(error), "pip install 'neuromatic[plot]'") from error
    first, second = parity.engines
    figure = Figure(figsize=(8, 6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    steps = np.arange(1, len(parity.losses[first]) + 1)
    above.plot(steps, parity.losses[first], label=first, linewidth=2.5, alpha=0.6)
    above.plot(steps, parity.losses[second], label=second, linewidth=1, color="black")
    above.set_ylabel("loss")
    above.legend()
    above.set_title(
        f"one recipe on {first} and {second}; a step on {second} takes {parity.time_ratio:.2f} as long"
    )
    a, b = (np.array(parity.losses[name]) for name in parity.engines)
    relative = np.abs(b - a) / np.maximum(np.abs(a), np.finfo(np.float32).tiny)
    below.semilogy(steps, np.maximum(relative, 1e-10), color="tab:red", linewidth=1)
    below.axhline(1e-4, color="gray", linestyle="--", linewidth=1)
    below.set_ylabel("relative difference of the loss")
    below.set_xlabel("step")
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], dpi=120)
