"""Data on their way to a model: arrays by graph input, checked before anything starts."""

from __future__ import annotations

from neuromatic.data.arrays import Field, fit_to_fields, input_fields, target_fields
from neuromatic.data.match import match_arrays, match_inputs
from neuromatic.data.npz import read_npz, write_npz

__all__ = [
    "Field",
    "fit_to_fields",
    "input_fields",
    "match_arrays",
    "match_inputs",
    "read_npz",
    "target_fields",
    "write_npz",
]
