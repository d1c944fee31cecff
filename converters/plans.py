"""A resolved graph and the walk over it, the same for every engine.

A :class:`Plan` holds nodes whose lowerings and attributes are known; ``run`` calls them in order. The
graphs that a node carries, such as the branches of If, are plans among its attributes: its lowering gets
each of them as a :class:`Body`, which it calls as often as it likes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from neuromatic.converters.boundary import first_line
from neuromatic.converters.registry import Lowering
from neuromatic.errors import ConversionError, NeuromaticError

UNEXPECTED = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, NotImplementedError)
"""What a lowering may end in where a graph is wrong in a way that it does not expect."""


@dataclass
class Context:
    """What holds for a whole run of a plan; engines add what their lowerings need.

    Attributes:
        training: whether Dropout and BatchNormalization have their training meaning.
        updated: names of the initializers that this step updates; BatchNormalization takes batch
            statistics only if its running statistics are among them.
    """

    training: bool = False
    updated: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Scope:
    """What a lowering may know besides its inputs and attributes.

    Attributes:
        node: the node as errors name it, for instance ``node 'conv_1' (Conv-11)``.
        inputs: names of the node's inputs, ``""`` where one is left out.
        outputs: names of the node's outputs, ``""`` where one is not wanted.
        context: see :class:`Context`.
        within: the calls of functions that the node stands in; with an output's name it is unique in a run.
    """

    node: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    context: Any
    within: str = ""

    def wants(self, output: int) -> bool:
        """Whether the node names its output of that index, so that it has to be computed."""
        return output < len(self.outputs) and self.outputs[output] != ""


@dataclass(frozen=True)
class Step:
    """One node, resolved: either a lowering to call or a nested plan (a function's body) to run.

    Attributes whose value is a :class:`Plan` are graphs that the node carries.
    """

    node: str
    action: Lowering | Plan
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def graphs(self) -> dict[str, Plan]:
        """The graphs that the node carries, by the names of its attributes."""
        return {name: value for name, value in self.attributes.items() if isinstance(value, Plan)}

    @property
    def reads(self) -> Iterator[str]:
        """Names of the values that the node needs: its inputs, and what its graphs take from around it."""
        yield from filter(None, self.inputs)
        for graph in self.graphs.values():
            yield from graph.captures


@dataclass(frozen=True)
class Plan:
    """Resolved nodes in order.

    Attributes:
        steps: the nodes.
        inputs: names of the values that a function's body, or a graph of a node, is given.
        outputs: names of the values that it gives.
        captures: names of the values that a graph of a node takes from the graph around it.
        constants: the initializers of a graph of a node.
    """

    steps: tuple[Step, ...]
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    captures: tuple[str, ...] = ()
    constants: Mapping[str, Any] = field(default_factory=dict)

    def lowerings(self) -> Iterator[Lowering]:
        """The lowerings that the plan calls, those inside functions and graphs of nodes included."""
        for step in self.steps:
            if isinstance(step.action, Lowering):
                yield step.action
            else:
                yield from step.action.lowerings()
            for graph in step.graphs.values():
                yield from graph.lowerings()

    @cached_property
    def size(self) -> int:
        """The number of nodes, those inside functions and graphs of nodes included."""
        return sum(1 for _ in self.lowerings())


Caller = Callable[[Lowering, Scope, Sequence[Any], Mapping[str, Any]], Any]


@dataclass(frozen=True)
class Body:
    """A graph that a node carries, bound to the values around it.

    Attributes:
        plan: its nodes.
        outer: the values that it takes from the graph around it, by name.
        context: see :class:`Context`.
        call: how lowerings are called.
        within: see :class:`Scope`.
    """

    plan: Plan
    outer: Mapping[str, Any]
    context: Any
    call: Caller
    within: str

    def __call__(self, *inputs: Any) -> tuple[Any, ...]:
        """Run the nodes once: the outputs for the given inputs.

        Raises:
            ValueError: there are more or fewer inputs than the graph has.
        """
        names = self.plan.inputs
        if len(inputs) != len(names):
            raise ValueError(
                f"{self.within}: a graph with inputs {list(names)} was given {len(inputs)} values"
            )
        values = {**self.outer, **self.plan.constants, **dict(zip(names, inputs, strict=True))}
        run(self.plan, values, self.context, self.call, self.within)
        return tuple(values[name] for name in self.plan.outputs)


def call_lowering(
    lowering: Lowering, scope: Scope, inputs: Sequence[Any], attributes: Mapping[str, Any]
) -> Any:
    """Call a lowering as it is; engines wrap this to fold constants or to assign layouts."""
    return lowering.function(scope, *inputs, **attributes)


def run(
    plan: Plan,
    values: MutableMapping[str, Any],
    context: Any,
    call: Caller = call_lowering,
    within: str = "",
) -> None:
    """Run a plan: read inputs from ``values`` by name and add each node's outputs to it."""
    for step in plan.steps:
        inputs = [values[name] if name else None for name in step.inputs]
        if isinstance(step.action, Plan):
            results = _run_function(step.action, inputs, context, call, _inside(step, within))
        else:
            scope = Scope(step.node, step.inputs, step.outputs, context, within)
            attributes = step.attributes
            if step.graphs:
                attributes = {**attributes, **_bodies(step, values, context, call, within)}
            results = _called(call, step.action, scope, inputs, attributes)
        if not isinstance(results, tuple):
            results = (results,)
        for name, result in zip(step.outputs, results, strict=False):
            if name:
                values[name] = result


def _called(
    call: Caller, action: Lowering, scope: Scope, inputs: Sequence[Any], attributes: Mapping[str, Any]
) -> Any:
    """What a lowering gives; what Python or the engine's library says of it comes with the node's name."""
    try:
        return call(action, scope, inputs, attributes)
    except NeuromaticError:
        raise
    except UNEXPECTED as error:
        raise ConversionError(f"{scope.node} cannot be computed: {first_line(error)}") from error


def _inside(step: Step, within: str) -> str:
    return f"{within}{next(filter(None, step.outputs), '')}/"


def _run_function(
    body: Plan, inputs: Sequence[Any], context: Any, call: Caller, within: str
) -> tuple[Any, ...]:
    values: dict[str, Any] = dict.fromkeys(body.inputs)
    values.update(zip(body.inputs, inputs, strict=False))
    run(body, values, context, call, within)
    return tuple(values.get(name) for name in body.outputs)  # a body may leave optional ones out


def _bodies(
    step: Step, values: Mapping[str, Any], context: Any, call: Caller, within: str
) -> dict[str, Body]:
    return {
        attribute: Body(
            graph,
            {name: values[name] for name in graph.captures},
            context,
            call,
            f"{_inside(step, within)}{attribute}/",
        )
        for attribute, graph in step.graphs.items()
    }
