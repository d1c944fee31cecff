"""The methods of Model that change its graph, or what of it is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from onnx import ModelProto

from neuromatic.builder._choosing import Choosing
from neuromatic.data import rows_of
from neuromatic.errors import ConversionError
from neuromatic.ir import parameters as weights
from neuromatic.ir.opsets import BATCH
from neuromatic.ir.traversal import data_inputs
from neuromatic.layers.base import Layer
from neuromatic.recipe.dropout import DropoutForm
from neuromatic.recipe.parts import Parts
from neuromatic.recipe.validation import validate
from neuromatic.transfer import insert_dropout as insertion
from neuromatic.transfer import lift_constants as lifting
from neuromatic.transfer import replace_head as heads
from neuromatic.transfer import trainable_layers as selection
from neuromatic.transfer.dequantize import dequantize
from neuromatic.transfer.dynamic_batch import Batches, dynamic_batch
from neuromatic.transfer.input_shapes import with_input_shapes
from neuromatic.transfer.linear_models import with_initializers

if TYPE_CHECKING:
    from neuromatic.builder.model import Model
    from neuromatic.layers.activations.activation import ActivationLike

BatchNorm = Literal["train", "frozen"]
"""Whether BatchNormalization trains with each batch's statistics, or with its running ones, which stay."""


