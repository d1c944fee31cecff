"""What is looked at beside the steps of a run: a rehearsal before, the result after, what went wrong."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from neuromatic.data import Rows
from neuromatic.engines import Program
from neuromatic.errors import DivergedError
from neuromatic.ir import parameters as weights
from neuromatic.ir.inference_form import inference_form
from neuromatic.recipe.schema import Recipe
from neuromatic.recipe.sections import evaluation_part
from neuromatic.saving import writer
from neuromatic.training.divergence import first_not_finite
from neuromatic.training.evaluation import Remainder
from neuromatic.training.tally import Tally
from neuromatic.training.tolerance import Tolerance
from neuromatic.training.verification import Verification, Verifier

Array = NDArray[Any]


class Inspector:
    """Looks at a program between its steps.

    Args:
        model: the model that is trained.
        recipe: its recipe.
        program: its program.
        data: an array for each input and target.
        tolerance: how far the engine and onnxruntime may be apart, absolutely and relatively.
        rows: what of the data are rows.
    """

    def __init__(
        self,
        model: ModelProto,
        recipe: Recipe,
        program: Program,
        data: Mapping[str, Array],
        tolerance: Tolerance,
        rows: Rows,
    ) -> None:
        self._model, self._recipe, self._program, self._data = model, recipe, program, data
        self._tolerance, self._rows = tolerance, rows

    @cached_property
    def _verifier(self) -> Verifier:
        """Made when first needed: an engine records its graphs for the first data that it gets."""
        return Verifier(self._model, self._program, self._data, self._tolerance, self._rows)

    def result(self, step: int) -> tuple[ModelProto, Verification]:
        """A copy of the model with the program's parameters, once onnxruntime has confirmed it.

        Args:
            step: how many steps have been done, for messages.

        Raises:
            DivergedError: a parameter or an output is not finite.
            VerificationError: onnxruntime disagrees.
        """
        trained = self._written(step)
        return trained, self._verifier.check(trained, step)

    def rehearse(self, step: int) -> None:
        """Do with a trial step what is done with the last one: write back, verify, make a file of it.

        An output that is NaN now need not be so at the end, and is left to it.

        Raises:
            VerificationError: onnxruntime disagrees.
            ModelError: there can be no file.
        """
        trained = self._written(step)
        with suppress(DivergedError):
            self._verifier.check(trained, step)
        writer.serialize(writer.stored_form(trained, "trained.onnx")[0])

    def finite(self) -> bool:
        """Whether all parameters are finite."""
        return all(np.isfinite(array).all() for array in self._program.parameters().values())

    def first_bad_node(self, rows: NDArray[np.int64]) -> str | None:
        """The first node whose value is not finite for some rows of the data, as messages name it."""
        part = evaluation_part(self._current(), self._recipe)
        return first_not_finite(part, self._rows.take(self._data, rows))

    def count_rest(
        self, tally: Tally, dataset: Any, data: Mapping[str, Array], rows: NDArray[np.int64]
    ) -> None:
        """Count loss and metrics of fewer rows than a fixed batch has."""
        rest = Remainder(inference_form(self._current()), self._recipe, self._rows)
        computed = self._program.predict(dataset, self._rows.padded(rows), rest.wanted)
        complete = computed.keys() >= set(rest.wanted)  # else a loss is of what no output needs
        values = rest.values(computed, data, rows) if complete else rest.in_onnxruntime(data, rows)
        tally.add_batch(values, self._recipe.loss, len(rows))

    def _current(self) -> ModelProto:
        """A copy of the model with the program's parameters."""
        model = ModelProto()
        model.CopyFrom(self._model)
        weights.write_back(model, self._program.parameters())
        return model

    def _written(self, step: int) -> ModelProto:
        parameters = self._program.parameters()
        for name, array in parameters.items():
            bad = array[~np.isfinite(array)]
            if bad.size:  # the loss is taken before a step's update, and does not tell of the last one
                raise DivergedError(step, float(bad[0]), what=repr(name))
        return self._current()
