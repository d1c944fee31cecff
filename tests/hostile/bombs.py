"""Small files that ask for much memory, by the means with which they do."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper
from onnx.numpy_helper import from_array

from tests.hostile.files import (
    BOOL,
    FLOAT,
    INT64,
    branch,
    calling,
    floats,
    function,
    inside_function,
    ints,
    model,
    node,
    number,
)

MOST = 2**31 - 1
LONG = 2**27
"""As many numbers as an input may have."""


def summed(
    *nodes: NodeProto, initializers: Sequence[TensorProto] = (), length: int | str = LONG
) -> ModelProto:
    """y = sum of a value "big" that nodes make, of x (N, 4) and integers "shape" (length,) that are fed."""
    return model(
        [*nodes, node("ReduceSum", "big", "y", keepdims=0)],
        initializers,
        inputs=[floats("x", ("N", 4)), floats("shape", (length,), INT64)],
        outputs=[floats("y", ())],
    )


def in_training(bomb: ModelProto) -> ModelProto:
    """A plain model in whose training part another graph stands."""
    result = model([node("Neg", "x", "plain")], outputs=[floats("plain", ("N", 4))])
    algorithm = result.training_info.add().algorithm
    algorithm.CopyFrom(bomb.graph)
    del algorithm.input[:1]
    return result


def in_branch(*nodes: NodeProto) -> ModelProto:
    """The same inside an If."""
    inner = branch(*nodes, node("ReduceSum", "big", "inner", keepdims=0))
    chosen = node("If", "c", "y", then_branch=inner, else_branch=branch(node("Neg", "x", "inner")))
    return model(
        [chosen],
        [from_array(np.array(True), "c")],
        inputs=[floats("x", ("N", 4)), floats("shape", (LONG,), INT64)],
        outputs=[floats("y", ())],
    )


def in_loop(*nodes: NodeProto) -> ModelProto:
    """The same inside a Loop."""
    graph = helper.make_graph(
        [node("Identity", "going", "on"), *nodes, node("ReduceSum", "big", "after", keepdims=0)],
        "body",
        [floats("i", (), INT64), floats("going", (), BOOL), floats("before", ())],
        [floats("on", (), BOOL), floats("after", ())],
    )
    start = [
        from_array(np.array(True), "go"),
        from_array(np.array(0, np.float32), "zero"),
        number("trips", 2),
    ]
    return model(
        [node("Loop", "trips go zero", "y", body=graph)],
        start,
        inputs=[floats("x", ("N", 4)), floats("shape", (LONG,), INT64)],
        outputs=[floats("y", ())],
    )


def chain(count: int, first: str = "x", last: str = "big", op_type: str = "Neg") -> list[NodeProto]:
    """Nodes one after the other."""
    names = [first, *(f"{last}_{i}" for i in range(count - 1)), last]
    return [node(op_type, a, b) for a, b in itertools.pairwise(names)]


def doubled(levels: int, op_type: str, first: str, last: str, **attributes: int) -> list[NodeProto]:
    """Nodes that take a value twice, one after the other."""
    names = [first, *(f"{last}_{i}" for i in range(levels - 1)), last]
    return [node(op_type, f"{a} {a}", b, **attributes) for a, b in itertools.pairwise(names)]


def doubled_rank() -> ModelProto:
    """Gather of matrices by themselves."""
    return model(
        [*doubled(30, "Gather", "i", "big"), node("Size", "big", "y")],
        inputs=[floats("x", ("N", 4)), floats("i", ("N", "N"), INT64)],
        outputs=[floats("y", (), INT64)],
    )


def deep(rank: int, count: int) -> ModelProto:
    """An input of many dimensions, and a chain."""
    nodes = [*chain(count), node("ReduceSum", "big", "y", keepdims=0)]
    return model(nodes, inputs=[floats("x", ["N"] * rank)], outputs=[floats("y", ())])


def long_symbol(length: int, nodes: int) -> ModelProto:
    """A dimension of a long name, and a chain."""
    name = "N" * length
    return model(chain(nodes, last="y"), inputs=[floats("x", (name, 4))], outputs=[floats("y", (name, 4))])


def broadcast() -> ModelProto:
    """The largest of numbers along many axes."""
    shapes = np.where(np.eye(6, dtype=bool), 48, 1)
    tensors = [from_array(np.zeros(shape, np.int64), f"v{i}") for i, shape in enumerate(shapes)]
    nodes = [node("Max", " ".join(t.name for t in tensors), "m"), node("Cast", "m", "big", to=FLOAT)]
    return summed(*nodes, initializers=tensors)


def added(count: int, nodes: int) -> ModelProto:
    """Integers added again and again; inference keeps each sum, as it might be a shape."""
    return model(
        [
            *doubled(nodes, "Add", "v", "big"),
            node("Cast", "big", "f", to=FLOAT),
            node("ReduceSum", "f", "y", keepdims=0),
        ],
        [ints("v", *range(count))],
        outputs=[floats("y", ())],
    )


def many_constants(count: int) -> ModelProto:
    """Tensors each of which might be."""
    nodes = [node("ConstantOfShape", "s", f"c{i}") for i in range(count)]
    names = " ".join(f"c{i}" for i in range(count))
    return summed(*nodes, node("Sum", names, "big"), initializers=[ints("s", 2**26)])


def stacked(
    op_type: str, count: int, *initializers: TensorProto, others: str = "", **kinds: int
) -> ModelProto:
    """Dimensions added one by one."""
    names = ["x", *(f"v{i}" for i in range(count - 1)), "big"]
    nodes = [node(op_type, f"{a} {others}", b, **kinds) for a, b in itertools.pairwise(names)]
    return model([*nodes, node("Size", "big", "y")], initializers, outputs=[floats("y", (), INT64)])


def declared_inside(*values: ValueInfoProto, nodes: Sequence[NodeProto]) -> ModelProto:
    """A computed value whose declared shape is large."""
    result = summed(*nodes, length="K")
    result.graph.value_info.extend(values)
    return result


def many_inputs(count: int, size: int) -> ModelProto:
    """Inputs of many numbers for each row."""
    names = [f"x{i}" for i in range(count)]
    return model(
        [node("Concat", " ".join(names), "all", axis=1), node("ReduceMean", "all", "y", keepdims=0)],
        inputs=[floats(name, ("N", size)) for name in names],
        outputs=[floats("y", ())],
    )


TAKES = {
    "ConstantOfShape": node("ConstantOfShape", "shape", "big"),
    "Expand": node("Expand", "x shape", "big"),
    "Reshape": node("Reshape", "x shape", "big"),
}
IN_FUNCTION = (
    helper.make_node("Constant", [], ["s"], value_ints=[MOST]),
    node("ConstantOfShape", "s", "ones"),
    node("Cast", "ones", "shape", to=INT64),
    node("ConstantOfShape", "shape", "big"),
    node("ReduceSum", "big", "sum", keepdims=0),
    node("Add", "a sum", "b"),
)
RANGE = [node("Range", "zero many one", "r"), node("ConstantOfShape", "r", "c"), *chain(1000, "c")]
LIMITS = [number("zero", 0), number("many", 2**20), number("one", 1)]
DOUBLED_SHAPE = [node("Shape", "x", "s"), *doubled(40, "Concat", "s", "shape2", axis=0)]

BOMBS: dict[str, Callable[[], ModelProto]] = {
    **{f"{name} of 2^31 dimensions": (lambda n=n: summed(n)) for name, n in TAKES.items()},  # type: ignore[misc]
    **{
        f"{name} of 2^31 dimensions in training": (lambda n=n: in_training(summed(n)))  # type: ignore[misc]
        for name, n in TAKES.items()
    },
    "dimensions in a branch": lambda: in_branch(TAKES["ConstantOfShape"]),
    "dimensions in a loop": lambda: in_loop(TAKES["Expand"]),
    "dimensions in a branch in training": lambda: in_training(in_branch(TAKES["Reshape"])),
    "dimensions in a function": lambda: inside_function(*IN_FUNCTION),
    "dimensions in a function in training": lambda: _called_in_training(),
    "2^20 dimensions, a thousand times": lambda: summed(*RANGE, initializers=LIMITS),
    "30,000 dimensions, a thousand times": lambda: deep(30_000, 1000),
    "a symbol of 200 kB, 2000 times": lambda: long_symbol(200_000, 2000),
    "shapes doubled": lambda: summed(*DOUBLED_SHAPE, node("ConstantOfShape", "shape2", "big")),
    "shapes doubled, of no use": lambda: summed(*DOUBLED_SHAPE, *chain(1)),
    "shapes doubled in training": lambda: in_training(summed(*DOUBLED_SHAPE, *chain(1, "shape2"))),
    "shapes doubled in a loop": lambda: in_loop(*DOUBLED_SHAPE, *chain(1)),
    "ranks doubled": doubled_rank,
    "broadcast along six axes": broadcast,
    "1000 integers added 50,000 times": lambda: added(1000, 50_000),
    "tensors of 256 MiB": lambda: many_constants(20),
    "a thousand axes": lambda: stacked("Unsqueeze", 1000, ints("axis", 0), others="axis"),
    "OneHot of OneHot": lambda: _one_hots(1000),
    "a declared value as shape": lambda: declared_inside(
        floats("s", (MOST,), INT64), nodes=[node("Mul", "shape shape", "s"), node("Expand", "x s", "big")]
    ),
    "tiled integers as shape": lambda: summed(
        node("Tile", "v by", "shape2"),
        node("ConstantOfShape", "shape2", "big"),
        initializers=[ints("v", 1, 1), ints("by", 2**28)],
    ),
    "padded integers as shape": lambda: summed(
        node("Pad", "v by", "shape2"),
        node("Expand", "x shape2", "big"),
        initializers=[ints("v", 1, 1), ints("by", 0, 2**27)],
    ),
    "a shape out of a loop": lambda: _shape_of_loop(),
    "x expanded to 8 GiB": lambda: summed(
        node("Unsqueeze", "x axis", "x3"),
        node("Expand", "x3 to", "big"),
        initializers=[ints("axis", 1), ints("to", 1, 2**29, 4)],
        length=1,
    ),
    "30 inputs of 256 MiB a row": lambda: many_inputs(30, 2**26),
    "enlarged a million times": lambda: model(
        [
            node("Reshape", "x four", "im"),
            helper.make_node("Resize", ["im", "", "scales"], ["big"]),
            node("ReduceSum", "big", "y", keepdims=0),
        ],
        [ints("four", -1, 1, 2, 2), from_array(np.array([1, 1, 15000, 15000], np.float32), "scales")],
        outputs=[floats("y", ())],
    ),
}
"""Each is a few kilobytes, or at most two megabytes."""


def _called_in_training() -> ModelProto:
    result = calling(function("f", *IN_FUNCTION))
    call = result.graph.node.pop()
    result.graph.node.append(node("Neg", "x"))
    call.output[:] = ["z"]
    result.training_info.add().algorithm.node.append(call)
    return result


def _one_hots(count: int) -> ModelProto:
    names = ["i", *(f"v{i}" for i in range(count - 1)), "big"]
    nodes = [node("OneHot", f"{a} two values", b) for a, b in itertools.pairwise(names)]
    return model(
        [*nodes, node("Size", "big", "y")],
        [number("two", 2), ints("values", 0, 1)],
        inputs=[floats("x", ("N", 4)), floats("i", ("N",), INT64)],
        outputs=[floats("y", (), INT64)],
    )


def _shape_of_loop() -> ModelProto:
    """A loop collects integers, of which a shape is made."""
    graph = helper.make_graph(
        [node("Identity", "going", "on"), node("Identity", "one", "each")],
        "body",
        [floats("i", (), INT64), floats("going", (), BOOL)],
        [floats("on", (), BOOL), floats("each", (), INT64)],
    )
    return summed(
        node("Loop", "trips go", "collected", body=graph),
        node("ConstantOfShape", "collected", "big"),
        initializers=[number("trips", 900_000), from_array(np.array(True), "go"), number("one", 1)],
    )
