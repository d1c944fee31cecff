"""What depends on data alone and CNTK lacks is computed by onnxruntime; training goes on from there."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper, parser

import neuromatic as nm
from neuromatic.converters.cntk.recorder import Recorder
from neuromatic.converters.doctor import examine
from neuromatic.errors import UnsupportedFeatureError, UnsupportedOpError

Array = NDArray[Any]
ROWS = 24
TOLERANCE = 2e-5

IDS = "(int64[N,4] ids) => (float[N,5] y)"
NUMBERS = "(float[N,6] x) => (float[N,5] y)"
WORDS = "(string[N] words) => (float[N,5] y)"
STORED = (
    "int64 five = {5}, int64[1] one = {1}, int64[1] three = {3}, float zero = {0}, int64 first = {0}, "
    "int64 second = {1}"
)
AFTER_A_TABLE = "e = Gather(table, i)  m = ReduceMean<keepdims=0>(e, one)  y = MatMul(m, w)"
TABLE = {"table": (6, 3), "w": (3, 5)}

GRAPHS: dict[str, tuple[str, str, dict[str, tuple[int, ...]]]] = {
    "integers beyond float32": (
        IDS,
        "big = Constant<value_int=1000003>()  a = Mul(ids, big)  b = BitwiseAnd(a, five)  i = Mod(b, five)"
        + AFTER_A_TABLE,
        TABLE,
    ),
    "remainders of large products": (
        IDS,
        "big = Constant<value_int=1000003>()  a = Mul(ids, big)  i = Mod(a, five)" + AFTER_A_TABLE,
        TABLE,
    ),
    "bits": (
        IDS,
        'b = Cast<to=13>(ids)  s = Cast<to=13>(one)  t = BitShift<direction="RIGHT">(b, s)'
        "c = Cast<to=7>(t)  i = Mod(c, five)" + AFTER_A_TABLE,
        TABLE,
    ),
    "the largest": (
        NUMBERS,
        "v, p = TopK(x, three)  e = Gather(table, p)  m = ReduceMean<keepdims=0>(e, one)"
        "s = MatMul(v, u)  t = MatMul(m, w)  y = Add(s, t)",
        {**TABLE, "u": (3, 5)},
    ),
    "not a number": (
        NUMBERS,
        "r = Acos(x)  n = IsNaN(r)  o = Constant<value_float=0.5>()  c = Where(n, o, r)  y = MatMul(c, v)",
        {"v": (6, 5)},
    ),
    "a determinant": (
        NUMBERS,
        "to = Constant<value_ints=[0, 2, 3]>()  a = Reshape(x, to)  t = Transpose<perm=[0, 2, 1]>(a)"
        "g = MatMul(a, t)  d = Det(g)  c = Unsqueeze(d, one)  l = MatMul(c, s)  y = Tanh(l)",
        {"s": (1, 5)},
    ),
    "a running product": (
        NUMBERS,
        "h = ReduceMax<keepdims=1>(x, one)  b = Greater(h, zero)  p = Cast<to=1>(b)  q = Mul(x, p)"
        "c = CumProd(q, second)  y = MatMul(c, v)",
        {"v": (6, 5)},
    ),
    "words": (
        WORDS,
        'f = RegexFullMatch<pattern="[k-nK-N].*">(words)  c = Cast<to=7>(f)'
        "e = Gather(table, c)  y = MatMul(e, w)",
        TABLE,
    ),
}


def model(signature: str, body: str, shapes: dict[str, tuple[int, ...]]) -> onnx.ModelProto:
    opset = 26 if "CumProd" in body else 20
    proto = parser.parse_model(
        f'<ir_version: 10, opset_import: ["" : {opset}]> net {signature} <{STORED}> {{ {body} }}'
    )
    rng = np.random.default_rng(0)
    for key, shape in shapes.items():
        array = rng.normal(size=shape).astype(np.float32) / 2
        proto.graph.initializer.append(numpy_helper.from_array(array, key))
    return proto


def data(proto: onnx.ModelProto) -> Array:
    rng, name = np.random.default_rng(3), proto.graph.input[0].name
    if name == "ids":
        return rng.integers(0, 4000, (ROWS, 4))
    if name == "words":
        return np.array([f"{letter}{i}" for i, letter in enumerate("kLmNoPaZ" * 3)], object)
    return rng.normal(size=(ROWS, 6)).astype(np.float32)


def trained(proto: onnx.ModelProto, engine: str) -> tuple[list[float], nm.Model]:
    built = nm.Model.from_proto(proto).loss("mse").optimizer("adam", learning_rate=0.01)
    x, y = data(proto), np.random.default_rng(4).normal(size=(ROWS, 5)).astype(np.float32)
    history = built.train(x, y, batch_size=ROWS // 2, epochs=3, engine=engine, verbose=0)
    return list(history.step_losses), built


@pytest.mark.usefixtures("cntk_environment")
@pytest.mark.parametrize("name", GRAPHS)
def test_training_goes_on_behind_it(name: str) -> None:
    proto = model(*GRAPHS[name])
    losses, built = trained(proto, "cntk")
    expected, other = trained(proto, "tensorflow")
    np.testing.assert_allclose(losses, expected, rtol=TOLERANCE)
    before = {t.name: numpy_helper.to_array(t) for t in proto.graph.initializer}
    for key in GRAPHS[name][2]:
        value = other.parameters()[key]
        np.testing.assert_allclose(built.parameters()[key], value, rtol=1e-4, atol=TOLERANCE, err_msg=key)
        assert not np.array_equal(value, before[key])


def test_what_is_trained_before_a_node_without_lowering_is_refused_by_name() -> None:
    proto = model(
        NUMBERS,
        "a = MatMul(x, v)  to = Constant<value_ints=[-1, 1, 1]>()  b = Reshape(a, to)  [d] c = Det(b)"
        "e = Reshape(c, to)  f = Squeeze(e, one)  y = MatMul(f, w)",
        {"v": (6, 1), "w": (1, 5)},
    )
    with pytest.raises(UnsupportedOpError, match=r"cntk has no lowering for Det-11 \(node 'd', opset 20\)"):
        Recorder(nm.Model.from_proto(proto).loss("mse").optimizer("sgd").proto)


@pytest.mark.usefixtures("cntk_environment")
def test_rows_that_depend_on_others_are_refused() -> None:
    proto = model(NUMBERS, "c = CumProd(x, first)  y = MatMul(c, v)", {"v": (6, 5)})
    with pytest.raises(UnsupportedFeatureError, match=r"^cntk cannot go on from 'c', .*: it mixes rows$"):
        trained(proto, "cntk")


def test_shapes_that_data_say_are_refused() -> None:
    proto = model(
        "(float[N,6] x) => (float[K,5] y)",
        "n = NonZero(x)  t = Transpose(n)  e = Cast<to=1>(t)  y = MatMul(e, w)",
        {"w": (2, 5)},
    )
    built = nm.Model.from_proto(proto).loss("mse").optimizer("sgd")
    spec = (("x", (6,), "float32"), ("target", (5,), "float32"))
    with pytest.raises(
        UnsupportedFeatureError, match=r"MatMul.*: it reads what is computed from data with shapes"
    ):
        Recorder(built.proto).record("train", spec, {"x": np.ones((3, 6), np.float32)})


@pytest.mark.parametrize("name", GRAPHS)
def test_doctor_knows_what_the_host_computes(name: str) -> None:
    built = nm.Model.from_proto(model(*GRAPHS[name])).loss("mse").optimizer("sgd")
    (checked,) = examine(built, ["cntk"])
    assert [c.operator for c in checked.operators if c.blocks] == []
