"""What attentions, embeddings and EinsumDense refuse, and what they say."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import neuromatic as nm
from neuromatic import layers
from neuromatic.errors import ShapeError

MHA, GQA = layers.MultiHeadAttention, layers.GroupQueryAttention
ARGUMENTS: list[tuple[Callable[[], Any], str]] = [
    (lambda: MHA(0, 4), "MultiHeadAttention: num_heads must be a positive integer, got 0"),
    (
        lambda: MHA(2, 4, value_dim=0),
        "MultiHeadAttention: value_dim must be a positive integer or None, got 0",
    ),
    (
        lambda: MHA(2, 4, output_shape=(2, 0)),
        "MultiHeadAttention: output_shape must be a positive integer, got 0",
    ),
    (
        lambda: MHA(2, 4, sliding_window=True),
        "MultiHeadAttention: sliding_window must be a positive integer or None, got True",
    ),
    (
        lambda: MHA(2, 4, dropout=1.0),
        "MultiHeadAttention: dropout must be a number from 0 to below 1, got 1.0",
    ),
    (
        lambda: GQA(4, 3, 2),
        "GroupQueryAttention: num_query_heads must be a multiple of num_key_value_heads, got 3 and 2",
    ),
    (lambda: GQA(4, 2, -1), "GroupQueryAttention: num_key_value_heads must be a positive integer, got -1"),
    (
        lambda: layers.Attention(score_mode="sum"),  # type: ignore[arg-type]
        'Attention: score_mode must be "dot" or "concat", got \'sum\'',
    ),
    (
        lambda: layers.AdditiveAttention(dropout=-0.1),
        "AdditiveAttention: dropout must be a number from 0 to below 1, got -0.1",
    ),
    (lambda: layers.Embedding(0, 3), "Embedding: input_dim must be a positive integer, got 0"),
    (
        lambda: layers.ReversibleEmbedding(3, "4"),  # type: ignore[arg-type]
        "ReversibleEmbedding: output_dim must be a positive integer, got '4'",
    ),
    (
        lambda: layers.ReversibleEmbedding(3, 4, logit_soft_cap=0.0),
        "ReversibleEmbedding: logit_soft_cap must be a positive number, got 0.0",
    ),
    (
        lambda: layers.Embedding(3, 2, weights=np.zeros((2, 3))),
        "Embedding: weights must be a matrix of shape (3, 2), got shape (2, 3)",
    ),
    (
        lambda: layers.EinsumDense("ab->a", 3),
        "EinsumDense: equation must be 'x,kernel->y', '...x,kernel->...y' or 'x...,kernel->y...' in letters, "
        "got 'ab->a'",
    ),
    (
        lambda: layers.EinsumDense("...ab,bc->ac...", 3),
        "EinsumDense: equation must have no ellipsis, or one at the same end of input and output, "
        "got '...ab,bc->ac...'",
    ),
    (
        lambda: layers.EinsumDense("ab,bc->ad", 3),
        "EinsumDense: equation must have each letter twice, but 'c' stands alone in 'ab,bc->ad'",
    ),
    (
        lambda: layers.EinsumDense("ab,bc->ca", 3),
        "EinsumDense: equation must begin input and output with the letter of the batch, got 'ab,bc->ca'",
    ),
    (
        lambda: layers.EinsumDense("ab,bc->ac", 3, bias_axes="b"),
        "EinsumDense: bias_axes must be letters of the output 'ac', got 'b'",
    ),
]


@pytest.mark.parametrize(("make", "message"), ARGUMENTS)
def test_wrong_arguments_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make()


SHAPES: list[tuple[Callable[..., Any], list[tuple[Any, ...]], str]] = [
    (
        MHA(2, 4, name="m"),
        [(4,)],
        "m: MultiHeadAttention takes a query (batch, queries, features), a value and a key (batch, keys, "
        "...), "
        "got (batch, 4), (batch, 4), (batch, 4); give them one rank, and value and key the same steps",
    ),
    (
        GQA(4, 2, 1, name="m"),
        [(2, 4), (3, 4), (5, 4)],
        "m: GroupQueryAttention takes a query (batch, queries, features), a value and a key (batch, "
        "keys, ...), "
        "got (batch, 2, 4), (batch, 3, 4), (batch, 5, 4); give them one rank, and value and key the same "
        "steps",
    ),
    (
        MHA(2, 4, name="m"),
        [(3, None)],
        "m: MultiHeadAttention needs known features, got (batch, 3, ?) from 'input'; give the last axis "
        "a size",
    ),
    (
        MHA(2, 4, attention_axes=3, name="m"),
        [(2, 3, 4)],
        "m: MultiHeadAttention needs attention_axes between batch and features, got 3 for (batch, 2, 3, "
        "4) from "
        "'input'; they are numbers from 1 to 2",
    ),
    (
        lambda x: MHA(2, 4, name="m")(x, use_causal_mask=True),
        [(2, 3, 4)],
        "m: MultiHeadAttention over axes (1, 2) of (batch, 2, 3, 4) from 'input' takes no mask of steps; use "
        "attention_mask, or one attention axis",
    ),
    (
        lambda x: MHA(2, 4, attention_axes=1, name="m")(x, use_causal_mask=True),
        [(2, 3, 4)],
        "m: MultiHeadAttention takes masks of steps for inputs (batch, steps, features) alone, got "
        "(batch, 2, 3, "
        "4) from 'input'; use attention_mask",
    ),
    (
        MHA(2, 4, name="m"),
        [(None, 3, 4)],
        "m: MultiHeadAttention over several axes needs their sizes, got (batch, ?, 3, 2, 4); give the input "
        "fixed sizes",
    ),
    (
        layers.Attention(name="a"),
        [(2, 3), (4, 5)],
        "a: Attention takes a query (batch, queries, features), a value (batch, keys, ...) and a key (batch, "
        "keys, features), got (batch, 2, 3), (batch, 4, 5), (batch, 4, 5); project them to the same features",
    ),
    (
        layers.AdditiveAttention(name="a"),
        [(2, None)],
        "a: AdditiveAttention needs known features, got (batch, 2, ?) from 'input'; give the last axis a "
        "size or "
        "use use_scale=False",
    ),
    (
        lambda x: layers.ReversibleEmbedding(5, 3, name="r")(x, reverse=True),
        [(4,)],
        "r: ReversibleEmbedding with reverse=True takes (batch, ..., 3), got (batch, 4) from 'input'; "
        "give it "
        "vectors of the table's size",
    ),
    (
        layers.EinsumDense("abc,cd->abd", (None, 4), name="e"),
        [(3,)],
        "e: EinsumDense with 'abc,cd->abd' takes an input of rank 3, got (batch, 3) from 'input'; put an "
        "ellipsis "
        "where axes pass through",
    ),
    (
        layers.EinsumDense("abc,cd->abd", 4, name="e"),
        [(2, 3)],
        "e: EinsumDense with 'abc,cd->abd' needs 2 sizes in output_shape, got 4; leave out the batch and "
        "what an "
        "ellipsis stands for",
    ),
    (
        layers.EinsumDense("abc,cd->abd", (5, 4), name="e"),
        [(2, 3)],
        "e: EinsumDense has 2 for 'b' of 'abc,cd->abd' in the input (batch, 2, 3) from 'input', but 5 in "
        "output_shape; make them equal",
    ),
    (
        layers.EinsumDense("abc,cd->abd", (None, 4), name="e"),
        [(2, None)],
        "e: EinsumDense needs a known size of 'c' in 'abc,cd->abd', got (batch, 2, ?) from 'input'; give "
        "it in "
        "output_shape or in the input's shape",
    ),
]


@pytest.mark.parametrize(("layer", "shapes", "message"), SHAPES)
def test_wrong_shapes_are_refused(
    layer: Callable[..., Any], shapes: list[tuple[Any, ...]], message: str
) -> None:
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        layer(*(nm.Input(shape) for shape in shapes))


def test_self_attention_in_a_chain() -> None:
    model = (
        nm.Sequential((4,), "int32").embedding(6, 8, mask_zero=True).multi_head_attention(2, 4).attention()
    )
    assert model.output.shape == ("batch", 4, 8)
    assert model.output.masked
    grouped = nm.Sequential((4, 8)).group_query_attention(4, 2, 1).additive_attention().rotary_embedding()
    assert grouped.output.shape == ("batch", 4, 8)
