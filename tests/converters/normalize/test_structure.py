"""Functions, identities, the batch dimension and names."""

from __future__ import annotations

import onnx
import pytest

from neuromatic.converters.normalize.structure import (
    drop_identities,
    drop_unused,
    expand_functions,
    free_batch,
    inline_functions,
    name_nodes,
)
from neuromatic.errors import UnsupportedFeatureError
from neuromatic.ir.values import Value
from tests.converters.normalize.models import model, normalized, numbers, ops, unchanged
from tests.neuromatic.recipes import trained_by_sgd

WITH_FUNCTION = """<ir_version: 8, opset_import: ["": 17, "own": 1]>
    net (float[N, 3] x) => (float[N, 3] y) { y = own.twice <factor = 2.0> (x) }
    <opset_import: ["": 17], domain: "own">
    twice <factor> (a) => (b) { f = Constant <value_float: float = @factor> () b = Mul (a, f) }
"""


def test_local_functions_are_inlined() -> None:
    result = normalized(inline_functions, onnx.parser.parse_model(WITH_FUNCTION))
    assert not result.functions
    assert ops(result) == ["Constant", "Mul"]


def test_a_recipe_is_left_out() -> None:
    result = inline_functions(trained_by_sgd())
    assert not result.training_info
    assert not result.functions
    assert [o.domain for o in result.opset_import] == [""]


@pytest.mark.parametrize(
    ("body", "opset"),
    [
        ("y = HardSwish(x)", 14),
        ('y = Gelu<approximate = "tanh">(x)', 20),
        ("y = Gelu(x)", 20),
        ("y = Mish(x)", 18),
        ("y = Celu<alpha = 0.5>(x)", 17),
        ("y = Celu(x)", 17),
        ("y = MeanVarianceNormalization<axes = [1, 2]>(x)", 17),
        ("y = MeanVarianceNormalization<axes = [1, 2]>(x)", 13),
    ],
)
def test_operators_become_their_functions(body: str, opset: int) -> None:
    proto = model(body, "float[N, 4, 3] x", "float[N, 4, 3] y", opset=opset)
    result = normalized(expand_functions, proto, rtol=1e-5)
    assert not set(ops(result)) & set(ops(proto))


def test_defaults_hold_inside_functions() -> None:
    proto = model("y = MeanVarianceNormalization(x)", "float[N, 2, 3, 3] x", "float[N, 2, 3, 3] y")
    assert "MeanVarianceNormalization" not in ops(normalized(expand_functions, proto, rtol=1e-5))


def test_identities_go_except_where_an_output_would_lose_its_name() -> None:
    body = "a = Identity(x) b = Relu(a) c = Identity(b) d = Neg(c) y = Identity(c) z = Identity(x)"
    proto = model(body, "float[N, 3] x", "float[N, 3] y, float[N, 3] z, float[N, 3] d")
    result = normalized(drop_identities, proto)
    assert ops(result) == ["Relu", "Neg", "Identity", "Identity"]


def test_what_is_unused_goes_but_parameters_stay() -> None:
    proto = model(
        "a = Neg(x) y = Mul(x, used)", "float[N, 3] x, float[3] used", "float[N, 3] y",
        used=numbers(3), unused=numbers(2), parameter=numbers(4),
    )  # fmt: skip
    result = normalized(drop_unused, proto, ["parameter"])
    assert ops(result) == ["Mul"]
    assert [t.name for t in result.graph.initializer] == ["used", "parameter"]
    assert [i.name for i in result.graph.input] == ["x"]


def test_a_fixed_batch_becomes_free() -> None:
    proto = model("y = Relu(x)", "float[2, 3] x", "float[2, 3] y")
    result = free_batch(proto)
    assert [Value.of(v.name, v.type).shape for v in (*result.graph.input, *result.graph.output)] == [
        ("batch", 3),
        ("batch", 3),
    ]
    assert Value.of("x", proto.graph.input[0].type).shape == (2, 3)


def test_all_inputs_get_one_symbol() -> None:
    proto = model("y = Add(a, b)", "float[1, 3] a, float[M, 3] b, float[K, 3] c", "float[K, 3] y")
    result = free_batch(proto)
    shapes = [Value.of(v.name, v.type).shape for v in (*result.graph.input, *result.graph.output)]
    assert shapes == [("M", 3)] * 4


def test_parameters_among_the_inputs_keep_their_shape() -> None:
    proto = model("y = Add(x, w)", "float[N, 3] x, float[1, 3] w", "float[N, 3] y", w=numbers(1, 3))
    result = normalized(free_batch, proto, ["w"])
    assert Value.of("w", result.graph.input[1].type).shape == (1, 3)


def test_a_scalar_input_has_no_batch() -> None:
    proto = model("y = Mul(x, s)", "float[N, 3] x, float s", "float[N, 3] y")
    with pytest.raises(UnsupportedFeatureError, match=r"input 's' has shape \(\); it needs a leading batch"):
        free_batch(proto)


def test_nodes_are_named_after_their_outputs() -> None:
    proto = model("a, b = Split<axis = 1>(x) y = Sub(a, b)", "float[N, 4] x", "float[N, 2] y", opset=11)
    proto.graph.node[1].name = "elsewhere"
    result = name_nodes(proto)
    unchanged(proto, result)
    assert [node.name for node in result.graph.node] == ["a", "y"]
