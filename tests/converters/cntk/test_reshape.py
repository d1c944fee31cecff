"""Shape, order and size of tensors on CNTK."""

from __future__ import annotations

import numpy as np
import onnx.parser
import onnxruntime
import pytest

from neuromatic.converters.cntk.client import Worker
from neuromatic.converters.cntk.evaluate import run_model
from neuromatic.errors import UnsupportedFeatureError
from tests.converters.cntk.single import Array, check, normal

LAST = np.iinfo(np.int64).max


def _ints(*values: int) -> Array:
    return np.array(values, np.int64)


@pytest.mark.parametrize(
    ("shape", "target"),
    [
        ((3, 4, 5), (-1, 20)),
        ((3, 4, 5), (0, -1)),
        ((3, 4, 5), (0, 2, -1, 5)),
        ((3, 4, 5), (-1, 4, 5, 1)),
        ((3, 4), (1, -1, 2, 2)),
    ],
)
def test_reshape(worker: Worker, shape: tuple[int, ...], target: tuple[int, ...]) -> None:
    check(worker, "Reshape", {"data": normal(*shape), "shape": _ints(*target)}, constants=("shape",))


@pytest.mark.parametrize("target", [(-1, 5), (-1,), (-1, 20), (-1, 10)])
def test_the_batch_may_be_merged_with_other_axes(worker: Worker, target: tuple[int, ...]) -> None:
    check(worker, "Reshape", {"data": normal(3, 4, 5), "shape": _ints(*target)}, constants=("shape",))


@pytest.mark.parametrize("target", [(3, 20), (4, -1), (5, -1)])
def test_reshape_keeps_the_batch_whole(worker: Worker, target: tuple[int, ...]) -> None:
    with pytest.raises(UnsupportedFeatureError, match="batch"):
        check(worker, "Reshape", {"data": normal(3, 4, 5), "shape": _ints(*target)}, constants=("shape",))


@pytest.mark.parametrize("axis", [1, -1])
def test_flatten(worker: Worker, axis: int) -> None:
    check(worker, "Flatten", {"input": normal(3, 4)}, axis=axis)


@pytest.mark.parametrize("perm", [[0, 2, 1], [1, 0, 2], [2, 1, 0], [1, 2, 0]])
def test_transpose(worker: Worker, perm: list[int]) -> None:
    check(worker, "Transpose", {"data": normal(3, 4, 5)}, perm=perm)


@pytest.mark.parametrize("axes", [(1,), (-1,), (1, 3)])
def test_squeeze_and_unsqueeze(worker: Worker, axes: tuple[int, ...]) -> None:
    constants = ("axes",)
    check(worker, "Squeeze", {"data": normal(3, 1, 4, 1), "axes": _ints(*axes)}, constants=constants)
    check(worker, "Unsqueeze", {"data": normal(3, 4), "axes": _ints(*axes)}, constants=constants)


@pytest.mark.parametrize("axis", [1, -1])
def test_concat(worker: Worker, axis: int) -> None:
    inputs = {"a": normal(3, 4, 4), "b": normal(3, 4, 4, seed=1)}
    check(worker, "Concat", inputs, batched=("a", "b"), axis=axis)
    check(worker, "Concat", {"a": normal(1, 4, 4), "b": normal(1, 4, 4)}, constants=("b",), axis=axis)


def test_split(worker: Worker) -> None:
    x = normal(3, 7)
    check(worker, "Split", {"x": x, "split": _ints(2, 4, 1)}, constants=("split",), outputs=3, axis=-1)
    check(worker, "Split", {"x": x}, outputs=3, axis=1, num_outputs=3)
    check(worker, "Split", {"x": normal(3, 6)}, opset=11, outputs=2, axis=1, split=[1, 5])


@pytest.mark.parametrize(
    ("start", "end", "step"),
    [(1, 4, 1), (-3, LAST, 1), (0, LAST, 2), (1, -1, 3), (-100, 100, 1), (LAST, -LAST, -1), (6, 1, -2)],
)
def test_slice(worker: Worker, start: int, end: int, step: int) -> None:
    inputs = {
        "data": normal(3, 8, 2),
        "starts": _ints(start),
        "ends": _ints(end),
        "axes": _ints(-2),
        "steps": _ints(step),
    }
    check(worker, "Slice", inputs, constants=("starts", "ends", "axes", "steps"))


def test_a_long_axis_is_reversed_by_a_product(worker: Worker) -> None:
    inputs = {
        "data": normal(3, 100, 2),
        "starts": _ints(LAST),
        "ends": _ints(-LAST),
        "axes": _ints(1),
        "steps": _ints(-1),
    }
    check(worker, "Slice", inputs, constants=("starts", "ends", "axes", "steps"))


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge", "wrap"])
@pytest.mark.parametrize("pads", [(0, 1, 2, 0, 0, 1), (0, 0, 2, 0, 2, 2), (0, -1, 1, 0, -1, -2)])
def test_pad(worker: Worker, mode: str, pads: tuple[int, ...]) -> None:
    value = np.array(0.5, np.float32)
    inputs = {"data": normal(3, 4, 5), "pads": _ints(*pads), "value": value}
    check(worker, "Pad", inputs, constants=("pads", "value"), mode=mode)


