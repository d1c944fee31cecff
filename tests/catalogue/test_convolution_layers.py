"""Convolutions against Keras."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.nn import functional

import neuromatic as nm
from neuromatic import layers
from tests.catalogue.cntk import records
from tests.catalogue.layers import assert_equals_keras, images, kernel, model_of, numbers, run
from tests.catalogue.status import equal

Array = NDArray[Any]

SOME = settings(derandomize=True, deadline=None, max_examples=20, database=None)
RANKS = {"1D": 1, "2D": 2, "3D": 3}


def sizes(rank: int, low: int, high: int) -> st.SearchStrategy[int | tuple[int, ...]]:
    each = st.integers(low, high)
    return st.one_of(each, st.tuples(*[each] * rank))


def largest(value: int | tuple[int, ...]) -> int:
    return value if isinstance(value, int) else max(value)


def smallest(value: int | tuple[int, ...]) -> int:
    return value if isinstance(value, int) else min(value)


@st.composite
def convolution(draw: st.DrawFn, rank: int, *, largest_size: int = 7) -> tuple[dict[str, Any], Array]:
    """Arguments that all convolutions have, and data.

    No stride is above its kernel, and no axis has one window only: on some processors TensorFlow, and with it
    Keras, computes those wrongly (tests/conformance/test_windows_tensorflow.py). PyTorch judges them below.
    """
    spans = draw(sizes(rank, 1, 3))
    strides: int | tuple[int, ...]
    if isinstance(spans, int):
        strides = draw(st.integers(1, spans))
    else:
        strides = tuple(draw(st.integers(1, span)) for span in spans)
    arguments = {
        "kernel_size": spans,
        "strides": strides,
        "padding": draw(st.sampled_from(["valid", "same"])),
        "dilation_rate": draw(sizes(rank, 1, 2)) if largest(strides) == 1 else 1,
        "use_bias": draw(st.booleans()),
        "activation": draw(st.sampled_from([None, "tanh"])),
    }
    channels = draw(st.integers(1, 3))
    shape = [draw(st.integers(6, largest_size)) for _ in range(rank)]
    return arguments, numbers("x", (2, channels, *shape))


def depthwise(channels: int) -> Any:
    """Turns our depthwise kernel (channels * multiplier, 1, ...) into Keras' (..., channels, multiplier)."""

    def turn(array: Array) -> Array:
        return np.moveaxis(array.reshape(channels, -1, *array.shape[2:]), (0, 1), (-2, -1))

    return turn


@equal("layers", "Conv1D", "Conv2D", "Conv3D")
@pytest.mark.parametrize("rank", [1, 2, 3])
@SOME
@given(data=st.data())
def test_convolution(rank: int, data: st.DataObject) -> None:
    arguments, x = data.draw(convolution(rank))
    arguments["groups"] = groups = data.draw(st.sampled_from([1, x.shape[1]]))
    arguments["filters"] = groups * data.draw(st.integers(1, 2))
    if rank == 1 and data.draw(st.booleans()):
        arguments["padding"] = "causal"
    name = f"Conv{rank}D"
    twins = images(getattr(layers, name)(**arguments), getattr(keras.layers, name)(**arguments))
    assert_equals_keras(twins, x)


