"""Whole models in the opset 9 that CNTK imports."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import ModelProto

import neuromatic as nm
from neuromatic.activations import gelu_tanh
from neuromatic.converters.normalize import NATIVE_OPERATORS, to_opset9
from neuromatic.errors import UnsupportedFeatureError, UnsupportedOpError
from neuromatic.ir.values import Value
from neuromatic.models import digits
from neuromatic.recipe.sections import strip
from tests.converters.normalize.models import Array, attribute, model, numbers, ops, target, unchanged
from tests.neuromatic.graphs import linear
from tests.neuromatic.training.test_residual_net import ours as residual_net


def branches() -> nm.Model:
    """Two inputs, two outputs, and most kinds of layers between them."""
    image, size = nm.Input((2, 8, 8), name="image"), nm.Input((3,), name="size")
    x = nm.layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(image)
    y = nm.layers.Conv2D(4, 1, strides=2, use_bias=False)(image)
    x = nm.layers.AveragePooling2D(2)(nm.layers.Add()([x, y]))
    x = nm.layers.Flatten()(nm.layers.BatchNormalization()(x))
    x = nm.layers.Concatenate()([x, nm.layers.Dense(4, activation=gelu_tanh)(size)])
    kind = nm.layers.Dense(3, activation="softmax", name="kind")(x)
    return nm.Model([image, size], [kind, nm.layers.Dense(1, name="weight")(x)])


def reshaping() -> nm.Model:
    x = nm.Input((12,), name="x")
    y = nm.layers.Conv2D(2, 2)(nm.layers.Reshape((3, 2, 2))(x))
    return nm.Model(x, nm.layers.Dense(2)(nm.layers.Flatten()(y)))


BUILT: dict[str, Callable[[], nm.Model]] = {
    "digits": digits.build,
    "residual": residual_net,
    "branches": branches,
    "reshape": reshaping,
}


def named(proto: ModelProto) -> list[str]:
    return [t.name for t in proto.graph.initializer]


@pytest.mark.parametrize("name", BUILT)
def test_models_of_the_builder(name: str) -> None:
    proto = BUILT[name]().proto
    keep = named(proto)
    result = to_opset9(proto, keep=keep)
    unchanged(strip(proto), result, keep, rtol=1e-5)
    assert [(o.domain, o.version) for o in result.opset_import] == [("", 9)]
    assert 4 <= result.ir_version <= 6
    assert set(ops(result)) <= NATIVE_OPERATORS
    assert not result.training_info
    assert not result.functions


def test_nodes_have_the_names_of_their_outputs() -> None:
    result = to_opset9(digits.build().proto, keep=())
    names = [node.name for node in result.graph.node]
    assert names == [node.output[0] for node in result.graph.node]
    assert len(set(names)) == len(names)


def test_dropout_is_still_there_to_train() -> None:
    proto = digits.build().proto
    assert ops(to_opset9(proto, keep=named(proto))).count("Dropout") == 2


def test_an_output_that_cntk_would_lose_is_named() -> None:
    proto = model("y = MatMul(x, w)", "float[N, 3] x", "float[N, 2] y", w=numbers(3, 2))
    assert ops(to_opset9(proto, keep=["w"])) == ["MatMul", "Identity"]


@pytest.mark.parametrize("opset", [7, 9, 11, 13, 17, 21])
def test_a_linear_model_of_any_opset(opset: int) -> None:
    proto = linear(opset=opset, ir=8 if opset < 19 else 10)
    unchanged(proto, to_opset9(proto, keep=["w", "b"]), ["w", "b"])


def test_an_exported_attention_block() -> None:
    body = """s = Shape(x) zero = Constant<value_int = 0>() n = Gather(s, zero)
        axis = Constant<value_ints = [0]>() n1 = Unsqueeze(n, axis)
        rest = Constant<value_ints = [4, 2, 3]>() split = Concat<axis = 0>(n1, rest)
        q = MatMul(x, wq) k = MatMul(x, wk) v = MatMul(x, wv) q1 = Reshape(q, split) k1 = Reshape(k, split)
        v1 = Reshape(v, split) q2 = Transpose<perm = [0, 2, 1, 3]>(q1) k2 = Transpose<perm = [0, 2, 3, 1]>(k1)
        v2 = Transpose<perm = [0, 2, 1, 3]>(v1) p = MatMul(q2, k2) r = Softmax<axis = -1>(p) z = MatMul(r, v2)
        z1 = Transpose<perm = [0, 2, 1, 3]>(z) same = Constant<value_ints = [0, 0, -1]>()
        a = Reshape(z1, same) b = Add(a, x) y = LayerNormalization(b, g)"""
    given = {name: numbers(6, 6, seed=i) for i, name in enumerate(("wq", "wk", "wv"))} | {"g": numbers(6)}
    proto = model(body, "float[N, 4, 6] x", "float[N, 4, 6] y", opset=17, **given)
    result = to_opset9(proto, keep=list(given))
    unchanged(proto, result, list(given), rtol=1e-5)
    assert target(result) == [0, 4, 2, 3]


def test_an_embedding() -> None:
    proto = model("a = Gather(t, x) y = Flatten(a)", "int64[N, 4] x", "float[N, 20] y", t=numbers(7, 5))
    result = to_opset9(proto, keep=["t"])
    unchanged(proto, result, ["t"])
    assert "Gather" not in ops(result)


def test_a_batch_of_fixed_size_becomes_free() -> None:
    body = "flat = Constant<value_ints = [1, 24]>() a = Reshape(x, flat) y = Gemm(a, w)"
    proto = model(body, "float[1, 2, 3, 4] x", "float[1, 5] y", w=numbers(24, 5))
    result = to_opset9(proto, keep=["w"])
    free = model("f = Flatten(x) y = MatMul(f, w)", "float[N, 2, 3, 4] x", "float[N, 5] y", w=numbers(24, 5))
    unchanged(free, result, ["w"], rtol=1e-5)
    assert Value.of("y", result.graph.output[0].type).shape == ("batch", 5)


def test_constants_are_no_parameters() -> None:
    proto = digits.build().proto
    keep = named(proto)
    added = [t for t in to_opset9(proto, keep=keep).graph.initializer if t.name not in keep]
    assert all(t.data_type == onnx.TensorProto.INT64 for t in added)


def test_softmax_along_an_inner_axis() -> None:
    proto = model("y = Softmax<axis = 1>(x)", "float[N, 4, 5] x", "float[N, 4, 5] y")
    result = to_opset9(proto, keep=())
    unchanged(proto, result)
    assert attribute(result, "Softmax", "axis") == 2


REFUSED: dict[str, tuple[str, str, dict[str, Array]]] = {
    "Erf": ("y = Erf(x)", "(Erf): CNTK lacks it or computes it wrongly", {}),
    "Tan": ("y = Tan(x)", "(Tan): CNTK lacks it or computes it wrongly", {}),
    "Pow": ("y = Pow(x, p)", "(Pow): CNTK lacks it or", {"p": np.array(1.5, np.float32)}),
    "dilation": ("y = Conv<dilations = [2]>(x, w)", "no dilated convolution", {"w": numbers(2, 4, 2)}),
    "group": ("y = Conv<group = 2>(x, w)", "has groups for two-dimensional", {"w": numbers(2, 2, 2)}),
    "weights": (
        "r = ReduceSum(w) v = Mul(w, r) y = Conv(x, v)",
        "its weights are computed",
        {"w": numbers(2, 4, 2)},
    ),
    "batched weights": ("y = MatMul(x, w)", "CNTK does not broadcast", {"w": numbers(1, 6, 2)}),
    "vector": ("y = MatMul(x, w)", "fewer than two dimensions", {"w": numbers(6)}),
    "edge": (
        'p = Constant<value_ints = [0, 0, 1, 0, 0, 1]>() y = Pad<mode = "edge">(x, p)',
        "its mode is edge",
        {},
    ),
    "batch": ("y = Concat<axis = 0>(x, x)", "it works along the batch", {}),
    "merged": ("y = Reshape(x, t)", "it does not keep the batch in front", {"t": np.array([-1, 6])}),
    "integers": ("y = Cast<to = 7>(x)", "it casts to int64", {}),
    "doubles": ("d = Cast<to = 11>(x) y = Neg(d)", "it casts to float64", {}),
    "bools": ("z = Greater(x, x) y = And(z, m)", "CNTK reads wrongly", {"m": np.ones(6, bool)}),
    "no batch": ("y = ReduceSum(x)", "output 'y' has shape (1, 1, 1)", {}),
    "rows of the batch": (
        "i = Constant<value_ints = [0]>() y = Gather(x, i)",
        "it works along the batch",
        {},
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cntk_gets_wrong_is_refused_by_name(name: str) -> None:
    body, reason, given = REFUSED[name]
    kind = {"integers": "int64", "doubles": "double", "bools": "bool"}.get(name, "float")
    rank = {"vector": "A, B", "merged": "A, B"}.get(name, "A, B, C")
    proto = model(body, "float[N, 4, 6] x", f"{kind}[{rank}] y", opset=17, **given)
    with pytest.raises(UnsupportedOpError, match=re.escape(reason)) as caught:
        to_opset9(proto, keep=[n for n, v in given.items() if v.dtype == np.float32 and n != "p"])
    assert caught.value.engine == "cntk native import"


def test_every_refused_node_is_named_once() -> None:
    body = "a = Erf(x) b = Round(a) c = LSTM<hidden_size = 2>(b, w, r) y = Tan(b)"
    proto = model(body, "float[N, 4, 6] x", "float[N, 4, 6] y", w=numbers(1, 8, 6), r=numbers(1, 8, 2))
    with pytest.raises(UnsupportedOpError) as caught:
        to_opset9(proto, keep=())
    assert [re.findall(r"\((\w+)\)", problem) for problem in caught.value.problems] == [
        ["Round"],
        ["Erf"],
        ["Tan"],
    ]


def test_operators_of_other_domains_are_refused() -> None:
    proto = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["": 17, "com.example": 1]>
        net (float[N, 3] x) => (float[N, 3] y) { y = com.example.Own(x) }""")
    with pytest.raises(UnsupportedOpError, match="it is not one of ONNX' operators"):
        to_opset9(proto, keep=())


def test_free_dimensions_beside_the_batch_are_refused() -> None:
    proto = model("y = Relu(x)", "float[N, T, 3] x", "float[N, T, 3] y")
    with pytest.raises(
        UnsupportedOpError, match=r"input 'x' has shape \(N, T, 3\); only the first dimension"
    ):
        to_opset9(proto, keep=())


def test_opsets_before_7_are_refused() -> None:
    proto = model("y = Relu(x)", "float[N, 3] x", "float[N, 3] y", opset=6)
    with pytest.raises(
        UnsupportedFeatureError, match="the model has opset 6; cntk native import takes 7 and newer"
    ):
        to_opset9(proto, keep=())


def test_sparse_initializers_are_refused() -> None:
    proto = model("y = Relu(x)", "float[N, 3] x", "float[N, 3] y")
    values = onnx.numpy_helper.from_array(numbers(1), "s")
    indices = onnx.numpy_helper.from_array(np.array([0]))
    proto.graph.sparse_initializer.append(onnx.helper.make_sparse_tensor(values, indices, [3]))
    with pytest.raises(UnsupportedFeatureError, match="sparse initializers"):
        to_opset9(proto, keep=())
