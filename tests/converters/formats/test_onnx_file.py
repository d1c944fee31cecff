"""From .onnx to .onnx: a newer opset with the recipe kept, or the recipe taken off."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

import neuromatic as nm
from neuromatic.converters.formats import onnx_file
from neuromatic.converters.formats.onnx_file import convert, default_opset, raise_opset
from neuromatic.errors import ConversionError, InvalidModelError, UnsupportedFeatureError, VerificationError
from neuromatic.recipe.validation import validate

CNN = (
    nm.Sequential((1, 6, 6))
    .conv2d(2, 3)
    .batch_normalization()
    .relu()
    .max_pooling2d(2)
    .flatten()
    .dropout(0.5)
    .dense(3, activation="softmax")
    .loss("sparse_categorical_crossentropy")
    .metrics("accuracy")
)
OPTIMIZERS = {"adam": nm.optimizers.Adam(0.01), "sgd": nm.optimizers.SGD(0.1, momentum=0.9, nesterov=True)}


def model_of(nodes: Sequence[onnx.NodeProto], opset: int, **initializers: np.ndarray) -> ModelProto:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in initializers.items()],
    )
    graph.output[0].type.tensor_type.shape.SetInParent()
    del graph.output[0].type.tensor_type.shape.dim[:]
    graph.output[0].type.tensor_type.shape.dim.add(dim_param="batch")
    graph.output[0].type.tensor_type.shape.dim.add()
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    model.metadata_props.add(key="author", value="someone")
    return model


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("opset", [18, 21, 23, 28])
def test_a_recipe_goes_along(tmp_path: Path, optimizer: str, opset: int) -> None:
    CNN.optimizer(OPTIMIZERS[optimizer]).save(tmp_path / "old.onnx")
    assert convert(tmp_path / "old.onnx", tmp_path / "new.onnx", opset=opset) == pytest.approx(0, abs=1e-6)
    old, new = (onnx.load(tmp_path / name) for name in ("old.onnx", "new.onnx"))
    assert default_opset(new) == opset
    assert new.ir_version >= helper.find_min_ir_version_for([helper.make_opsetid("", opset)])
    assert [f.name for f in new.functions] == [f.name for f in old.functions]
    assert {o.version for f in new.functions for o in f.opset_import} <= {opset}
    assert new.graph.initializer == old.graph.initializer
    assert new.metadata_props == old.metadata_props
    assert (new.graph.input, new.graph.output) == (old.graph.input, old.graph.output)
    assert validate(new) == validate(old)
    before, after = old.training_info[0].algorithm, new.training_info[0].algorithm
    assert before.initializer == after.initializer
    assert (before.input, before.output) == (after.input, after.output)
    assert [n for n in before.node if n.domain] == [n for n in after.node if n.domain]


def test_training_continues_as_it_would_have(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(24, 1, 6, 6)).astype(np.float32), rng.integers(0, 3, 24)
    model = CNN.optimizer(OPTIMIZERS["adam"])
    model.save(tmp_path / "old.onnx")
    convert(tmp_path / "old.onnx", tmp_path / "new.onnx", opset=21)
    newer = nm.load(tmp_path / "new.onnx")
    losses = [m.train(x, y, epochs=2, verbose=0).history["loss"] for m in (model, newer)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6)


def test_operators_that_change_are_rewritten() -> None:
    # ReduceMean takes its axes as an input from 18 on.
    model = model_of([helper.make_node("ReduceMean", ["x"], ["y"], axes=[1], keepdims=1)], 13)
    newer = raise_opset(model, 18)
    assert not [a for a in newer.graph.node[-1].attribute if a.name == "axes"]
    assert newer.metadata_props == model.metadata_props


def test_names_that_the_converter_makes_up_do_not_meet() -> None:
    """ReduceMean gets axes as an input, of a name made up, in the model and in its loss."""
    reduced = helper.make_node("ReduceMean", ["h"], ["y"], axes=[1], keepdims=1)
    product = helper.make_node("MatMul", ["x", "w"], ["h"])
    model = model_of([product, reduced], 17, w=np.ones((4, 3), np.float32))
    trainable = nm.Model.from_proto(model).loss("mse").optimizer("adam").proto
    algorithm = trainable.training_info[0].algorithm
    algorithm.node.append(helper.make_node("ReduceMean", ["loss/Sub"], ["extra"], axes=[1], keepdims=1))
    algorithm.output.append(helper.make_tensor_value_info("extra", TensorProto.FLOAT, ["batch", 1]))
    newer = raise_opset(trainable, 18)
    assert validate(newer) == validate(trainable)
    names = [o for g in (newer.graph, newer.training_info[0].algorithm) for n in g.node for o in n.output]
    names += [t.name for g in (newer.graph, newer.training_info[0].algorithm) for t in g.initializer]
    assert len(names) == len(set(names))
    (extra,) = [n for n in newer.training_info[0].algorithm.node if "extra" in n.output]
    assert extra.input[1] in names
    assert extra.input[1] not in [name for n in newer.graph.node for name in n.input]


@pytest.mark.parametrize(
    ("opset", "reason"),
    [
        (16, "the model has opset 17, which cannot be lowered to 16; only raised"),
        (99, r"the installed onnx .* does not know opset 99; its newest is \d+"),
    ],
)
def test_opsets_that_cannot_be_reached(tmp_path: Path, opset: int, reason: str) -> None:
    CNN.optimizer("adam").save(tmp_path / "old.onnx")
    (tmp_path / "new.onnx").write_bytes(b"old")
    with pytest.raises(ConversionError, match=reason):
        convert(tmp_path / "old.onnx", tmp_path / "new.onnx", opset=opset)
    assert (tmp_path / "new.onnx").read_bytes() == b"old"


def test_an_opset_that_onnxruntime_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of([helper.make_node("Relu", ["x"], ["y"])], 17)
    newer = raise_opset(model, 18)

    class Refusing(onnx_file.Session):
        def __init__(self, model: ModelProto) -> None:
            if default_opset(model) == 18:
                raise InvalidModelError("opset 18 is under development")
            super().__init__(model)

    monkeypatch.setattr(onnx_file, "Session", Refusing)
    with pytest.raises(
        ConversionError, match=r"onnxruntime \S+, which is installed, does not run opset 18: "
    ):
        onnx_file.compare(model, newer, atol=1e-4, seed=0)


def test_a_function_whose_operators_change_is_refused() -> None:
    model = model_of([helper.make_node("Mean", ["x"], ["y"], domain="own")], 17)
    body = helper.make_node("ReduceMean", ["a"], ["b"], axes=[1])
    imports = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("own", "Mean", ["a"], ["b"], [body], imports))
    model.opset_import.append(helper.make_opsetid("own", 1))
    with pytest.raises(UnsupportedFeatureError, match="the local function 'Mean' uses ReduceMean, whose"):
        raise_opset(model, 18)


def test_a_result_that_differs_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    CNN.optimizer("adam").save(tmp_path / "old.onnx")

    def spoiled(model: ModelProto, opset: int) -> ModelProto:
        result = raise_opset(model, opset)
        bias = next(t for t in result.graph.initializer if t.name == "dense/bias")
        bias.CopyFrom(numpy_helper.from_array(np.array([9, 0, 0], np.float32), bias.name))
        return result

    monkeypatch.setattr(onnx_file, "raise_opset", spoiled)
    with pytest.raises(VerificationError, match="output 'dense' of the new model differs by ") as caught:
        convert(tmp_path / "old.onnx", tmp_path / "new.onnx", opset=18)
    assert caught.value.difference > 0.1
    assert not (tmp_path / "new.onnx").exists()
    assert convert(tmp_path / "old.onnx", tmp_path / "new.onnx", opset=18, check=False) is None


def test_stripping_leaves_the_inference_graph(tmp_path: Path) -> None:
    CNN.optimizer(OPTIMIZERS["sgd"]).save(tmp_path / "old.onnx")
    convert(tmp_path / "old.onnx", tmp_path / "new.onnx", strip_training=True)
    old, new = (onnx.load(tmp_path / name) for name in ("old.onnx", "new.onnx"))
    assert new.graph == old.graph
    assert not new.training_info
    assert not new.functions
    assert [o.domain for o in new.opset_import] == [""]
