"""A training program on TensorFlow: the whole step, and several of them, in one compiled call."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from onnx import ModelProto

from neuromatic.converters.boundary import raising_our_errors
from neuromatic.converters.lowering import Plan, plan, plan_outputs, run
from neuromatic.converters.tensorflow import execution
from neuromatic.converters.tensorflow.context import Draws, TensorFlowContext
from neuromatic.converters.tensorflow.execution import call, channels_first
from neuromatic.converters.tensorflow.jit import Jit, should_jit
from neuromatic.converters.tensorflow.lowerings import ops
from neuromatic.converters.tensorflow.weights import Weights, as_outputs
from neuromatic.engines import Outcome
from neuromatic.errors import RecipeError
from neuromatic.recipe import schema as recipes
from neuromatic.recipe.sections import reported_part, step_part

Array = NDArray[Any]
Tensors = dict[str, Any]
Data = tuple[Tensors, Tensors]
"""What has rows, and what is taken whole."""

RESIDENT_BYTES = 1 << 30
"""Data of at most this size are kept on the device; of larger data, each call gets the rows it needs."""
MOST_STEPS = 32
SECONDS_PER_CALL = 0.25


@dataclass(frozen=True)
class TensorFlowDataset:
    """Data of a program: tensors on the device, or arrays from which rows are taken for each call.

    Attributes:
        arrays: what has rows.
        resident: whether they are tensors.
        whole: tensors that each step gets as they are.
    """

    arrays: Mapping[str, Any]
    resident: bool
    whole: Mapping[str, Any]

    def rows(self, rows: NDArray[np.int64]) -> tuple[Data, Any]:
        """Tensors, and where in them the rows of an index array of any shape are."""
        if self.resident:
            return (dict(self.arrays), dict(self.whole)), tf.constant(rows, tf.int32)
        taken = {name: tf.constant(array[rows.ravel()]) for name, array in self.arrays.items()}
        return (taken, dict(self.whole)), tf.reshape(tf.range(rows.size), rows.shape)


class TensorFlowProgram:
    """See :class:`neuromatic.engines.Program`.

    A step is a function from state (every initializer that the recipe updates) to new state. Several steps
    are a loop that carries the state and assigns it to variables once, at its end.

    Args:
        model: a model with a recipe.
        seed: determines dropout and the like.
        jit: whether steps are compiled with XLA.
    """

    def __init__(self, model: ModelProto, *, seed: int, jit: Jit) -> None:
        found = recipes.read(model)
        if found is None:
            raise RecipeError("the model has no recipe to train by")
        self.recipe = found
        self._seed = seed
        whole = step_part(model, found)
        self._step_plan = plan(whole, ops, training=True)
        self._evaluation_plan = plan(reported_part(model, found), ops)
        self._output_plan, self._output_names = plan_outputs(model, ops)
        self._weights = Weights(whole, found.updates)
        self._variables = self._weights.variables
        self._done = tf.Variable(tf.constant(0, tf.int64), name="steps_done")
        self._jit = should_jit(self._step_plan, jit)
        self.steps_per_call = MOST_STEPS if self._jit else 1
        self._functions: dict[Any, Callable[..., Any]] = {}

    # -- the Program protocol ----------------------------------------------------------------------

    def load(self, arrays: Mapping[str, Array], whole: Collection[str] = ()) -> TensorFlowDataset:
        """Hand over data; kept on the device unless they are large."""
        given = {name: tf.constant(arrays[name]) for name in whole}
        rows = {name: array for name, array in arrays.items() if name not in given}
        resident = sum(array.nbytes for array in rows.values()) <= RESIDENT_BYTES
        kept = {name: tf.constant(array) for name, array in rows.items()} if resident else rows
        return TensorFlowDataset(kept, resident, given)

    def train(
        self, dataset: TensorFlowDataset, rows: NDArray[np.int64], learning_rates: NDArray[np.float32]
    ) -> Outcome:
        """Run a step for each line of ``rows``."""
        rates = tf.constant(learning_rates)
        if self._jit and len(rows) == self.steps_per_call:
            return _outcome(*self._call(self._train_steps, dataset, rows, rates, jit=True))
        # XLA would compile anew for every other number of steps.
        started = time.perf_counter()
        outcome = _outcome(*self._call(self._train_plainly, dataset, rows, rates))
        if not self._jit:
            seconds = (time.perf_counter() - started) / len(rows)
            self.steps_per_call = int(np.clip(SECONDS_PER_CALL / seconds, 1, MOST_STEPS))
        return outcome

    def evaluate(self, dataset: TensorFlowDataset, rows: NDArray[np.int64]) -> Outcome:
        """Loss and sums for each line of ``rows``, in inference form."""
        return _outcome(*self._call(self._evaluate_steps, dataset, rows))

    def predict(
        self, dataset: TensorFlowDataset, rows: NDArray[np.int64], values: Sequence[str] | None = None
    ) -> dict[str, Array]:
        """The model's outputs for some rows, but for those that have operators without a lowering."""
        asked = self._output_names if values is None else tuple(values)

        def outputs(data: Data, places: Any) -> Tensors:
            known = self._infer(self._output_plan, _batch(data, places[0]))
            return as_outputs(known, [name for name in asked if name in known])

        results = self._call(outputs, dataset, rows[None], variant=asked)
        return {name: execution.array(value) for name, value in results.items()}

    @property
    def steps_done(self) -> int:
        """How many steps this program has done."""
        return int(self._done.numpy())

    @steps_done.setter
    def steps_done(self, count: int) -> None:
        self._done.assign(count)

    def parameters(self) -> dict[str, Array]:
        """The current value of everything the recipe updates."""
        return {name: variable.numpy() for name, variable in self._variables.items()}

    def assign(self, parameters: Mapping[str, Array]) -> None:
        """Replace parameters by name."""
        for name, array in parameters.items():
            self._variables[name].assign(array)

    def close(self) -> None:
        """Release parameters and traced functions."""
        self._functions.clear()
        self._variables.clear()

    def _call(
        self,
        function: Callable[..., Any],
        dataset: TensorFlowDataset,
        rows: NDArray[np.int64],
        *more: Any,
        jit: bool = False,
        variant: Any = None,
    ) -> Any:
        """Call a function of (data, places, ...), traced once for each batch size and kind of data.

        Batch sizes stay static, which makes better graphs; XLA also wants to know the number of steps.
        """
        (data, whole), places = dataset.rows(rows)
        shapes = tuple((name, tuple(tensor.shape)) for name, tensor in sorted(whole.items()))
        batch = rows.shape if jit else rows.shape[1]
        key = (function.__name__, variant, frozenset(data), shapes, jit, batch)
        if key not in self._functions:
            steps = len(rows) if jit else None
            signature = [
                (
                    {name: tf.TensorSpec([None, *t.shape[1:]], t.dtype) for name, t in data.items()},
                    {name: tf.TensorSpec(t.shape, t.dtype) for name, t in whole.items()},
                ),
                tf.TensorSpec([steps, rows.shape[1]], tf.int32),
                *(tf.TensorSpec([steps], tensor.dtype) for tensor in more),
            ]
            self._functions[key] = tf.function(
                function, input_signature=signature, jit_compile=jit, autograph=False
            )
        with raising_our_errors("TensorFlow cannot run the graph"):
            return self._functions[key]((data, whole), places, *more)

    # -- what is traced ----------------------------------------------------------------------------

    def _step(self, state: Tensors, batch: Tensors, rate: Any, step: Any) -> tuple[Tensors, Any, Tensors]:
        """One training step: the new state, the loss and the sums of each metric.

        ``step`` numbers the random draws of a recipe that counts no steps itself.
        """
        recipe = self.recipe
        values: Tensors = self._weights.constants | state | batch
        if recipe.learning_rate is not None:
            values[recipe.learning_rate] = rate
        for name in recipe.trainable:  # a recipe may take gradients of what it does not update
            values[name] = tf.convert_to_tensor(values[name])
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([values[name] for name in recipe.trainable])
            context = TensorFlowContext(
                training=True,
                updated=frozenset(recipe.updates),
                seed=self._seed,
                step=state[recipe.step] if recipe.step else step,
                tape=tape,
                values=values,
            )
            run(self._step_plan, values, context, call)
        new = {name: _like(values[value], state[name]) for name, value in recipe.updates.items()}
        return new, *self._reported(values)

    def _train_steps(self, data: Data, places: Any, rates: Any) -> tuple[Any, Tensors]:
        return self._loop(self._step, data, places, rates)

    def _train_plainly(self, data: Data, places: Any, rates: Any) -> tuple[Any, Tensors]:
        return self._loop(_apart(self._step), data, places, rates)

    def _loop(self, step: Callable[..., Any], data: Data, places: Any, rates: Any) -> tuple[Any, Tensors]:
        def body(i: Any, state: Tensors, losses: Any, sums: Tensors) -> tuple[Any, Tensors, Any, Tensors]:
            new, loss, metrics = step(state, _batch(data, places[i]), rates[i], done + tf.cast(i, tf.int64))
            return i + 1, new, losses.write(i, loss), _write(sums, i, metrics)

        state = self._weights.read()
        steps = tf.shape(places)[0]
        done = self._done.read_value()
        _, state, losses, sums = tf.while_loop(
            lambda i, *_: i < steps, body, (0, state, *self._collectors(steps)), maximum_iterations=steps
        )
        for name, variable in self._variables.items():
            variable.assign(state[name], read_value=False)
        self._done.assign_add(tf.cast(steps, tf.int64), read_value=False)
        return losses.stack(), {name: array.stack() for name, array in sums.items()}

    def _evaluate_steps(self, data: Data, places: Any) -> tuple[Any, Tensors]:
        @_apart
        def reported(batch: Tensors) -> tuple[Any, Tensors]:
            return self._reported(self._infer(self._evaluation_plan, batch))

        def body(i: Any, losses: Any, sums: Tensors) -> tuple[Any, Any, Tensors]:
            loss, metrics = reported(_batch(data, places[i]))
            return i + 1, losses.write(i, loss), _write(sums, i, metrics)

        steps = tf.shape(places)[0]
        _, losses, sums = tf.while_loop(lambda i, *_: i < steps, body, (0, *self._collectors(steps)))
        return losses.stack(), {name: array.stack() for name, array in sums.items()}

    def _infer(self, plan: Plan, batch: Tensors) -> Tensors:
        """Every value of a graph in inference form; what it draws depends on the run's seed and the step."""
        counter = self._variables.get(self.recipe.step or "", self._done)
        return self._weights.infer(plan, batch, Draws(self._seed, counter.read_value()))

    def _reported(self, values: Tensors) -> tuple[Any, Tensors]:
        recipe = self.recipe
        sums = {m.name: tf.cast(channels_first(values[m.sums]), tf.float32) for m in recipe.metrics}
        return tf.cast(channels_first(values[recipe.loss]), tf.float32), sums

    def _collectors(self, steps: Any) -> tuple[tf.TensorArray, dict[str, tf.TensorArray]]:
        """Where the losses and the sums of each step are collected."""
        return tf.TensorArray(tf.float32, steps), {
            metric.name: tf.TensorArray(tf.float32, steps) for metric in self.recipe.metrics
        }


def _batch(data: Data, places: Any) -> Tensors:
    rows, whole = data
    return {name: tf.gather(tensor, places) for name, tensor in rows.items()} | whole


def _write(arrays: Tensors, index: Any, values: Tensors) -> Tensors:
    return {name: array.write(index, values[name]) for name, array in arrays.items()}


def _apart(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that stays one inside a loop of TensorFlow.

    Written into the loop's body, some graphs are broken by TensorFlow's own rewriting: where the gradients of
    an ``Add`` of a value to itself are added, the loop then ends before its first step.
    """
    apart: Callable[..., Any] = tf.function(
        function, autograph=False, experimental_attributes={"_noinline": True}
    )
    return apart


def _outcome(losses: tf.Tensor, sums: Tensors) -> Outcome:
    return Outcome(losses.numpy(), {name: value.numpy() for name, value in sums.items()})


def _like(value: Any, old: tf.Tensor) -> tf.Tensor:
    """A new value of the state with the old one's static shape, as a loop demands."""
    return tf.ensure_shape(tf.cast(channels_first(value), old.dtype), old.shape)
