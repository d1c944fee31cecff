"""Writing a recipe: loss, gradient, optimizer, metrics and running statistics as ``training_info``.

Each of the three parts may be new (objects of ``losses``, ``metrics``, ``optimizers``) or recorded: taken
from the recipe a file came with, so that one part can be changed and the others stay.
"""

from __future__ import annotations

from neuromatic.compose.measures import Measures, Metrics, RecordedMeasures
from neuromatic.compose.objective import Losses, Objective, RecordedObjective, target_name
from neuromatic.compose.recipe import algorithm_builder, compose, frozen_names, state_names
from neuromatic.compose.statistics import is_batch_normalization
from neuromatic.compose.terms import recorded_terms
from neuromatic.compose.trainable import differentiable_values, trainable_names
from neuromatic.compose.update import RecordedOptimizer

__all__ = [
    "Losses",
    "Measures",
    "Metrics",
    "Objective",
    "RecordedMeasures",
    "RecordedObjective",
    "RecordedOptimizer",
    "algorithm_builder",
    "compose",
    "differentiable_values",
    "frozen_names",
    "is_batch_normalization",
    "recorded_terms",
    "state_names",
    "target_name",
    "trainable_names",
]
