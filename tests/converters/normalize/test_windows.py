"""Explicit padding and separate biases."""

from __future__ import annotations

import pytest

from neuromatic.converters.normalize.windows import explicit_pads, separate_biases
from tests.converters.normalize.models import attribute, model, normalized, numbers, ops

MODES = ("SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET")


def free(rank: int) -> str:
    return ", ".join(["N", "A", "B", "C", "D"][:rank])


@pytest.mark.parametrize(("mode", "dilation"), [*((mode, 1) for mode in MODES), ("VALID", 2), ("NOTSET", 2)])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_conv(mode: str, stride: int, dilation: int) -> None:
    body = f'y = Conv<auto_pad = "{mode}", strides = [{stride}, 1], dilations = [{dilation}, 1]>(x, w)'
    proto = model(body, "float[N, 2, 8, 7] x", f"float[{free(4)}] y", w=numbers(3, 2, 3, 2))
    result = normalized(explicit_pads, proto, ["w"], rtol=1e-5)
    assert attribute(result, "Conv", "auto_pad") is None
    assert attribute(result, "Conv", "kernel_shape") == [3, 2]


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("opset", [7, 10, 17])
def test_pools(op: str, mode: str, stride: int, opset: int) -> None:
    body = f'y = {op}<auto_pad = "{mode}", strides = [{stride}, 1], kernel_shape = [3, 2]>(x)'
    proto = model(body, "float[N, 2, 8, 7] x", f"float[{free(4)}] y", opset=opset)
    result = normalized(explicit_pads, proto)
    assert attribute(result, op, "auto_pad") is None
    assert attribute(result, op, "pads") is not None


@pytest.mark.parametrize("size", [5, 6, 7, 8])
@pytest.mark.parametrize(("kernel", "stride", "pad"), [(2, 3, 0), (3, 2, 0), (3, 2, 1), (1, 2, 0), (3, 3, 1)])
@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_ceil_mode(op: str, size: int, kernel: int, stride: int, pad: int) -> None:
    window = f"kernel_shape = [{kernel}], strides = [{stride}], pads = [{pad}, {pad}]"
    proto = model(f"y = {op}<ceil_mode = 1, {window}>(x)", f"float[N, 2, {size}] x", f"float[{free(3)}] y")
    assert attribute(normalized(explicit_pads, proto), op, "ceil_mode") is None


def test_ceil_mode_stays_where_the_padding_would_count() -> None:
    window = "kernel_shape = [3], strides = [2], count_include_pad = 1"
    proto = model(
        f"y = AveragePool<ceil_mode = 1, {window}>(x)", "float[N, 2, 6] x", "float[N, 2, 3] y", opset=19
    )
    assert attribute(normalized(explicit_pads, proto), "AveragePool", "ceil_mode") == 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("stride", [1, 2])
def test_conv_transpose(mode: str, stride: int) -> None:
    body = f'y = ConvTranspose<auto_pad = "{mode}", strides = [{stride}, 1]>(x, w)'
    proto = model(body, "float[N, 2, 5, 4] x", f"float[{free(4)}] y", w=numbers(2, 3, 4, 3))
    result = normalized(explicit_pads, proto, ["w"], rtol=1e-5)
    assert attribute(result, "ConvTranspose", "auto_pad") is None


@pytest.mark.parametrize("size", [9, 10])
def test_conv_transpose_of_a_given_size(size: int) -> None:
    body = f"y = ConvTranspose<output_shape = [{size}], strides = [2]>(x, w)"
    proto = model(body, "float[N, 2, 5] x", f"float[N, 3, {size}] y", w=numbers(2, 3, 4))
    result = normalized(explicit_pads, proto, ["w"], rtol=1e-5)
    assert attribute(result, "ConvTranspose", "output_shape") is None


def test_padding_of_an_unknown_size_stays_automatic() -> None:
    proto = model(
        'y = MaxPool<auto_pad = "SAME_UPPER", kernel_shape = [2]>(x)', "float[N, 2, L] x", "float[N, 2, L] y"
    )
    assert attribute(explicit_pads(proto), "MaxPool", "auto_pad") == b"SAME_UPPER"


def test_the_indices_of_a_pool_stay() -> None:
    proto = model(
        'y, i = MaxPool<auto_pad = "SAME_UPPER", kernel_shape = [2]>(x)',
        "float[N, 2, 5] x",
        "float[N, 2, 5] y, int64[N, 2, 5] i",
    )
    assert list(normalized(explicit_pads, proto).graph.node[0].output) == ["y", "i"]


@pytest.mark.parametrize("op", ["Conv", "ConvTranspose"])
@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_biases_of_one_and_three_dimensions_are_added(op: str, spatial: int) -> None:
    sizes = ", ".join(["5"] * spatial)
    weights = numbers(2, 2, *[3] * spatial)
    body = f"y = {op}(x, w, b)"
    proto = model(body, f"float[N, 2, {sizes}] x", f"float[{free(spatial + 2)}] y", w=weights, b=numbers(2))
    result = normalized(separate_biases, proto, ["w", "b"], rtol=1e-5)
    assert ops(result) == ([op] if spatial == 2 else [op, "Reshape", "Add"])
