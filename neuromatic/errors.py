"""The errors Neuromatic raises, and what each one means to a caller.

::

    NeuromaticError                 base; the command line prints it as one sentence
    ├─ ModelError                   the graph or its definition is wrong
    │  ├─ ShapeError                a layer or node cannot take the shape it was given
    │  ├─ InvalidModelError         an .onnx file does not parse or does not check
    │  └─ RecipeError               the training part of a model is missing or wrong
    │     └─ StaleRecipeError       another program has changed the graph that it trains
    ├─ ConversionError              a graph cannot be carried to another format or engine
    │  ├─ UnsupportedOpError        the engine has no lowering for these operators
    │  └─ UnsupportedFeatureError   the operator is known, this use of it is not
    ├─ VerificationError            an engine and onnxruntime disagree
    ├─ EngineNotAvailableError      an engine or runtime is not installed
    ├─ WorkerError                  an engine's own process crashed, hangs or refuses
    ├─ DataError                    training or input data are wrong
    ├─ WriteError                   a file cannot be written: no room, no folder, or not an ordinary file
    ├─ UnknownNameError             a loss, layer, metric ... of that name does not exist
    └─ TrainingError                training cannot go on
       └─ DivergedError             the loss, a parameter or an output is no longer finite

Where something may surprise, there is a warning: ``ParameterWarning`` or ``DataWarning``, see below.

Each class carries ``exit_code``, the status with which the command line ends.
Wrong arguments to a function stay ``ValueError`` and ``TypeError``.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Sequence

from neuromatic.printable import printable

STRIP = "neuromatic convert MODEL.onnx -o NEW.onnx --strip-training"
"""The command that takes a recipe off a file."""


class ParameterWarning(UserWarning):
    """A file leaves open whether an initializer is a parameter, or has weights that are not trained.

    Says what is assumed and how to change it.
    """


class DataWarning(UserWarning):
    """Some of the data take no part in what is done; says how many."""


class NeuromaticError(Exception):
    """Base of every error that Neuromatic raises on purpose."""

    exit_code = 1

    def __str__(self) -> str:
        """The sentence, without what names and texts of a file might do to a terminal."""
        return printable(super().__str__())


class ModelError(NeuromaticError):
    """The graph, or the definition it is built from, is wrong."""


class ShapeError(ModelError, ValueError):
    """A layer or node was given a shape it cannot take."""


class InvalidModelError(ModelError):
    """A file or a model is not valid ONNX."""


class RecipeError(ModelError):
    """A model's ``training_info`` is missing, incomplete or inconsistent."""


class StaleRecipeError(RecipeError):
    """A recipe names weights or values that its graph has no longer: another program has changed the graph.

    Attributes:
        missing: the names, weights first.
    """

    def __init__(self, weights: Sequence[str], values: Sequence[str]) -> None:
        self.missing = (*weights, *values)
        named, kind = (weights, "weight") if weights else (values, "value")
        some = ", ".join(repr(name) for name in named[:3]) + (" ..." if len(named) > 3 else "")
        which = f"{len(named)} {kind}s" if len(named) > 1 else f"a {kind}"
        super().__init__(
            f"the recipe needs {which} that the graph no longer has ({some}): another program has quantised, "
            f"folded or renamed what was there; train the file from before that, or take the recipe off "
            f"with: {STRIP}"
        )


class ConversionError(NeuromaticError):
    """A graph cannot be carried to another format or engine."""


class UnsupportedOpError(ConversionError):
    """An engine lacks lowerings for operators of a graph; names all of them at once.

    Attributes:
        engine: name of the engine.
        problems: one sentence for each node without a lowering.
    """

    exit_code = 3

    def __init__(self, engine: str, problems: Sequence[str]) -> None:
        self.engine = engine
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


class UnsupportedFeatureError(ConversionError):
    """An operator is known to the engine, but not this attribute, type or form of it."""

    exit_code = 3


class VerificationError(NeuromaticError):
    """What was written does not give in onnxruntime what the engine gave.

    Attributes:
        difference: the largest absolute difference found.
    """

    def __init__(self, message: str, *, difference: float) -> None:
        self.difference = difference
        super().__init__(message)


class EngineNotAvailableError(NeuromaticError):
    """A training engine or a runtime is not installed or cannot be loaded.

    Attributes:
        engine: name of the engine.
        install: the command that installs it.
    """

    exit_code = 3

    def __init__(self, engine: str, reason: str, install: str) -> None:
        self.engine = engine
        self.install = install
        super().__init__(f"{engine} is not available ({reason}); install it with: {install}")


class WorkerError(NeuromaticError):
    """An engine that runs in a process of its own crashed, was killed, hangs, or refuses a request."""


class DataError(NeuromaticError):
    """Data do not fit the model: a file, a column, a shape or a value is wrong."""


class WriteError(NeuromaticError, OSError):
    """A file cannot be written.

    Attributes:
        filename: the file.
        errno: the system's number of the failure; None where it was found before writing.
    """

    def __init__(self, path: str | os.PathLike[str], reason: str, number: int | None = None) -> None:
        super().__init__(f"cannot write {os.fspath(path)}: {reason}")
        self.filename = os.fspath(path)
        self.errno, self.strerror = number, reason

    def __str__(self) -> str:
        return printable(str(self.args[0]))


class UnknownNameError(NeuromaticError, ValueError):
    """Nothing of that kind has that name.

    Attributes:
        kind: what was looked for (``"loss"``, ``"optimizer"`` ...).
        name: the name that was given.
        known: the names that exist.
    """

    exit_code = 2

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind = kind
        self.name = name
        self.known = tuple(sorted(known))
        close = difflib.get_close_matches(name, self.known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(self.known)}"
        super().__init__(f"there is no {kind} named {name!r}; {hint}")


class TrainingError(NeuromaticError):
    """Training cannot start or go on."""


class DivergedError(TrainingError):
    """The loss, a parameter or an output became NaN or infinite.

    Attributes:
        step: number of the step (from 1) whose loss is not finite, or after which the parameter or output
            was not.
        last_finite: the last finite loss, or None if there was none.
        node: the first node whose value is not finite, as messages name it; None where it is not known.
    """

    def __init__(
        self,
        step: int,
        value: float,
        last_finite: float | None = None,
        *,
        what: str = "the loss",
        node: str | None = None,
    ) -> None:
        self.step, self.value, self.what = step, value, what
        self.last_finite = last_finite
        self.node = node
        before = ""
        if what == "the loss":
            before = " (no step before it was finite)"
            if last_finite is not None:
                before = f" (the last finite loss was {last_finite:.6g})"
        first = f"; the first value that is not finite is that of {node}" if node else ""
        super().__init__(
            f"{what} became {value} {'at' if before else 'by'} step {step}{before}{first}; "
            f"try a lower learning rate or check the data"
        )

    def at(self, node: str | None) -> DivergedError:
        """The same, which names the node as well."""
        return DivergedError(self.step, self.value, self.last_finite, what=self.what, node=node)