@equal("layers", "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose")
@pytest.mark.parametrize("rank", [1, 2, 3])
@SOME
@given(data=st.data())
def test_transposed_convolution(rank: int, data: st.DataObject) -> None:
    arguments, x = data.draw(convolution(rank, largest_size=6))
    arguments |= {"filters": data.draw(st.integers(1, 3)), "dilation_rate": 1}
    steps = arguments["strides"]
    spans = arguments["kernel_size"]
    steps = (steps,) * rank if isinstance(steps, int) else steps
    spans = (spans,) * rank if isinstance(spans, int) else spans
    if data.draw(st.booleans()):
        # TensorFlow refuses what has no convolution back: "same" with an even kernel and nothing added.
        even = [arguments["padding"] == "same" and span % 2 == 0 for span in spans]
        if all(step > 1 for step, e in zip(steps, even, strict=True) if e):
            arguments["output_padding"] = tuple(
                data.draw(st.integers(int(e), step - 1)) for step, e in zip(steps, even, strict=True)
            )
    name = f"Conv{rank}DTranspose"
    twins = images(getattr(layers, name)(**arguments), getattr(keras.layers, name)(**arguments))
    assert_equals_keras(twins, x, declared=[(x.shape[1], *[None] * rank)])


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("padding", ["valid", "same"])
@SOME
@given(data=st.data())
def test_strides_above_the_kernel(rank: int, padding: str, data: st.DataObject) -> None:
    spans = tuple(data.draw(st.integers(1, 2)) for _ in range(rank))
    steps = tuple(span + data.draw(st.integers(0, 2)) for span in spans)
    x = numbers("x", (2, data.draw(st.integers(1, 2)), *(data.draw(st.integers(3, 6)) for _ in range(rank))))
    wide = exact = torch.from_numpy(x).double()
    if padding == "same":
        axes = zip(x.shape[2:], steps, spans, strict=True)
        totals = [max((-(-n // s) - 1) * s + k - n, 0) for n, s, k in axes]
        wide = functional.pad(exact, [p for t in reversed(totals) for p in (t // 2, t - t // 2)])
    # A transposed one has stride * size elements either way: up to the next window.
    after = [p for s, k in reversed(list(zip(steps, spans, strict=True))) for p in (0, s - k)]
    for name, twin, fed in (("", "conv", wide), ("Transpose", "conv_transpose", exact)):
        layer = getattr(layers, f"Conv{rank}D{name}")(2, spans, steps, padding, use_bias=False)
        model = model_of(layer, [x])
        (w,) = model.parameters().values()
        y = getattr(functional, f"{twin}{rank}d")(fed, torch.tensor(w).double(), stride=steps)
        expected = functional.pad(y, after) if name else y
        np.testing.assert_allclose(run(model.proto, [x])[0], expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("output_padding", [None, 0])
def test_transposed_convolution_with_dilation(padding: str, output_padding: int | None) -> None:
    arguments: dict[str, Any] = {"filters": 2, "padding": padding, "output_padding": output_padding}
    layer = layers.Conv2DTranspose(kernel_size=3, dilation_rate=(2, 3), **arguments)
    x = numbers("x", (2, 3, 5, 6))
    model = model_of(layer, [x])
    w = model.parameters()["conv2d_transpose/kernel"]
    spread = np.zeros((*w.shape[:2], 5, 7), np.float32)  # Keras' own dilation needs a GPU
    spread[:, :, ::2, ::3] = w
    twin = keras.layers.Conv2DTranspose(kernel_size=(5, 7), use_bias=False, **arguments)
    twin.build((2, 5, 6, 3))
    twin.set_weights([kernel(spread)])
    expected = np.moveaxis(keras.ops.convert_to_numpy(twin(np.moveaxis(x, 1, -1))), -1, 1)
    np.testing.assert_allclose(run(model.proto, [x])[0], expected, atol=1e-5)


@equal("layers", "DepthwiseConv1D", "DepthwiseConv2D")
@pytest.mark.parametrize("rank", [1, 2])
@SOME
@given(data=st.data())
def test_depthwise_convolution(rank: int, data: st.DataObject) -> None:
    arguments, x = data.draw(convolution(rank))
    arguments |= {
        # TensorFlow has none that differ.
        "strides": data.draw(st.integers(1, min(2, smallest(arguments["kernel_size"])))),
        "dilation_rate": data.draw(sizes(rank, 1, 2)),
        "depth_multiplier": data.draw(st.integers(1, 3)),
    }
    name = f"DepthwiseConv{rank}D"
    assert_equals_keras(
        images(
            getattr(layers, name)(**arguments),
            getattr(keras.layers, name)(**arguments),
            weights={"kernel": depthwise(x.shape[1])},
        ),
        x,
    )


@equal("layers", "SeparableConv1D", "SeparableConv2D")
@pytest.mark.parametrize("rank", [1, 2])
@SOME
@given(data=st.data())
def test_separable_convolution(rank: int, data: st.DataObject) -> None:
    arguments, x = data.draw(convolution(rank))
    arguments |= {
        "filters": data.draw(st.integers(1, 3)),
        "strides": data.draw(st.integers(1, 2)),
        "dilation_rate": data.draw(sizes(rank, 1, 2)),
        "depth_multiplier": data.draw(st.integers(1, 3)),
    }
    name = f"SeparableConv{rank}D"
    assert_equals_keras(
        images(
            getattr(layers, name)(**arguments),
            getattr(keras.layers, name)(**arguments),
            weights={"depthwise_kernel": depthwise(x.shape[1]), "pointwise_kernel": kernel},
        ),
        x,
    )


ALIASES = {
    **{f"Convolution{rank}D": f"Conv{rank}D" for rank in (1, 2, 3)},
    **{f"Convolution{rank}DTranspose": f"Conv{rank}DTranspose" for rank in (1, 2, 3)},
    **{f"SeparableConvolution{rank}D": f"SeparableConv{rank}D" for rank in (1, 2)},
}


@equal("layers", *ALIASES)
@pytest.mark.parametrize("alias", ALIASES)
def test_other_names(alias: str) -> None:
    assert getattr(layers, alias) is getattr(layers, ALIASES[alias])
    assert getattr(keras.layers, alias) is getattr(keras.layers, ALIASES[alias])


@pytest.mark.parametrize("rank", [1, 2, 3])
@SOME
@given(data=st.data())
def test_given_zeros_are_those_that_keras_pads(rank: int, data: st.DataObject) -> None:
    arguments, x = data.draw(convolution(rank))
    pads = [(data.draw(st.integers(0, 2)), data.draw(st.integers(0, 2))) for _ in range(rank)]
    arguments |= {"filters": 2, "padding": pads}
    ours = getattr(layers, f"Conv{rank}D")(**arguments)
    padded = np.pad(x, [(0, 0), (0, 0), *pads])
    twin = getattr(keras.layers, f"Conv{rank}D")(**(arguments | {"padding": "valid"}))
    model = model_of(ours, [x])
    inputs = np.moveaxis(padded, 1, -1)
    twin.build(inputs.shape)
    found = list(model.parameters().values())
    twin.set_weights([kernel(found[0]), *found[1:]])
    expected = np.moveaxis(keras.ops.convert_to_numpy(twin(inputs)), -1, 1)
    np.testing.assert_allclose(run(model.proto, [x])[0], expected, atol=1e-5)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_given_pads_cut_a_transposed_convolution(rank: int) -> None:
    x = numbers("x", (2, 3, *(4, 5, 3)[:rank]))
    cut = ((1, 0), (0, 2), (2, 1))[:rank]
    arguments: dict[str, Any] = {"filters": 2, "kernel_size": 3, "strides": 2, "use_bias": False}
    name = f"Conv{rank}DTranspose"
    model = model_of(getattr(layers, name)(padding=cut, output_padding=1, **arguments), [x])
    twin = getattr(keras.layers, name)(padding="valid", output_padding=1, **arguments)
    inputs = np.moveaxis(x, 1, -1)
    twin.build(inputs.shape)
    twin.set_weights([kernel(next(iter(model.parameters().values())))])
    whole = np.moveaxis(keras.ops.convert_to_numpy(twin(inputs)), -1, 1)
    kept = [slice(before, size - after) for (before, after), size in zip(cut, whole.shape[2:], strict=True)]
    expected = whole[(slice(None), slice(None), *kept)]
    np.testing.assert_allclose(run(model.proto, [x])[0], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (layers.Conv1D(2, 3, padding="causal", dilation_rate=2), (3, 7)),
        (layers.Conv2D(2, 3, padding="same", strides=2), (3, 7, 8)),
        (layers.Conv3D(2, 2, groups=2), (4, 5, 4, 3)),
        (layers.Conv1DTranspose(2, 3, strides=2), (3, 7)),
        (layers.Conv2DTranspose(2, 3, strides=2, padding="same"), (3, 5, 4)),
        (layers.Conv3DTranspose(2, 2, strides=2), (3, 3, 4, 2)),
        (layers.DepthwiseConv1D(3, depth_multiplier=2), (3, 7)),
        (layers.DepthwiseConv2D(3, strides=2), (3, 7, 8)),
        (layers.SeparableConv1D(2, 3), (3, 7)),
        (layers.SeparableConv2D(2, 3, padding="same"), (3, 7, 8)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_cntk_takes_it(layer: layers.Layer, shape: tuple[int, ...]) -> None:
    assert records(nm.Sequential(shape).append(layer).build()) is None


@pytest.mark.parametrize("shape", [(7, 3), (8, 6, 3), (6, 5, 4, 3)], ids=len)
def test_channels_last_data(shape: tuple[int, ...]) -> None:
    rank = len(shape) - 1
    chain = nm.Sequential(shape, data_format="channels_last")
    conv = getattr(layers, f"Conv{rank}D")(4, 2, padding="same", activation="relu")
    pooling = getattr(layers, f"GlobalAveragePooling{rank}D")()
    model = chain.append(conv).append(pooling).dense(2).loss("mse").optimizer("sgd", learning_rate=0.1)
    assert [node.op_type for node in model.proto.graph.node].count("Transpose") == 1
    twin = keras.Sequential(
        [
            keras.Input(shape),
            getattr(keras.layers, f"Conv{rank}D")(4, 2, padding="same", activation="relu"),
            getattr(keras.layers, f"GlobalAveragePooling{rank}D")(),
            keras.layers.Dense(2),
        ]
    )
    first, *others = model.parameters().values()
    twin.set_weights([kernel(first), *others])
    x, y = numbers("x", (8, *shape)), numbers("y", (8, 2))
    np.testing.assert_allclose(model.predict(x), twin(x), atol=1e-5)
    twin.compile(keras.optimizers.SGD(0.1), "mse")
    twin.fit(x, y, batch_size=8, epochs=3, shuffle=False, verbose=0)
    model.train(x, y, batch_size=8, epochs=3, shuffle=False, verbose=0)
    np.testing.assert_allclose(model.predict(x), twin(x), atol=1e-5)
    assert records(model) is None
