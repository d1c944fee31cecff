"""What hostile files are made of: models that ask for too much, lie, or name what they must not.

A file is a function that writes ``model.onnx`` (and its data files) into a folder.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper
from onnx.numpy_helper import from_array

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
DOMAIN = "test.functions"
HUGE = 2**40

Write = Callable[[Path], None]


def model(
    nodes: Iterable[NodeProto],
    initializers: Iterable[TensorProto] = (),
    *,
    inputs: Sequence[ValueInfoProto] | None = None,
    outputs: Sequence[ValueInfoProto] | None = None,
    functions: Sequence[FunctionProto] = (),
    domains: Sequence[str] = (),
) -> ModelProto:
    """A model from x (N, 4) to y (P, Q) unless said otherwise."""
    graph = helper.make_graph(
        list(nodes),
        "graph",
        list(inputs or [floats("x", ("N", 4))]),
        list(outputs or [floats("y", ("P", "Q"))]),
    )
    graph.initializer.extend(initializers)
    imports = [helper.make_opsetid("", 17), *(helper.make_opsetid(d, 1) for d in domains)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8, functions=list(functions))


def floats(name: str, shape: Sequence[int | str] | None, dtype: int = FLOAT) -> ValueInfoProto:
    """The declaration of a value."""
    return helper.make_tensor_value_info(name, dtype, shape)


def node(op_type: str, inputs: str, outputs: str = "y", **attributes: Any) -> NodeProto:
    """A node; names are separated by spaces."""
    return helper.make_node(op_type, inputs.split(), outputs.split(), **attributes)


def ints(name: str, *values: int) -> TensorProto:
    """A list of integers as an initializer."""
    return from_array(np.array(values, np.int64), name)


def number(name: str, value: int) -> TensorProto:
    """One integer as an initializer."""
    return from_array(np.array(value, np.int64), name)


def tensor(name: str, dims: Sequence[int], data: bytes, dtype: int = FLOAT) -> TensorProto:
    """An initializer whose parts need not fit."""
    return TensorProto(name=name, data_type=dtype, dims=dims, raw_data=data)


def saved(build: Callable[[], ModelProto]) -> Write:
    """Writes what a function builds."""

    def write(folder: Path) -> None:
        (folder / "model.onnx").write_bytes(build().SerializeToString())

    return write


# -- functions and graphs ------------------------------------------------------------------------------


def function(name: str, *nodes: NodeProto) -> FunctionProto:
    """A function from a to b."""
    imports = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, 1)]
    return helper.make_function(DOMAIN, name, ["a"], ["b"], list(nodes), imports)


def call(name: str, source: str, target: str) -> NodeProto:
    """A call of a function."""
    return node(name, source, target, domain=DOMAIN)


def calling(*functions: FunctionProto) -> ModelProto:
    """A model that calls the first of some functions."""
    return model([call(functions[0].name, "x", "y")], functions=functions, domains=[DOMAIN])


def doubling(levels: int) -> ModelProto:
    """Functions that each call the next one twice."""
    chain = [
        function(f"f{i}", call(f"f{i + 1}", "a", "c"), call(f"f{i + 1}", "c", "b")) for i in range(levels)
    ]
    return calling(*chain, function(f"f{levels}", node("Neg", "a", "b")))


def chained(levels: int) -> ModelProto:
    """Functions that each call the next one."""
    chain = [function(f"f{i}", call(f"f{i + 1}", "a", "b")) for i in range(levels)]
    return calling(*chain, function(f"f{levels}", node("Neg", "a", "b")))


def branch(*nodes: NodeProto, output: str = "inner") -> GraphProto:
    """A graph for a node to carry."""
    return helper.make_graph(list(nodes), "branch", [], [floats(output, ("P", "Q"))])


def doubling_in_branches(levels: int) -> ModelProto:
    """The same, with the calls inside the branches of an If."""

    def body(i: int) -> FunctionProto:
        calls = [branch(call(f"f{i + 1}", "a", "inner")) for _ in range(2)]
        true = helper.make_node("Constant", [], ["c"], value=from_array(np.array(True)))
        return function(f"f{i}", true, node("If", "c", "b", then_branch=calls[0], else_branch=calls[1]))

    return calling(*(body(i) for i in range(levels)), function(f"f{levels}", node("Neg", "a", "b")))


def nested(levels: int) -> ModelProto:
    """If nodes inside each other."""
    graph = branch(node("Neg", "x", "inner"))
    for i in range(levels):
        level = node("If", "c", f"inner{i}", then_branch=graph, else_branch=branch(node("Neg", "x", "inner")))
        graph = branch(level, output=f"inner{i}")
    top = node("If", "c", "y", then_branch=graph, else_branch=branch(node("Neg", "x", "inner")))
    return model([top], [from_array(np.array(True), "c")])


def many_nodes(count: int) -> ModelProto:
    """A chain of nodes."""
    names = ["x", *(f"v{i}" for i in range(count - 1)), "y"]
    return model(node("Neg", a, b) for a, b in itertools.pairwise(names))


def many_inputs(count: int) -> ModelProto:
    """Inputs of which one is used."""
    return model(
        [node("Neg", "x")], inputs=[floats("x", ("N", 4)), *(floats(f"x{i}", ("N", 1)) for i in range(count))]
    )


def cycle_of_nodes() -> ModelProto:
    return model([node("Add", "x w", "v"), node("Neg", "v", "w"), node("Neg", "v")])


# -- sizes ---------------------------------------------------------------------------------------------


def loop(trips: int, depth: int = 1) -> ModelProto:
    """A loop of so many trips, inside others."""
    body = [node("Neg", "before", "after")]
    for level in range(depth):
        last = level == depth - 1
        graph = helper.make_graph(
            [node("Identity", f"going{level}", f"on{level}"), *body],
            f"body{level}",
            [floats(f"i{level}", (), INT64), floats(f"going{level}", (), BOOL), floats("before", ("P", "Q"))],
            [floats(f"on{level}", (), BOOL), floats("after", ("P", "Q"))],
        )
        body = [
            node("Loop", "trips on x" if last else "trips on before", "y" if last else "after", body=graph)
        ]
    return model(body, [number("trips", trips), from_array(np.array(True), "on")])


def made(
    op_type: str, inputs: str, *initializers: TensorProto, dtype: int = FLOAT, **attributes: Any
) -> ModelProto:
    """A node that makes y, of whatever rank, out of x and initializers; y is summed up."""
    steps = [node(op_type, inputs, "made", **attributes), node("ReduceSum", "made", "y", keepdims=0)]
    return model(steps, initializers, outputs=[floats("y", (), dtype)])


def growing(levels: int) -> ModelProto:
    """Tile after Tile."""
    names = ["one", *(f"t{i}" for i in range(levels))]
    steps = [node("Tile", f"{a} by", b) for a, b in itertools.pairwise(names)]
    return model(
        [*steps, node("Add", f"x {names[-1]}")],
        [from_array(np.ones((1, 4), np.float32), "one"), ints("by", 1000, 1)],
    )


def declared(*dims: int) -> ModelProto:
    """An input of a shape."""
    return model([node("Neg", "x")], inputs=[floats("x", dims)])


# -- tensors -------------------------------------------------------------------------------------------


def stored(*tensors: TensorProto) -> ModelProto:
    """A model that adds the first of some initializers."""
    return model([node("Add", f"x {tensors[0].name}")], tensors)


def sparse(dims: Sequence[int], indices: Sequence[int]) -> ModelProto:
    """A sparse initializer."""
    result = model([node("Add", "x w")])
    values = from_array(np.ones(len(indices), np.float32), "w")
    result.graph.sparse_initializer.append(helper.make_sparse_tensor(values, ints("", *indices), list(dims)))
    return result


def two_fields() -> ModelProto:
    result = stored(tensor("w", [4], bytes(16)))
    result.graph.initializer[0].float_data.extend([1.0] * 4)
    return result


# -- external data -------------------------------------------------------------------------------------


def external(
    dims: Sequence[int] = (4,),
    *,
    size: int = 16,
    location: str = "data.bin",
    prepare: Callable[[Path], None] | None = None,
    **entries: Any,
) -> Write:
    """A model whose initializer lies in another file of ``size`` bytes."""

    def write(folder: Path) -> None:
        weight = TensorProto(name="w", data_type=FLOAT, dims=dims, data_location=TensorProto.EXTERNAL)
        for key, value in {"location": location, **entries}.items():
            weight.external_data.add(key=key, value=str(value))
        (folder / "data.bin").write_bytes(bytes(size))
        if prepare is not None:
            prepare(folder)
        (folder / "model.onnx").write_bytes(stored(weight).SerializeToString())

    return write


def outside(folder: Path) -> Path:
    """A file that the model must not reach."""
    secret = folder.parent / f"{folder.name}-secret.bin"
    secret.write_bytes(bytes(16))
    return secret


def linked(folder: Path) -> None:
    (folder / "link.bin").symlink_to(outside(folder))


def linked_folder(folder: Path) -> None:
    elsewhere = folder.parent / f"{folder.name}-elsewhere"
    elsewhere.mkdir()
    (elsewhere / "data.bin").write_bytes(bytes(16))
    (folder / "sub").symlink_to(elsewhere, target_is_directory=True)


def hard_linked(folder: Path) -> None:
    os.link(outside(folder), folder / "link.bin")


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "pipe.bin")


# -- names ---------------------------------------------------------------------------------------------


def named(value: str) -> ModelProto:
    """A value, a node, an input or another text that has a name of its own."""
    return model([node("Neg", "x", "v", name=value), node("Neg", "v")])


def input_named(value: str) -> ModelProto:
    return model([helper.make_node("Neg", [value], ["y"])], inputs=[floats(value, ("N", 4))])


def produced_by(value: str) -> ModelProto:
    result = model([node("Neg", "x")])
    result.producer_name = value
    return result


def produced_twice() -> ModelProto:
    """Two imports of one domain."""
    result = model([node("Neg", "x")])
    result.opset_import.add(domain="ai.onnx", version=13)
    return result


def symbol_named(value: str) -> ModelProto:
    return model([node("Neg", "x")], inputs=[floats("x", (value, 4))])


def counted_while() -> ModelProto:
    """A loop that a computed condition ends, of at most as many trips as there are numbers."""
    body = helper.make_graph(
        [
            node("Add", "before before", "after"),
            node("ReduceMax", "after", "largest", keepdims=0),
            node("Less", "largest limit", "on"),
        ],
        "body",
        [floats("i", (), INT64), floats("going", (), BOOL), floats("before", ("P", "Q"))],
        [floats("on", (), BOOL), floats("after", ("P", "Q"))],
    )
    start = [
        number("trips", 2**63 - 1),
        from_array(np.array(True), "go"),
        from_array(np.array(100, np.float32), "limit"),
    ]
    return model([node("Loop", "trips go x", body=body)], start)


def computed(*steps: NodeProto, initializers: Sequence[TensorProto]) -> ModelProto:
    """A shape s that nodes compute, and a tensor of it."""
    last = [node("ConstantOfShape", "s", "made"), node("ReduceSum", "made", "y", keepdims=0)]
    return model([*steps, *last], initializers, outputs=[floats("y", ())])


def inside_function(*nodes: NodeProto) -> ModelProto:
    """The same inside a function."""
    return calling(function("f", *nodes))


def linked_inside(folder: Path) -> None:
    (folder / "link.bin").symlink_to("data.bin")


def hard_linked_inside(folder: Path) -> None:
    os.link(folder / "data.bin", folder / "link.bin")


def bytes_of(data: bytes) -> Write:
    """A file that holds just these bytes."""

    def write(folder: Path) -> None:
        (folder / "model.onnx").write_bytes(data)

    return write


def neg_in_if() -> list[NodeProto]:
    true = helper.make_node("Constant", [], ["c"], value=from_array(np.array(True)))
    inner = branch(call("f", "a", "inner"))
    return [true, node("If", "c", "b", then_branch=inner, else_branch=branch(node("Neg", "a", "inner")))]
