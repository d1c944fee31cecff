"""Conformance cases that an engine does not pass, each with its reason.

A test fails when one of them starts to pass.
"""

from __future__ import annotations

import re

_UINT4 = "a negative float as uint4 is undefined; TensorFlow gives 0"
_E8M0 = "TensorFlow has no float8_e8m0"
_RANDOM = "drawn with another generator than numpy's; TensorFlow's is seeded by run, step and node"
_MASK = "its mask is drawn with another generator than numpy's"
_FNUZ = "TensorFlow does not compute with float8 fnuz types"
_FLOAT4 = "TensorFlow does not compute with float4"
_INT2 = "TensorFlow does not compute with 2-bit integers"

TENSORFLOW: dict[str, str] = {
    "test_cast_FLOAT16_to_UINT4": _UINT4,
    "test_castlike_FLOAT16_to_UINT4": _UINT4,
    "test_castlike_FLOAT16_to_UINT4_expanded": _UINT4,
    "test_cast_e8m0_FLOAT8E8M0_to_FLOAT": _E8M0,
    "test_cast_e8m0_FLOAT8E8M0_to_FLOAT16": _E8M0,
    "test_cast_e8m0_FLOAT_to_FLOAT8E8M0": _E8M0,
    "test_cast_e8m0_FLOAT16_to_FLOAT8E8M0": _E8M0,
    "test_bernoulli": _RANDOM,
    "test_bernoulli_expanded": _RANDOM,
    "test_bernoulli_double": _RANDOM,
    "test_bernoulli_double_expanded": _RANDOM,
    "test_bernoulli_seed": _RANDOM,
    "test_bernoulli_seed_expanded": _RANDOM,
    "test_training_dropout_default": _MASK,
    "test_training_dropout_default_mask": _MASK,
    "test_training_dropout": _MASK,
    "test_training_dropout_mask": _MASK,
    "test_cast_FLOAT_to_FLOAT8E4M3FNUZ": _FNUZ,
    "test_cast_FLOAT16_to_FLOAT8E4M3FNUZ": _FNUZ,
    "test_cast_FLOAT8E4M3FNUZ_to_FLOAT": _FNUZ,
    "test_cast_FLOAT8E4M3FNUZ_to_FLOAT16": _FNUZ,
    "test_cast_FLOAT_to_FLOAT8E5M2FNUZ": _FNUZ,
    "test_cast_FLOAT16_to_FLOAT8E5M2FNUZ": _FNUZ,
    "test_cast_FLOAT8E5M2FNUZ_to_FLOAT": _FNUZ,
    "test_cast_FLOAT8E5M2FNUZ_to_FLOAT16": _FNUZ,
    "test_cast_no_saturate_FLOAT_to_FLOAT8E4M3FNUZ": _FNUZ,
    "test_cast_no_saturate_FLOAT_to_FLOAT8E5M2FNUZ": _FNUZ,
    "test_cast_no_saturate_FLOAT16_to_FLOAT8E4M3FNUZ": _FNUZ,
    "test_cast_no_saturate_FLOAT16_to_FLOAT8E5M2FNUZ": _FNUZ,
    "test_castlike_FLOAT_to_FLOAT8E4M3FNUZ": _FNUZ,
    "test_castlike_FLOAT_to_FLOAT8E4M3FNUZ_expanded": _FNUZ,
    "test_castlike_FLOAT16_to_FLOAT8E4M3FNUZ": _FNUZ,
    "test_castlike_FLOAT16_to_FLOAT8E4M3FNUZ_expanded": _FNUZ,
    "test_castlike_FLOAT8E4M3FNUZ_to_FLOAT": _FNUZ,
    "test_castlike_FLOAT8E4M3FNUZ_to_FLOAT_expanded": _FNUZ,
    "test_castlike_FLOAT8E4M3FNUZ_to_FLOAT16": _FNUZ,
    "test_castlike_FLOAT8E4M3FNUZ_to_FLOAT16_expanded": _FNUZ,
    "test_castlike_FLOAT_to_FLOAT8E5M2FNUZ": _FNUZ,
    "test_castlike_FLOAT_to_FLOAT8E5M2FNUZ_expanded": _FNUZ,
    "test_castlike_FLOAT16_to_FLOAT8E5M2FNUZ": _FNUZ,
    "test_castlike_FLOAT16_to_FLOAT8E5M2FNUZ_expanded": _FNUZ,
    "test_castlike_FLOAT8E5M2FNUZ_to_FLOAT": _FNUZ,
    "test_castlike_FLOAT8E5M2FNUZ_to_FLOAT_expanded": _FNUZ,
    "test_castlike_FLOAT8E5M2FNUZ_to_FLOAT16": _FNUZ,
    "test_castlike_FLOAT8E5M2FNUZ_to_FLOAT16_expanded": _FNUZ,
    "test_castlike_no_saturate_FLOAT_to_FLOAT8E4M3FNUZ": _FNUZ,
    "test_castlike_no_saturate_FLOAT_to_FLOAT8E4M3FNUZ_expanded": _FNUZ,
    "test_castlike_no_saturate_FLOAT_to_FLOAT8E5M2FNUZ": _FNUZ,
    "test_castlike_no_saturate_FLOAT_to_FLOAT8E5M2FNUZ_expanded": _FNUZ,
    "test_castlike_no_saturate_FLOAT16_to_FLOAT8E4M3FNUZ": _FNUZ,
    "test_castlike_no_saturate_FLOAT16_to_FLOAT8E4M3FNUZ_expanded": _FNUZ,
    "test_castlike_no_saturate_FLOAT16_to_FLOAT8E5M2FNUZ": _FNUZ,
    "test_castlike_no_saturate_FLOAT16_to_FLOAT8E5M2FNUZ_expanded": _FNUZ,
    "test_cast_FLOAT4E2M1_to_FLOAT": _FLOAT4,
    "test_cast_FLOAT4E2M1_to_FLOAT16": _FLOAT4,
    "test_cast_FLOAT_to_FLOAT4E2M1": _FLOAT4,
    "test_cast_FLOAT16_to_FLOAT4E2M1": _FLOAT4,
    "test_castlike_FLOAT4E2M1_to_FLOAT": _FLOAT4,
    "test_castlike_FLOAT4E2M1_to_FLOAT_expanded": _FLOAT4,
    "test_castlike_FLOAT4E2M1_to_FLOAT16": _FLOAT4,
    "test_castlike_FLOAT4E2M1_to_FLOAT16_expanded": _FLOAT4,
    "test_castlike_FLOAT_to_FLOAT4E2M1": _FLOAT4,
    "test_castlike_FLOAT_to_FLOAT4E2M1_expanded": _FLOAT4,
    "test_castlike_FLOAT16_to_FLOAT4E2M1": _FLOAT4,
    "test_castlike_FLOAT16_to_FLOAT4E2M1_expanded": _FLOAT4,
    "test_quantizelinear_float4e2m1": _FLOAT4,
    "test_dequantizelinear_float4e2m1": _FLOAT4,
    "test_quantizelinear_uint2": _INT2,
    "test_quantizelinear_int2": _INT2,
    "test_dequantizelinear_uint2": _INT2,
    "test_dequantizelinear_int2": _INT2,
    "test_cast_FLOAT_to_UINT2": _INT2,
    "test_cast_FLOAT16_to_UINT2": _INT2,
    "test_cast_FLOAT_to_INT2": _INT2,
    "test_cast_FLOAT16_to_INT2": _INT2,
    "test_cast_UINT2_to_FLOAT": _INT2,
    "test_cast_UINT2_to_FLOAT16": _INT2,
    "test_cast_UINT2_to_UINT8": _INT2,
    "test_cast_INT2_to_FLOAT": _INT2,
    "test_cast_INT2_to_FLOAT16": _INT2,
    "test_cast_INT2_to_INT8": _INT2,
    "test_castlike_FLOAT_to_UINT2": _INT2,
    "test_castlike_FLOAT_to_UINT2_expanded": _INT2,
    "test_castlike_FLOAT16_to_UINT2": _INT2,
    "test_castlike_FLOAT16_to_UINT2_expanded": _INT2,
    "test_castlike_FLOAT_to_INT2": _INT2,
    "test_castlike_FLOAT_to_INT2_expanded": _INT2,
    "test_castlike_FLOAT16_to_INT2": _INT2,
    "test_castlike_FLOAT16_to_INT2_expanded": _INT2,
    "test_castlike_UINT2_to_FLOAT": _INT2,
    "test_castlike_UINT2_to_FLOAT_expanded": _INT2,
    "test_castlike_UINT2_to_FLOAT16": _INT2,
    "test_castlike_UINT2_to_FLOAT16_expanded": _INT2,
    "test_castlike_UINT2_to_UINT8": _INT2,
    "test_castlike_UINT2_to_UINT8_expanded": _INT2,
    "test_castlike_INT2_to_FLOAT": _INT2,
    "test_castlike_INT2_to_FLOAT_expanded": _INT2,
    "test_castlike_INT2_to_FLOAT16": _INT2,
    "test_castlike_INT2_to_FLOAT16_expanded": _INT2,
    "test_castlike_INT2_to_INT8": _INT2,
    "test_castlike_INT2_to_INT8_expanded": _INT2,
}

