"""Choosing how a model is trained: loss, optimizer and metrics, each of which makes a new model."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from onnx import ModelProto

from neuromatic import losses, metrics, optimizers
from neuromatic.errors import ModelError, ParameterWarning, RecipeError, UnknownNameError
from neuromatic.ir.terms import Terms
from neuromatic.ir.types import FLOATS
from neuromatic.losses import LossLike
from neuromatic.metrics import MetricLike
from neuromatic.optimizers import OptimizerLike
from neuromatic.recipe.masters import keep_masters
from neuromatic.recipe.measures import Metrics
from neuromatic.recipe.objective import Losses
from neuromatic.recipe.parts import Parts
from neuromatic.recipe.schema import Recipe
from neuromatic.recipe.validation import dropped, validate
from neuromatic.transfer import imported_models as preparing
from neuromatic.transfer._edit import find_value
from neuromatic.transfer.trainable_layers import doubts

if TYPE_CHECKING:
    from neuromatic.builder.model import Model


class Choosing:
    """What a Model does about its recipe; each call returns a new model."""

    _proto: ModelProto
    _parts: Parts | None

    if TYPE_CHECKING:  # what Model has

        @classmethod
        def from_proto(cls, proto: ModelProto, terms: Terms | None = None) -> Model: ...

        def _as_model(self) -> Model: ...

    @cached_property
    def recipe(self) -> Recipe | None:
        """How the model is trained; None before a loss and an optimizer are chosen.

        Raises:
            RecipeError: the file's ``training_info`` is not valid.
        """
        return validate(self._proto)

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return tuple(o.name for o in self._proto.graph.output)

    def loss(
        self,
        /,
        loss: LossLike | Mapping[str, LossLike | None] | Sequence[LossLike | None],
        *,
        weights: float | Mapping[str, float] | Sequence[float] | None = None,
        sample_weights: bool = False,
        **arguments: Any,
    ) -> Model:
        """A model with this loss; for several outputs a mapping or list, whose losses are added.

        Outputs are those of floats; integers and strings, such as a classifier's labels, have no gradient.

        A mapping may name any value that the graph computes, not outputs alone, or the layer or node that
        computes it. Weights that another exporter wrote as ``Constant`` nodes become initializers, see
        :meth:`lift_constants`, and so do the copies that PyTorch writes of parameters of equal values; nodes
        in training form get their inference form, which training gives its meaning.

        Where a file leaves open whether an initializer is a parameter, a :class:`ParameterWarning` names it,
        with the call of :meth:`freeze` or :meth:`unfreeze` that changes what is assumed.

        Args:
            loss: a name, class, object, a function that adds nodes, or ONNX: a file that ends in .onnx, a
                ``ModelProto`` or a ``FunctionProto``. None in a list for an output without one.
            weights: factors of the losses (Keras ``loss_weights``), likewise.
            sample_weights: whether the recipe takes a weight for each sample; ``train`` adds that by itself
                where it is given some.
            arguments: of a loss given by name or class.

        Raises:
            UnknownNameError: no loss, or no output, of that name.
            ValueError: no loss, or a number of them that is not that of the outputs.
            InvalidModelError: an .onnx file cannot be read or is not valid ONNX.
        """
        if not self.output_names:
            raise ModelError("the model has no outputs, so it can have no loss")
        chosen = {k: v for k, v in self._for_outputs(loss, "loss").items() if v is not None}
        if not chosen:
            raise ValueError(f"no loss given; the model has outputs {list(self.output_names)}")
        found = {name: losses.get(one, **arguments) for name, one in chosen.items()}
        factors = {} if weights is None else self._for_outputs(weights, "weights")
        objective = Losses(found, factors, sample_weights)
        parts, proto = self._known_parts().with_objective(objective), preparing.for_training(self._proto)
        model = self._with(parts, proto)
        for sentence in doubts(proto, parts.frozen | parts.asked):
            warnings.warn(sentence, ParameterWarning, stacklevel=2)
        return model

    def optimizer(self, /, optimizer: OptimizerLike, **arguments: Any) -> Model:
        """A model with this optimizer: a name (with its arguments), a class, an object or an ONNX function.

        Raises:
            UnknownNameError: no optimizer of that name, or a pattern of its rates matches nothing.
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
        return self._with(replace(self._known_parts(), measures=Metrics(by_output)))

    def _for_outputs(self, given: Any, what: str) -> dict[str, Any]:
        if isinstance(given, Mapping):
            return {self._value_named(name): item for name, item in given.items()}
        names = self._float_outputs()
        if isinstance(given, (list, tuple)):
            if len(given) != len(names):
                raise ValueError(f"{len(given)} {what} for {len(names)} outputs {list(names)}")
            return dict(zip(names, given, strict=True))
        if len(names) > 1 and what == "metrics":
            raise ValueError(f"the model has outputs {list(names)}: give metrics as a mapping by output")
        return dict.fromkeys(names, given)

    def _float_outputs(self) -> tuple[str, ...]:
        """The outputs that can have a loss: labels and the like are integers or strings; all if none is."""
        floats = [o.name for o in self._proto.graph.output if o.type.tensor_type.elem_type in FLOATS]
        return tuple(floats) or self.output_names

    def _value_named(self, name: str) -> str:
        """An output, or another value that the graph computes, by its name or by its node's or layer's."""
        found = name if name in self.output_names else find_value(self._proto.graph, name)
        if found is None:
            raise UnknownNameError("output", name, self.output_names)
        return found

    def _known_parts(self) -> Parts:
        """The parts of the recipe: as chosen, else as the file has them."""
        return self._parts if self._parts is not None else Parts.of(self._proto, self.recipe)

    def _with(self, parts: Parts, proto: ModelProto | None = None) -> Model:
        proto, used = parts.apply(self._proto if proto is None else proto)
        keep_masters(self._proto, proto)
        result = self.from_proto(proto)
        result._parts = used
        return result

    def _needs_recipe(self) -> Recipe:
        if self.recipe is not None:
            return self.recipe
        if self._known_parts().objective is None:
            lost = dropped(self._proto)
            raise RecipeError(
                "the model has no loss; choose one with .loss(...), for instance .loss('mse')"
                + (f"; {lost}" if lost else "")
            )
        raise RecipeError("the model has no optimizer; choose one with .optimizer('adam')")
