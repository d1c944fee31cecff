"""Versions of ONNX' operators and files, and the names of domains."""

from __future__ import annotations

from onnx import (
    ModelProto,
    helper,
)

from neuromatic.errors import ModelError, ShapeError

DEFAULT_OPSET = 17
DEFAULT_IR_VERSION = 8
BATCH = "batch"
NEUROMATIC_DOMAIN = "neuromatic"
TRAINING_DOMAIN = "ai.onnx.preview.training"
TRAINING_SUFFIX = "_training"
"""A model-local function of NEUROMATIC_DOMAIN named so is what a training step runs for its namesake."""


class OpsetTooLowError(ModelError):
    """An operator does not exist yet at the builder's opset; building again at ``needed`` helps."""

    def __init__(self, op: str, opset: int, needed: int) -> None:
        self.op, self.needed = op, needed
        super().__init__(f"{op} needs opset {needed}; the model is built for opset {opset}")


class TypeNotTakenError(ShapeError):
    """An operator does not take the types it is given, or not yet at the builder's opset."""


def ir_version_for(opset: int) -> int:
    """The lowest IR version, from Neuromatic's default up, that may carry an opset version.

    ``onnx.helper.make_model`` would write the newest one, which older runtimes refuse.
    """
    return max(DEFAULT_IR_VERSION, helper.find_min_ir_version_for([helper.make_opsetid("", opset)]))


def opset_of(model: ModelProto) -> int | None:
    """The version of ONNX' own operators that a model imports, if it imports one."""
    return next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), None)
