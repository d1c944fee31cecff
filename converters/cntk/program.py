"""A training program on CNTK: what the recipe says is recorded here and computed by a worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from neuromatic.converters.cntk.client import Worker
from neuromatic.converters.cntk.evaluate import as_onnx
from neuromatic.converters.cntk.gate import check_forward, is_computed, run_once
from neuromatic.converters.cntk.graph import HostValue, Moment
from neuromatic.converters.cntk.recorder import Kind, Loader, Recorder, Recording, Spec
from neuromatic.engines import Outcome
from neuromatic.errors import DataError, UnsupportedFeatureError

Array = NDArray[Any]
EXACT_INTEGERS = 1 << 24
"""CNTK computes in float32, which has all integers up to here."""
MOST_STEPS = 64
SECONDS_PER_CALL = 0.25
GATE_ROWS = 4


@dataclass(frozen=True)
class CNTKDataset:
    """Data that the worker has mapped.

    Attributes:
        number: under which the worker knows them.
        spec: names, shapes and types.
        fed: names of what the worker has: data, and what was computed from them.
        head: the first rows.
    """

    number: int
    spec: Spec
    fed: frozenset[str]
    head: Mapping[str, Array]


class CNTKProgram:
    """See :class:`neuromatic.engines.Program`.

    Args:
        model: a model with a recipe.
        start: starts a worker; called when data arrive, after everything could be recorded for them.
        own_learners, loader: see :class:`Recorder`.
    """

    def __init__(
        self,
        model: ModelProto,
        *,
        start: Callable[[], Worker],
        own_learners: bool = True,
        loader: Loader = "builder",
    ) -> None:
        self.recorder = Recorder(model, own_learners=own_learners, loader=loader)
        self.model, self.recipe = model, self.recorder.recipe
        self.steps_per_call = 1
        self._step = self.recorder.first_step
        self._recorded: dict[tuple[Kind, Spec], Recording] = {}
        self._built: dict[tuple[Kind, Spec], str] = {}
        self._start = start
        self._worker: Worker | None = None
        self._gated = False

    # -- the Program protocol ----------------------------------------------------------------------

    def load(self, arrays: Mapping[str, Array], whole: Collection[str] = ()) -> CNTKDataset:
        """Hand data over. A worker starts with the first, once all graphs could be recorded for them."""
        for name in sorted(whole):
            raise UnsupportedFeatureError(
                f"cntk takes its inputs row by row; {name!r} of shape {arrays[name].shape} has no batch "
                f"axis, or rows that depend on each other: train with engine='tensorflow'"
            )
        spec = tuple((name, a.shape[1:], a.dtype.name) for name, a in arrays.items())
        head = {name: array[:GATE_ROWS] for name, array in arrays.items()}
        complete = {t.name for t in self.recipe.targets} <= arrays.keys()
        kinds: tuple[Kind, ...] = ("predict", "train", "evaluate") if complete else ("predict",)
        recordings: dict[Kind, Recording] = {kind: self._record(kind, spec, head) for kind in kinds}
        fed = self.recorder.prepare(recordings, arrays)
        for name, array in fed.items():
            _check_integers(name, array)
        for kind in kinds:
            self._program(kind, spec)
        return CNTKDataset(self.worker.load(fed), spec, frozenset(fed), head)

    def train(
        self, dataset: CNTKDataset, rows: NDArray[np.int64], learning_rates: NDArray[np.float32]
    ) -> Outcome:
        """Run a step for each line of ``rows``."""
        if not self._gated:
            check_forward(self, dataset)
            self._gated = True
        name, recording = self._program("train", dataset.spec)
        first, moments = self._step, []
        for rate in learning_rates:
            moments.append(Moment(rows.shape[1], self._step, float(rate)))
            follows = recording.next_step
            self._step = self._step + 1 if follows is None else int(follows.at(moments[-1]))
        started = time.perf_counter()
        feeds = recording.feeds(moments)
        results = self.worker.train(name, dataset.number, rows, learning_rates, feeds, first)
        seconds = (time.perf_counter() - started) / len(rows)
        self.steps_per_call = int(np.clip(SECONDS_PER_CALL / seconds, 1, MOST_STEPS))
        return self._outcome(results)

    def evaluate(self, dataset: CNTKDataset, rows: NDArray[np.int64]) -> Outcome:
        """Loss and sums for each line of ``rows``, in inference form."""
        return self._outcome(self._run("evaluate", dataset, rows)[1])

    def predict(
        self, dataset: CNTKDataset, rows: NDArray[np.int64], values: Sequence[str] | None = None
    ) -> dict[str, Array]:
        """The model's outputs for some rows, but for those that have operators without a lowering."""
        if values is not None:
            return self._shown(dataset, rows, values)
        recording, results = self._run("predict", dataset, rows[None])
        outputs = zip(self.recorder.outputs, results, recording.outputs, strict=True)
        return {name: as_onnx(value[0], tensor) for name, value, tensor in outputs}

    def _shown(self, dataset: CNTKDataset, rows: NDArray[np.int64], names: Sequence[str]) -> dict[str, Array]:
        """Some values of the inference graph, those that CNTK's worker, the host or nobody computes."""
        recording = self.recorder.record("predict", dataset.spec, dataset.head)
        moment = Moment(len(rows), self._step)
        known = {n: recording.values[n] for n in names if n in recording.values}
        tensors = {n: v for n, v in known.items() if is_computed(recording, n, dataset)}
        known = {n: v for n, v in known.items() if n in tensors or isinstance(v, (HostValue, np.ndarray))}
        results = run_once(self.worker, recording, dataset.number, rows, moment, list(tensors.values()))
        found = {n: v.at(moment) if isinstance(v, HostValue) else v for n, v in known.items()}
        return found | dict(zip(tensors, results, strict=True))

    @property
    def steps_done(self) -> int:
        """What the step counter says."""
        return self._step

    @steps_done.setter
    def steps_done(self, count: int) -> None:
        self._step = count

    def parameters(self) -> dict[str, Array]:
        """The current value of everything the recipe updates."""
        names = [name for name in self.recipe.updates if name in self.recorder.cells]
        found = self.worker.read(names)
        if self.recipe.step:
            found[self.recipe.step] = np.array(self._step, np.int64)
        return found

    def assign(self, parameters: Mapping[str, Array]) -> None:
        """Replace parameters by name."""
        if self.recipe.step and self.recipe.step in parameters:
            self._step = int(parameters[self.recipe.step])
        self.worker.assign(dict(parameters))

    def close(self) -> None:
        """End the worker."""
        if self._worker is not None:
            self._worker.close()

    # -- the worker --------------------------------------------------------------------------------

    @property
    def worker(self) -> Worker:
        """The worker, with all parameters and states; started when first asked for."""
        if self._worker is None:
            self._worker = self._start()
            counter = {self.recipe.step: np.array(self._step)} if self.recipe.step else {}
            self._worker.define(self.recorder.cells | counter, self.recipe.trainable)
        return self._worker

    def _record(self, kind: Kind, spec: Spec, head: Mapping[str, Array]) -> Recording:
        """The recorded graph of a kind for data of some shapes."""
        if (kind, spec) not in self._recorded:
            self._recorded[kind, spec] = self.recorder.record(kind, spec, head)
        return self._recorded[kind, spec]

    def _program(self, kind: Kind, spec: Spec) -> tuple[str, Recording]:
        """The built graph of a kind for data of some shapes, which were loaded."""
        recording = self._recorded[kind, spec]
        if (kind, spec) not in self._built:
            self._built[kind, spec] = name = f"{kind} {len(self._built)}"
            self.worker.build(name, recording.graph, recording.header)
        return self._built[kind, spec], recording

    def _run(
        self, kind: Kind, dataset: CNTKDataset, rows: NDArray[np.int64]
    ) -> tuple[Recording, list[Array]]:
        name, recording = self._program(kind, dataset.spec)
        feeds = recording.feeds([Moment(rows.shape[1], self._step)] * len(rows))
        return recording, self.worker.run(name, dataset.number, rows, feeds, self._step)

    def _outcome(self, results: list[Array]) -> Outcome:
        losses, *sums = results
        named = zip(self.recipe.metrics, sums, strict=True)
        return Outcome(losses, {metric.name: values for metric, values in named})


def _check_integers(name: str, array: Array) -> None:
    """Refuse integers that float32 would round.

    Raises:
        DataError: names the data and the first such number.
    """
    if array.dtype.kind in "iu" and array.size:
        low, high = array.min(), array.max()
        if high > EXACT_INTEGERS or low < -EXACT_INTEGERS:
            worst = high if high > EXACT_INTEGERS else low
            raise DataError(f"{name!r} holds {worst}; CNTK computes in float32, exact up to {EXACT_INTEGERS}")
