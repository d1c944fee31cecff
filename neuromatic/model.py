"""Model: an ONNX model with the methods to train, run, inspect and save it."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from numpy.typing import ArrayLike, NDArray
from onnx import ModelProto, numpy_helper

from neuromatic import compose, files, losses, metrics, optimizers, recipe, weights
from neuromatic.data import fit_to_fields, input_fields, target_fields
from neuromatic.errors import DataError, RecipeError, UnknownNameError
from neuromatic.functional import assemble
from neuromatic.graph import DEFAULT_OPSET, Terms
from neuromatic.inference import Session, batches
from neuromatic.layers.base import SymbolicTensor
from neuromatic.losses import LossLike
from neuromatic.metrics import MetricLike
from neuromatic.optimizers import OptimizerLike
from neuromatic.parts import Parts
from neuromatic.recipe import Recipe
from neuromatic.summary import summary_text
from neuromatic.training.callbacks import Callback
from neuromatic.training.fit import train_model
from neuromatic.training.history import History
from neuromatic.training.loop import LearningRate, Tally
from neuromatic.training.progress import Verbose
from neuromatic.validation import validate

Array = NDArray[Any]
Data = ArrayLike | Sequence[ArrayLike] | Mapping[str, ArrayLike]


class Model:
    """A model, which is an ONNX ``ModelProto`` and nothing else besides.

    Made from layers called on each other (Keras ``Model``), by :func:`load` from a file, or by
    ``Sequential``. ``loss``, ``optimizer``, ``metrics`` and ``freeze`` return a new model; ``train``
    changes this one's parameters.

    Args:
        inputs: what :func:`neuromatic.Input` returned, one or several.
        outputs: results of layers, one or several; outputs are named after their layers.
        seed: determines the initial parameters.
        opset: version of ONNX' operators, raised where a layer needs a newer one.

    >>> import neuromatic as nm
    >>> x = nm.Input((4,))
    >>> model = nm.Model(x, nm.layers.Dense(2)(x))
    >>> model.predict([[1, 2, 3, 4]]).shape
    (1, 2)
    """

    def __init__(
        self,
        inputs: SymbolicTensor | Sequence[SymbolicTensor],
        outputs: SymbolicTensor | Sequence[SymbolicTensor],
        *,
        seed: int = 0,
        opset: int = DEFAULT_OPSET,
    ) -> None:
        self._begin(*assemble(_listed(inputs), _listed(outputs), seed=seed, opset=opset))

    @classmethod
    def from_proto(
        cls, proto: ModelProto, terms: Terms | None = None, *, file_bytes: bytes | None = None
    ) -> Model:
        """A model from ONNX.

        Args:
            proto: the ONNX model.
            terms: what its layers ask of training; None for what its recipe has.
            file_bytes: the file it comes from, kept for saving as long as nothing changes.
        """
        model = cls.__new__(cls)
        model._begin(proto, terms)
        model._file_bytes = file_bytes
        return model

    def _begin(self, proto: ModelProto, terms: Terms | None) -> None:
        self._proto = proto
        self._file_bytes: bytes | None = None
        self._parts = None if terms is None else Parts(terms=terms)

    # -- what it is --------------------------------------------------------------------------------

    @property
    def proto(self) -> ModelProto:
        """The ONNX model: graph, parameters and, once loss and optimizer are chosen, the recipe."""
        return self._proto

    @cached_property
    def recipe(self) -> Recipe | None:
        """How the model is trained; None before a loss and an optimizer are chosen.

        Raises:
            RecipeError: the file's ``training_info`` is not valid.
        """
        return validate(self._proto)

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs that data are fed to."""
        return tuple(recipe.data_inputs(self._proto.graph))

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return tuple(o.name for o in self._proto.graph.output)

    def parameters(self) -> dict[str, Array]:
        """Every initializer of the inference graph by name, as arrays."""
        return {t.name: numpy_helper.to_array(t) for t in self._proto.graph.initializer}

    # -- the recipe --------------------------------------------------------------------------------

    def loss(
        self, /, loss: LossLike | Mapping[str, LossLike] | Sequence[LossLike], **arguments: Any
    ) -> Model:
        """A model with this loss: a name, class, object or function; for several outputs a mapping or list.

        With several outputs the losses are added.

        Raises:
            UnknownNameError: no loss, or no output, of that name.
        """
        chosen = self._for_outputs(loss, "loss")
        if not chosen:
            raise ValueError(f"no loss given; the model has outputs {list(self.output_names)}")
        found = {name: losses.get(one, **arguments) for name, one in chosen.items()}
        return self._with(self._known_parts().with_objective(compose.Losses(found)))

    def optimizer(self, /, optimizer: OptimizerLike, **arguments: Any) -> Model:
        """A model with this optimizer: a name (with its arguments), a class or an object.

        Raises:
            UnknownNameError: no optimizer of that name.
        """
        return self._with(replace(self._known_parts(), optimizer=optimizers.get(optimizer, **arguments)))

    def metrics(self, *chosen: MetricLike | Mapping[str, MetricLike | Sequence[MetricLike]]) -> Model:
        """A model that reports these metrics; for several outputs, a mapping by output name.

        Raises:
            UnknownNameError: no metric, or no output, of that name.
        """
        by_output: dict[str, list[metrics.Metric]] = {}
        for item in chosen:
            for name, wanted in self._for_outputs(item, "metrics").items():
                wanted = [wanted] if not isinstance(wanted, (list, tuple)) else wanted
                by_output.setdefault(name, []).extend(metrics.get(one) for one in wanted)
        return self._with(replace(self._known_parts(), measures=compose.Metrics(by_output)))

    def freeze(self, *patterns: str) -> Model:
        """A model that does not train the initializers whose names match (``"conv2d/*"``).

        Raises:
            UnknownNameError: a pattern matches nothing.
        """
        names = [t.name for t in self._proto.graph.initializer]
        parts, matched = self._known_parts(), set[str]()
        for pattern in patterns:
            found = fnmatch.filter(names, pattern)
            if not found:
                raise UnknownNameError("initializer", pattern, names)
            matched.update(found)
        return self._with(replace(parts, frozen=parts.frozen | matched))

    def _for_outputs(self, given: Any, what: str) -> dict[str, Any]:
        names = self.output_names
        if isinstance(given, Mapping):
            for name in given:
                if name not in names:
                    raise UnknownNameError("output", name, names)
            return dict(given)
        if isinstance(given, (list, tuple)):
            if len(given) != len(names):
                raise ValueError(f"{len(given)} {what} for {len(names)} outputs {list(names)}")
            return dict(zip(names, given, strict=True))
        if len(names) > 1 and what == "metrics":
            raise ValueError(f"the model has outputs {list(names)}: give metrics as a mapping by output")
        return dict.fromkeys(names, given)

    def _known_parts(self) -> Parts:
        """The parts of the recipe: as chosen, else as the file has them."""
        return self._parts if self._parts is not None else Parts.of(self._proto, self.recipe)

    def _with(self, parts: Parts) -> Model:
        proto, used = parts.apply(self._proto)
        result = Model.from_proto(proto)
        result._parts = used
        return result

    def _needs_recipe(self) -> Recipe:
        if self.recipe is not None:
            return self.recipe
        if self._known_parts().objective is None:
            raise RecipeError("the model has no loss; choose one with .loss(...), for instance .loss('mse')")
        raise RecipeError("the model has no optimizer; choose one with .optimizer('adam')")

    # -- use ---------------------------------------------------------------------------------------

    def train(
        self,
        x: Data,
        y: Data | None = None,
        *,
        epochs: int = 1,
        batch_size: int = 32,
        validation_data: tuple[Data, Data] | None = None,
        validation_split: float = 0.0,
        shuffle: bool = True,
        seed: int = 0,
        learning_rate: LearningRate | None = None,
        callbacks: Sequence[Callback] = (),
        engine: str = "tensorflow",
        engine_options: Mapping[str, Any] | None = None,
        verbose: Verbose = "auto",
        verify_atol: float = 1e-4,
        verify_rtol: float = 1e-4,
    ) -> History:
        """Train (Keras ``fit``) and take over the new parameters, once onnxruntime confirms them.

        Args:
            x: an array (rows first), or for several inputs a list or a mapping by input name.
            y: the targets likewise; None where ``x`` is a mapping that holds them.
            epochs: how often all rows are seen; 0 changes nothing.
            batch_size: rows in a step; the last batch of an epoch may be smaller.
            validation_data: ``(x, y)`` to report ``val_`` numbers of after each epoch.
            validation_split: share of the rows, taken from the end, to use so instead.
            shuffle: whether each epoch has an order of its own.
            seed: determines order and dropout; the same seed gives the same parameters, bit for bit.
            learning_rate: in place of the optimizer's; a number or a function of the step.
            callbacks: see :mod:`neuromatic.training`.
            engine: ``"tensorflow"`` or ``"cntk"``.
            engine_options: options of that engine; for TensorFlow ``jit`` ("auto", True, False), for CNTK
                ``threads``, ``timeout`` (seconds), ``loader`` ("auto", "native", "builder") and ``learner``
                ("auto", "recorded").
            verbose: 0 silent, 1 progress bar, 2 one line for each epoch, "auto" by the terminal.
            verify_atol: how far onnxruntime may be from the engine, absolutely,
            verify_rtol: and relative to the value.

        Raises:
            RecipeError: no loss or no optimizer has been chosen.
            DataError: the data do not fit the model.
            UnsupportedOpError: the engine cannot train some of the model's operators.
            EngineNotAvailableError: the engine is not installed.
            WorkerError: CNTK's process crashed, was killed or hangs.
            DivergedError: the loss became NaN or infinite.
            VerificationError: onnxruntime disagrees with the engine; the model is as before.
        """
        found = self._needs_recipe()
        data, held_out = self._training_data(x, y, validation_data, validation_split)
        history, trained = train_model(
            self._proto,
            found,
            data,
            held_out,
            epochs=epochs,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            learning_rate=learning_rate,
            callbacks=callbacks,
            engine=engine,
            engine_options=engine_options or {},
            verbose=verbose,
            tolerance=(verify_atol, verify_rtol),
        )
        if trained is not None:
            self._proto, self._file_bytes = trained, None
            self.__dict__.pop("_session", None)
        return history

    def _training_data(
        self, x: Data, y: Data | None, validation_data: tuple[Data, Data] | None, validation_split: float
    ) -> tuple[dict[str, Array], dict[str, Array] | None]:
        data = self.arrays(x, y)
        if validation_data is not None:
            return data, self.arrays(*validation_data)
        if not 0.0 <= validation_split < 1.0:
            raise ValueError(f"validation_split must be in [0, 1), got {validation_split}")
        if not validation_split:
            return data, None
        length = len(next(iter(data.values())))
        kept = int(length * (1.0 - validation_split))
        if not 0 < kept < length:
            raise DataError(f"validation_split {validation_split} of {length} rows leaves one part empty")
        return (
            {name: array[:kept] for name, array in data.items()},
            {name: array[kept:] for name, array in data.items()},
        )

    def arrays(self, x: Data, y: Data | None = None) -> dict[str, Array]:
        """Inputs and targets as one checked array for each.

        Raises:
            DataError: the data do not fit the model.
        """
        targets = target_fields(self._proto, self._needs_recipe())
        inputs = input_fields(self._proto)
        if y is None:
            if not isinstance(x, Mapping):
                raise DataError(f"the targets {[t.name for t in targets]} are missing: give y")
            y = x
        arrays = fit_to_fields(x, inputs, "x") | fit_to_fields(y, targets, "y")
        lengths = {name: len(array) for name, array in arrays.items()}
        if len(set(lengths.values())) > 1:
            raise DataError(f"x and y have different lengths: {lengths}")
        return arrays

    def evaluate(self, x: Data, y: Data | None = None, *, batch_size: int = 256) -> dict[str, float]:
        """Loss and metrics in inference form, computed by onnxruntime from the same ONNX definitions.

        Raises:
            RecipeError: no loss has been chosen.
            DataError: the data do not fit the model.
        """
        found = self._needs_recipe()
        data = self.arrays(x, y)
        session = Session(recipe.evaluation_part(self._proto, found))
        tally = Tally(found.metrics)
        for batch in batches(data, batch_size):
            tally.add_batch(session.run(batch), found.loss, len(next(iter(batch.values()))))
        return tally.logs()

    def predict(self, x: Data, *, batch_size: int = 256) -> Any:
        """The outputs for ``x``, by onnxruntime.

        Returns:
            An array, or a mapping by output name if the model has several outputs.

        Raises:
            DataError: ``x`` does not fit the model.
        """
        results = self._session.run_batches(fit_to_fields(x, input_fields(self._proto), "x"), batch_size)
        return results if len(results) > 1 else next(iter(results.values()))

    @cached_property
    def _session(self) -> Session:
        return Session(recipe.strip(self._proto))

    def summary(self) -> None:
        """Print layers, shapes and parameters."""
        print(summary_text(self._proto, self.recipe))

    # -- files -------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model, recipe and optimizer state included; a failure leaves an old file as it was."""
        if self._file_bytes is not None:
            files.write(path, self._file_bytes)
        else:
            weights.save_proto(self._proto, path)

    def export(self, path: str | os.PathLike[str]) -> None:
        """Write the inference graph alone, without recipe and optimizer state; for release."""
        weights.save_proto(recipe.release(self._proto), path)


def _listed(tensors: SymbolicTensor | Sequence[SymbolicTensor]) -> list[SymbolicTensor]:
    return [tensors] if isinstance(tensors, SymbolicTensor) else list(tensors)


def load(path: str | os.PathLike[str]) -> Model:
    """A model from any .onnx file, with its recipe if it has one.

    Raises:
        InvalidModelError: the file cannot be read or is not valid ONNX.
    """
    proto, file_bytes = weights.load_proto(path)
    return Model.from_proto(proto, file_bytes=file_bytes)