OTHER_VALUES = frozenset({_UINT4, _MASK})
"""Reasons for which a case runs and gives other values; for all others it is refused."""

NOT_LOWERED: dict[str, str] = {}
"""Schema versions, such as ``Conv-22``, of lowered operators that have no lowering."""

_NARROW = (
    "CNTK computes in float32; numbers of fewer than eight bits, and floats of eight, are not rounded to"
)
_EMPTY = "CNTK has no tensors without elements"

CNTK: dict[str, str] = {
    r"test_cast(like)?_(no_saturate_|e8m0_)?.*(FLOAT8|FLOAT4|INT4|INT2).*": _NARROW,
    r"test_causal_conv_with_state_kernel_size_one(_expanded)?": _EMPTY,
    r"test_slice_start_out_of_bounds": _EMPTY,
    r"test_bernoulli.*": "numbers are drawn for the rows of a batch, by a generator other than numpy's",
    r"test_training_dropout(_default)?(_mask)?": "a mask is drawn in training steps alone",
    r"test_gathernd_example_int32_batch_dim1": "CNTK takes elements at places of each row by Gather alone",
    r"test_maxpool_with_argmax_.*": "CNTK does not tell where the largest elements are",
}
"""By pattern of names. CNTK refuses all of them; none gives a wrong value."""


