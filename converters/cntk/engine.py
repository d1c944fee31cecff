"""The CNTK engine, found by ``neuromatic.engines``; importing this module starts nothing."""

from __future__ import annotations

import importlib
import os
from collections.abc import Collection, Mapping
from typing import Any

from onnx import ModelProto

from neuromatic.converters.cntk.batch import with_free_batch
from neuromatic.converters.cntk.environment import Environment, require
from neuromatic.engines import Forward, Program

OPTIONS: dict[str, Any] = {"learner": "auto", "loader": "auto", "threads": None, "timeout": 600.0}
CHOICES = {"learner": ("auto", "recorded"), "loader": ("auto", "builder", "native")}


class CNTKEngine:
    """Trains ONNX models with CNTK, in a process of its own.

    Options of :meth:`compile`:

    - ``threads``: how many CNTK computes with; all cores that this process may use, unless said otherwise.
    - ``timeout``: seconds that any answer of the process may take.
    - ``learner``: ``"auto"`` uses CNTK's own SGD and Adam where they are equal to the recipe's optimizer,
      ``"recorded"`` always runs the optimizer as the recipe defines it.
    - ``loader``: ``"builder"`` builds the model node by node, ``"native"`` lets CNTK import it as ONNX, which
      takes models of few operators. ``"auto"`` is the builder: it takes all that the import takes, and its
      steps are no slower.
    """

    def __init__(self, environment: Environment) -> None:
        self.environment = environment

    def compile(self, model: ModelProto, *, seed: int, options: Mapping[str, Any]) -> Program:
        """See :class:`neuromatic.engines.Engine`."""
        chosen = _chosen(options)
        module = importlib.import_module("neuromatic.converters.cntk.program")
        program: Program = module.CNTKProgram(
            with_free_batch(model),
            start=lambda: self._worker(seed, chosen),
            own_learners=chosen["learner"] == "auto",
            loader="native" if chosen["loader"] == "native" else "builder",
        )
        return program

    def forward(
        self,
        model: ModelProto,
        *,
        training: bool,
        updated: Collection[str],
        seed: int,
        options: Mapping[str, Any],
    ) -> Forward:
        """See :class:`neuromatic.engines.Engine`."""
        worker = self._worker(seed, _chosen(options))
        module = importlib.import_module("neuromatic.converters.cntk.forward")
        free = with_free_batch(model)
        forward: Forward = module.CNTKForward(free, training=training, updated=updated, worker=worker)
        return forward

    def _worker(self, seed: int, chosen: Mapping[str, Any]) -> Any:
        client = importlib.import_module("neuromatic.converters.cntk.client")
        return client.Worker(
            self.environment, threads=chosen["threads"], seed=seed, timeout=float(chosen["timeout"])
        )


def _chosen(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with their defaults.

    Raises:
        TypeError: there is no such option.
        ValueError: it has another value than it can have.
    """
    if unknown := sorted(set(options) - set(OPTIONS)):
        raise TypeError(f"the cntk engine has no option {unknown[0]!r}; it has {sorted(OPTIONS)}")
    chosen = {**OPTIONS, **options}
    for name, known in CHOICES.items():
        if chosen[name] not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}; got {chosen[name]!r}")
    chosen["threads"] = chosen["threads"] or len(os.sched_getaffinity(0))
    if not isinstance(chosen["threads"], int) or chosen["threads"] < 1:
        raise ValueError(f"threads must be a number above 0, got {chosen['threads']!r}")
    return chosen


def load() -> CNTKEngine:
    """The engine.

    Raises:
        EngineNotAvailableError: its environment is not installed or does not work.
    """
    return CNTKEngine(require())
