"""Elements found by what they are, and results whose size the values decide."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import tensorflow as tf

from neuromatic.converters.lowering import Scope
from neuromatic.converters.tensorflow._tensors import Tensor, dtype, normalized, rank, shape
from neuromatic.converters.tensorflow.registry import ops


@ops.lowers("NonZero", since=(9, 13))
def non_zero(scope: Scope, X: Tensor) -> Tensor:
    """Where the input is not 0, as numpy.nonzero: (rank, count).

    https://onnx.ai/onnx/operators/onnx__NonZero.html
    """
    return tf.transpose(tf.where(tf.cast(X, tf.bool)))


@ops.lowers("Compress", since=(9, 11, 28))
def compress(scope: Scope, input: Tensor, condition: Tensor, *, axis: int | None) -> Tensor:
    """The slices along one axis, or the elements, for which the condition holds.

    https://onnx.ai/onnx/operators/onnx__Compress.html.  11: negative axes.
    """
    if axis is None:
        input, axis = tf.reshape(input, [-1]), 0
    return tf.gather(input, tf.reshape(tf.where(condition), [-1]), axis=axis)


@ops.lowers("Unique", since=(11, 28))
def unique(scope: Scope, X: Tensor, *, axis: int | None, sorted: int) -> tuple[Tensor, ...]:
    """The different elements, or slices along one axis, in order or as they come.

    With the places where each comes first, the place of each element among them, and how often each comes.
    https://onnx.ai/onnx/operators/onnx__Unique.html.  28: bfloat16.
    """
    x = tf.reshape(X, [-1]) if axis is None else X
    along = 0 if axis is None else normalized(axis, rank(X))
    plain = tf.cast(x, tf.float32) if dtype(x) in (tf.bfloat16, tf.float16) else x
    y, inverse, counts = tf.raw_ops.UniqueWithCountsV2(x=plain, axis=[along], out_idx=tf.int64)
    number = tf.shape(y)[along]
    first = tf.math.unsorted_segment_min(tf.range(tf.size(inverse, tf.int64)), inverse, number)
    if sorted:
        order = _lexicographic(y, along)
        inverse = tf.gather(tf.math.invert_permutation(order), inverse)
        counts, first = tf.gather(counts, order), tf.gather(first, order)
    return tf.gather(x, first, axis=along), first, inverse, counts


def _lexicographic(y: Tensor, axis: int) -> Tensor:
    """The order of slices along one axis, by their first element, then by their second and so on."""
    order = [axis, *(i for i in range(rank(y)) if i != axis)]
    columns = tf.transpose(tf.reshape(tf.transpose(y, order), [tf.shape(y)[axis], -1]))
    count = tf.shape(columns)[0]

    def by_column(i: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        column = tf.gather(columns[count - 1 - i], places)
        return i + 1, tf.gather(places, tf.argsort(column, stable=True))

    places = tf.range(tf.shape(y, tf.int64)[axis])
    shapes = (tf.TensorShape([]), tf.TensorShape([None]))
    _, places = tf.while_loop(lambda i, _: i < count, by_column, (0, places), shape_invariants=shapes)
    return places


@ops.lowers("NonMaxSuppression", since=(10, 11))
def non_max_suppression(
    scope: Scope,
    boxes: Tensor,
    scores: Tensor,
    max_output_boxes_per_class: Tensor = None,
    iou_threshold: Tensor = None,
    score_threshold: Tensor = None,
    *,
    center_point_box: int,
) -> Tensor:
    """The best boxes of each class that overlap with no better one, as (batch, class, box).

    boxes (batch, n, 4), scores (batch, classes, n).
    https://onnx.ai/onnx/operators/onnx__NonMaxSuppression.html.  11: score_threshold is not reached.
    """
    if max_output_boxes_per_class is None:
        return np.zeros((0, 3), np.int64)
    if center_point_box:
        x, y, width, height = tf.unstack(boxes, axis=-1)
        boxes = tf.stack([y - height / 2, x - width / 2, y + height / 2, x + width / 2], -1)
    most, least, overlap = (
        tf.cast(tf.reshape(0 if value is None else value, []), kind)
        for value, kind in (
            (max_output_boxes_per_class, tf.int32),
            (np.float32(-np.inf) if score_threshold is None else score_threshold, tf.float32),
            (iou_threshold, tf.float32),
        )
    )
    classes, count = shape(scores)[1:]

    def chosen(place: Tensor) -> Tensor:
        found = tf.image.non_max_suppression(
            boxes[place // classes], tf.reshape(scores, [-1, count])[place], most, overlap, least
        )
        place = tf.cast(tf.stack([place // classes, place % classes]), tf.int64)
        heads = tf.broadcast_to(place, [tf.size(found), 2])
        return tf.concat([heads, tf.cast(found[:, None], tf.int64)], 1)

    places = tf.range(shape(scores)[0] * classes)
    rows = tf.map_fn(chosen, places, fn_output_signature=tf.RaggedTensorSpec([None, 3], tf.int64, 0))
    return rows.values


@ops.lowers("ReverseSequence", since=(10, 28))
def reverse_sequence(
    scope: Scope, input: Tensor, sequence_lens: Tensor, *, batch_axis: int, time_axis: int
) -> Tensor:
    """The first elements of each sequence in reversed order, as many as it is long.

    https://onnx.ai/onnx/operators/onnx__ReverseSequence.html.  28: bfloat16.
    """
    return tf.reverse_sequence(input, sequence_lens, seq_axis=time_axis, batch_axis=batch_axis)


@ops.lowers("TensorScatter", since=(24,))
def tensor_scatter(
    scope: Scope, past_cache: Tensor, update: Tensor, write_indices: Tensor = None, *, axis: int, mode: str
) -> Tensor:
    """The cache with the update written along one axis, from the place given for each row of the batch on.

    https://onnx.ai/onnx/operators/onnx__TensorScatter.html
    """
    axis = normalized(axis, rank(past_cache))
    size = shape(past_cache)[axis]
    total, added = (tf.cast(n, tf.int64) for n in (size, shape(update)[axis]))
    batch = shape(past_cache)[0]
    starts = tf.zeros([batch], tf.int64) if write_indices is None else tf.cast(write_indices, tf.int64)
    place = tf.range(total) - starts[:, None]
    place = tf.math.floormod(place, total) if mode == "circular" else place
    written = (place >= 0) & (place < added)
    new = tf.gather(update, tf.clip_by_value(place, 0, added - 1), axis=axis, batch_dims=1)
    wide = [batch if i == 0 else size if i == axis else 1 for i in range(rank(past_cache))]
    return tf.where(tf.reshape(written, wide), new, past_cache)


@ops.lowers("TfIdfVectorizer", since=(9,))
def tf_idf_vectorizer(
    scope: Scope,
    X: Tensor,
    *,
    max_gram_length: int,
    max_skip_count: int,
    min_gram_length: int,
    mode: str,
    ngram_counts: Sequence[int],
    ngram_indexes: Sequence[int],
    pool_int64s: Sequence[int] | None,
    pool_strings: Sequence[str] | None,
    weights: Sequence[float] | None,
) -> Tensor:
    """How often each n-gram of a pool comes in a row; X (C,) or (N, C) of integers or strings.

    IDF: its weight if it comes at all. TFIDF: the count times the weight.
    https://onnx.ai/onnx/operators/onnx__TfIdfVectorizer.html
    """
    pool: list[int | str] = [*(pool_strings or pool_int64s or ())]
    rows = X if rank(X) == 2 else tf.reshape(X, [1, -1])
    rows = rows if dtype(rows) == tf.string else tf.cast(rows, tf.int64)
    size = max(ngram_indexes) + 1
    total, number = tf.zeros([shape(rows)[0], size]), 0
    for length, (start, end) in enumerate(pairwise([*ngram_counts, len(pool)]), start=1):
        grams = [pool[i : i + length] for i in range(start, end - length + 1, length)]
        targets = list(ngram_indexes[number : number + len(grams)])
        number += len(grams)
        if grams and min_gram_length <= length <= max_gram_length:
            placed = np.zeros((len(grams), size), np.float32)
            placed[np.arange(len(grams)), targets] = 1
            for step in range(1, (max_skip_count if length > 1 else 0) + 2):
                total += tf.matmul(_occurrences(rows, grams, length, step), placed)
    y = total
    if mode == "IDF":
        y = tf.cast(total > 0, tf.float32)
    if mode != "TF" and weights is not None:
        factors = np.zeros(size, np.float32)
        factors[: len(weights)] = weights
        y *= factors
    return y if rank(X) == 2 else tf.reshape(y, [size])


def _occurrences(rows: Tensor, grams: list[list[int | str]], length: int, step: int) -> Tensor:
    """How often each gram comes in each row, (N, grams), its elements ``step`` places apart."""
    starts = tf.maximum(tf.shape(rows)[1] - (length - 1) * step, 0)
    equal = [
        rows[:, i * step : i * step + starts, None] == tf.constant([gram[i] for gram in grams], rows.dtype)
        for i in range(length)
    ]
    return tf.reduce_sum(tf.cast(functools.reduce(operator.and_, equal), tf.float32), 1)


@ops.lowers("Det", since=(11, 22))
def det(scope: Scope, X: Tensor) -> Tensor:
    """The determinants of square matrices, (..., n, n) to (...).

    https://onnx.ai/onnx/operators/onnx__Det.html.  22: bfloat16.
    """
    if dtype(X).size < 4:
        return tf.cast(tf.linalg.det(tf.cast(X, tf.float32)), dtype(X))
    return tf.linalg.det(X)
