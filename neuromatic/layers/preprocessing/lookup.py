"""Tokens to their places in a vocabulary and back: IntegerLookup, StringLookup."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from onnx import TensorProto, numpy_helper

from neuromatic.errors import ModelError, ShapeError
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value, dtype_name
from neuromatic.layers.base import Layer
from neuromatic.layers.preprocessing._encoding import MODES, encode, whole
from neuromatic.layers.preprocessing._shared import Array, batches, choice

__all__ = ["IntegerLookup", "StringLookup"]

NOTHING = -1
"""The index of a token that sets nothing."""

ML_DOMAIN, ML_OPSET = "ai.onnx.ml", 3
"""The operators for strings, at the version that was released with opset 17."""

Token = Any
LookupT = TypeVar("LookupT", bound="Lookup")


@dataclass(frozen=True, eq=False)
class Lookup(Layer):
    """What both lookups share; see them for the arguments."""

    max_tokens: int | None = None
    num_oov_indices: int = 1
    mask_token: Token = None
    oov_token: Token = None
    vocabulary: Sequence[Token] | Array | None = None
    idf_weights: ArrayLike | None = None
    invert: bool = False
    output_mode: str = "int"
    pad_to_max_tokens: bool = False

    def __post_init__(self) -> None:
        owner = type(self).__name__
        choice(owner, "output_mode", self.output_mode, ("int", *MODES, "tf_idf"))
        if self.max_tokens is not None and (not isinstance(self.max_tokens, int) or self.max_tokens < 2):
            raise ValueError(f"{owner}: max_tokens must be an integer above 1, got {self.max_tokens!r}")
        if self.pad_to_max_tokens and self.max_tokens is None:
            raise ValueError(f"{owner}: pad_to_max_tokens needs max_tokens, got None")
        if not isinstance(self.num_oov_indices, int) or self.num_oov_indices < 0:
            raise ValueError(
                f"{owner}: num_oov_indices must be an integer from 0 up, got {self.num_oov_indices!r}"
            )
        if self.invert and self.output_mode != "int":
            raise ValueError(f'{owner}: invert needs output_mode="int", got {self.output_mode!r}')
        if self.vocabulary is not None:
            self._check_vocabulary(owner)

    def _check_vocabulary(self, owner: str) -> None:
        tokens = self._tokens()
        if not tokens:
            raise ValueError(f"{owner}: vocabulary must have tokens, got {self.vocabulary!r}")
        if twice := sorted(token for token, n in Counter(tokens).items() if n > 1):
            raise ValueError(f"{owner}: each token of vocabulary must be there once, got {twice} more often")
        reserved = [self.mask_token, self.oov_token if self.invert else None]
        if found := [t for t in reserved if t is not None and t in tokens]:
            raise ValueError(
                f"{owner}: special tokens may only begin the vocabulary, all of them in the order "
                f"{self._special()}, got {found[0]!r} elsewhere"
            )
        if self.max_tokens is not None and self.vocabulary_size() > self.max_tokens:
            raise ValueError(
                f"{owner}: the vocabulary has {self.vocabulary_size()} tokens with the special ones, "
                f"more than max_tokens={self.max_tokens}"
            )
        if (self.idf_weights is None) == (self.output_mode == "tf_idf"):
            raise ValueError(
                f'{owner}: idf_weights are given with output_mode="tf_idf" and a vocabulary, and only then, '
                f"got {self.idf_weights!r} and {self.output_mode!r}"
            )
        if self.idf_weights is not None and np.shape(self.idf_weights) != (len(self._given()),):
            raise ValueError(
                f"{owner}: idf_weights must be one number for each of the {len(self._given())} tokens of the "
                f"vocabulary, got shape {np.shape(self.idf_weights)}"
            )

    # -- the vocabulary ----------------------------------------------------------------------------

    @staticmethod
    @abstractmethod
    def _token(token: Token) -> Token:
        """A token in the type of the vocabulary."""

    def _given(self) -> list[Token]:
        return [
            self._token(t) for t in np.asarray(() if self.vocabulary is None else self.vocabulary).tolist()
        ]

    def _special(self) -> list[Token]:
        """The tokens in front of the vocabulary."""
        masks = [self.mask_token] if self.mask_token is not None and self.output_mode == "int" else []
        return masks + [self.oov_token] * self.num_oov_indices

    def _tokens(self) -> list[Token]:
        """The vocabulary without special tokens in front."""
        given, special = self._given(), self._special()
        return given[len(special) :] if given[: len(special)] == special else given

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[Token]:
        """The tokens in the order of their indices.

        Args:
            include_special_tokens: whether with those for masked and unknown tokens in front.
        """
        return (self._special() if include_special_tokens else []) + self._tokens()

    def vocabulary_size(self) -> int:
        """The number of indices, those of masked and unknown tokens included."""
        return len(self.get_vocabulary())

    def adapt(self: LookupT, data: Any, steps: int | None = None) -> LookupT:
        """A new layer with the tokens of ``data`` as vocabulary, the most frequent ones first.

        Of tokens that are equally frequent, higher ones come first. With ``"tf_idf"``, weights are
        ``log(1 + rows / (1 + rows that have the token))``. Layers are immutable: this one stays as it is,
        where Keras' changes.

        Args:
            data: a list or an array of tokens, or another iterable of batches.
            steps: how many batches to look at; None for all.

        Raises:
            TypeError: ``data`` is neither.
            ValueError: there is no token, or the layer has a vocabulary already.
        """
        owner = type(self).__name__
        if self.vocabulary is not None:
            raise ValueError(f"{owner}: adapt finds a vocabulary; this layer was given its own")
        if isinstance(data, (list, tuple, np.ndarray)):
            array = np.asarray(data)
            data = [array[:, None] if array.ndim == 1 else array]
        counts: Counter[Token] = Counter()
        rows: Counter[Token] = Counter()
        number = 0
        for batch in batches(owner, data, steps):
            for row in batch.reshape(1, -1) if batch.ndim < 2 else batch.reshape(len(batch), -1):
                tokens = [self._token(t) for t in row.tolist()]
                counts.update(tokens)
                rows.update(set(tokens))
                number += 1
        for token in (self.mask_token, self.oov_token):
            counts.pop(token, None)
        found = sorted(counts, key=lambda t: (counts[t], t), reverse=True)
        if self.max_tokens is not None:
            found = found[: self.max_tokens - len(self._special())]
        if not found:
            raise ValueError(f"{owner}: adapt found no token")
        idf = [np.log(1 + number / (1 + rows[t])) for t in found] if self.output_mode == "tf_idf" else None
        return replace(self, vocabulary=found, idf_weights=idf)

    # -- the graph ---------------------------------------------------------------------------------

    @abstractmethod
    def _find(self, g: GraphBuilder, x: Value, entries: Mapping[Token, int], default: int) -> Value:
        """The index of each token; that of one without entry is, or begins at, ``default``; int64."""

    @abstractmethod
    def _table(self, g: GraphBuilder, tokens: Sequence[Token]) -> Value:
        """A constant vector of tokens."""

    def _check_input(self, g: GraphBuilder, x: Value, dtype: int) -> None:
        if (x.dtype == TensorProto.STRING) != (dtype == TensorProto.STRING):
            expected = "strings" if dtype == TensorProto.STRING else "integers"
            raise ShapeError(
                f"{g.scope}: {type(self).__name__} takes {expected}, got {dtype_name(x.dtype)} "
                f"from {x.name!r}"
            )

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        owner = type(self).__name__
        if self.vocabulary is None:
            raise ModelError(f"{g.scope}: {owner} has no vocabulary; give one, or use layer.adapt(data)")
        if self.invert:
            return self._inverse(g, whole(g, owner, x, TensorProto.INT64))
        special = self._special()
        start = len(special) - self.num_oov_indices
        entries = {token: len(special) + i for i, token in enumerate(self._tokens())}
        if self.mask_token is not None:
            entries[self._token(self.mask_token)] = 0 if self.output_mode == "int" else NOTHING
        index = self._find(g, x, entries, start if self.num_oov_indices else NOTHING)
        if self.output_mode == "int":
            return index
        return self._encoded(g, owner, index)

    def _encoded(self, g: GraphBuilder, owner: str, index: Value) -> Value:
        depth = self.vocabulary_size()
        if self.pad_to_max_tokens and self.max_tokens is not None:
            depth = self.max_tokens
        if self.output_mode != "tf_idf":
            return encode(g, owner, index, self.output_mode, depth)
        weights = np.zeros(depth)
        idf = np.asarray(self.idf_weights, np.float64)
        if len(idf) < self.vocabulary_size():  # special tokens have no weights of their own
            idf = np.concatenate([np.full(self.vocabulary_size() - len(idf), idf.mean()), idf])
        weights[: len(idf)] = idf
        return g.add("Mul", encode(g, owner, index, "count", depth), g.const(weights))

    def _inverse(self, g: GraphBuilder, index: Value) -> Value:
        """The token of each index, the one for unknown tokens where there is none."""
        size = self.vocabulary_size()
        table = self._table(g, [*self.get_vocabulary(), self.oov_token])
        none, last = (g.const(n, TensorProto.INT64) for n in (0, size))
        inside = g.add("Where", g.add("Less", index, none), last, g.add("Min", index, last))
        return g.add("Gather", table, inside, axis=0)


@dataclass(frozen=True, eq=False)
class IntegerLookup(Lookup):
    """The index of each integer in a vocabulary (Keras ``IntegerLookup``; ONNX ``Gather`` and ``Where``).

    Indices are, in this order: 0 for the mask token (only with ``"int"``, and if there is one),
    ``num_oov_indices`` for integers that are not in the vocabulary, then the vocabulary. The index is found
    by halving the sorted vocabulary, so that a graph has a few nodes for each doubling of its size and runs
    wherever ``Gather`` does.

    Input: (batch, ...) of integers.  Output: the same shape in int64; in other modes than ``"int"`` float32
    with as many elements as indices in the last axis, see :class:`CategoryEncoding`.

    Args:
        max_tokens: largest number of indices that :meth:`adapt` may use, or None.
        num_oov_indices: how many indices integers outside the vocabulary share; the one of ``x`` is the
            remainder ``x mod num_oov_indices`` (Keras' ``oov_method="floormod"``; its hash functions are not
            there). With 0, such an integer becomes -1, or sets nothing (Keras stops).
        mask_token: an integer that stands for nothing: index 0, or sets nothing in the other modes.
        oov_token: what ``invert`` returns for indices outside the vocabulary.
        vocabulary: the integers, with or without the special ones in front.
        idf_weights: one factor for each token of the vocabulary, for ``"tf_idf"``.
        invert: return the integer for each index instead.
        output_mode: ``"int"``, ``"one_hot"``, ``"multi_hot"``, ``"count"``, or ``"tf_idf"``: counts times
            ``idf_weights``. (Keras' ``sparse`` is not there: outputs are dense.)
        pad_to_max_tokens: make the last axis ``max_tokens`` long.

    Raises:
        ModelError: the layer has no vocabulary.
        ShapeError: the input is not of integers or does not fit the mode.

    >>> import neuromatic as nm
    >>> layer = nm.layers.IntegerLookup().adapt([7, 12, 12])
    >>> layer.get_vocabulary()
    [-1, 12, 7]
    >>> nm.layers.IntegerLookup(vocabulary=[12, 7])(nm.Input((3,), "int64")).shape
    ('batch', 3)
    """

    oov_token: int | None = -1

    @staticmethod
    def _token(token: Token) -> int:
        return int(token)

    def _find(self, g: GraphBuilder, x: Value, entries: Mapping[Token, int], default: int) -> Value:
        self._check_input(g, x, TensorProto.INT64)
        x = whole(g, "IntegerLookup", x, TensorProto.INT64)
        keys = sorted(entries)
        rounds = (len(keys) - 1).bit_length()
        keys += keys[-1:] * (2**rounds - len(keys))
        sorted_keys = g.const(keys, TensorProto.INT64)
        indices = g.const([entries[key] for key in keys], TensorProto.INT64)
        place: Value = g.const(0, TensorProto.INT64)
        for i in reversed(range(rounds)):
            further = g.add("Add", place, g.const(2**i, TensorProto.INT64))
            reached = g.add("LessOrEqual", g.add("Gather", sorted_keys, further, axis=0), x)
            place = g.add("Where", reached, further, place)
        found = g.add("Equal", g.add("Gather", sorted_keys, place, axis=0), x)
        index = g.add("Gather", indices, place, axis=0)
        unknown = g.const(default, TensorProto.INT64)
        if self.num_oov_indices > 1:
            rest = g.add("Mod", x, g.const(self.num_oov_indices, TensorProto.INT64))
            unknown = g.add("Add", rest, unknown)
        return g.add("Where", found, index, unknown)

    def _table(self, g: GraphBuilder, tokens: Sequence[Token]) -> Value:
        return g.const([int(t) for t in tokens], TensorProto.INT64)


@dataclass(frozen=True, eq=False)
class StringLookup(Lookup):
    """The index of each string in a vocabulary (Keras ``StringLookup``; ONNX ``LabelEncoder``).

    Indices are, in this order: 0 for the mask token (only with ``"int"``, and if there is one),
    ``num_oov_indices`` for strings that are not in the vocabulary, then the vocabulary. The operator is
    of the domain ``ai.onnx.ml``. CNTK has no strings: it refuses to train a model with this layer.

    Input: (batch, ...) of strings.  Output: the same shape in int64; in other modes than ``"int"`` float32
    with as many elements as indices in the last axis, see :class:`CategoryEncoding`.

    Args:
        max_tokens: largest number of indices that :meth:`adapt` may use, or None.
        num_oov_indices: 1 or 0: how many indices strings outside the vocabulary share. With 0, such a string
            becomes -1, or sets nothing (Keras stops). More would need a hash function, which ONNX has not.
        mask_token: a string that stands for nothing: index 0, or sets nothing in the other modes.
        oov_token: what ``invert`` returns for indices outside the vocabulary.
        vocabulary: the strings, with or without the special ones in front. (Not the name of a file.)
        idf_weights: one factor for each token of the vocabulary, for ``"tf_idf"``.
        invert: return the string for each index instead, by ``Gather``.
        output_mode: ``"int"``, ``"one_hot"``, ``"multi_hot"``, ``"count"``, or ``"tf_idf"``: counts times
            ``idf_weights``. (Keras' ``sparse`` is not there: outputs are dense.)
        pad_to_max_tokens: make the last axis ``max_tokens`` long.

    Raises:
        ModelError: the layer has no vocabulary.
        ShapeError: the input is not of strings or does not fit the mode.

    >>> import neuromatic as nm
    >>> layer = nm.layers.StringLookup().adapt(["red", "blue", "blue"])
    >>> layer.get_vocabulary()
    ['[UNK]', 'blue', 'red']
    >>> nm.layers.StringLookup(vocabulary=["blue", "red"])(nm.Input((3,), str)).shape
    ('batch', 3)
    """

    oov_token: str | None = "[UNK]"

    def __post_init__(self) -> None:
        if isinstance(self.vocabulary, str):
            raise TypeError(f"StringLookup: vocabulary must be a list of strings, got {self.vocabulary!r}")
        super().__post_init__()
        if self.num_oov_indices > 1:
            raise ValueError(
                f"StringLookup: num_oov_indices must be 0 or 1, ONNX has no hash function of strings, "
                f"got {self.num_oov_indices!r}"
            )

    @staticmethod
    def _token(token: Token) -> str:
        return token.decode() if isinstance(token, bytes) else str(token)

    def _find(self, g: GraphBuilder, x: Value, entries: Mapping[Token, int], default: int) -> Value:
        self._check_input(g, x, TensorProto.STRING)
        g.use(ML_DOMAIN, ML_OPSET)
        return g.add(
            "LabelEncoder",
            x,
            domain=ML_DOMAIN,
            keys_strings=list(entries),
            values_int64s=list(entries.values()),
            default_int64=default,
        )

    def _table(self, g: GraphBuilder, tokens: Sequence[Token]) -> Value:
        return g.add("Constant", value=numpy_helper.from_array(np.array([str(t) for t in tokens], object)))