@pytest.mark.parametrize("target", [(1, 4, 5), (2, 1, 1, 5), (4, 1)])
def test_expand(worker: Worker, target: tuple[int, ...]) -> None:
    check(worker, "Expand", {"x": normal(3, 4, 1), "shape": _ints(*target)}, constants=("shape",))


@pytest.mark.parametrize("repeats", [(1, 2, 3), (1, 1, 4), (1, 5, 1)])
def test_tile(worker: Worker, repeats: tuple[int, ...]) -> None:
    check(worker, "Tile", {"x": normal(3, 4, 2), "repeats": _ints(*repeats)}, constants=("repeats",))


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_to_space(worker: Worker, mode: str) -> None:
    check(worker, "DepthToSpace", {"x": normal(2, 12, 3, 2)}, blocksize=2, mode=mode)


def test_space_to_depth(worker: Worker) -> None:
    check(worker, "SpaceToDepth", {"x": normal(2, 3, 4, 6)}, blocksize=2)


@pytest.mark.parametrize("upper", [0, 1])
@pytest.mark.parametrize("k", [-1, 0, 2])
def test_trilu(worker: Worker, upper: int, k: int) -> None:
    check(worker, "Trilu", {"x": normal(3, 4, 5), "k": np.array(k)}, constants=("k",), upper=upper)


@pytest.mark.parametrize("to", [onnx.TensorProto.INT32, onnx.TensorProto.INT8, onnx.TensorProto.BOOL])
def test_cast(worker: Worker, to: int) -> None:
    check(worker, "Cast", {"x": np.array([[-1.7, 0.0], [0.4, 100.9]], np.float32)}, to=to)


def test_integers_wrap_around_in_narrow_types(worker: Worker) -> None:
    x = np.array([[-300, 255, 128], [127, -129, 70000]], np.int64)
    for to in (onnx.TensorProto.INT8, onnx.TensorProto.UINT8, onnx.TensorProto.INT16):
        check(worker, "Cast", {"x": x}, to=to)


HEAD = '<ir_version: 10, opset_import: ["" : 21]> g (float[N, 3, 4] x) => (float[A, B, C] y)'
BY_THE_BATCH = {
    "fill": "n = Shape <start = 0, end = 1> (x) two = Constant <value_ints = [2]> ()"
    "six = Constant <value_ints = [1]> () s = Concat <axis = 0> (two, n, six)"
    "zeros = ConstantOfShape <value = float[1] {1.5}> (s) t = Transpose <perm = [1, 0, 2]> (x)"
    "u = Slice (t, i0, i2, i0) y = Add (u, zeros)",
    "expand": "n = Shape <start = 0, end = 1> (x) s = Concat <axis = 0> (i1, n, i4)"
    "f = Constant <value = float[1, 1, 4] {1, 2, 3, 4}> () e = Expand (f, s)"
    "t = Transpose <perm = [1, 0, 2]> (x) y = Concat <axis = 0> (t, e)",
    "expand a computed value": "n = Shape <start = 0, end = 1> (x) s = Concat <axis = 0> (n, i2, i4)"
    "m = ReduceMean <keepdims = 1> (x) e = Expand (m, s) y = Concat <axis = 1> (x, e)",
    "reshape": "n = Shape (x) a = Gather <axis = 0> (n, i0) s = Concat <axis = 0> (a, i2, i4)"
    "h = Slice (x, i0, i2, i1) y = Reshape (h, s)",
    "slice": "n = Shape <start = 0, end = 1> (x) y = Slice (x, i0, n, i0)",
}


@pytest.mark.parametrize("name", BY_THE_BATCH)
def test_shapes_that_have_the_batch_size(worker: Worker, name: str) -> None:
    numbers = "".join(f"i{i} = Constant <value_ints = [{i}]> ()" for i in (0, 1, 2, 4))
    model = onnx.parser.parse_model(HEAD + "{" + numbers + BY_THE_BATCH[name] + "}")
    x = {"x": normal(5, 3, 4)}
    (expected,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, x)
    np.testing.assert_allclose(run_model(model, x, worker, batched=["x"])["y"], expected, atol=1e-6)


def test_a_range_over_the_batch_is_refused(worker: Worker) -> None:
    body = (
        "n = Shape <start = 0, end = 1> (x) z = Constant <value_int = 0> () k = Constant <value_int = 1> ()"
    )
    body += "m = Squeeze (n) r = Range (z, m, k)"
    body += "f = Cast <to = 1> (r) g = Unsqueeze (f, a) y = Add (x, g)"
    model = onnx.parser.parse_model(HEAD + "{ a = Constant <value_ints = [1, 2]> ()" + body + "}")
    with pytest.raises(UnsupportedFeatureError, match="rows that are not equal"):
        run_model(model, {"x": normal(5, 3, 4)}, worker, batched=["x"])
