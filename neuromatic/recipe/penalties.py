"""What layers ask of training, as nodes: penalties in the loss, and constraints after each update.

Each is one call of a model-local function, named after what it is for, so that a file can be read back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from onnx import FunctionProto, ModelProto, NodeProto, TensorProto

from neuromatic.ir import functions
from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.opsets import NEUROMATIC_DOMAIN
from neuromatic.ir.terms import Penalty, Term, Terms
from neuromatic.ir.types import HALVES
from neuromatic.ir.values import Value

PENALTY = "penalty"
CONSTRAINT = "constraint"


def with_penalties(g: GraphBuilder, loss: Value, terms: Terms, frozen: Collection[str]) -> Value:
    """The loss plus the penalty of everything that is not frozen."""
    penalties = [_penalty(g, p) for p in terms.penalties if p.value not in frozen and g.knows(p.value)]
    same = (op.cast(g, penalty, loss.dtype) for penalty in penalties)
    return op.total(g, loss, *same, name=f"{PENALTY}/total") if penalties else loss


def _penalty(g: GraphBuilder, penalty: Penalty) -> Value:
    def body(b: GraphBuilder, x: Value) -> Value:
        total = penalty.term(b, x)
        if not penalty.per_sample:
            return total
        batch = b.add("Gather", b.add("Shape", x), b.const(0, TensorProto.INT64), axis=0)
        return b.add("Div", total, op.cast(b, batch, x.dtype))

    value = g.value(penalty.value)
    if value.dtype in HALVES:
        value = op.cast(g, value, TensorProto.FLOAT)
    return _called(g, penalty.term, value, body, PENALTY, f"{PENALTY}/{penalty.value}")


def constrained(g: GraphBuilder, updates: Mapping[str, Value], terms: Terms) -> dict[str, Value]:
    """New values of initializers, those of constrained parameters within their constraints."""
    result = dict(updates)
    for name in (name for name in updates if name in terms.constraints):
        term = terms.constraints[name]
        result[name] = _called(g, term, updates[name], term, CONSTRAINT, f"{CONSTRAINT}/{name}")
    return {name: result[name] for name in updates}


def _called(
    g: GraphBuilder, term: Term, x: Value, body: Term, kind: str, node_name: str | None = None
) -> Value:
    name = node_name or f"{kind}/{x.name}"
    if isinstance(term, RecordedTerm):
        return term.call(g, x, name)
    kind_name = getattr(term, "__name__", type(term).__name__).strip("<>")
    return functions.call(g, kind_name, x, inference=lambda b, x: body(b, x), name=name)


@dataclass(frozen=True)
class RecordedTerm:
    """A penalty or constraint of the recipe that a file came with: a call of these functions."""

    function: str
    bodies: tuple[FunctionProto, ...]
    scalar: bool

    def __call__(self, g: GraphBuilder, x: Value) -> Value:
        return self.call(g, x, None)

    def call(self, g: GraphBuilder, x: Value, name: str | None) -> Value:
        """Add the call, as a node of that name."""
        for body in self.bodies:
            g.add_function(body)
        kind = (x.dtype, () if self.scalar else x.shape)
        return g.add(self.function, x, domain=NEUROMATIC_DOMAIN, types=[kind], name=name)


def recorded_terms(model: ModelProto) -> Terms:
    """The penalties and constraints of a model's recipe."""
    bodies = tuple(f for f in model.functions if f.domain == NEUROMATIC_DOMAIN)
    nodes = [n for info in model.training_info for n in info.algorithm.node if n.domain == NEUROMATIC_DOMAIN]

    def recorded(node: NodeProto, *, scalar: bool) -> RecordedTerm:
        used = tuple(f for f in bodies if f.name == node.op_type)
        return RecordedTerm(node.op_type, used, scalar)

    casts = {
        o: n
        for info in model.training_info
        for n in info.algorithm.node
        if n.op_type == "Cast"
        for o in n.output
    }
    penalties = [n for n in nodes if n.name.startswith(f"{PENALTY}/")]
    constraints = [n for n in nodes if n.name.startswith(f"{CONSTRAINT}/")]
    return Terms(
        tuple(Penalty(_uncast(n.input[0], casts), recorded(n, scalar=True)) for n in penalties),
        {n.name.removeprefix(f"{CONSTRAINT}/"): recorded(n, scalar=False) for n in constraints},
    )


def _uncast(name: str, casts: Mapping[str, NodeProto]) -> str:
    """What a value is the float32 form of, if it is that of something."""
    return next(iter(casts[name].input), name) if name in casts else name
