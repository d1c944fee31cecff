"""Model: an ONNX model with the methods to train, run, inspect and save it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from onnx import ModelProto

from neuromatic.builder._runnable import problem_of as problem_of
from neuromatic.builder._runnable import runtime_refusal
from neuromatic.builder._serving import Array, Data, Serving, Weights
from neuromatic.builder._surgery import BatchNorm
from neuromatic.builder.functional import assemble
from neuromatic.data import (
    ClassWeight,
    split,
    with_class_weights,
)
from neuromatic.errors import InvalidModelError, RecipeError
from neuromatic.ir import parameters as weights
from neuromatic.ir.functions import inlined
from neuromatic.ir.inference_form import inference_form
from neuromatic.ir.opsets import DEFAULT_OPSET
from neuromatic.ir.tensors import array_of
from neuromatic.ir.terms import Terms
from neuromatic.layers.base import SymbolicTensor
from neuromatic.printable import printable
from neuromatic.recipe.dropout import DropoutForm
from neuromatic.recipe.parts import Parts
from neuromatic.recipe.sections import strip
from neuromatic.reports.plot import Detail, Direction, draw
from neuromatic.reports.summary import summary_text
from neuromatic.saving.model_file import load_proto, save_proto
from neuromatic.schedules import LearningRate
from neuromatic.training.callbacks import Callback
from neuromatic.training.fit import train_model
from neuromatic.training.history import History
from neuromatic.training.progress import Verbose


class Model(Serving):
    """A model, which is an ONNX ``ModelProto`` and nothing else besides.

    Made from layers called on each other (Keras ``Model``), by :func:`load` from a file, or by
    ``Sequential``. ``loss``, ``optimizer``, ``metrics``, ``freeze`` and what changes the graph return a
    new model; ``train`` changes this one's parameters.

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

    def _as_model(self) -> Model:
        return self

    def parameters(self) -> dict[str, Array]:
        """Every initializer of the inference graph by name, as arrays."""
        return {t.name: array_of(t) for t in self._proto.graph.initializer}

    # -- use ---------------------------------------------------------------------------------------

    def train(
        self,
        x: Data,
        y: Data | None = None,
        *,
        epochs: int = 1,
        batch_size: int | None = None,
        validation_data: tuple[Data, Data] | tuple[Data, Data, Weights] | None = None,
        validation_split: float = 0.0,
        sample_weight: Weights | None = None,
        class_weight: ClassWeight | None = None,
        shuffle: bool = True,
        seed: int = 0,
        learning_rate: LearningRate | None = None,
        callbacks: Sequence[Callback] = (),
        engine: str = "tensorflow",
        engine_options: Mapping[str, Any] | None = None,
        batch_norm: BatchNorm | None = None,
        dropout: DropoutForm | None = None,
        verbose: Verbose = "auto",
        verify_atol: float | None = None,
        verify_rtol: float | None = None,
    ) -> History:
        """Train (Keras ``fit``) and take over the new parameters, once onnxruntime confirms them.

        Args:
            x: an array (rows first), or for several inputs a list or a mapping by input name.
            y: the targets likewise; None where ``x`` is a mapping that holds them.
            epochs: how often all rows are seen; 0 changes nothing.
            batch_size: rows in a step, by default 32; the last batch of an epoch may be smaller. A file with
                a fixed batch has that one, and an epoch leaves out the rows that fill no batch. Inputs whose
                rows depend on each other, as the nodes of one graph, are one batch. See
                :mod:`neuromatic.data.rows`.
            validation_data: ``(x, y)`` or ``(x, y, sample_weight)`` to report ``val_`` numbers of.
            validation_split: share of the rows, taken from the end, to use so instead.
            sample_weight: weight of each sample, (rows,) or (rows, steps), in the loss; for several outputs
                one for all, or a list or mapping by output name. The model's recipe then takes weights.
            class_weight: instead, weight of the samples of each class; for several outputs such mappings
                by output name. Not for the validation data.
            shuffle: whether each epoch has an order of its own.
            seed: determines order and dropout; the same seed gives the same parameters, bit for bit.
            learning_rate: for this run in place of the optimizer's; a number, a schedule or another function
                of the step, counted from 0 over all runs.
            callbacks: see :mod:`neuromatic.training`.
            engine: ``"tensorflow"`` or ``"cntk"``.
            engine_options: options of that engine; for TensorFlow ``jit`` ("auto", True, False), for CNTK
                ``threads``, ``timeout`` (seconds), ``loader`` ("auto", "native", "builder") and ``learner``
                ("auto", "recorded").
            batch_norm: "train" normalizes by the statistics of each batch and updates the running ones,
                "frozen" uses these and leaves them; None for what the recipe has, "train" if not chosen.
            dropout: "off" trains as if the layers that regularize at random were not there: Dropout (also in
                attention and recurrent layers), SpatialDropout, AlphaDropout, GaussianDropout and
                GaussianNoise, but not augmentation. None for what the recipe has, "train" if not chosen.
            verbose: 0 silent, 1 progress bar, 2 one line for each epoch, "auto" by the terminal.
            verify_atol: how far onnxruntime may be from the engine, absolutely,
            verify_rtol: and relative to the value. None for 1e-4, and for what the roundings of its nodes may
                add up to where the model computes in float16 or bfloat16.

        Raises:
            RecipeError: no loss or no optimizer has been chosen, or the loss takes no sample weights.
            DataError: the data do not fit the model.
            ValueError: both kinds of weights are given.
            UnsupportedOpError: the engine cannot train some of the model's operators.
            EngineNotAvailableError: the engine is not installed.
            WorkerError: CNTK's process crashed, was killed or hangs.
            DivergedError: the loss became NaN or infinite.
            VerificationError: onnxruntime disagrees with the engine; the model is as before.
        """
        if sample_weight is not None and class_weight is not None:
            raise ValueError("give sample_weight or class_weight, not both")
        weighted = sample_weight is not None or class_weight is not None or len(validation_data or ()) > 2
        model = self._with_batch_norm(batch_norm)._with_dropout(dropout)._taking_sample_weights(weighted)
        found = model._needs_recipe()
        data = model.arrays(x, y, sample_weight)
        rows = model._rows(data, found)
        held_out = None
        if validation_data is not None:
            inputs, truth, *rest = validation_data
            held_out = model.arrays(inputs, truth, *rest)
        if validation_split and held_out is None:
            data, held_out = split(data, validation_split, rows)
        if class_weight is not None:
            data = with_class_weights(model._proto, found, data, class_weight)
        history, trained = train_model(
            model._proto,
            found,
            data,
            held_out,
            rows=rows,
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
            self._proto, self._parts, self._file_bytes = trained, model._parts, None
            for cached in ("_session", "recipe"):
                self.__dict__.pop(cached, None)
        return history

    def _taking_sample_weights(self, wanted: bool) -> Model:
        """This model, or where it is wanted one whose losses take sample weights, of the same state."""
        if not wanted or all(t.weights for t in self._needs_recipe().targets):
            return self
        parts = self._known_parts()
        assert parts.objective is not None  # there is a recipe
        model = self._with(replace(parts, objective=parts.objective.with_sample_weights()))
        weights.carry_over(self._proto, model._proto)
        return model

    def summary(self) -> None:
        """Print layers, shapes and parameters, and what is wrong with the recipe if it cannot be used."""
        try:
            recipe, problem = self.recipe, ""
        except RecipeError as error:
            recipe, problem = None, f"\nthe recipe cannot be used: {error}"
        print(printable(summary_text(self._proto, recipe) + problem))

    def plot(
        self,
        path: str | os.PathLike[str],
        *,
        detail: Detail = "layers",
        direction: Direction = "down",
    ) -> None:
        """Draw the inference graph by Graphviz (Keras ``plot_model``; needs ``neuromatic[plot]``).

        Args:
            path: a file ending in .png, .svg, .pdf or .dot.
            detail: a box for each layer, or for each ONNX node.
            direction: where the data flow.

        Raises:
            ValueError: the file has another ending, or an argument is not possible.
            EngineNotAvailableError: pygraphviz is not installed.
        """
        draw(self._proto, path, detail=detail, direction=direction)

    # -- files -------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model, recipe and optimizer state included; a failure leaves an old file as it was.

        External data are written beside it, in the files and places they had
        (:mod:`neuromatic.saving.writer`).
        """
        save_proto(self._proto, path, self._file_bytes)

    def export(self, path: str | os.PathLike[str]) -> None:
        """Write the inference graph alone, without recipe and optimizer state; for release."""
        save_proto(inlined(inference_form(strip(self._proto))), path)


def _listed(tensors: SymbolicTensor | Sequence[SymbolicTensor]) -> list[SymbolicTensor]:
    return [tensors] if isinstance(tensors, SymbolicTensor) else list(tensors)


def load(path: str | os.PathLike[str], *, check: bool = True) -> Model:
    """A model from any .onnx file, with its recipe if it has one.

    Args:
        path: the file.
        check: whether to refuse what onnxruntime would: operators that it does not have, inputs of nodes that
            do not fit each other. False opens such a file, to look at it or to change it. Where onnxruntime
            is not installed, only what ONNX itself says is checked.

    Raises:
        InvalidModelError: the file cannot be read or is not valid ONNX, or onnxruntime refuses it.
    """
    proto, file_bytes = load_proto(path, fit=check)
    if check and (reason := runtime_refusal(proto)) is not None:
        raise InvalidModelError(
            f"{os.fspath(path)}: onnxruntime refuses the model: {reason}; "
            f"load(path, check=False) and neuromatic info open it all the same"
        )
    return Model.from_proto(proto, file_bytes=file_bytes)
