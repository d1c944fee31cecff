"""The estimate of operations, against counting by hand."""

from __future__ import annotations

import onnx
import pytest

import neuromatic as nm
from neuromatic.reports.summary import rows


def total(model: onnx.ModelProto) -> int:
    return sum(row.flops for row in rows(model))


def test_a_dense_layer_is_two_for_each_weight_and_one_for_each_bias() -> None:
    assert total(nm.Sequential((7,)).dense(5).onnx()) == 2 * 7 * 5 + 5
    assert total(nm.Sequential((3, 7)).dense(5, use_bias=False).onnx()) == 3 * 2 * 7 * 5


def test_a_convolution_is_a_product_of_its_kernel_for_each_output() -> None:
    model = nm.Sequential((3, 8, 8)).conv2d(4, 3, use_bias=False).onnx()
    assert total(model) == 4 * 6 * 6 * (2 * 3 * 3 * 3)
    grouped = nm.Sequential((4, 8, 8)).conv2d(4, 3, groups=2, use_bias=False).onnx()
    assert total(grouped) == 4 * 6 * 6 * (2 * 2 * 3 * 3)


def test_elementwise_operators_are_one_for_each_element_and_moving_is_free() -> None:
    assert total(nm.Sequential((6,)).relu().onnx()) == 6
    assert total(nm.Sequential((2, 3)).flatten().onnx()) == 0


def test_pooling_looks_at_each_window() -> None:
    assert total(nm.Sequential((2, 4, 4)).max_pooling2d(2).onnx()) == 2 * 2 * 2 * 4
    assert total(nm.Sequential((2, 4, 4)).global_average_pooling2d().onnx()) == 2 * 4 * 4


@pytest.mark.parametrize(
    ("text", "flops"),
    [
        ('(float[N,3,4] x) => (float[N,3,3] y) { y = Einsum<equation = "bij,bkj->bik">(x, x) }', 72),
        (
            "(float[5,N,3] x, float[1,16,3] w, float[1,16,4] r) => (y) { y = LSTM<hidden_size=4>(x, w, r) }",
            1120,
        ),
        ("(float[N,2,3] x, float[2,4,2] w) => (float[N,4,4] y) { y = ConvTranspose(x, w) }", 96),
        ("(float[4,N] x, float[4,2] w) => (float[N,2] y) { y = Gemm<transA=1>(x, w) }", 16),
        ("(float[N,4] x) => (float[N,1] y) { axes = Constant<value_ints=[1]>() y = ReduceSum(x, axes) }", 4),
    ],
)
def test_other_products(text: str, flops: int) -> None:
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> main {text}')
    assert total(model) == flops


def test_a_recurrent_layer_of_which_the_last_state_alone_is_wanted() -> None:
    model = nm.Sequential((5, 3)).lstm(4).onnx()
    assert total(model) == 5 * 2 * 16 * (3 + 4)


def test_unknown_ranks_count_as_nothing() -> None:
    model = nm.Sequential((6,)).relu().onnx()
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.ClearField("shape")
    assert total(model) == 0
