"""How our recurrent parameters become Keras' weights, and layers that only tests need."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.catalogue.layers import Turn, numbers

Array = NDArray[Any]

ORDER = {"SimpleRNN": (0,), "LSTM": (0, 2, 3, 1), "GRU": (0, 1, 2)}
"""For each gate in Keras' order, its place in ONNX'."""

MASKS = st.lists(st.lists(st.integers(0, 1), min_size=5, max_size=5), min_size=3, max_size=3)


def turns(kind: str, *, rows: int = 1, prefix: str = "") -> dict[str, Turn]:
    """How the parameters of a layer become Keras'; ``rows`` is 2 where Keras has two rows of biases."""
    order = ORDER[kind]

    def gates(array: Array) -> Array:
        parts = np.split(array, len(order), axis=-1)
        return np.concatenate([parts[i] for i in order], axis=-1)

    def matrix(array: Array) -> Array:
        return gates(array[0].T)

    def bias(array: Array) -> Array:
        return gates(array.reshape(rows, -1) if rows > 1 else array[0])

    return {f"{prefix}kernel": matrix, f"{prefix}recurrent_kernel": matrix, f"{prefix}bias": bias}


def sequence(mask: Sequence[Sequence[int]] | None = None, shape: Sequence[int] = (3, 5, 2)) -> Array:
    """Numbers, and zeros at the steps that the mask does not count."""
    x = numbers("x", shape)
    return x if mask is None else x * np.array(mask, np.float32)[..., np.newaxis]


class Called(keras.layers.Layer):  # type: ignore[misc]
    """Keras layers, and a function of them and the inputs that gives a flat tuple of results."""

    def __init__(self, function: Callable[..., Any], *inner: Any) -> None:
        super().__init__()
        self.function, self.inner = function, list(inner)

    def call(self, inputs: Any) -> Any:
        xs = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        return self.function(*self.inner, *xs)


def behind_masking(layer: Any) -> Called:
    """A Keras layer on what ``Masking`` masks."""

    def call(masking: Any, layer: Any, x: Any) -> Any:
        return layer(masking(x), mask=masking.compute_mask(x))

    return Called(call, keras.layers.Masking(), layer)


def merged(*parts: Mapping[str, Turn]) -> dict[str, Turn]:
    """All of them."""
    return {name: turn for part in parts for name, turn in part.items()}
