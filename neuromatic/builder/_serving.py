"""The methods of Model that compute: by onnxruntime, or forward on an engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike, NDArray

from neuromatic.builder._surgery import Surgery
from neuromatic.data import Rows, fit_to_fields, input_fields, rows_of, settled, training_arrays
from neuromatic.inference import Session
from neuromatic.ir.inference_form import inference_form
from neuromatic.ir.traversal import data_inputs
from neuromatic.recipe.schema import Recipe
from neuromatic.recipe.sections import strip
from neuromatic.training import evaluation

if TYPE_CHECKING:
    from neuromatic.builder.model import Model

Array = NDArray[Any]
SERVED_ROWS = 256
"""How many rows onnxruntime gets at a time, unless it is said."""
Data = ArrayLike | Sequence[ArrayLike] | Mapping[str, ArrayLike]
Weights = Data | Sequence[ArrayLike | None]


class Serving(Surgery):
    """What a Model computes; nothing of it changes."""

    if TYPE_CHECKING:  # what Model has

        def _taking_sample_weights(self, wanted: bool) -> Model: ...

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs that data are fed to."""
        return tuple(data_inputs(self._proto.graph))

    def _rows(self, data: Mapping[str, Array], found: Recipe | None = None) -> Rows:
        """What of the data are rows."""
        rows, inputs = rows_of(self._proto, found), {name: data[name] for name in self.input_names}
        return settled(rows, self._proto, lambda given: self._session.run(given, trial=True), inputs)

    def arrays(
        self, x: Data, y: Data | None = None, sample_weight: Weights | None = None
    ) -> dict[str, Array]:
        """Inputs, targets and, where the recipe takes them, sample weights as one checked array for each.

        Raises:
            DataError: the data do not fit the model.
        """
        return training_arrays(self._proto, self._needs_recipe(), x, y, sample_weight)

    def evaluate(
        self,
        x: Data,
        y: Data | None = None,
        *,
        sample_weight: Weights | None = None,
        batch_size: int | None = None,
    ) -> dict[str, Any]:
        """Loss and metrics in inference form, computed by onnxruntime from the same ONNX definitions.

        Args:
            x: inputs, as for :meth:`train`,
            y: targets,
            sample_weight: and weights of the samples in the loss.
            batch_size: rows at a time, by default 256, or what the file has.

        Returns:
            By name a number, or an array for metrics that report one.

        Raises:
            RecipeError: no loss has been chosen, or it takes no sample weights.
            DataError: the data do not fit the model.
        """
        model = self._taking_sample_weights(sample_weight is not None)
        found = model._needs_recipe()
        data = model.arrays(x, y, sample_weight)
        rows = model._rows(data, found)
        size = rows.batch_size(batch_size, SERVED_ROWS, data)
        return evaluation.evaluate(model._proto, found, data, rows, size).logs()

    def predict(self, x: Data, *, batch_size: int | None = None) -> Any:
        """The outputs for ``x``, by onnxruntime; BatchNormalization and Dropout have their inference meaning.

        Args:
            x: inputs, as for :meth:`train`.
            batch_size: rows at a time, by default 256, or what the file has: then the last batch is filled
                by rows that are repeated, whose results are left out.

        Returns:
            An array, or a mapping by output name if the model has several outputs.

        Raises:
            DataError: ``x`` does not fit the model.
        """
        inputs = fit_to_fields(x, input_fields(self._proto), "x")
        rows = self._rows(inputs)
        size = rows.batch_size(batch_size, SERVED_ROWS, inputs)
        results = evaluation.predict(self._session, inputs, rows, size)
        return results if len(results) > 1 else next(iter(results.values()))

    def run(
        self,
        x: Data,
        *,
        engine: str = "tensorflow",
        training: bool = False,
        seed: int = 0,
        batch_size: int | None = None,
        engine_options: Mapping[str, Any] | None = None,
    ) -> Any:
        """The outputs for ``x``, by a training engine in place of onnxruntime.

        Args:
            x: inputs, as for :meth:`train`.
            engine: ``"tensorflow"`` or ``"cntk"``.
            training: whether nodes mean what they do in a training step: Dropout and the like draw, and
                BatchNormalization takes the statistics of each batch, unless the recipe says otherwise.
                Nothing is updated.
            seed: determines what is drawn; each batch draws its own numbers.
            batch_size: as for :meth:`predict`.
            engine_options: as for :meth:`train`.

        Returns:
            As :meth:`predict`. Outputs that the engine lacks operators for are left out.

        Raises:
            DataError: ``x`` does not fit the model.
            UnsupportedOpError: the engine cannot compute any of the outputs.
            EngineNotAvailableError: the engine is not installed.
        """
        inputs = fit_to_fields(x, input_fields(self._proto), "x")
        rows = self._rows(inputs)
        results = evaluation.run_on_engine(
            self._proto,
            self.recipe,
            inputs,
            rows,
            batch_size=rows.batch_size(batch_size, SERVED_ROWS, inputs),
            engine=engine,
            training=training,
            seed=seed,
            options=engine_options or {},
        )
        return results if len(self.output_names) > 1 else next(iter(results.values()))

    @cached_property
    def _session(self) -> Session:
        return Session(inference_form(strip(self._proto)))
