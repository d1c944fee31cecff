"""Graphs that have a batch size written down, made to take any number of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

import neuromatic as nm
from neuromatic.errors import ConversionError, ShapeError, UnknownNameError
from neuromatic.inference import Session

Array = NDArray[Any]
RNG = np.random.default_rng(8)
FLOAT = TensorProto.FLOAT


def node(op: str, inputs: Sequence[str], outputs: str | Sequence[str], **attributes: Any) -> NodeProto:
    names = [outputs] if isinstance(outputs, str) else list(outputs)
    return helper.make_node(op, list(inputs), names, name=f"the {names[-1]}", **attributes)


def net(
    nodes: Sequence[NodeProto],
    shape: Sequence[int],
    output: Sequence[Any],
    *,
    opset: int = 17,
    **constants: Any,
) -> ModelProto:
    """x of a shape to y of another."""
    info = helper.make_tensor_value_info
    stored = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    ends = [info("x", FLOAT, shape)], [info("y", FLOAT, output)]
    graph = helper.make_graph(list(nodes), "net", *ends, stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def model_of(graph: GraphProto) -> nm.Model:
    opsets = [helper.make_opsetid("", 17)]
    return nm.Model.from_proto(helper.make_model(graph, opset_imports=opsets, ir_version=8))


def floats(*shape: int) -> Array:
    return RNG.normal(size=shape).astype(np.float32)


def state(batch: int, hidden: int) -> Array:
    return np.repeat(floats(1, 1, hidden), batch, 1)


def recurrent(op: str, gates: int, batch: int) -> ModelProto:
    states = ["h", "c"] if op == "LSTM" else ["h"]
    constants: dict[str, Any] = {name: state(batch, 4) for name in states}
    return net(
        [node(op, ["x", "W", "R", "", "lengths", *states], ["", "y"], hidden_size=4)],
        (5, batch, 3),
        (1, batch, 4),
        W=floats(1, 4 * gates, 3),
        R=floats(1, 4 * gates, 4),
        lengths=np.full(batch, 5, np.int32),
        **constants,
    )


def cases(batch: int) -> dict[str, tuple[ModelProto, int]]:
    """By name: a net with that batch, and the axis of the output that it is in."""
    ints, n = (lambda *numbers: np.array(numbers, np.int64)), batch
    return {
        "flatten": (net([node("Reshape", ["x", "s"], "y")], (n, 2, 3), (n, 6), s=ints(n, 6)), 0),
        "rest open": (net([node("Reshape", ["x", "s"], "y")], (n, 2, 3), (n, 6), s=ints(n, -1)), 0),
        "heads": (
            net(
                [
                    node("Reshape", ["x", "s"], "a"),
                    node("Softmax", ["a"], "b", axis=-1),
                    node("Reshape", ["b", "t"], "y"),
                ],
                (n, 2, 3, 4),
                (n, 2, 12),
                s=ints(n * 2, 3, 4),
                t=ints(n, 2, 12),
            ),
            0,
        ),
        "time first": (
            net(
                [
                    node("Transpose", ["x"], "a", perm=[1, 0, 2]),
                    node("Reshape", ["a", "s"], "b"),
                    node("Gemm", ["b", "w"], "c"),
                    node("Reshape", ["c", "t"], "y"),
                ],
                (n, 5, 3),
                (5, n, 4),
                s=ints(5 * n, 3),
                t=ints(5, n, 4),
                w=floats(3, 4),
            ),
            1,
        ),
        "expand": (
            net(
                [node("Expand", ["x", "s"], "a"), node("Mul", ["a", "w"], "y")],
                (n, 1, 3),
                (n, 4, 3),
                s=ints(n, 4, 3),
                w=floats(4, 3),
            ),
            0,
        ),
        "a token before": (
            net(
                [
                    node("Expand", ["token", "s"], "a"),
                    node("Concat", ["a", "x"], "y", axis=1),
                ],
                (n, 4, 3),
                (n, 5, 3),
                token=floats(1, 1, 3),
                s=ints(n, 1, 3),
            ),
            0,
        ),
        "zeros beside": (
            net(
                [node("ConstantOfShape", ["s"], "a"), node("Concat", ["x", "a"], "y", axis=-1)],
                (n, 3),
                (n, 5),
                s=ints(n, 2),
            ),
            0,
        ),
        "tile": (net([node("Tile", ["x", "s"], "y")], (n, 3), (n, 6), s=ints(1, 2)), 0),
        "the same for each row": (
            net([node("Add", ["x", "w"], "y")], (n, 3), (n, 3), w=np.repeat(floats(1, 3), n, 0)),
            0,
        ),
        "slice": (
            net(
                [node("Slice", ["x", "start", "to", "axes"], "y")],
                (n, 5),
                (n, 3),
                to=ints(n, 4),
                axes=ints(0, 1),
                start=ints(0, 1),
            ),
            0,
        ),
        "slice by attributes": (
            net([node("Slice", ["x"], "y", starts=[0, 1], ends=[n, 4])], (n, 5), (n, 3), opset=9),
            0,
        ),
        "resize": (
            net(
                [node("Resize", ["x", "", "", "s"], "y", mode="nearest")],
                (n, 2, 3, 3),
                (n, 2, 6, 6),
                s=ints(n, 2, 6, 6),
            ),
            0,
        ),
        "groups": (
            net(
                [
                    node("Reshape", ["x", "s"], "a"),
                    node("InstanceNormalization", ["a", "one", "zero"], "b"),
                    node("Reshape", ["b", "t"], "y"),
                ],
                (n, 4, 3, 3),
                (n, 4, 3, 3),
                s=ints(n, 2, -1),
                t=ints(n, 4, 3, 3),
                one=np.ones(2, np.float32),
                zero=np.zeros(2, np.float32),
            ),
            0,
        ),
        "computed": (
            net(
                [
                    node("Shape", ["x"], "shape"),
                    node("Gather", ["shape", "0"], "rows", axis=0),
                    node("Unsqueeze", ["rows", "0s"], "vector"),
                    node("Concat", ["vector", "rest"], "s", axis=0),
                    node("Reshape", ["x", "s"], "y"),
                ],
                (n, 2, 3),
                (n, 6),
                rest=ints(6),
                **{"0": np.array(0), "0s": ints(0)},
            ),
            0,
        ),
    }


@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("case", cases(1))
def test_rows_are_what_they_were_for_a_batch(case: str, batch: int) -> None:
    model, axis = cases(batch)[case]
    changed = nm.Model.from_proto(model).dynamic_batch()
    _, *shape = (d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim)
    x, old = floats(3 * batch, *shape), Session(model)
    parts = [old.run({"x": x[i : i + batch]})["y"] for i in range(0, len(x), batch)]
    expected = np.concatenate(parts, axis)
    for rows in (1, 2, 3 * batch - 1, 3 * batch):
        found = Session(changed.proto).run({"x": x[:rows]})["y"]
        wanted = expected.take(np.arange(min(rows, len(x))), axis)
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    assert changed.proto.graph.output[0].type.tensor_type.shape.dim[axis].dim_param == "batch"


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize(("op", "gates"), [("RNN", 1), ("GRU", 3), ("LSTM", 4)])
def test_recurrent_nets(op: str, gates: int, batch: int) -> None:
    """Batch first at the input, time first at the operator, with initial states for a fixed batch."""
    model = recurrent(op, gates, batch)
    graph = model.graph
    graph.node.insert(0, helper.make_node("Transpose", ["sequences"], ["x"], perm=[1, 0, 2]))
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info("sequences", FLOAT, [batch, 5, 3]))
    changed = nm.Model.from_proto(model).dynamic_batch()
    x = floats(4 * batch, 5, 3)
    old = Session(model)
    parts = [old.run({"sequences": x[i : i + batch]})["y"] for i in range(0, len(x), batch)]
    found = Session(changed.proto).run({"sequences": x})["y"]
    np.testing.assert_allclose(found, np.concatenate(parts, 1), rtol=1e-5, atol=1e-6)
    assert {t.name for t in changed.proto.graph.initializer} >= {"W", "R", "h"}


REFUSED: Mapping[str, tuple[ModelProto, str]] = {
    "mean of rows": (
        net([node("ReduceMean", ["x"], "a", axes=[0]), node("Sub", ["x", "a"], "y")], (2, 3), (2, 3)),
        r"at node 'the [a-z]+' \(ReduceMean\): its outputs have no batch: rows depend on each other",
    ),
    "softmax of rows": (
        net([node("Softmax", ["x"], "y", axis=0)], (2, 3), (2, 3)),
        r"at node 'the [a-z]+' \(Softmax\): rows depend on each other",
    ),
    "products of rows": (
        net([node("Transpose", ["x"], "t"), node("MatMul", ["x", "t"], "y")], (3, 2), (3, 3)),
        r"at node 'the [a-z]+' \(MatMul\): its output 'y' has the batch in two axes",
    ),
    "one row": (
        net(
            [node("Slice", ["x", "first", "last"], "a"), node("Add", ["x", "a"], "y")],
            (2, 3),
            (2, 3),
            first=np.array([0]),
            last=np.array([1]),
        ),
        r"at node 'the a' \(Slice\): it takes some of the rows only",
    ),
    "rows behind each other": (
        net([node("Concat", ["x", "x"], "y", axis=0)], (2, 3), (4, 3)),
        r"at node 'the [a-z]+' \(Concat\): it puts values behind each other along the batch",
    ),
    "a value for each row": (
        net([node("Add", ["x", "w"], "y")], (2, 3), (2, 3), w=np.arange(6, dtype=np.float32).reshape(2, 3)),
        r"at node 'the [a-z]+' \(Add\): 'w' has a value for each of 2 rows",
    ),
    "all axes of size 1": (
        net(
            [node("Squeeze", ["x"], "a"), node("Unsqueeze", ["a", "axes"], "y")],
            (1, 3, 1),
            (1, 3),
            axes=np.array([0]),
        ),
        r"at node 'the [a-z]+' \(Squeeze\): it takes off all axes of size 1",
    ),
    "another order": (
        net([node("Reshape", ["x", "s"], "y")], (2, 3), (3, 2), s=np.array([3, 2])),
        r"at node 'the [a-z]+' \(Reshape\): the batch is in no axis of \(3, 2\)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_rows_that_depend_on_each_other_are_refused_by_node(case: str) -> None:
    model, message = REFUSED[case]
    with pytest.raises(ConversionError, match=f"^the batch of [123] cannot be made dynamic {message}"):
        nm.Model.from_proto(model).dynamic_batch()


def test_what_is_dynamic_already_stays_and_what_has_no_batch_is_refused() -> None:
    dynamic = nm.Sequential((3,)).dense(2).build() if hasattr(nm.Sequential, "build") else None
    model = dynamic or nm.Model.from_proto(cases(1)["flatten"][0]).dynamic_batch()
    assert model.dynamic_batch() is model
    with pytest.raises(ConversionError, match=r"no axis of the inputs \['x'\] is the batch"):
        nm.Model.from_proto(
            net([node("ReduceMean", ["x"], "y", axes=[0, 1])], (7, 3), (1, 1))
        ).dynamic_batch()


def test_only_what_has_the_batch_written_down_changes() -> None:
    model = cases(2)["heads"][0]
    changed = nm.Model.from_proto(model).dynamic_batch("rows").proto
    kept = [n for n in changed.graph.node if n.op_type != "Constant"]
    assert [(n.op_type, n.name, list(n.output)) for n in kept] == [
        (n.op_type, n.name, list(n.output)) for n in model.graph.node
    ]
    assert changed.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "rows"
    assert not changed.graph.initializer  # the shapes that nothing reads any more


@pytest.mark.parametrize("from_file", [False, True])
def test_a_recipe_and_its_state_stay(tmp_path: Path, from_file: bool) -> None:
    weight, x = floats(6, 1), floats(8, 2, 3)
    proto = net(
        [node("Reshape", ["x", "s"], "a"), node("MatMul", ["a", "w"], "y")],
        (2, 2, 3),
        (2, 1),
        s=np.array([2, 6]),
        w=weight,
    )
    model = nm.Model.from_proto(proto).loss("mse").optimizer("adam").metrics("mae")
    model.train(x, x[:, 0, :1], epochs=2, verbose=0)
    if from_file:
        model.save(tmp_path / "a.onnx")
        model = nm.load(tmp_path / "a.onnx")
    changed = model.dynamic_batch()
    assert changed.recipe is not None
    expected = model.evaluate(x, x[:, 0, :1])
    assert changed.evaluate(x, x[:, 0, :1], batch_size=5) == pytest.approx(expected, rel=1e-5)
    changed.train(x[:7], x[:7, 0, :1], batch_size=3, verbose=0)
    step = next(
        t for t in changed.proto.training_info[0].algorithm.initializer if t.name == changed.recipe.step
    )
    assert numpy_helper.to_array(step) == 8 + 3


def test_input_shapes() -> None:
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node("Conv", ["x", "k"], "y")],
        "net",
        [info("x", FLOAT, ["n", 2, "height", "width"])],
        [info("y", FLOAT, ["n", 4, "h", "w"])],
        [numpy_helper.from_array(floats(4, 2, 3, 3), "k")],
    )
    model = model_of(graph)
    fixed = model.with_input_shape(x=("batch", 2, 8, 6))
    x = floats(5, 2, 8, 6)
    np.testing.assert_array_equal(fixed.predict(x), model.predict(x))
    shapes = [
        [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in (*fixed.proto.graph.input, *fixed.proto.graph.output)
    ]
    assert shapes == [["batch", 2, 8, 6], ["batch", 4, 6, 4]]
    with pytest.raises(ShapeError, match=r"its axis 1 has size 2 in the file, which 3 cannot replace"):
        model.with_input_shape(x=("n", 3, 8, 6))
    with pytest.raises(ShapeError, match=r"\(n, 2\) is no shape for it: give a size above 0 or"):
        model.with_input_shape(x=("n", 2))
    broken = nm.Model.from_proto(fixed.proto)
    broken.proto.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 5
    with pytest.raises(ShapeError, match="the graph cannot be of these shapes"):
        broken.with_input_shape(x=("batch", 2, 8, 6))
    with pytest.raises(UnknownNameError, match="there is no input named 'image'"):
        model.with_input_shape(image=("n", 2, 8, 8))
    batched = nm.Model.from_proto(cases(2)["flatten"][0]).with_input_shape(x=("rows", 2, 3))
    assert batched.predict(floats(5, 2, 3)).shape == (5, 6)


def test_one_name_has_one_size() -> None:
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node("MatMul", ["a", "x"], "y")],
        "net",
        [info("a", FLOAT, ["n", "n"]), info("x", FLOAT, ["n", 3])],
        [info("y", FLOAT, ["n", 3])],
    )
    model = model_of(graph)
    fixed = model.with_input_shape(x=(6, 3))
    assert [d.dim_value for d in fixed.proto.graph.input[0].type.tensor_type.shape.dim] == [6, 6]
    with pytest.raises(ShapeError, match="axis 'n' is to be 5 and 6; it has one size"):
        model.with_input_shape(a=(5, 6))


def test_connectionist_loss_needs_a_fixed_time_axis() -> None:
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node("MatMul", ["x", "w"], "y")],
        "net",
        [info("x", FLOAT, ["n", "time", 3])],
        [info("y", FLOAT, ["n", "time", 5])],
        [numpy_helper.from_array(floats(3, 5), "w")],
    )
    model = model_of(graph).with_input_shape(x=("n", 8, 3)).loss("ctc").optimizer("sgd")
    history = model.train(floats(6, 8, 3), RNG.integers(1, 5, (6, 3)), verbose=0)
    assert np.isfinite(history.step_losses).all()
