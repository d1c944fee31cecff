"""Dense, EinsumDense and embeddings against Keras, and what is said of the other core layers."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuromatic as nm
from neuromatic import layers
from tests.catalogue.cntk import records
from tests.catalogue.layers import FEW, Array, Twins, assert_equals_keras, numbers
from tests.catalogue.status import absent, different, equal

absent("layers", "FlaxLayer", "runs a module of Flax; a model here is ONNX alone")
absent("layers", "JaxLayer", "runs a function of JAX; a model here is ONNX alone")
absent("layers", "TFSMLayer", "runs a SavedModel of TensorFlow; a model here is ONNX alone")
absent("layers", "TorchModuleWrapper", "runs a module of PyTorch; export it to ONNX instead")
absent("layers", "Pipeline", "a chain of preprocessing layers is a Sequential")
absent(
    "layers",
    "Wrapper",
    "the base class of wrappers; a layer that holds another is a dataclass with that field",
)
absent("layers", "InputLayer", "nm.Input makes the symbolic input; no layer object stands for it")
different("layers", "Lambda", "its function adds ONNX nodes, once; Op is any ONNX operator by name")


@equal("layers", "Dense")
@FEW
@given(
    units=st.integers(1, 5),
    use_bias=st.booleans(),
    activation=st.sampled_from([None, "tanh", "softmax"]),
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=3),
)
def test_dense(units: int, use_bias: bool, activation: str | None, shape: list[int]) -> None:
    arguments: dict[str, Any] = {"units": units, "use_bias": use_bias, "activation": activation}
    twins = Twins(layers.Dense(**arguments), keras.layers.Dense(**arguments))
    assert_equals_keras(twins, numbers("x", (2, *shape)))


EQUATIONS: list[tuple[str, tuple[int, ...], Any, str | None]] = [
    ("ab,bc->ac", (3,), 4, "c"),
    ("abc,cd->abd", (2, 3), (None, 4), "d"),
    ("abc,cd->abd", (2, 3), (2, 4), "bd"),
    ("abc,cde->abde", (2, 3), (None, 4, 2), "de"),
    ("abcd,cde->abe", (2, 3, 4), (None, 5), "e"),
    ("abcd,cde->abce", (2, 3, 4), (None, 3, 5), "ce"),  # a kernel for each c
    ("abc,bd->adc", (2, 3), (4, None), "d"),
    ("aBc,cD->aBD", (2, 3), (None, 4), "B"),
    ("...x,xy->...y", (2, 3, 4), 5, "y"),
    ("...x,xy->...y", (4,), 5, None),
    ("ab...,bc->ac...", (3, 2, 4), 5, "c"),
    ("...ab,bc->...ac", (2, 3), (None, 4), "ac"),
]


@equal("layers", "EinsumDense")
@pytest.mark.parametrize(("equation", "shape", "output_shape", "bias_axes"), EQUATIONS)
def test_einsum_dense(
    equation: str, shape: tuple[int, ...], output_shape: Any, bias_axes: str | None
) -> None:
    arguments: dict[str, Any] = {"bias_axes": bias_axes, "activation": "tanh"}
    if bias_axes in ("B", "ac"):  # Keras knows these sizes from output_shape alone
        theirs = keras.layers.EinsumDense(equation, (2, 4), **arguments)
    else:
        theirs = keras.layers.EinsumDense(equation, output_shape, **arguments)
    twins = Twins(layers.EinsumDense(equation, output_shape, **arguments), theirs)
    assert_equals_keras(twins, numbers(equation, (2, *shape)))


def indices(seed: str, shape: tuple[int, ...], size: int, dtype: str = "int32") -> Array:
    """Whole numbers from 0 to below ``size``; some 0."""
    return np.floor(numbers(seed, shape, 0, size)).astype(dtype)


@equal("layers", "Embedding")
@FEW
@given(
    rows=st.integers(2, 6),
    size=st.integers(1, 4),
    shape=st.lists(st.integers(1, 4), max_size=2),
    dtype=st.sampled_from(["int32", "int64", "float32", "uint8"]),
)
def test_embedding(rows: int, size: int, shape: list[int], dtype: str) -> None:
    x = indices("x", (3, *shape), rows, dtype)
    gradient = None if dtype == "float32" else 1e-4  # ours has none by its input, Keras' neither
    twins = Twins(layers.Embedding(rows, size), keras.layers.Embedding(rows, size))
    assert_equals_keras(twins, x, gradient=gradient)


def test_embedding_of_given_weights() -> None:
    matrix = numbers("weights", (5, 3))
    for given_weights in (matrix, [matrix]):
        twins = Twins(
            layers.Embedding(5, 3, weights=given_weights), keras.layers.Embedding(5, 3, weights=matrix)
        )
        assert_equals_keras(twins, indices("x", (2, 4), 5), randomized=False)


def there_and_back(**arguments: Any) -> Twins:
    ours = layers.ReversibleEmbedding(6, 3, **arguments)
    theirs = keras.layers.ReversibleEmbedding(6, 3, **arguments)
    x = keras.Input((4,), dtype="int32")
    model = keras.Model(x, theirs(theirs(x), reverse=True))
    return Twins(lambda x: ours(ours(x), reverse=True), model)


@equal("layers", "ReversibleEmbedding")
@pytest.mark.parametrize("tie_weights", [True, False])
@pytest.mark.parametrize("logit_soft_cap", [None, 0.5])
def test_reversible_embedding(tie_weights: bool, logit_soft_cap: float | None) -> None:
    twins = there_and_back(tie_weights=tie_weights, logit_soft_cap=logit_soft_cap)
    assert_equals_keras(twins, indices("x", (2, 4), 6))


def test_reversible_embedding_in_double_precision() -> None:
    x, ours = nm.Input((3,)), layers.ReversibleEmbedding(6, 3, reverse_dtype="float64")
    model, data = nm.Model(x, ours(x, reverse=True)), numbers("x", (2, 3))
    table = model.parameters()["reversible_embedding/embeddings"].astype(np.float64)
    np.testing.assert_allclose(model.predict(data), data.astype(np.float64) @ table.T, rtol=1e-14)


def test_an_embedding_without_its_zeros_masks_what_follows() -> None:
    x = nm.Input((4,), "int32")
    y = layers.Embedding(5, 3, mask_zero=True)(x)
    assert y.masked
    assert not layers.Embedding(5, 3)(x).masked
    assert not layers.ReversibleEmbedding(5, 3, mask_zero=True)(y, reverse=True).masked


CNTK_TAKES = {
    "Dense": lambda: nm.Sequential((4,)).dense(3).build(),
    "EinsumDense": lambda: (
        nm.Sequential((2, 3)).einsum_dense("abc,cde->abde", (None, 4, 2), bias_axes="de").build()
    ),
    "EinsumDense of heads": lambda: (
        nm.Sequential((2, 3, 4)).einsum_dense("abcd,cde->abce", (None, 3, 5)).build()
    ),
    "Embedding": lambda: nm.Sequential((4,), "int32").embedding(5, 3).build(),
}


@pytest.mark.parametrize("name", CNTK_TAKES)
def test_cntk_takes(name: str) -> None:
    assert records(CNTK_TAKES[name]()) is None


def test_cntk_takes_an_embedding_both_ways() -> None:
    x, layer = nm.Input((4,), "int32"), layers.ReversibleEmbedding(5, 3)
    assert records(nm.Model(x, layer(layer(x), reverse=True))) is None
