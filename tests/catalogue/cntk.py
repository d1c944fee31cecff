"""Whether CNTK takes a model, found out by recording it; needs no CNTK."""

from __future__ import annotations

import neuromatic as nm
from neuromatic.converters.cntk.recorder import Recorder
from neuromatic.data.arrays import input_fields, target_fields
from neuromatic.errors import ConversionError

UNKNOWN = 3
"""Stands for sizes that the model leaves open."""


def records(model: nm.Model) -> str | None:
    """Why CNTK cannot predict, train (by "mse" and "sgd") or evaluate a model; None if it can."""
    chosen = model.loss("mse").optimizer("sgd")
    assert chosen.recipe is not None
    fields = (*input_fields(chosen.proto), *target_fields(chosen.proto, chosen.recipe))
    spec = tuple((f.name, tuple(_size(d) for d in (f.shape or ())[1:]), f.dtype.name) for f in fields)
    try:
        recorder = Recorder(chosen.proto)
        for kind in ("predict", "train", "evaluate"):
            recorder.record(kind, spec)
    except ConversionError as error:
        return str(error)
    return None


def _size(dim: int | str | None) -> int:
    return dim if isinstance(dim, int) else UNKNOWN
