"""A batch that is one axis together with others: each operator that goes on with it, against onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, parser

from neuromatic.converters.cntk.client import Worker
from neuromatic.converters.cntk.evaluate import run_model
from neuromatic.errors import UnsupportedFeatureError
from tests.converters.cntk.single import TOLERANCE, normal

Array = NDArray[Any]

STORED = (
    "int64[2] rows = {-1, 6}, int64[3] heads = {-1, 4, 6}, int64[3] matrices = {-1, 2, 3}, "
    "int64[4] images = {-1, 1, 2, 3}, float[2,1,2,2] kernel = {1, 2, 3, 4, 0, 1, 0, 1}, int64[1] zero = {0}, "
    "int64[1] one = {1}, int64[1] last = {-1}, int64[1] five = {5}, int64[1] two = {2}, "
    "float[6] bias = {1, 2, 3, 4, 5, 6}, float[1,6] line = {1, 2, 3, 4, 5, 6}, float half = {0.5}, "
    "float[6,2] w = {1, 0, 0, 1, 1, 1, 2, 0, 0, 2, 1, 2}, float[2] c = {1, 2}, int64[2] some = {2, 0}, "
    "int64 second = {1}"
)
TO_ROWS = "r = Reshape(x, rows)"
TO_MATRICES = "r = Reshape(x, matrices)"
TO_IMAGES = "r = Reshape(x, images)"
SWAPPED = "t = Transpose<perm=[1, 0, 2]>(x)  r = Reshape(t, rows)"

BODIES = {
    "as it is": f"{TO_ROWS}  y = Identity(r)",
    "back": f"{TO_ROWS}  a = Relu(r)  y = Reshape(a, heads)",
    "another order": f"{SWAPPED}  y = Tanh(r)",
    "elements": f"{TO_ROWS}  a = Add(r, bias)  b = Mul(line, a)  s = Sigmoid(r)  y = Sub(b, s)",
    "a choice": f"{TO_ROWS}  g = Greater(r, half)  y = Where(g, r, bias)",
    "a cast": f"{TO_ROWS}  y = Cast<to=6>(r)",
    "a number": f"{TO_ROWS}  y = Clip(r, half)",
    "a product with a matrix": f"{TO_ROWS}  y = MatMul(r, w)",
    "Gemm": f"{TO_ROWS}  y = Gemm<alpha=0.5>(r, w, c)",
    "a product of stacks": f"{TO_MATRICES}  t = Transpose<perm=[0, 2, 1]>(r)  y = MatMul(r, t)",
    "softmax": f"{TO_ROWS}  y = Softmax(r)",
    "softmax of an inner axis": f"{TO_MATRICES}  y = Softmax<axis=1>(r)",
    "layer normalization": f"{TO_ROWS}  y = LayerNormalization(r, bias, bias)",
    "batch normalization": f"{TO_MATRICES}  y = BatchNormalization(r, c, c, c, c)",
    "a sum": f"{TO_MATRICES}  y = ReduceSum<keepdims=0>(r, last)",
    "a sum that keeps": f"{TO_MATRICES}  y = ReduceSum<keepdims=1>(r, one)",
    "a mean over the merged": f"{TO_MATRICES}  y = ReduceMean<keepdims=0>(r, zero)",
    "a maximum over the merged": f"{TO_MATRICES}  y = ReduceMax<keepdims=1>(r, zero)",
    "the largest of all": f"{TO_ROWS}  y = ReduceMax<keepdims=0>(r)",
    "parts": f"{TO_ROWS}  a, b = Split<axis=1, num_outputs=2>(r)  y = Concat<axis=-1>(b, r, a)",
    "a slice": f"{TO_ROWS}  y = Slice(r, one, five, last, two)",
    "elements at places": f"{TO_MATRICES}  y = Gather<axis=2>(r, some)",
    "one place": f"{TO_MATRICES}  y = Gather<axis=1>(r, second)",
    "axes more and less": f"{TO_ROWS}  a = Unsqueeze(r, one)  b = Unsqueeze(a, zero)  y = Squeeze(b, zero)",
    "its shape": f"{TO_ROWS}  s = Shape(r)  a = Exp(r)  y = Reshape(a, s)",
    "a table": "h = ReduceSum<keepdims=0>(x, last)  g = Greater(h, half)  i = Cast<to=7>(g)"
    "  j = Reshape(i, last)  y = Gather(w, j)",
    "flattened": "y = Flatten<axis=2>(x)",
    "flattened from the first axis on": "y = Flatten<axis=0>(x)",
    "a convolution": f"{TO_IMAGES}  y = Conv(r, kernel)",
    "a pool": f"{TO_IMAGES}  y = MaxPool<kernel_shape=[2, 2]>(r)",
}


def parsed(body: str, kind: str = "float") -> ModelProto:
    model = parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 18]> '
        f"net (float[N,4,6] x) => ({kind}[] y) <{STORED}> {{ {body} }}"
    )
    model.graph.output[0].type.tensor_type.ClearField("shape")
    return model


@pytest.mark.parametrize("name", BODIES)
def test_matches_onnxruntime(name: str, worker: Worker) -> None:
    model = parsed(BODIES[name], "int32" if name == "a cast" else "float")
    x = normal(5, 4, 6)
    (expected,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    found = run_model(model, {"x": x}, worker, batched=["x"])["y"]
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE)


REFUSED = {
    "work along it": (f"{TO_ROWS}  y = Softmax<axis=0>(r)", "work along the batch merged with 4 elements"),
    "an operator without a rule": (
        f'{TO_MATRICES}  y = Einsum<equation="abc->acb">(r)',
        "a batch merged with 4 other elements of each row",
    ),
    "another batch": (
        f"{TO_ROWS}  h = ReduceSum<keepdims=0>(x, one)  y = Add(r, h)",
        "a batch merged with others meets one that is not",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_go_on_is_refused(name: str, worker: Worker) -> None:
    body, reason = REFUSED[name]
    with pytest.raises(UnsupportedFeatureError, match=reason):
        run_model(parsed(body), {"x": normal(5, 4, 6)}, worker, batched=["x"])
