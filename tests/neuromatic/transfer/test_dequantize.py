"""Files that onnxruntime quantized: that their weights are integers is said, and floats train."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

import neuromatic as nm
from neuromatic.errors import ModelError, ParameterWarning, RecipeError
from neuromatic.inference import Session

Array = NDArray[Any]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(16, 1, 6, 6)).astype(np.float32)
Y = RNG.integers(0, 3, 16)


class Reader(CalibrationDataReader):
    """The rows to calibrate by."""

    def __init__(self, name: str) -> None:
        self.rows = iter([{name: X}])

    def get_next(self) -> dict[str, Array] | None:  # type: ignore[override]
        return next(self.rows, None)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    net = nm.Sequential((1, 6, 6)).conv2d(4, 3, activation="relu").flatten()
    net.dense(8, activation="tanh").dense(3).save(tmp_path / "plain.onnx")
    return tmp_path / "plain.onnx"


def quantized(plain: Path, kind: str) -> ModelProto:
    target = plain.with_name(f"{kind}.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "dynamic":
            quantize_dynamic(plain, target, weight_type=QuantType.QInt8)
        else:
            name = nm.load(plain).input_names[0]
            form = QuantFormat.QOperator if kind == "operators" else QuantFormat.QDQ
            quantize_static(plain, target, Reader(name), quant_format=form, per_channel=kind == "channels")
    return onnx.load(target)


KINDS = ["pairs", "channels", "operators", "dynamic"]


def outputs(model: ModelProto) -> Array:
    (name,) = nm.Model.from_proto(model).input_names
    (result,) = Session(model).run({name: X}).values()
    return result


def integers(model: ModelProto) -> list[str]:
    kinds = (TensorProto.INT8, TensorProto.UINT8)
    return [t.name for t in model.graph.initializer if t.data_type in kinds and len(t.dims) > 1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_dequantized_copy_computes_the_same_and_trains(plain: Path, kind: str) -> None:
    file = quantized(plain, kind)
    assert integers(file)
    with pytest.warns(ParameterWarning, match=r"integers, which are not trained .*: dequantize\(\), or"):
        nm.Model.from_proto(file).loss("mse")
    model = nm.Model.from_proto(file).dequantize()
    assert not integers(model.proto)
    expected = outputs(file)
    difference = np.abs(outputs(model.proto) - expected).max() / np.ptp(expected)
    assert difference <= 0.03  # onnxruntime computes in integers of 8 bits where it can
    tuned = model.loss("sparse_categorical_crossentropy", from_logits=True)
    tuned = tuned.optimizer("adam", learning_rate=0.02)
    assert tuned.recipe is not None
    assert sum(tuned.parameters()[name].ndim > 1 for name in tuned.recipe.trainable) == 3
    losses = tuned.train(X, Y, epochs=15, batch_size=16, verbose=0).step_losses
    assert losses[-1] < 0.7 * losses[0]


def test_floats_are_those_that_onnxruntime_computes_with(plain: Path) -> None:
    file = quantized(plain, "channels")
    model = nm.Model.from_proto(file).dequantize()
    shown = ModelProto()
    shown.CopyFrom(file)
    pairs = [n for n in file.graph.node if n.op_type == "DequantizeLinear"]
    made = [n.output[0] for n in pairs if n.input[0] in integers(file)]
    assert len(made) == 3
    shown.graph.output.extend(onnx.helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in made)
    (name,) = model.input_names
    found = list(Session(shown).run({name: X}).values())[1:]
    stored = list(model.parameters().values())
    for array in found:
        assert any(array.shape == s.shape and np.array_equal(array, s) for s in stored)


def literally(model: ModelProto) -> Array:
    """Without what onnxruntime makes of pairs of QuantizeLinear and DequantizeLinear."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    result: Array = session.run(None, {model.graph.input[0].name: X})[0]
    return result


@pytest.mark.parametrize("kind", ["pairs", "channels"])
def test_rounding_between_layers_is_kept_where_asked_for(plain: Path, kind: str) -> None:
    file = quantized(plain, kind)
    model = nm.Model.from_proto(file).dequantize(rounding=True)
    np.testing.assert_allclose(literally(model.proto), literally(file), rtol=1e-6)
    tuned = model.loss("sparse_categorical_crossentropy", from_logits=True)
    tuned = tuned.optimizer("adam", learning_rate=0.02)
    losses = tuned.train(X, Y, epochs=15, batch_size=16, verbose=0, verify_atol=0.1).step_losses
    assert losses[-1] < 0.7 * losses[0]
    assert "QuantizeLinear" in {n.op_type for n in tuned.proto.graph.node}


@pytest.mark.parametrize("opset", [10, 13])
def test_clipping_stays(opset: int) -> None:
    text = f"""<ir_version: 8, opset_import: ["": {opset}]> net (float[N, 2] x) => (float[N, 2] y)
        <int8[2, 2] w = {{1, -2, 3, 4}}, float s = {{0.5}}, uint8 z = {{0}}, int8 o = {{0}}> {{
        d = DequantizeLinear (w, s, o)  h = MatMul (x, d)  q = QuantizeLinear (h, s, z)
        y = DequantizeLinear (q, s, z) }}"""
    model = nm.Model.from_proto(onnx.parser.parse_model(text)).dequantize()
    found = model.predict(np.array([[-2, 0.3], [100, 90]], np.float32))
    np.testing.assert_allclose(found, [[0, 2.6], [127.5, 80]], rtol=1e-6)


def test_only_integers_are_an_error_that_says_what_to_do(plain: Path) -> None:
    with pytest.warns(ParameterWarning):
        model = nm.Model.from_proto(quantized(plain, "pairs")).loss("mse")
    frozen = [n for n, a in model.parameters().items() if a.dtype == np.float32]
    with pytest.raises(
        RecipeError, match=r"no parameter is left to train.*weights are integers.*dequantize\(\)"
    ):
        model.optimizer("sgd").freeze(*frozen)


def test_a_file_without_integers_is_refused(plain: Path) -> None:
    with pytest.raises(
        ModelError, match=re.escape("nothing to dequantize: no stored integers are the weight")
    ):
        nm.load(plain).dequantize()


def test_a_table_that_is_looked_up_is_dequantized() -> None:
    text = """<ir_version: 8, opset_import: ["": 17]> net (int64[N] i) => (float[N, 2] y)
        <int8[3, 2] table = {1, -2, 3, 4, -5, 6}, float scale = {0.5}> {
        rows = Gather (table, i)  y0 = DequantizeLinear (rows, scale)  y = Identity (y0) }"""
    model = nm.Model.from_proto(onnx.parser.parse_model(text)).dequantize()
    np.testing.assert_array_equal(model.predict(np.array([2, 0])), [[-2.5, 3], [0.5, -1]])
    recipe = model.loss("mse").optimizer("sgd").recipe
    assert recipe is not None
    assert len(recipe.trainable) == 1
