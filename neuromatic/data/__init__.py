"""Data on their way to a model: arrays by graph input, checked before anything starts."""

from __future__ import annotations

from neuromatic.data.arrays import Field, fit_to_fields, input_fields, target_fields, weight_fields
from neuromatic.data.match import match_arrays, match_inputs
from neuromatic.data.npz import NpzFile, read_npz, write_npz
from neuromatic.data.rows import Rows, rows_of, settled
from neuromatic.data.training import ClassWeight, split, training_arrays, with_class_weights

__all__ = [
    "ClassWeight",
    "Field",
    "NpzFile",
    "Rows",
    "fit_to_fields",
    "input_fields",
    "match_arrays",
    "match_inputs",
    "read_npz",
    "rows_of",
    "settled",
    "split",
    "target_fields",
    "training_arrays",
    "weight_fields",
    "with_class_weights",
    "write_npz",
]