_ORT_FLOAT8 = "onnxruntime rounds and saturates otherwise"
_ORT = "onnxruntime gives other values"

HOST: dict[str, str] = {
    r"test_bernoulli.*": "numbers are drawn for the rows of a batch, by a generator other than numpy's",
    r"test_training_dropout.*": "a mask is drawn in training steps alone",
    r"test_cast_(no_saturate_)?FLOAT(16)?_to_FLOAT8E4M3FN": _ORT_FLOAT8,
    r"test_castlike_(no_saturate_)?FLOAT(16)?_to_FLOAT8E4M3FN_expanded": _ORT_FLOAT8,
    r"test_dft_(axis_|inverse_|rfft_|irfft_)?opset19": _ORT,
    r"test_if_opt": _ORT,
    r"test_maxunpool_export_with_output_shape": _ORT,
}
"""By pattern of names, the cases that neither CNTK passes nor onnxruntime in its place."""


def host_reason(name: str) -> str | None:
    """Why the host does not pass a case in CNTK's place; None if it has to."""
    return next((reason for pattern, reason in HOST.items() if re.fullmatch(pattern, name)), None)


def cntk_reason(name: str) -> str | None:
    """Why CNTK does not pass a case; None if it has to."""
    return next((reason for pattern, reason in CNTK.items() if re.fullmatch(pattern, name)), None)
