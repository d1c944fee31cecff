"""What ``onnx`` raises about a model that is wrong; its parts have no exception in common."""

from __future__ import annotations

import onnx.checker
import onnx.shape_inference
import onnx.version_converter
from google.protobuf.message import DecodeError, EncodeError

ONNX_ERRORS: tuple[type[Exception], ...] = (
    onnx.checker.ValidationError,
    onnx.shape_inference.InferenceError,
    onnx.version_converter.ConvertError,
    DecodeError,
    EncodeError,
    ValueError,  # UnicodeDecodeError is one
    TypeError,
    LookupError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
)
"""To be caught around calls of ``onnx`` on what a file says, and turned into an error of ours there."""


def reason_of(error: BaseException) -> str:
    """The first line of an exception's text, or what it is where it has none."""
    text = str(error).strip()
    return text.splitlines()[0] if text else repr(error)
