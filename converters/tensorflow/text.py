"""Strings."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from neuromatic.converters.lowering import Scope
from neuromatic.converters.tensorflow._tensors import Tensor, rank, shape, unsupported
from neuromatic.converters.tensorflow.registry import ops


@ops.lowers("StringConcat", since=(20,))
def string_concat(scope: Scope, X: Tensor, Y: Tensor) -> Tensor:
    """Each string of X followed by that of Y; both broadcast.

    https://onnx.ai/onnx/operators/onnx__StringConcat.html
    """
    return tf.add(tf.convert_to_tensor(X, tf.string), tf.convert_to_tensor(Y, tf.string))


@ops.lowers("StringSplit", since=(20,))
def string_split(
    scope: Scope, X: Tensor, *, delimiter: str | None, maxsplit: int | None
) -> tuple[Tensor, Tensor]:
    """The parts of each string along a new axis, filled with empty ones, and their numbers.

    Without a delimiter, strings are split at white space.
    https://onnx.ai/onnx/operators/onnx__StringSplit.html
    """
    sizes = shape(X)
    flat = tf.reshape(tf.convert_to_tensor(X, tf.string), [-1])
    found = tf.strings.split(flat, delimiter or None)
    if maxsplit is not None:  # tf.strings.split counts one part too many where there are fewer than asked for
        few = found.row_lengths() <= maxsplit + 1
        both = tf.concat([found, tf.strings.split(flat, delimiter or None, maxsplit)], 0)
        rows = tf.range(tf.size(flat))
        found = tf.gather(both, tf.where(few, rows, rows + tf.size(flat)))
    parts, counts = found.to_tensor(""), found.row_lengths()
    return tf.reshape(parts, [*sizes, tf.shape(parts)[1]]), tf.reshape(tf.cast(counts, tf.int64), sizes)


@ops.lowers("RegexFullMatch", since=(20,))
def regex_full_match(scope: Scope, X: Tensor, *, pattern: str | None) -> Tensor:
    """Whether a regular expression of RE2 matches the whole of each string.

    https://onnx.ai/onnx/operators/onnx__RegexFullMatch.html
    """
    if pattern is None:
        raise unsupported(scope, "it has no pattern; give it one")
    return tf.strings.regex_full_match(tf.convert_to_tensor(X, tf.string), pattern)


@ops.lowers("StringNormalizer", since=(10,))
def string_normalizer(
    scope: Scope,
    X: Tensor,
    *,
    case_change_action: str,
    is_case_sensitive: int,
    locale: str | None,
    stopwords: Sequence[str] | None,
) -> Tensor:
    """The strings (C,) or (1, C) without stop words, in upper or lower case; "" if none is left.

    https://onnx.ai/onnx/operators/onnx__StringNormalizer.html
    """
    words = tf.reshape(tf.convert_to_tensor(X, tf.string), [-1])
    stops = list(stopwords or ())
    if stops:
        compared = words if is_case_sensitive else tf.strings.lower(words, "utf-8")
        stops = stops if is_case_sensitive else [stop.lower() for stop in stops]
        words = tf.boolean_mask(words, tf.reduce_all(compared[:, None] != tf.constant(stops), 1))
    if case_change_action == "LOWER":
        words = tf.strings.lower(words, "utf-8")
    elif case_change_action == "UPPER":
        words = tf.strings.upper(words, "utf-8")
    words = tf.concat([words, tf.fill([tf.cast(tf.equal(tf.size(words), 0), tf.int32)], "")], 0)
    return tf.reshape(words, [1, -1]) if rank(X) == 2 else words