class Surgery(Choosing):
    """What a Model can do to its graph and to the list of what is trained; each call returns a new model."""

    # -- what is trained ---------------------------------------------------------------------------

    def freeze(self, *patterns: str) -> Model:
        """A model that does not train the initializers whose names match (``"conv2d/*"``).

        BatchNormalization whose running statistics are among them keeps them, and uses them in training.

        Raises:
            UnknownNameError: a pattern matches nothing.
        """
        parts, matched = self._known_parts(), selection.matching(self._stored(), patterns)
        return self._choosing(parts.frozen | matched, parts.asked - matched)

    def unfreeze(self, *patterns: str) -> Model:
        """A model that trains the initializers whose names match again; without patterns, all of them.

        What is named in full, not by a pattern, is trained even if it counts as a constant of the file, such
        as a single number.

        Raises:
            UnknownNameError: a pattern matches nothing.
            RecipeError: no gradient of the loss reaches what is named in full.
        """
        parts, matched = self._known_parts(), selection.matching(self._stored(), patterns or ("*",))
        return self._choosing(parts.frozen - matched, parts.asked | matched.intersection(patterns))

    def train_only(self, *patterns: str) -> Model:
        """A model that trains the initializers whose names match, and freezes every other one.

        What is named in full is trained even if it counts as a constant, see :meth:`unfreeze`.

        Raises:
            UnknownNameError: a pattern matches nothing.
            ValueError: there is no pattern.
            RecipeError: nothing is left to train, or no gradient of the loss reaches what is named in full.
        """
        if not patterns:
            raise ValueError("train_only: give at least one pattern, as in train_only('head/*')")
        kept = selection.matching(self._stored(), patterns)
        return self._choosing(selection.all_but(self._proto, kept), kept.intersection(patterns))

    def train_last(self, n: int) -> Model:
        """A model that trains the last ``n`` layers that have parameters, in graph order; the rest is frozen.

        A layer is what shares the part of the node names before the last slash; else it is one node. What
        two layers share is trained if one of them is.

        Raises:
            ValueError: the model has no ``n`` such layers.
        """
        kept = selection.last_layers(self._proto, n)
        return self._choosing(selection.all_but(self._proto, kept), self._known_parts().asked)

    def roles(self) -> dict[str, selection.Role]:
        """What becomes of each initializer in training: trained, frozen, state or constant.

        Before a loss is chosen, what could be trained is "trainable".

        Raises:
            RecipeError: the model's opset is too old for a recipe, or its recipe is not valid.
        """
        return selection.roles(self._proto, validate(self._proto))

    def _stored(self) -> list[str]:
        return selection.stored_names(self._proto)

    def _choosing(self, frozen: frozenset[str], asked: frozenset[str]) -> Model:
        return self._with(replace(self._known_parts(), frozen=frozen, asked=asked))

    def _with_batch_norm(self, form: BatchNorm | None) -> Model:
        """A model of the same state in which BatchNormalization trains so; None for as it is.

        Raises:
            ValueError: there is no such form.
        """
        if form not in (None, "train", "frozen"):
            raise ValueError(f'batch_norm must be "train" or "frozen", got {form!r}')
        if form is None:
            return self._as_model()
        parts, statistics = self._known_parts(), selection.running_statistics(self._proto)
        frozen = parts.frozen - statistics if form == "train" else parts.frozen | statistics
        if frozen == parts.frozen:
            return self._as_model()
        return self._keeping_state(replace(parts, frozen=frozen))

    def _with_dropout(self, form: DropoutForm | None) -> Model:
        """A model of the same state whose Dropout draws in training, or not; None for as it is.

        Raises:
            ValueError: there is no such form.
        """
        if form not in (None, "train", "off"):
            raise ValueError(f'dropout must be "train" or "off", got {form!r}')
        parts = self._known_parts()
        if form is None or form == parts.dropout:
            return self._as_model()
        return self._keeping_state(replace(parts, dropout=form))

    # -- the graph ---------------------------------------------------------------------------------

    def lift_constants(self) -> Model:
        """A model whose weights are all initializers, also those that its file has as ``Constant`` nodes.

        Some exporters write weights so. Floats of rank 1 or more and at least two elements are lifted
        where they are the weight, bias or scale of an operator (``Conv``, ``Gemm``, ``MatMul``, ``Gather``,
        ``Add``, normalizations, recurrent nets), also by way of ``Transpose`` and ``Reshape``. An addend
        with values of 10,000 or more in size is a mask and stays. The initializer is named as the value
        was: but for these nodes the graph is the file's. Coefficients and intercepts of LinearRegressor and
        LinearClassifier are lifted, too (``LinearRegressor/coefficients``): ONNX has them as attributes, so
        that plain nodes take the place of these. ``loss`` does this by itself for a file that others have
        written.
        """
        lifted = with_initializers(lifting.lift(self._proto))
        return self._keeping_state(self._known_parts().resolved(self._proto), lifted)

    def dequantize(self, *, rounding: bool = False) -> Model:
        """A model without recipe whose weights that are integers are floats, so that they can be trained.

        For files of static or dynamic quantization to 8 bits. ``DequantizeLinear`` of stored integers gives
        way to an initializer of floats; ``QLinearConv``, ``QLinearMatMul`` and onnxruntime's ``QGemm`` become
        ``Conv``, ``MatMul`` and ``Gemm``, and so do ``ConvInteger`` and ``MatMulInteger`` behind a
        ``DynamicQuantizeLinear``. The trained file is to be quantized anew.

        Args:
            rounding: keep ``QuantizeLinear`` and ``DequantizeLinear`` between layers: training is aware of
                them, and gradients pass straight through. An engine and onnxruntime may then differ by a
                step of the scale: give ``train`` a ``verify_atol`` of that size. By default they give way to
                a ``Clip`` to the range of their integers.

        Raises:
            ModelError: there is nothing to dequantize.
        """
        return self._with(Parts(), dequantize(self._proto, rounding))

    def insert_dropout(self, *after: str, rate: float = 0.1) -> Model:
        """A model with a Dropout behind some values, as exporters take it out; inference stays as it was.

        Args:
            after: names or patterns of values, or of the nodes that compute them (``"*/Relu"``).
            rate: the share that is set to 0 in training.

        Raises:
            UnknownNameError: a pattern matches no value or node of floats.
            ValueError: the rate is not possible, nothing takes a value, or there is no pattern.
        """
        if not after:
            raise ValueError(
                "insert_dropout: name the values to put it behind, as in insert_dropout('*/Relu')"
            )
        changed = insertion.insert_dropout(self._proto, after, rate)
        return self._keeping_state(self._known_parts().resolved(self._proto), changed)

    def replace_head(
        self,
        after: str | None = None,
        *,
        units: int | None = None,
        layers: Sequence[Layer] | None = None,
        activation: ActivationLike = None,
        seed: int = 0,
    ) -> Model:
        """A model that continues behind one of its values with a new head.

        Every output that depends on the value gives way to one new output, named after the last layer. What
        only the old head used is dropped; the rest keeps its names and numbers. Loss and metrics are to be
        chosen anew; optimizer and what is frozen stay.

        Args:
            after: name of a value, node or layer. By default, the head begins at the last Gemm or MatMul
                with weights, or Conv of one pixel.
            units: the head is ``Dense(units, activation=activation, name="head")``, behind global average
                pooling where the value is a batch of images.
            layers: layers in place of it.
            activation: of that Dense layer.
            seed: determines the new parameters.

        Raises:
            UnknownNameError: the graph has nothing of that name.
            ValueError: both or none of ``units`` and ``layers`` are given, or a layer's name is taken.
            ModelError: no place to cut is found, no output depends on the value, or the opset is too low.
            ShapeError: a layer cannot take the value.
        """
        changed = heads.replace_head(self._proto, after, units, layers, activation=activation, seed=seed)
        new = selection.single_numbers(changed.proto).difference(self._stored())
        parts = self._known_parts().resolved(self._proto).with_head(changed.proto, changed.terms, new)
        return self._with(parts, changed.proto)

    def dynamic_batch(self, name: str = BATCH) -> Model:
        """A model that takes any number of rows, made of one whose file has a fixed batch.

        PyTorch exports so by default. What has the batch size written down (targets of Reshape, sizes,
        initial states, slices) takes it from the inputs. The result is verified in onnxruntime: with two
        numbers of rows it gives what this model gives for each batch. A model with a dynamic batch stays as
        it is.

        Args:
            name: what the axis is called.

        Raises:
            ConversionError: the inputs have no batch; or rows depend on each other at a node, which it names,
                or the batch cannot be told from another axis there.
        """
        rows = rows_of(self._proto)
        if not rows.shared:
            raise ConversionError(
                f"no axis of the inputs {list(rows.whole)} is the batch: no output has the size that one of "
                f"them begins with"
            )
        if rows.size is None:
            return self._as_model()
        inputs = tuple(n for n in data_inputs(self._proto.graph) if n in rows.shared)
        return self._reshaped(dynamic_batch(self._proto, Batches(rows.size, inputs), name))

    def with_input_shape(self, **shapes: Sequence[int | str]) -> Model:
        """A model some of whose axes have another size or name: ``with_input_shape(x=("batch", 3, 8, 8))``.

        An axis that varies may get a size, which is one for all axes of its name, or another name. A fixed
        batch may get a name, see :meth:`dynamic_batch`.

        Args:
            shapes: for each input, by name, its whole shape; a mapping is given by ``**``.

        Raises:
            UnknownNameError: there is no such input.
            ShapeError: the shape has another number of axes, or another size where the file has one.
        """
        rows, model = rows_of(self._proto), self._as_model()
        free = [s[0] for n, s in shapes.items() if n in rows.shared and s and isinstance(s[0], str)]
        if rows.size is not None and free:
            model = model.dynamic_batch(str(free[0]))
        return model._reshaped(with_input_shapes(model._proto, shapes))

    def _reshaped(self, proto: ModelProto) -> Model:
        """A model of a graph of other shapes, with the recipe of this one and its state."""
        if self._parts is None:
            return self.from_proto(proto)
        return self._keeping_state(self._known_parts(), proto)

    def _keeping_state(self, parts: Parts, proto: ModelProto | None = None) -> Model:
        """A model of these parts with the optimizer's state of this one."""
        model = self._with(parts, proto)
        weights.carry_over(self._proto, model.proto)
        return model
