"""Poolings against Keras."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import neuromatic as nm
from neuromatic import layers
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value
from tests.catalogue.cntk import records
from tests.catalogue.layers import Twins, assert_equals_keras, images, model_of, numbers, run
from tests.catalogue.status import equal

Array = NDArray[Any]

SOME = settings(derandomize=True, deadline=None, max_examples=12, database=None)
KINDS = ["Max", "Average"]


def sizes(rank: int, low: int, high: int) -> st.SearchStrategy[int | tuple[int, ...]]:
    each = st.integers(low, high)
    return st.one_of(each, st.tuples(*[each] * rank))


def volume(data: st.DataObject, rank: int, low: int = 4, high: int = 8) -> Array:
    """Data of some size; no two values are equal, so that the largest is one."""
    shape = (2, data.draw(st.integers(1, 3)), *(data.draw(st.integers(low, high)) for _ in range(rank)))
    order = np.random.default_rng(sum(shape)).permutation(int(np.prod(shape)))
    return (order.reshape(shape) / order.size * 4 - 2).astype(np.float32)


def twins(name: str, *args: Any, **kwargs: Any) -> Twins:
    return images(getattr(layers, name)(*args, **kwargs), getattr(keras.layers, name)(*args, **kwargs))


@equal("layers", *(f"{kind}Pooling{rank}D" for kind in KINDS for rank in (1, 2, 3)))
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rank", [1, 2, 3])
@SOME
@given(data=st.data())
def test_pooling(kind: str, rank: int, data: st.DataObject) -> None:
    pool_size = data.draw(sizes(rank, 1, 3))
    strides = data.draw(st.one_of(st.none(), sizes(rank, 1, 3)))
    padding = data.draw(st.sampled_from(["valid", "same"]))
    steps = np.broadcast_to(pool_size if strides is None else strides, rank)
    if rank == 3 and padding == "same" and (np.broadcast_to(pool_size, rank) < steps).any():
        return  # TensorFlow pads these wrongly where oneDNN is off: the next test judges them by numpy
    assert_equals_keras(twins(f"{kind}Pooling{rank}D", pool_size, strides, padding), volume(data, rank))


@pytest.mark.parametrize("kind", KINDS)
@SOME
@given(data=st.data())
def test_volumes_with_something_left_out_between_windows(kind: str, data: st.DataObject) -> None:
    x = volume(data, 3)
    pool_size = [data.draw(st.integers(1, 3)) for _ in range(3)]
    strides = [k + data.draw(st.integers(0, 2)) for k in pool_size]
    strides[data.draw(st.integers(0, 2))] += 1
    layer = getattr(layers, f"{kind}Pooling3D")(tuple(pool_size), tuple(strides), "same")
    expected = x.astype(np.float64)
    for axis, (k, s) in enumerate(zip(pool_size, strides, strict=True), start=2):
        n = x.shape[axis]
        count = -(-n // s)
        before = max((count - 1) * s + k - n, 0) // 2
        windows = [range(max(i * s - before, 0), min(i * s - before + k, n)) for i in range(count)]
        parts = [expected.take(window, axis) for window in windows]
        expected = np.stack([part.max(axis) if kind == "Max" else part.mean(axis) for part in parts], axis)
    np.testing.assert_allclose(run(model_of(layer, [x]).proto, [x])[0], expected, atol=1e-6)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_by_default_a_window_of_two(rank: int) -> None:
    x = numbers("x", (2, 3, *(7, 6, 4)[:rank]))
    assert_equals_keras(twins(f"MaxPooling{rank}D"), x)


@equal("layers", *(f"Global{kind}Pooling{rank}D" for kind in KINDS for rank in (1, 2, 3)))
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("keepdims", [False, True])
def test_global_pooling(kind: str, rank: int, keepdims: bool) -> None:
    x = numbers("x", (2, 3, *(7, 6, 4)[:rank]))
    name = f"Global{kind}Pooling{rank}D"
    theirs = getattr(keras.layers, name)("channels_first", keepdims=keepdims)
    assert_equals_keras(Twins(getattr(layers, name)(keepdims), theirs), x, declared=[(3, *[None] * rank)])


@equal("layers", "GlobalAveragePooling1D", "GlobalMaxPooling1D")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("keepdims", [False, True])
def test_global_pooling_of_sequences(kind: str, keepdims: bool) -> None:
    name = f"Global{kind}Pooling1D"
    ours = getattr(layers, name)(keepdims, data_format="channels_last")
    assert_equals_keras(
        Twins(ours, getattr(keras.layers, name)("channels_last", keepdims)), numbers("x", (3, 6, 4))
    )


@equal("layers", "GlobalAveragePooling1D")
@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
@pytest.mark.parametrize("keepdims", [False, True])
def test_a_mask_says_which_steps_count(data_format: str, keepdims: bool) -> None:
    x = numbers("x", (3, 4, 6) if data_format == "channels_first" else (3, 6, 4))
    mask = np.array([[1, 1, 1, 0, 0, 0], [0, 1, 0, 1, 0, 1], [1, 1, 1, 1, 1, 1]], bool)
    pooling = keras.layers.GlobalAveragePooling1D(data_format, keepdims=keepdims)
    layer = layers.GlobalAveragePooling1D(keepdims, data_format=data_format)

    def theirs(x: Any, m: Any) -> Any:
        return pooling(x, mask=m)

    assert_equals_keras(Twins(lambda x, m: layer(x, mask=m), theirs, spread=True), x, mask)
    if data_format == "channels_last":
        assert_equals_keras(Twins(lambda x, m: layer(_Masked()(x, m)), theirs, spread=True), x, mask)


class _Masked(layers.Layer):
    """Its first input with its second as mask."""

    def emit(self, g: GraphBuilder, x: Value, mask: Value) -> Value:
        y = g.add("Identity", x)
        g.set_mask(y, mask)
        return y


def test_values_that_the_mask_leaves_out_may_be_anything() -> None:
    x, m = np.ones((1, 1, 3), np.float32), np.array([[True, True, False]])
    x[0, 0, 2] = np.nan
    model = model_of(lambda x, m: layers.GlobalAveragePooling1D()(x, mask=m), [x, m])
    np.testing.assert_array_equal(run(model.proto, [x, m])[0], [[1]])


@equal("layers", *(f"Adaptive{kind}Pooling{rank}D" for kind in KINDS for rank in (1, 2, 3)))
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rank", [1, 2, 3])
@SOME
@given(data=st.data())
def test_adaptive_pooling(kind: str, rank: int, data: st.DataObject) -> None:
    x = volume(data, rank, 3, 9)
    output_size = data.draw(sizes(rank, 2, 10))  # Keras' windows for 1 make TensorFlow crash
    assert_equals_keras(twins(f"Adaptive{kind}Pooling{rank}D", output_size), x)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_adaptive_pooling_to_one_is_global_pooling(kind: str, rank: int) -> None:
    x = numbers("x", (2, 3, *(7, 6, 4)[:rank]))
    theirs = getattr(keras.layers, f"Global{kind}Pooling{rank}D")("channels_first", keepdims=True)
    assert_equals_keras(Twins(getattr(layers, f"Adaptive{kind}Pooling{rank}D")(1), theirs), x)


def operators(layer: layers.Layer, *shape: int) -> list[str]:
    nodes = nm.Sequential(shape).append(layer).onnx().graph.node
    return [node.op_type for node in nodes if node.op_type != "Constant"]


def test_adaptive_pooling_is_as_small_as_it_can_be() -> None:
    assert operators(layers.AdaptiveAveragePooling2D((4, 2)), 1, 8, 8) == ["AveragePool"]
    assert operators(layers.AdaptiveAveragePooling2D((4, 3)), 1, 8, 8) == ["AveragePool", "MatMul"]
    assert operators(layers.AdaptiveAveragePooling1D(3), 1, 8) == ["MatMul"]
    assert operators(layers.AdaptiveMaxPooling3D(4), 1, 8, 8, 8) == ["MaxPool"]
    assert operators(layers.AdaptiveMaxPooling2D((3, 4)), 1, 8, 8) == ["Gather", "MaxPool"]
    assert operators(layers.AdaptiveMaxPooling1D(16), 1, 8) == ["Gather"]


def test_given_pads_are_not_seen() -> None:
    x = numbers("x", (2, 3, 5, 6))
    for kind, value in (("Max", -np.inf), ("Average", np.nan)):
        model = model_of(getattr(layers, f"{kind}Pooling2D")(2, 1, ((1, 0), (0, 1))), [x])
        wide = np.pad(x, [(0, 0), (0, 0), (1, 0), (0, 1)], constant_values=value)
        windows = np.lib.stride_tricks.sliding_window_view(wide, (2, 2), (2, 3))
        expected = windows.max((-1, -2)) if kind == "Max" else np.nanmean(windows, (-1, -2))
        np.testing.assert_allclose(run(model.proto, [x])[0], expected, atol=1e-6)


ALIASES = {
    f"{before}{short}Pool{rank}D": f"{before}{kind}Pooling{rank}D"
    for before in ("", "Global")
    for short, kind in (("Max", "Max"), ("Avg", "Average"))
    for rank in (1, 2, 3)
}


@equal("layers", *ALIASES)
@pytest.mark.parametrize("alias", ALIASES)
def test_other_names(alias: str) -> None:
    assert getattr(layers, alias) is getattr(layers, ALIASES[alias])
    assert getattr(keras.layers, alias) is getattr(keras.layers, ALIASES[alias])
    assert not hasattr(nm.Sequential, alias.lower())


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_cntk_takes_it(kind: str, rank: int) -> None:
    shape = (2, *(7, 6, 5)[:rank])
    for layer in (
        getattr(layers, f"{kind}Pooling{rank}D")(2, padding="same"),
        getattr(layers, f"Global{kind}Pooling{rank}D")(),
        getattr(layers, f"Adaptive{kind}Pooling{rank}D")(2),
        getattr(layers, f"Adaptive{kind}Pooling{rank}D")(8),
    ):
        trained = getattr(layers, f"Conv{rank}D")(2, 1)
        assert records(nm.Sequential(shape).append(trained).append(layer).build()) is None, layer


def test_cntk_takes_a_mask() -> None:
    x, mask = nm.Input((3, 5)), nm.Input((5,), "bool", name="mask")
    y = layers.Conv1D(2, 1)(x)
    assert records(nm.Model([x, mask], layers.GlobalAveragePooling1D()(y, mask=mask))) is None
