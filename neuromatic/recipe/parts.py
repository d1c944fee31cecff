"""The parts of a recipe that a model has so far, chosen one by one or recorded in its file."""

from __future__ import annotations

from dataclasses import dataclass, replace

from onnx import ModelProto

from neuromatic.ir.opsets import OpsetTooLowError, opset_of
from neuromatic.ir.terms import NO_TERMS, Terms
from neuromatic.optimizers import Optimizer
from neuromatic.recipe.compose import asked_names, compose, frozen_names, needs_newer
from neuromatic.recipe.dropout import DropoutForm
from neuromatic.recipe.measures import Measures, Metrics, RecordedMeasures
from neuromatic.recipe.objective import Objective, RecordedObjective
from neuromatic.recipe.penalties import recorded_terms
from neuromatic.recipe.schema import Recipe
from neuromatic.recipe.sections import strip
from neuromatic.recipe.update import RecordedOptimizer


@dataclass(frozen=True)
class Parts:
    """Loss, optimizer and metrics, None where not chosen, and the names that are not trained.

    Attributes:
        asked: names that are trained though they count as constants.
        terms: penalties and constraints, from the layers or recorded.
        dropout: whether Dropout and the layers like it draw in training.
        recorded: the recipe of the file that these parts come from; its optimizer is read only if it stays.
    """

    objective: Objective | None = None
    optimizer: Optimizer | None = None
    measures: Measures | None = None
    frozen: frozenset[str] = frozenset()
    asked: frozenset[str] = frozenset()
    terms: Terms = NO_TERMS
    dropout: DropoutForm = "train"
    recorded: Recipe | None = None

    @classmethod
    def of(cls, model: ModelProto, recipe: Recipe | None) -> Parts:
        """The parts of the recipe that a model came with; none where it has no recipe."""
        if recipe is None:
            return cls()
        return cls(
            objective=RecordedObjective(model, recipe),
            measures=RecordedMeasures(model, recipe),
            frozen=frozen_names(model, recipe),
            asked=asked_names(model, recipe),
            terms=recorded_terms(model),
            dropout="off" if recipe.dropout == "off" else "train",
            recorded=recipe,
        )

    def with_objective(self, objective: Objective) -> Parts:
        """These parts with another loss; recorded metrics compare with the recorded loss and go with it."""
        measures = None if isinstance(self.measures, RecordedMeasures) else self.measures
        return replace(self, objective=objective, measures=measures)

    def resolved(self, model: ModelProto) -> Parts:
        """These parts, the optimizer of the file that they come from, ``model``, among them.

        Raises:
            RecipeError: it is none that can be kept.
        """
        if self.optimizer is not None or self.recorded is None:
            return replace(self, recorded=None)
        return replace(self, optimizer=RecordedOptimizer.of(model, self.recorded), recorded=None)

    def with_head(self, model: ModelProto, terms: Terms, new: frozenset[str]) -> Parts:
        """What of these parts holds for a model with a new head, and what its layers ask for.

        Args:
            new: the single numbers among the head's parameters, which in files of others are constants.
        """
        stored = {t.name for t in model.graph.initializer}
        outputs = {o.name for o in model.graph.output}
        kept = {name: mask for name, mask in self.terms.masks.items() if name in outputs}
        together = Terms(
            (*self.terms.penalties, *terms.penalties),
            {**self.terms.constraints, **terms.constraints},
            {**kept, **terms.masks},
        )
        frozen, asked = self.frozen & stored, (self.asked & stored) | new
        return Parts(None, self.optimizer, None, frozen, asked, together, self.dropout)

    def apply(self, model: ModelProto) -> tuple[ModelProto, Parts]:
        """A copy of ``model`` with a recipe of these parts, or without one while loss or optimizer lack.

        Returns:
            The copy, and the parts it was made of.
        """
        parts = self.resolved(model)
        if parts.objective is None or parts.optimizer is None:
            return strip(model), parts
        measures = parts.measures or Metrics({})
        chosen = (parts.objective, parts.optimizer, measures, parts.frozen, parts.terms, parts.asked)
        try:
            return compose(model, *chosen, dropout=parts.dropout), parts
        except OpsetTooLowError as error:
            raise needs_newer(error, opset_of(model)) from error
