"""Valid models of all kinds, small, for the fuzzer to damage."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from onnx import ModelProto, TensorProto, helper
from onnx.numpy_helper import from_array

import neuromatic as nm
from tests.hostile.files import FLOAT, branch, call, calling, floats, function, ints, model, node
from tests.hostile.files import loop as loop_of


def mlp() -> ModelProto:
    net = nm.Sequential(input_shape=(4,)).dense(5, activation="relu").batch_normalization().dropout(0.2)
    net = net.dense(3, activation="softmax").loss("sparse_categorical_crossentropy")
    return net.optimizer("adam", learning_rate=1e-2).metrics("accuracy").proto


def regression() -> ModelProto:
    net = (
        nm.Sequential(input_shape=(3,)).dense(4, activation="tanh", kernel_regularizer="l2").dense(1).build()
    )
    rate = nm.schedules.CosineDecay(0.1, 100)
    return (
        net.loss("mse").optimizer("sgd", learning_rate=rate, momentum=0.9, clipnorm=1.0).metrics("mae").proto
    )


def images() -> ModelProto:
    net = nm.Sequential(input_shape=(1, 6, 6)).conv2d(3, 3, activation="relu").max_pooling2d(2).flatten()
    net = net.dense(2, activation="softmax").loss("categorical_crossentropy", label_smoothing=0.1)
    return net.optimizer("adamw", learning_rate=1e-3, weight_decay=0.01).metrics("accuracy").proto


def several() -> ModelProto:
    first, second = nm.Input((3,), name="first"), nm.Input((2,), name="second")
    joined = nm.layers.Concatenate()([first, second])
    outputs = [
        nm.layers.Dense(2, activation="softmax", name="kind")(joined),
        nm.layers.Dense(1, name="size")(joined),
    ]
    losses = {"kind": "sparse_categorical_crossentropy", "size": "mae"}
    return nm.Model([first, second], outputs).loss(losses).optimizer("rmsprop").proto


def tokens() -> ModelProto:
    text = nm.Input((5,), dtype="int64")
    h = nm.layers.LSTM(3)(nm.layers.Embedding(7, 4)(text))
    return (
        nm.Model(text, nm.layers.Dense(1, activation="sigmoid")(h))
        .loss("binary_crossentropy")
        .optimizer("adam")
        .proto
    )


def attention() -> ModelProto:
    x = nm.Input((4, 6))
    h = nm.layers.LayerNormalization()(nm.layers.MultiHeadAttention(num_heads=2, key_dim=3)(x, x))
    return nm.Model(x, nm.layers.Dense(1)(nm.layers.Flatten()(h))).proto


def foreign() -> ModelProto:
    """As others write: Gemm and Reshape, an older opset, no names."""
    made = model(
        [node("Reshape", "x s", "r"), node("Gemm", "r w b", "y", transB=1)],
        [
            ints("s", -1, 4),
            from_array(np.ones((2, 4), np.float32), "w"),
            from_array(np.zeros(2, np.float32), "b"),
        ],
    )
    made.opset_import[0].version = 11
    return made


def branches() -> ModelProto:
    c = node("ReduceSum", "x", "total", keepdims=0)
    greater = node("Greater", "total zero", "c")
    chosen = helper.make_node(
        "If",
        ["c"],
        ["y"],
        then_branch=branch(node("Mul", "x w", "inner")),
        else_branch=branch(node("Neg", "x", "inner")),
    )
    initializers = [from_array(np.array(0, np.float32), "zero"), from_array(np.ones(4, np.float32), "w")]
    return model([c, greater, chosen], initializers)


def scan() -> ModelProto:
    body = helper.make_graph(
        [node("Add", "state one", "next"), node("Identity", "next", "out")],
        "body",
        [floats("state", (4,)), floats("one", (4,))],
        [floats("next", (4,)), floats("out", (4,))],
    )
    start = from_array(np.zeros(4, np.float32), "start")
    return model([node("Scan", "start x", "last y", body=body, num_scan_inputs=1)], [start])


def functions() -> ModelProto:
    scaled = function("f", node("Relu", "a", "c"), call("g", "c", "b"))
    scaled.attribute.append("alpha")
    inner = function("g", node("Softmax", "a", "b", axis=-1))
    made = calling(scaled, inner)
    made.graph.node[0].attribute.append(helper.make_attribute("alpha", 0.5))
    return made


def sparse() -> ModelProto:
    made = model([node("Add", "x w")])
    values = from_array(np.array([1, 2], np.float32), "w")
    made.graph.sparse_initializer.append(helper.make_sparse_tensor(values, ints("", 0, 3), [4]))
    return made


def sequences() -> ModelProto:
    return model(
        [
            node("SplitToSequence", "x", "parts", axis=1),
            node("SequenceAt", "parts one", "part"),
            node("Concat", "part part", "y", axis=1),
        ],
        [from_array(np.array(1), "one")],
    )


def sequence_output() -> ModelProto:
    made = model([node("SplitToSequence", "x", "y", axis=1)])
    made.graph.output[0].type.CopyFrom(
        helper.make_sequence_type_proto(helper.make_tensor_type_proto(FLOAT, ("P", 1)))
    )
    return made


def labels() -> ModelProto:
    words = from_array(np.array(["cat", "dog", "cow"], object), "words")
    w = from_array(np.arange(12, dtype=np.float32).reshape(4, 3), "w")
    return model(
        [
            node("MatMul", "x w", "p"),
            node("ArgMax", "p", "i", axis=1, keepdims=0),
            node("Gather", "words i", "label"),
        ],
        [words, w],
        outputs=[floats("label", ("N",), TensorProto.STRING), floats("p", ("N", 3))],
    )


def strings() -> ModelProto:
    encoder = node(
        "LabelEncoder", "t", "y", domain="ai.onnx.ml", keys_strings=["a", "b"], values_floats=[1.0, 2.0]
    )
    made = model([encoder], inputs=[floats("t", ("N", 4), TensorProto.STRING)], domains=["ai.onnx.ml"])
    made.opset_import[1].version = 2
    return made


def quantised() -> ModelProto:
    scale, zero = from_array(np.array(0.1, np.float32), "s"), from_array(np.array(0, np.int8), "z")
    weights = from_array(np.arange(-4, 4, dtype=np.int8).reshape(4, 2), "w8")
    return model(
        [
            node("QuantizeLinear", "x s z", "x8"),
            node("DequantizeLinear", "x8 s z", "xf"),
            node("DequantizeLinear", "w8 s z", "w"),
            node("MatMul", "xf w"),
        ],
        [scale, zero, weights],
    )


def halves() -> ModelProto:
    w = from_array(np.ones((4, 2), np.float16), "w")
    kind = TensorProto.FLOAT16
    return model(
        [node("MatMul", "x w")],
        [w],
        inputs=[floats("x", ("N", 4), kind)],
        outputs=[floats("y", ("N", 2), kind)],
    )


def doubles() -> ModelProto:
    w = TensorProto(name="w", data_type=TensorProto.DOUBLE, dims=[4], double_data=[1, 2, 3, 4])
    kind = TensorProto.DOUBLE
    return model(
        [node("Mul", "x w")], [w], inputs=[floats("x", ("N", 4), kind)], outputs=[floats("y", ("N", 4), kind)]
    )


def no_inputs() -> ModelProto:
    made = model([node("Identity", "w")], [from_array(np.ones((2, 2), np.float32), "w")])
    del made.graph.input[:]
    return made


def one_number() -> ModelProto:
    return model([node("ReduceSum", "x", "y", keepdims=0)], outputs=[floats("y", ())])


def pooled() -> ModelProto:
    kernel = from_array(np.ones((4, 1, 3, 3), np.float32), "k")
    numbers = [from_array(np.ones(4, np.float32), name) for name in ("scale", "bias")]
    return model(
        [
            node("Conv", "x k", "c", group=2, pads=[1, 1, 1, 1], strides=[2, 2]),
            node("InstanceNormalization", "c scale bias", "n"),
            node("AveragePool", "n", "p", kernel_shape=[2, 2]),
            node("GlobalMaxPool", "p", "g"),
            node("Flatten", "g"),
        ],
        [kernel, *numbers],
        inputs=[floats("x", ("N", 2, 8, 8))],
    )


CORPUS: dict[str, Callable[[], ModelProto]] = {
    f.__name__: f
    for f in (
        mlp,
        regression,
        images,
        several,
        tokens,
        attention,
        foreign,
        branches,
        scan,
        functions,
        sparse,
        sequences,
        sequence_output,
        labels,
        strings,
        quantised,
        halves,
        doubles,
        no_inputs,
        one_number,
        pooled,
    )
} | {"loop": lambda: loop_of(3)}


@cache
def corpus() -> dict[str, bytes]:
    """Each model as the bytes of a file."""
    return {name: build().SerializeToString() for name, build in CORPUS.items()}
