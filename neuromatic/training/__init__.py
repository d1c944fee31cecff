"""The training loop, one for all engines, with its history and callbacks."""

from __future__ import annotations

from neuromatic.training.callbacks import Callback, EarlyStopping, LearningRateScheduler, ReduceLROnPlateau
from neuromatic.training.history import History

__all__ = ["Callback", "EarlyStopping", "History", "LearningRateScheduler", "ReduceLROnPlateau"]
