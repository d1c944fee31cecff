"""Any inference graph as the opset 9 that CNTK's own ONNX import reads correctly."""

from __future__ import annotations

from collections.abc import Collection

import onnx.checker
from onnx import ModelProto

from neuromatic.converters.formats.onnx_file import default_opset
from neuromatic.converters.normalize.arithmetic import (
    explicit_reductions,
    gemm_to_matmul,
    last_axis_softmax,
    simple_powers,
    strict_comparisons,
    two_operands,
)
from neuromatic.converters.normalize.constants import fold_constants
from neuromatic.converters.normalize.forms import ENGINE, forms_and_problems
from neuromatic.converters.normalize.gathers import constant_gathers, embeddings_to_matmul
from neuromatic.converters.normalize.graph import Pass
from neuromatic.converters.normalize.native import name_outputs, native_problems
from neuromatic.converters.normalize.norms import decompose_norms
from neuromatic.converters.normalize.shapes import (
    plain_moves,
    positive_axes,
    relative_reshapes,
    shape_only,
    split_to_slices,
)
from neuromatic.converters.normalize.structure import (
    drop_identities,
    drop_unused,
    expand_functions,
    free_batch,
    inline_functions,
    name_nodes,
)
from neuromatic.converters.normalize.windows import explicit_pads, separate_biases
from neuromatic.errors import UnsupportedFeatureError, UnsupportedOpError

OLDEST_OPSET = 7
IR_VERSION = 4
"""The one that opset 9 came with."""

PASSES: tuple[Pass, ...] = (
    inline_functions,
    drop_unused,
    fold_constants,
    relative_reshapes,  # while a fixed batch size can be recognised in targets
    shape_only,
    free_batch,
    expand_functions,
    decompose_norms,
    plain_moves,
    fold_constants,
    drop_identities,
    explicit_pads,
    separate_biases,
    positive_axes,
    constant_gathers,
    embeddings_to_matmul,
    split_to_slices,
    two_operands,
    simple_powers,
    strict_comparisons,
    gemm_to_matmul,
    explicit_reductions,
    last_axis_softmax,
    shape_only,
    relative_reshapes,
    fold_constants,
)
"""What comes before the change of opset, in order; each gives what the next one needs."""


def to_opset9(model: ModelProto, *, keep: Collection[str]) -> ModelProto:
    """A model that computes the same with the operators of opset 9 that CNTK imports correctly.

    Inputs, outputs and parameters keep their names, parameters also their values; every input gets the same
    symbolic leading dimension, and every node the name of its first output.

    Args:
        model: an inference graph of opset 7 or newer; a recipe in it is left out.
        keep: the initializers that stay as they are: parameters, running statistics.

    Raises:
        UnsupportedOpError: nodes cannot be said so; it names all of them.
        UnsupportedFeatureError: an input has no leading dimension, an initializer is sparse, or the opset is
            older than 7.
    """
    if default_opset(model) < OLDEST_OPSET:
        raise UnsupportedFeatureError(
            f"the model has opset {default_opset(model)}; {ENGINE} takes {OLDEST_OPSET} and newer"
        )
    if model.graph.sparse_initializer:
        raise UnsupportedFeatureError(f"the model has sparse initializers, which {ENGINE} does not take")
    for one in PASSES:
        model = one(model, keep)
    model, problems = forms_and_problems(model, keep)
    problems |= native_problems(model, keep, problems.keys())
    if problems:
        raise UnsupportedOpError(ENGINE, list(problems.values()))
    model = name_nodes(drop_unused(name_outputs(model, keep), keep))
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return model
