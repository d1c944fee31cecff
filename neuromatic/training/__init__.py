"""The training loop, one for all engines, with its history and callbacks."""

from __future__ import annotations

from neuromatic.training.callbacks import Callback, EarlyStopping
from neuromatic.training.history import History

__all__ = ["Callback", "EarlyStopping", "History"]
