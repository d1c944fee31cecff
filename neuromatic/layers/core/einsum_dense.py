"""EinsumDense: a kernel applied by an Einstein sum."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from neuromatic.constraints import ConstraintLike
from neuromatic.errors import ShapeError
from neuromatic.initializers import InitializerLike
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Dim, Value, shape_text
from neuromatic.layers._parameters import parameter, penalize_activity
from neuromatic.layers.activations.activation import ActivationLike, activate
from neuromatic.layers.base import Layer
from neuromatic.regularizers import RegularizerLike

__all__ = ["EinsumDense"]

_FORM = re.compile(r"(\.{3})?([a-zA-Z]+)(\.{3})?,([a-zA-Z]+)->(\.{3})?([a-zA-Z]+)(\.{3})?")


@dataclass(frozen=True)
class _Equation:
    """``x,kernel->y`` in letters; ``left`` and ``right`` say where an ellipsis stands."""

    x: str
    kernel: str
    y: str
    left: bool
    right: bool

    @classmethod
    def parse(cls, equation: str) -> _Equation:
        found = _FORM.fullmatch(equation.replace(" ", ""))
        if found is None:
            raise ValueError(
                f"EinsumDense: equation must be 'x,kernel->y', '...x,kernel->...y' or 'x...,kernel->y...' "
                f"in letters, got {equation!r}"
            )
        x_left, x, x_right, kernel, y_left, y, y_right = found.groups()
        parsed = cls(x, kernel, y, bool(x_left), bool(x_right))
        if (y_left, y_right) != (x_left, x_right) or (x_left and x_right):
            raise ValueError(
                f"EinsumDense: equation must have no ellipsis, or one at the same end of input and output, "
                f"got {equation!r}"
            )
        for letter in kernel + y:
            if letter not in (x + y if letter in kernel else x + kernel):
                raise ValueError(
                    f"EinsumDense: equation must have each letter twice, but {letter!r} stands alone in "
                    f"{equation!r}"
                )
        if not x_left and x[0] != y[0]:
            raise ValueError(
                f"EinsumDense: equation must begin input and output with the letter of the batch, "
                f"got {equation!r}"
            )
        return parsed


@dataclass(frozen=True, eq=False)
class EinsumDense(Layer):
    """A kernel applied by an Einstein sum, ``y = activation(einsum(equation, x, kernel) + bias)``.

    Keras ``EinsumDense``; ONNX ``Einsum``.

    Input: (batch, ...) of a float type, as the equation says.  Output: (batch, ..., as the equation says).
    Parameters: ``<name>/kernel``, whose sizes follow from the equation, and with ``bias_axes``
    ``<name>/bias``. Keras' LoRA and quantization are left out.

    Args:
        equation: letters for the axes of input, kernel and output: ``"abc,cd->abd"``. Axes that pass
            through may be an ellipsis at one end: ``"...c,cd->...d"`` or ``"ab...,bc->ac..."``.
        output_shape: the output's sizes without the batch and without what an ellipsis stands for; None
            where they are the input's. An integer stands for one size.
        activation: name of an activation, or None for none.
        bias_axes: the output's letters along which the bias has values of its own; None for no bias.
        kernel_initializer: first values of the kernel.
        bias_initializer: first values of the bias.
        kernel_regularizer: a penalty for the kernel in the loss.
        bias_regularizer: likewise for the bias.
        kernel_constraint: what holds for the kernel after each update.
        bias_constraint: likewise for the bias.
        activity_regularizer: a penalty for the output, divided by the batch size.

    Raises:
        ValueError: the equation has another form, or the bias has letters that the output has not.
        ShapeError: the input or ``output_shape`` does not fit the equation, or a size of the kernel is
            unknown.

    >>> import neuromatic as nm
    >>> nm.layers.EinsumDense("abc,cd->abd", (None, 64), bias_axes="d")(nm.Input((32, 128))).shape
    ('batch', 32, 64)
    """

    equation: str
    output_shape: int | Sequence[int | None]
    activation: ActivationLike = None
    bias_axes: str | None = None
    kernel_initializer: InitializerLike = "glorot_uniform"
    bias_initializer: InitializerLike = "zeros"
    kernel_regularizer: RegularizerLike = None
    bias_regularizer: RegularizerLike = None
    kernel_constraint: ConstraintLike = None
    bias_constraint: ConstraintLike = None
    activity_regularizer: RegularizerLike = None

    def __post_init__(self) -> None:
        parsed = _Equation.parse(self.equation)
        if self.bias_axes is not None and (not self.bias_axes or set(self.bias_axes) - set(parsed.y)):
            raise ValueError(
                f"EinsumDense: bias_axes must be letters of the output {parsed.y!r}, got {self.bias_axes!r}"
            )

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        parsed = _Equation.parse(self.equation)
        elided = self._elided(g, x, parsed)
        sizes = self._sizes(g, x, parsed, elided)
        known = {letter: size for letter, size in sizes.items() if isinstance(size, int)}
        if unknown := [c for c in parsed.kernel + (self.bias_axes or "") if c not in known]:
            raise ShapeError(
                f"{g.scope}: EinsumDense needs a known size of {unknown[0]!r} in {self.equation!r}, got "
                f"{shape_text(x.shape)} from {x.name!r}; give it in output_shape or in the input's shape"
            )
        kernel = self._kernel(g, x, parsed, known)
        y = g.add("Einsum", x, kernel, equation=self.equation.replace(" ", ""))
        if self.bias_axes is not None:
            y = g.add("Add", y, self._bias(g, x, parsed, known, elided))
        return penalize_activity(g, activate(g, y, self.activation), self.activity_regularizer)

    def _elided(self, g: GraphBuilder, x: Value, parsed: _Equation) -> int:
        """How many axes the ellipsis stands for."""
        elided = x.rank - len(parsed.x)
        if elided < 0 or (elided and not (parsed.left or parsed.right)):
            raise ShapeError(
                f"{g.scope}: EinsumDense with {self.equation!r} takes an input of rank {len(parsed.x)}, got "
                f"{shape_text(x.shape)} from {x.name!r}; put an ellipsis where axes pass through"
            )
        return elided

    def _sizes(self, g: GraphBuilder, x: Value, parsed: _Equation, elided: int) -> dict[str, Dim]:
        """The size of each letter; those of ``output_shape`` must agree with the input's."""
        shape = x.shape or ()
        first = elided if parsed.left else 0
        sizes: dict[str, Dim] = dict(zip(parsed.x, shape[first:], strict=False))
        given: Sequence[int | None] = (
            (self.output_shape,) if isinstance(self.output_shape, int) else self.output_shape
        )
        letters = parsed.y if parsed.left and elided else parsed.y[1:]
        if len(given) != len(letters):
            raise ShapeError(
                f"{g.scope}: EinsumDense with {self.equation!r} needs {len(letters)} sizes in output_shape, "
                f"got {self.output_shape!r}; leave out the batch and what an ellipsis stands for"
            )
        for letter, size in zip(letters, given, strict=True):
            if size is None:
                continue
            if isinstance(sizes.get(letter), int) and sizes[letter] != size:
                raise ShapeError(
                    f"{g.scope}: EinsumDense has {sizes[letter]} for {letter!r} of {self.equation!r} in the "
                    f"input {shape_text(x.shape)} from {x.name!r}, but {size} in output_shape; make them "
                    f"equal"
                )
            sizes[letter] = size
        return sizes

    def _kernel(self, g: GraphBuilder, x: Value, parsed: _Equation, sizes: dict[str, int]) -> Value:
        inner = prod(sizes[letter] for letter in parsed.kernel if letter not in parsed.y)
        outer = prod(sizes[letter] for letter in parsed.kernel if letter in parsed.y)
        return parameter(
            g,
            "kernel",
            [sizes[letter] for letter in parsed.kernel],
            initializer=self.kernel_initializer,
            fans=(inner, outer),
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            dtype=x.dtype,
        )

    def _bias(
        self, g: GraphBuilder, x: Value, parsed: _Equation, sizes: dict[str, int], elided: int
    ) -> Value:
        axes = self.bias_axes or ""
        letters = parsed.y[min(parsed.y.index(letter) for letter in axes) :]
        shape = [sizes[letter] if letter in axes else 1 for letter in letters]
        return parameter(
            g,
            "bias",
            shape + [1] * (elided if parsed.right else 0),
            initializer=self.bias_initializer,
            regularizer=self.bias_regularizer,
            constraint=self.bias_constraint,
            dtype=x.dtype,
        )
