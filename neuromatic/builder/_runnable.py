"""Whether onnxruntime takes a model: asked when a file is loaded, and by all that only looks at one."""

from __future__ import annotations

from onnx import ModelProto

from neuromatic.errors import InvalidModelError
from neuromatic.inference import refusal
from neuromatic.ir.inference_form import inference_form
from neuromatic.ir.opsets import opset_of
from neuromatic.ir.types import combined
from neuromatic.recipe.sections import strip
from neuromatic.saving.sizes import check_sizes

LOWEST_OPSET = 7
"""The oldest operators that onnxruntime has."""


def runtime_refusal(model: ModelProto) -> str | None:
    """Why onnxruntime does not take the inference graph; None if it does, or is not installed.

    Large initializers are inputs for this, so that it takes little time and memory; where onnxruntime wants
    to see them, the whole model decides.
    """
    types = combined(model, weights=False, training=False)
    reason = refusal(inference_form(strip(types)))
    if reason is not None and len(types.graph.initializer) < len(model.graph.initializer):
        reason = refusal(inference_form(strip(model)))
    opset = opset_of(model)
    if reason is None or opset is None or opset >= LOWEST_OPSET:
        return reason
    return f"{reason}; it needs opset {LOWEST_OPSET} or newer and the model has {opset}: export it anew"


def problem_of(model: ModelProto) -> str | None:
    """One sentence on why a model that was loaded without a check cannot run; None where nothing is known."""
    try:
        check_sizes(model)
    except InvalidModelError as error:
        return str(error)
    reason = runtime_refusal(model)
    return None if reason is None else f"onnxruntime refuses the model: {reason}"
