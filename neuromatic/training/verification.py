"""What an engine computes from a model is what onnxruntime computes: compared before and after training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from neuromatic.data import Rows
from neuromatic.engines import Program
from neuromatic.errors import DivergedError, InvalidModelError, VerificationError
from neuromatic.inference import Session
from neuromatic.ir import randomness
from neuromatic.ir.inference_form import inference_form
from neuromatic.ir.traversal import data_inputs
from neuromatic.recipe.sections import strip
from neuromatic.training.divergence import first_not_finite
from neuromatic.training.tolerance import Tolerance, allowed

Array = NDArray[Any]
VERIFIED_ROWS = 256
"""How many rows of the training data the engine and onnxruntime are compared on."""
STANDARD_ERRORS = 6.0
"""How far the means of two samples of one distribution may be apart: further are 2 in 10⁹ of them."""
FEWEST_DRAWS = 100
"""Of fewer numbers the standard error is not known well enough to compare means by it."""


@dataclass(frozen=True)
class Verification:
    """What was compared between an engine and onnxruntime.

    Attributes:
        difference: the largest absolute difference.
        compared: the values that were compared element by element: outputs, and what random nodes read.
        drawn: the values that are drawn at random, whose mean and mean square were compared.
        not_compared: outputs and drawn values that could not be compared, with the reason.
    """

    difference: float
    compared: tuple[str, ...] = ()
    drawn: tuple[str, ...] = ()
    not_compared: Mapping[str, str] = field(default_factory=dict)


class Verifier:
    """Compares a program with onnxruntime on the first rows of its data.

    What nodes draw at random is given to onnxruntime as the engine drew it, so that everything computed from
    it is compared too; the draws themselves are compared with onnxruntime's by mean and mean square.

    Args:
        model: the model before training.
        program: its program.
        data: an array for each input, and possibly more.
        tolerance: how far values may be apart, absolutely and relatively.
        rows: what of the data are rows; by default, all of them are.
    """

    def __init__(
        self,
        model: ModelProto,
        program: Program,
        data: Mapping[str, Array],
        tolerance: Tolerance,
        rows: Rows | None = None,
    ) -> None:
        rows = rows or Rows(frozenset(data))
        self._model, self._program, self._tolerance = model, program, tolerance
        inputs = {name: data[name] for name in data_inputs(model.graph)}
        self._inputs = rows.take(inputs, rows.first(VERIFIED_ROWS, inputs))
        self._rows = np.arange(rows.count(self._inputs))
        self._dataset = program.load(self._inputs, rows.given_whole(self._inputs))
        self._drawn = randomness.drawn_values(inference_form(strip(model)))

    def check(self, model: ModelProto, step: int) -> Verification:
        """Compare the program's outputs with onnxruntime's for the model written from it.

        Outputs that the engine cannot compute are run by onnxruntime only; a quantised graph is run as it is
        written.

        Args:
            model: the model that was given, with the program's parameters.
            step: how many steps have been done, for messages.

        Raises:
            VerificationError: some value differs by more than ``atol + rtol * |value|``.
            DivergedError: an output is NaN that was none before training.
        """
        bare = inference_form(strip(model))
        outputs = [o.name for o in bare.graph.output]
        alone, read = randomness.draws_alone(bare) if self._drawn else (None, [])
        asked = list(dict.fromkeys([*outputs, *read, *self._drawn])) if self._drawn else None
        found = self._program.predict(self._dataset, self._rows, asked)
        drawn = [name for name in self._drawn if name in found]
        missing = {
            name: "the engine has no lowering for its operators" for name in outputs if name not in found
        }
        texts = [name for name in outputs if name in found and found[name].dtype.kind in "OSU"]
        missing |= dict.fromkeys(texts, "it is text, made of numbers that are compared")
        skipped = {*drawn, *texts}
        names = [name for name in dict.fromkeys([*outputs, *read]) if name in found and name not in skipped]
        given = randomness.with_draws_given(bare, names) if self._drawn else bare
        quantised = any(node.op_type == "DequantizeLinear" for node in bare.graph.node)
        fed = {i.name for i in given.graph.input}
        inputs = self._inputs | {name: found[name] for name in drawn if name in fed}
        expected = Session(given, as_written=quantised).run(inputs, None if not self._drawn else names)
        worst = max([self._compare(n, found[n], expected[n], model, step) for n in names], default=0.0)
        if alone is not None:
            missing |= self._check_draws(alone, found, drawn)
        judged = tuple(name for name in drawn if name not in missing)
        return Verification(worst, tuple(names), judged, missing)

    def _compare(self, name: str, found: Array, expected: Array, model: ModelProto, step: int) -> float:
        """The largest difference of a value."""
        if found.shape != expected.shape:
            raise VerificationError(
                f"output {name!r} of the trained model has shape {found.shape} on the engine and "
                f"{expected.shape} in onnxruntime; the model is left as it was",
                difference=float("inf"),
            )
        one, other = found.astype(np.float64), expected.astype(np.float64)
        atol, rtol = allowed(model, name, expected, self._tolerance)
        nan = np.isnan(other)  # engines differ in what they make of what has no value
        if nan.any() and not self._was_nan(name):
            node = first_not_finite(strip(model), self._inputs)
            raise DivergedError(step, float("nan"), what=f"output {name!r}", node=node)
        with np.errstate(invalid="ignore"):
            difference = np.where(nan | (one == other), 0.0, np.abs(one - other))
            close = difference <= atol + rtol * np.where(nan, 0.0, np.abs(other))
        if close.all():
            return float(difference.max(initial=0.0))
        largest = float(np.nan_to_num(difference, nan=np.inf).max(initial=0.0))
        if not np.isfinite(largest):
            place = tuple(int(i) for i in np.argwhere(~close)[0])
            raise VerificationError(
                f"output {name!r} of the trained model is {one[place]:.6g} on the engine and "
                f"{other[place]:.6g} in onnxruntime at {place}; the model is left as it was",
                difference=largest,
            )
        raise VerificationError(
            f"output {name!r} of the trained model differs by {largest:.3g} between the engine and "
            f"onnxruntime (allowed: {atol:g} + {rtol:g} * |value|); the model is left as it was",
            difference=largest,
        )

    def _was_nan(self, name: str) -> bool:
        """Whether a value was NaN before training, so that this says nothing about the training."""
        values = Session(_with_output(strip(self._model), name)).run(self._inputs, [name])
        return bool(np.isnan(values[name].astype(np.float64)).any())

    def _check_draws(
        self, alone: ModelProto, found: Mapping[str, Array], drawn: Sequence[str]
    ) -> dict[str, str]:
        """Compare what was drawn by mean and mean square; returns what cannot be compared so.

        Two samples of n numbers have means whose difference has at most the standard deviation
        sqrt((s² + t²) / n), where s and t are the deviations of all numbers of the one and the other, also
        where each number has a distribution of its own.

        Raises:
            VerificationError: names what is drawn otherwise.
        """
        given = self._inputs | dict(found)
        fed = [i.name for i in alone.graph.input]
        initialized = {t.name for t in alone.graph.initializer}
        try:
            inputs = {name: given[name] for name in fed if name not in initialized}
            expected = Session(alone).run(inputs)
        except (KeyError, InvalidModelError) as error:
            return dict.fromkeys(self._drawn, f"onnxruntime cannot draw it alone: {error}")
        skipped = {}
        for name in self._drawn:
            if name not in drawn:
                skipped[name] = "the engine does not compute it"
            elif found[name].size < FEWEST_DRAWS:
                skipped[name] = f"{found[name].size} random numbers are too few to compare their means"
            else:
                self._check_moments(name, found[name], expected[name])
        return skipped

    @staticmethod
    def _check_moments(name: str, found: Array, expected: Array) -> None:
        for what, power in (("mean", 1), ("mean square", 2)):
            one, other = found.astype(np.float64) ** power, expected.astype(np.float64) ** power
            allowed = STANDARD_ERRORS * np.sqrt((one.var() + other.var()) / one.size) + 1e-6
            apart = abs(float(one.mean() - other.mean()))
            if not apart <= allowed:
                raise VerificationError(
                    f"what is drawn as {name!r} has {what} {one.mean():.4g} on the engine and "
                    f"{other.mean():.4g} in onnxruntime over {one.size} numbers (allowed difference: "
                    f"{allowed:.3g}); the model is left as it was",
                    difference=apart,
                )


def verify(
    model: ModelProto, program: Program, data: Mapping[str, Array], tolerance: Tolerance
) -> Verification:
    """Compare a program with onnxruntime for the model written from it; see :class:`Verifier`."""
    return Verifier(model, program, data, tolerance).check(model, 0)


def _with_output(model: ModelProto, name: str) -> ModelProto:
    """The model with one of its values as its output."""
    if any(o.name == name for o in model.graph.output):
        return model
    model.graph.output.add(name=name)
    return model
