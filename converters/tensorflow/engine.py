"""The TensorFlow engine, found by ``neuromatic.engines``; importing this module does not load TensorFlow."""

from __future__ import annotations

import importlib
import logging
import os
import platform
import sys
from collections.abc import Collection, Mapping
from typing import Any

from onnx import ModelProto

from neuromatic._quiet import LEVEL, quiet, wanted
from neuromatic.converters.boundary import raising_our_errors
from neuromatic.engines import Forward, Program
from neuromatic.errors import EngineNotAvailableError

INSTALL = "pip install 'neuromatic[cpu]'"
OPTIONS = {"jit": "auto"}

ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
"""TensorFlow's own variable. Where it is not set, TensorFlow leaves oneDNN off on x86 processors without
AVX-512 VNNI or the like, and its steps are slower there."""


class TensorFlowEngine:
    """Trains ONNX models with TensorFlow.

    Options of :meth:`compile`:

    - ``jit``: compile steps with XLA; ``"auto"`` decides by the model and the device.
    """

    def compile(self, model: ModelProto, *, seed: int, options: Mapping[str, Any]) -> Program:
        """See :class:`neuromatic.engines.Engine`."""
        jit = _jit(options)
        module = importlib.import_module("neuromatic.converters.tensorflow.program")
        with raising_our_errors("TensorFlow cannot take the graph"):
            program: Program = module.TensorFlowProgram(model, seed=seed, jit=jit)
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
        jit = _jit(options) is True
        module = importlib.import_module("neuromatic.converters.tensorflow.forward")
        with raising_our_errors("TensorFlow cannot take the graph"):
            forward: Forward = module.TensorFlowForward(
                model, training=training, updated=updated, seed=seed, jit=jit
            )
        return forward


def _jit(options: Mapping[str, Any]) -> Any:
    """The option ``jit``.

    Raises:
        TypeError: there is another option.
        ValueError: it has another value than it can have.
    """
    if unknown := sorted(set(options) - set(OPTIONS)):
        raise TypeError(f"the tensorflow engine has no option {unknown[0]!r}; it has {sorted(OPTIONS)}")
    jit = options.get("jit", OPTIONS["jit"])
    if jit not in ("auto", True, False):
        raise ValueError(f"jit must be 'auto', True or False, got {jit!r}")
    return jit


def load() -> TensorFlowEngine:
    """The engine, with oneDNN's kernels on every x86 processor unless TF_ENABLE_ONEDNN_OPTS is set.

    TensorFlow's messages are kept off unless its TF_CPP_MIN_LOG_LEVEL is set below 3.

    Raises:
        EngineNotAvailableError: TensorFlow is not installed or does not load.
    """
    os.environ.setdefault(LEVEL, "3")
    if "tensorflow" not in sys.modules and platform.machine() in ("x86_64", "AMD64"):
        os.environ.setdefault(ONEDNN, "1")
    try:
        with quiet(2):
            importlib.import_module("tensorflow")
    except (ImportError, OSError) as error:  # OSError: one of its libraries does not load
        raise EngineNotAvailableError("tensorflow", str(error), INSTALL) from error
    if wanted():
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
    return TensorFlowEngine()
