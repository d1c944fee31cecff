"""Attentions against Keras."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuromatic as nm
from neuromatic import layers
from neuromatic.builder.functional import assemble
from tests.catalogue.cntk import records
from tests.catalogue.layers import FEW, Array, Twins, assert_equals_keras, numbers
from tests.catalogue.status import equal

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*You are using a softmax over axis -1"),  # a single key
    pytest.mark.filterwarnings("ignore:.*of type EinsumDense. was passed an input with a mask"),
]

SIZES = st.integers(1, 4)


def called(layer: Any, **options: Any) -> Any:
    """The layer called with these options on what it is given."""
    return lambda *xs: layer(*xs, **options)


def sequence(name: str, steps: int, features: int, rows: int = 2) -> Array:
    return numbers(name, (rows, steps, features))


@equal("layers", "Attention")
@FEW
@given(
    queries=SIZES,
    keys=SIZES,
    use_scale=st.booleans(),
    score_mode=st.sampled_from(["dot", "concat"]),
    causal=st.booleans(),
    has_key=st.booleans(),
)
def test_attention(
    queries: int, keys: int, use_scale: bool, score_mode: Any, causal: bool, has_key: bool
) -> None:
    options = {"return_attention_scores": True, "use_causal_mask": causal}
    arguments: dict[str, Any] = {"use_scale": use_scale, "score_mode": score_mode}
    twins = Twins(
        called(layers.Attention(**arguments), **options), keras.layers.Attention(**arguments), keyword=options
    )
    inputs = [sequence("q", queries, 3), sequence("v", keys, 5 if has_key else 3)]
    assert_equals_keras(twins, *inputs, *([sequence("k", keys, 3)] if has_key else []))


@equal("layers", "AdditiveAttention")
@FEW
@given(queries=SIZES, keys=SIZES, use_scale=st.booleans(), causal=st.booleans())
def test_additive_attention(queries: int, keys: int, use_scale: bool, causal: bool) -> None:
    options = {"return_attention_scores": True, "use_causal_mask": causal}
    twins = Twins(
        called(layers.AdditiveAttention(use_scale), **options),
        keras.layers.AdditiveAttention(use_scale),
        keyword=options,
    )
    assert_equals_keras(twins, sequence("q", queries, 3), sequence("v", keys, 3))


GATED = (
    *("query/kernel", "query/bias", "key/kernel", "key/bias", "gate/kernel", "gate/bias"),
    *("value/kernel", "value/bias", "attention_output/kernel", "attention_output/bias"),
)


@equal("layers", "MultiHeadAttention")
@FEW
@given(
    heads=st.integers(1, 3),
    queries=SIZES,
    keys=SIZES,
    value_dim=st.sampled_from([None, 5]),
    use_bias=st.booleans(),
    output_shape=st.sampled_from([None, 6, (2, 3)]),
    window=st.sampled_from([None, 2]),
    causal=st.booleans(),
    scores=st.booleans(),
    has_key=st.booleans(),
)
def test_multi_head_attention(
    heads: int,
    queries: int,
    keys: int,
    value_dim: int | None,
    use_bias: bool,
    output_shape: Any,
    window: int | None,
    causal: bool,
    scores: bool,
    has_key: bool,
) -> None:
    options = {"return_attention_scores": scores, "use_causal_mask": causal}
    arguments: dict[str, Any] = {"use_bias": use_bias, "output_shape": output_shape, "sliding_window": window}
    twins = Twins(
        called(layers.MultiHeadAttention(heads, 4, value_dim, **arguments), **options),
        keras.layers.MultiHeadAttention(heads, 4, value_dim, **arguments),
        keyword=options,
        spread=True,
    )
    inputs = [sequence("q", queries, 3), sequence("v", keys, 5 if has_key else 3)]
    assert_equals_keras(twins, *inputs, *([sequence("k", keys, 2)] if has_key else []))


def test_multi_head_attention_with_a_gate() -> None:
    twins = Twins(
        layers.MultiHeadAttention(2, 4, 3, use_gate=True),
        keras.layers.MultiHeadAttention(2, 4, 3, use_gate=True),
        order=GATED,
        spread=True,
    )
    assert_equals_keras(twins, sequence("q", 3, 5), sequence("v", 4, 2))


@pytest.mark.parametrize("declared", [None, ((None, 3),), (("steps", 3),)], ids=["fixed", "none", "named"])
def test_self_attention_over_any_number_of_steps(declared: Any) -> None:
    attention = keras.layers.MultiHeadAttention(2, 4, sliding_window=2)
    x = keras.Input((None, 3))
    theirs = keras.Model(x, attention(x, x, use_causal_mask=True))
    ours = layers.MultiHeadAttention(2, 4, sliding_window=2)
    twins = Twins(lambda x: ours(x, use_causal_mask=True), theirs)
    assert_equals_keras(twins, sequence("x", 5, 3), declared=declared)


@pytest.mark.parametrize("shape", [(4, 3), (2, 4, 3)], ids=["for all heads", "for each head"])
@pytest.mark.parametrize("dtype", ["bool", "int32"])
def test_attention_masks(shape: tuple[int, ...], dtype: str) -> None:
    attention = keras.layers.MultiHeadAttention(2, 4)
    inputs = [keras.Input((4, 5)), keras.Input((3, 5)), keras.Input(shape, dtype=dtype)]
    theirs = keras.Model(inputs, attention(inputs[0], inputs[1], attention_mask=inputs[2]))
    ours = layers.MultiHeadAttention(2, 4)
    mask = (numbers("mask", (2, *shape)) > 0).astype(dtype)
    mask[..., 0] = 1
    twins = Twins(lambda q, v, m: ours(q, v, attention_mask=m), theirs)
    assert_equals_keras(twins, sequence("q", 4, 5), sequence("v", 3, 5), mask)


@pytest.mark.parametrize("axes", [None, 1, 2, (1, 2), (2, 1), (-2,)])
@pytest.mark.parametrize("scores", [False, True])
def test_attention_axes(axes: Any, scores: bool) -> None:
    options = {"return_attention_scores": scores}
    twins = Twins(
        called(layers.MultiHeadAttention(2, 4, attention_axes=axes), **options),
        keras.layers.MultiHeadAttention(2, 4, attention_axes=axes),
        keyword=options,
        spread=True,
    )
    shape = (2, 3, 4, 5) if axes in (1, 2, (-2,)) else (2, 2, 3, 5)
    value = list(shape)
    value[2 if axes in (2, (-2,)) else 1] = 2
    assert_equals_keras(twins, numbers("q", shape), numbers("v", value))


@pytest.mark.parametrize("axes", [1, (1, 2)])
def test_attention_axes_with_a_mask(axes: Any) -> None:
    kept = (3, 3) if axes == 1 else (3, 2, 3, 2)
    attention = keras.layers.MultiHeadAttention(2, 4, attention_axes=axes)
    mask_shape = (2, 1, *kept) if axes == 1 else kept
    inputs = [keras.Input((3, 2, 5)), keras.Input(mask_shape, dtype="bool")]
    theirs = keras.Model(inputs, attention(inputs[0], inputs[0], attention_mask=inputs[1]))
    ours = layers.MultiHeadAttention(2, 4, attention_axes=axes)
    mask = numbers("mask", (2, *mask_shape)) > -1
    twins = Twins(lambda x, m: ours(x, attention_mask=m), theirs)
    assert_equals_keras(twins, numbers("x", (2, 3, 2, 5)), mask)


@equal("layers", "GroupQueryAttention")
@FEW
@given(
    groups=st.sampled_from([(1, 1), (4, 2), (3, 1), (2, 2)]),
    queries=SIZES,
    keys=SIZES,
    use_bias=st.booleans(),
    window=st.sampled_from([None, 2]),
    causal=st.booleans(),
    scores=st.booleans(),
)
def test_group_query_attention(
    groups: tuple[int, int],
    queries: int,
    keys: int,
    use_bias: bool,
    window: int | None,
    causal: bool,
    scores: bool,
) -> None:
    options = {"return_attention_scores": scores, "use_causal_mask": causal}
    arguments: dict[str, Any] = {"use_bias": use_bias, "sliding_window": window}
    twins = Twins(
        called(layers.GroupQueryAttention(3, *groups, **arguments), **options),
        keras.layers.GroupQueryAttention(3, *groups, **arguments),
        keyword=options,
        spread=True,
    )
    assert_equals_keras(twins, sequence("q", queries, 5), sequence("v", keys, 5))


def test_group_query_attention_with_a_gate() -> None:
    twins = Twins(
        layers.GroupQueryAttention(3, 4, 2, use_gate=True),
        keras.layers.GroupQueryAttention(3, 4, 2, use_gate=True),
        order=GATED,
        spread=True,
    )
    assert_equals_keras(twins, sequence("q", 3, 5), sequence("v", 4, 5))


ATTENTIONS: dict[str, tuple[Any, Any]] = {
    "Attention": (layers.Attention, keras.layers.Attention),
    "AdditiveAttention": (layers.AdditiveAttention, keras.layers.AdditiveAttention),
    "MultiHeadAttention": (
        lambda: layers.MultiHeadAttention(2, 4),
        lambda: keras.layers.MultiHeadAttention(2, 4),
    ),
    "GroupQueryAttention": (
        lambda: layers.GroupQueryAttention(3, 4, 2),
        lambda: keras.layers.GroupQueryAttention(3, 4, 2),
    ),
}


@pytest.mark.parametrize("name", ATTENTIONS)
@pytest.mark.parametrize("which", ["both", "query", "value"])
def test_masks_of_embeddings(name: str, which: str) -> None:
    """Steps of number 0 are not looked at, and their mask goes on."""
    make_ours, make_theirs = ATTENTIONS[name]
    masked = [which != "value", which != "query"]
    inputs = [keras.Input((4,), dtype="int32"), keras.Input((5,), dtype="int32")]
    embedded = [keras.layers.Embedding(6, 3, mask_zero=m)(x) for m, x in zip(masked, inputs, strict=True)]
    attention = make_theirs()
    y = attention(embedded) if "Multi" not in name and "Group" not in name else attention(*embedded)
    theirs = keras.Model(inputs, y)

    def ours(*xs: Any) -> Any:
        vectors = [layers.Embedding(6, 3, mask_zero=m)(x) for m, x in zip(masked, xs, strict=True)]
        result = make_ours()(*vectors)
        assert result.masked == masked[0]
        return result

    rows = [
        np.array([[1, 2, 0, 0], [3, 0, 4, 5]], np.int32),
        np.array([[1, 2, 3, 0, 0], [5, 0, 0, 4, 1]], np.int32),
    ]
    assert_equals_keras(Twins(ours, theirs), *rows)


@pytest.mark.parametrize("name", ATTENTIONS)
def test_dropout_drops_weights_in_training_alone(name: str) -> None:
    arguments = {"MultiHeadAttention": (2, 4), "GroupQueryAttention": (3, 4, 2)}.get(name, ())
    layer = getattr(layers, name)(*arguments, dropout=0.4)
    model = nm.Model(x := nm.Input((3, 4)), layer(x))
    dropped = [node for node in model.proto.graph.node if node.op_type == "Dropout"]
    assert len(dropped) == 1
    softmax = next(node for node in model.proto.graph.node if node.op_type == "Softmax")
    assert dropped[0].input[0] == softmax.output[0]


def test_regularizers_and_constraints_reach_each_projection() -> None:
    layer = layers.MultiHeadAttention(
        2,
        4,
        kernel_regularizer="l2",
        bias_regularizer="l1",
        activity_regularizer="l2",
        kernel_constraint="non_neg",
    )
    terms = assemble([x := nm.Input((3, 4))], [layer(x)]).terms
    assert len(terms.penalties) == 12
    assert sorted(terms.constraints) == [
        f"multi_head_attention/{part}/kernel" for part in ("attention_output", "key", "query", "value")
    ]


def test_cntk_takes_every_attention() -> None:
    for name, (make, _) in ATTENTIONS.items():
        x = nm.Input((4, 6))
        y = make()(layers.Dense(3)(x), use_causal_mask=True)
        assert records(nm.Model(x, y)) is None, name


def test_cntk_takes_masks_of_embeddings() -> None:
    for name, (make, _) in ATTENTIONS.items():
        x = nm.Input((4,), "int32")
        y = layers.Embedding(6, 3, mask_zero=True)(x)
        assert records(nm.Model(x, make()(y))) is None, name
