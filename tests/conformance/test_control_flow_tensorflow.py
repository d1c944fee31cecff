"""If, Loop, Scan and sequences: values as onnxruntime gives them, gradients as mathematics gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from neuromatic.converters import lowering
from neuromatic.converters.tensorflow import execution
from neuromatic.converters.tensorflow.context import MOST_UNROLLED_NODES, TensorFlowContext
from neuromatic.converters.tensorflow.evaluate import Array, run_model
from neuromatic.converters.tensorflow.jit import should_jit
from neuromatic.converters.tensorflow.lowerings import ops
from neuromatic.errors import UnsupportedFeatureError

FLOAT, INT, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
X = np.array([0.5, -1.5, 2.0], np.float32)


def _value(name: str, kind: int = FLOAT, shape: Sequence[Any] | None = None) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def _graph(
    nodes: Sequence[NodeProto], inputs: Sequence[Any], outputs: Sequence[Any], *constants: Any
) -> GraphProto:
    return helper.make_graph(list(nodes), "g", list(inputs), list(outputs), list(constants))


def _model(
    nodes: Sequence[NodeProto], inputs: dict[str, Array], *outputs: str, opset: int = 17, **constants: Array
) -> ModelProto:
    infos = [_value(n, helper.np_dtype_to_tensor_dtype(a.dtype), [None] * a.ndim) for n, a in inputs.items()]
    stored = [numpy_helper.from_array(a, n) for n, a in constants.items()]
    graph = _graph(nodes, infos, [_value(n) for n in outputs], *stored)
    imports = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def _node(op: str, inputs: str, outputs: str, **attributes: Any) -> NodeProto:
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


def _check(model: ModelProto, inputs: dict[str, Array], known: Sequence[str] = ()) -> dict[str, Array]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = session.run(None, inputs)
    for eager in (False, True):
        got = run_model(model, inputs, eager=eager, known=known)
        for output, want in zip(model.graph.output, expected, strict=True):
            np.testing.assert_allclose(got[output.name], want, rtol=1e-5, atol=1e-6)
    return got


def _gradient(model: ModelProto, inputs: dict[str, Array], by: str, of: str) -> Array:
    """The gradient of the sum of an output, traced."""
    plan = lowering.plan(model, ops)

    def differentiate(fed: dict[str, Any]) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(fed[by])
            values = {**lowering.initial_values(model), **fed}
            lowering.run(plan, values, TensorFlowContext(tape=tape, values=values), execution.call)
            total = tf.reduce_sum(execution.channels_first(values[of]))
        return tape.gradient(total, fed[by], unconnected_gradients=tf.UnconnectedGradients.ZERO)

    fed = {name: tf.constant(array) for name, array in inputs.items()}
    found: Array = tf.function(differentiate, autograph=False)(fed).numpy()
    return found


# -- If --------------------------------------------------------------------------------------------


def _if(condition: NodeProto, *before: NodeProto, **inputs: Array) -> ModelProto:
    """y = x**2 where the condition holds, else sin(x)."""
    then = _graph([_node("Mul", "x x", "s")], [], [_value("s")])
    other = _graph([_node("Sin", "x", "t")], [], [_value("t")])
    node = _node("If", "c", "y", then_branch=then, else_branch=other)
    return _model([*before, condition, node], {"x": X, **inputs}, "y")


_POSITIVE = (_node("ReduceSum", "x", "total", keepdims=0), _node("Greater", "total zero", "c"))


@pytest.mark.parametrize("sign", [1, -1])
def test_if_with_a_condition_that_the_graph_computes(sign: int) -> None:
    model = _if(_POSITIVE[1], _POSITIVE[0])
    model.graph.initializer.append(numpy_helper.from_array(np.array(0, np.float32), "zero"))
    x = sign * X
    _check(model, {"x": x})
    expected = 2 * x if sign > 0 else np.cos(x)
    np.testing.assert_allclose(_gradient(model, {"x": x}, "x", "y"), expected, rtol=1e-5)


@pytest.mark.parametrize("flag", [True, False])
def test_if_with_a_known_condition_leaves_one_branch(flag: bool) -> None:
    model = _if(_node("Identity", "flag", "c"), flag=np.array(flag))
    _check(model, {"x": X, "flag": np.array(flag)})
    _check(model, {"x": X, "flag": np.array(flag)}, known=["flag"])


def test_branches_that_read_an_image_leave_it_as_it_was() -> None:
    """What a branch turns from channels last must not be used outside of it."""
    then = _graph([_node("Flatten", "p", "s")], [], [_value("s")])
    other = _graph([_node("Flatten", "p", "q"), _node("Neg", "q", "t")], [], [_value("t")])
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 4)).astype(np.float32)
    nodes = [
        _node("MaxPool", "x", "p", kernel_shape=[2, 2]),
        _node("Identity", "flag", "c"),
        _node("If", "c", "a", then_branch=then, else_branch=other),
        _node("Flatten", "p", "b"),
        _node("Add", "a b", "y"),
    ]
    inputs = {"x": x, "flag": np.array(True)}
    _check(_model(nodes, inputs, "y"), inputs)


def test_steps_that_read_an_image_leave_it_as_it_was() -> None:
    body = _graph(
        [
            *(_node("Flatten", "p", "f"), _node("ReduceSum", "f", "s", keepdims=0)),
            *(_node("Add", "v s", "w"), _node("Identity", "going", "more")),
        ],
        [_value("i", INT, []), _value("going", BOOL, []), _value("v", FLOAT, [])],
        [_value("more", BOOL, []), _value("w", FLOAT, [])],
    )
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 4)).astype(np.float32)
    nodes = [
        _node("MaxPool", "x", "p", kernel_shape=[2, 2]),
        helper.make_node("Loop", ["n", "", "zero"], ["a"], body=body),
        *(_node("Flatten", "p", "b"), _node("Add", "a b", "y")),
    ]
    inputs = {"x": x, "n": np.array(3)}
    _check(_model(nodes, inputs, "y", zero=np.array(0, np.float32)), inputs)


def test_a_sequence_cannot_depend_on_a_computed_condition() -> None:
    branches = {
        f"{name}_branch": _graph(
            [_node("SequenceConstruct", "x", name)],
            [],
            [
                helper.make_value_info(
                    name, helper.make_sequence_type_proto(helper.make_tensor_type_proto(FLOAT, None))
                )
            ],
        )
        for name in ("then", "else")
    }
    nodes = [
        _node("Identity", "flag", "c"),
        _node("If", "c", "s", **branches),
        _node("SequenceAt", "s zero", "y"),
    ]
    inputs = {"x": X, "flag": np.array(True)}
    model = _model(nodes, inputs, "y", zero=np.array(0))
    with pytest.raises(
        UnsupportedFeatureError, match="sequences or optionals pass through it; make it an init"
    ):
        run_model(model, inputs)
    _check(model, inputs, known=["flag"])


# -- Loop ------------------------------------------------------------------------------------------


def _loop(limit: str = "n", condition: str = "") -> list[NodeProto]:
    """v = v * x + i and the sums of all v, while sum(v) < 100."""
    body = _graph(
        [
            _node("Cast", "i", "f", to=FLOAT),
            *(_node("Mul", "v x", "p"), _node("Add", "p f", "w"), _node("ReduceSum", "w", "s", keepdims=0)),
            _node("Less", "s hundred", "more"),
        ],
        [_value("i", INT, []), _value("going", BOOL, []), _value("v", FLOAT, [None])],
        [_value("more", BOOL, []), _value("w", FLOAT, [None]), _value("s", FLOAT, [])],
    )
    node = helper.make_node("Loop", [limit, condition, "x"], ["y", "sums"], body=body)
    return [node]


@pytest.mark.parametrize("known", [[], ["n"]])
@pytest.mark.parametrize("steps", [0, 1, 5, 90])
def test_loop_counts_and_tests(steps: int, known: list[str]) -> None:
    inputs = {"x": X, "n": np.array(steps)}
    _check(_model(_loop(), inputs, "y", "sums", hundred=np.array(100, np.float32)), inputs, known)


@pytest.mark.parametrize("condition", [True, False])
def test_loop_without_a_trip_count(condition: bool) -> None:
    inputs = {"x": X, "go": np.array(condition)}
    model = _model(_loop("", "go"), inputs, "y", "sums", hundred=np.array(100, np.float32))
    _check(model, inputs)
    _check(model, inputs, known=["go"])


@pytest.mark.parametrize("length", [4, 80])
def test_a_loop_whose_state_grows(length: int) -> None:
    body = _graph(
        [_node("Concat", "v x", "w", axis=0), _node("Identity", "going", "more")],
        [_value("i", INT, []), _value("going", BOOL, []), _value("v", FLOAT, [None])],
        [_value("more", BOOL, []), _value("w", FLOAT, [None])],
    )
    nodes = [helper.make_node("Loop", ["n", "", "x"], ["y"], body=body)]
    inputs = {"x": X, "n": np.array(length)}
    model = _model(nodes, inputs, "y")
    _check(model, inputs)
    _check(model, inputs, known=["n"])
    np.testing.assert_allclose(_gradient(model, inputs, "x", "y"), np.full(3, length + 1.0))


def _powers(steps: str) -> ModelProto:
    """y = x * x ** 3 by a Loop whose count is ``steps``."""
    body = _graph(
        [_node("Mul", "v x", "w"), _node("Identity", "going", "more")],
        [_value("i", INT, []), _value("going", BOOL, []), _value("v", FLOAT, [3])],
        [_value("more", BOOL, []), _value("w", FLOAT, [3])],
    )
    node = helper.make_node("Loop", [steps, "", "x"], ["y"], body=body)
    return _model([node], {"x": X, "n": np.array(3)}, "y", three=np.array(3))


@pytest.mark.parametrize("steps", ["n", "three"])
def test_gradients_flow_through_loops(steps: str) -> None:
    found = _gradient(_powers(steps), {"x": X, "n": np.array(3)}, "x", "y")
    np.testing.assert_allclose(found, 4 * X**3, rtol=1e-5)


def test_a_loop_that_never_ends_is_refused() -> None:
    model = _model(_loop("", ""), {"x": X}, "y", "sums", hundred=np.array(100, np.float32))
    with pytest.raises(UnsupportedFeatureError, match="it never ends; give it a trip count or a condition"):
        run_model(model, {"x": X})


def test_a_loop_in_a_loop_takes_values_from_around_both() -> None:
    inner = _graph(
        [_node("Mul", "u x", "m"), _node("Add", "m v", "n1"), _node("Identity", "g", "more1")],
        [_value("j", INT, []), _value("g", BOOL, []), _value("u", FLOAT, [3])],
        [_value("more1", BOOL, []), _value("n1", FLOAT, [3])],
    )
    outer = _graph(
        [helper.make_node("Loop", ["n", "", "v"], ["w"], body=inner), _node("Identity", "going", "more")],
        [_value("i", INT, []), _value("going", BOOL, []), _value("v", FLOAT, [3])],
        [_value("more", BOOL, []), _value("w", FLOAT, [3])],
    )
    nodes = [helper.make_node("Loop", ["n", "", "x"], ["y"], body=outer)]
    inputs = {"x": X / 4, "n": np.array(3)}
    model = _model(nodes, inputs, "y")
    _check(model, inputs)
    _check(model, inputs, known=["n"])


def test_loops_in_loops_do_not_unroll_without_end() -> None:
    """64 ** 4 steps: unrolled as far as the bound on nodes allows, then loops of TensorFlow."""
    body = _graph(
        [_node("Identity", "v", "w"), _node("Identity", "g", "more")],
        [_value("i", INT, []), _value("g", BOOL, []), _value("v", FLOAT, [3])],
        [_value("more", BOOL, []), _value("w", FLOAT, [3])],
    )
    for depth in range(3):
        node = helper.make_node("Loop", ["n", "", f"v{depth}"], [f"w{depth}"], body=body)
        body = _graph(
            [node, _node("Identity", f"g{depth}", f"more{depth}")],
            [_value(f"i{depth}", INT, []), _value(f"g{depth}", BOOL, []), _value(f"v{depth}", FLOAT, [3])],
            [_value(f"more{depth}", BOOL, []), _value(f"w{depth}", FLOAT, [3])],
        )
    model = _model(
        [helper.make_node("Loop", ["n", "", "x"], ["y"], body=body)], {"x": X}, "y", n=np.array(64)
    )
    plan = lowering.plan(model, ops)
    values: dict[str, Any] = {**lowering.initial_values(model), "x": None}
    context = TensorFlowContext(values=values)

    def traced(x: Any) -> Any:
        values["x"] = x
        lowering.run(plan, values, context, execution.call)
        return values["y"]

    tf.function(traced, autograph=False).get_concrete_function(tf.TensorSpec([3]))
    assert context.unrolled.nodes <= MOST_UNROLLED_NODES


# -- Scan, sequences, XLA --------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [5, 70])
def test_scan_over_a_length_that_is_not_known(rows: int) -> None:
    body = _graph(
        [_node("Mul", "s row", "p"), _node("Add", "p row", "t"), _node("Identity", "t", "each")],
        [_value("s", FLOAT, [3]), _value("row", FLOAT, [3])],
        [_value("t", FLOAT, [3]), _value("each", FLOAT, [3])],
    )
    table = np.random.default_rng(1).uniform(-0.9, 0.9, (rows, 3)).astype(np.float32)
    inputs = {"x": X, "table": table}
    keep = np.ones(rows, np.bool_)
    nodes = [
        _node("Compress", "table keep", "chosen", axis=0),
        _node("Scan", "x chosen", "y all", body=body, num_scan_inputs=1, scan_input_directions=[1]),
    ]
    _check(_model(nodes, inputs, "y", "all", keep=keep), inputs)


def test_steps_of_a_loop_draw_different_numbers() -> None:
    body = _graph(
        [
            _node("Dropout", "v ratio", "d"),
            _node("Identity", "going", "more"),
            _node("Identity", "v", "same"),
        ],
        [_value("i", INT, []), _value("going", BOOL, []), _value("v", FLOAT, [None])],
        [_value("more", BOOL, []), _value("same", FLOAT, [None]), _value("d", FLOAT, [None])],
    )
    x = np.ones(400, np.float32)
    nodes = [helper.make_node("Loop", ["n", "", "x"], ["y", "drops"], body=body)]
    results = []
    cases: list[tuple[dict[str, Array], dict[str, Any]]] = [
        ({"x": x}, {"n": np.array(3)}),
        ({"x": x, "n": np.array(3)}, {}),
    ]
    for inputs, constants in cases:
        model = _model(nodes, inputs, "drops", ratio=np.array(0.5, np.float32), **constants)
        plan = lowering.plan(model, ops, training=True)
        values = {**lowering.initial_values(model), **{n: tf.constant(a) for n, a in inputs.items()}}
        context = TensorFlowContext(training=True, seed=3, step=7, values=values)
        lowering.run(plan, values, context, execution.call)
        results.append(values["drops"].numpy() != 0)
    for drops in results:
        assert all(0.35 < (drops[i] != drops[j]).mean() < 0.65 for i, j in ((0, 1), (0, 2), (1, 2)))
    np.testing.assert_array_equal(*results)  # whether the loop is unrolled makes no difference


def test_gradients_flow_through_sequences_and_optionals() -> None:
    nodes = [
        _node("SequenceEmpty", "", "none"),
        _node("SequenceInsert", "none x", "one"),
        _node("Sin", "x", "sine"),
        _node("SequenceInsert", "one sine", "two"),
        _node("SequenceErase", "two zero", "last"),
        _node("ConcatFromSequence", "two", "joined", axis=0, new_axis=1),
        _node("SplitToSequence", "joined", "rows", axis=0, keepdims=0),
        _node("SequenceAt", "rows zero", "first"),
        _node("SequenceAt", "last minus", "second"),
        _node("SequenceConstruct", "first second", "both"),
        _node("SequenceAt", "both place", "chosen"),
        _node("Optional", "chosen", "maybe"),
        _node("OptionalGetElement", "maybe", "sure"),
        _node("Mul", "sure first", "y"),
    ]
    inputs = {"x": X, "place": np.array(1)}
    model = _model(nodes, inputs, "y", zero=np.array(0), minus=np.array(-1), opset=18)
    np.testing.assert_allclose(run_model(model, inputs)["y"], np.sin(X) * X, rtol=1e-6)
    expected = np.cos(X) * X + np.sin(X)
    np.testing.assert_allclose(_gradient(model, inputs, "x", "y"), expected, rtol=1e-5)


@pytest.mark.parametrize("position", [2, -3])
def test_a_position_outside_of_a_sequence_is_refused(position: int) -> None:
    nodes = [_node("SequenceConstruct", "x x", "s"), _node("SequenceAt", "s place", "y")]
    model = _model(nodes, {"x": X}, "y", place=np.array(position))
    with pytest.raises(
        UnsupportedFeatureError, match=rf"position {position} is outside of its sequence of 2 te"
    ):
        run_model(model, {"x": X})


def test_an_empty_optional_has_no_element() -> None:
    kind = helper.make_tensor_type_proto(FLOAT, None)
    nodes = [helper.make_node("Optional", [], ["o"], type=kind), _node("OptionalGetElement", "o", "y")]
    with pytest.raises(UnsupportedFeatureError, match="'o' is an optional without an element; test it by If"):
        run_model(_model(nodes, {"x": X}, "y", opset=18), {"x": X})


def test_control_flow_is_not_compiled_by_xla() -> None:
    assert not should_jit(lowering.plan(_powers("n"), ops), "auto")
    assert should_jit(lowering.plan(_model([_node("Mul", "x x", "y")], {"x": X}, "y"), ops), "auto")
