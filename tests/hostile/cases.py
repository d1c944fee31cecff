"""The table of hostile files, each small and made in code, and of odd ones that are right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import helper
from onnx.numpy_helper import from_array

from tests.hostile.files import (
    HUGE,
    INT64,
    Write,
    bytes_of,
    call,
    calling,
    chained,
    computed,
    counted_while,
    cycle_of_nodes,
    declared,
    doubling,
    doubling_in_branches,
    external,
    function,
    growing,
    hard_linked,
    hard_linked_inside,
    input_named,
    inside_function,
    ints,
    linked,
    linked_folder,
    linked_inside,
    loop,
    made,
    many_inputs,
    many_nodes,
    model,
    named,
    neg_in_if,
    nested,
    node,
    number,
    pipe,
    produced_by,
    produced_twice,
    saved,
    sparse,
    stored,
    symbol_named,
    tensor,
    two_fields,
)


@dataclass(frozen=True)
class Case:
    """A file and the words with which it is refused; None for one that is odd but fine.

    Attributes:
        write: writes it into a folder.
        message: a part of the sentence that refuses it.
    """

    write: Write
    message: str | None


EXPANDS = "its functions expand to more than 50,000 further nodes"
DEEP = "its functions and graphs stand in each other more than 100 deep"
RUNS = "its loops run nodes more than 1,000,000 times"
CONSTANT = "more than 134,217,728"
VALUE = "more than 134,217,728"
PLACE = "expected a file in the model's folder"
LEADS_OUT = "is a link that leads out of the model's folder"
CONTROL = "has a control character"


CASES: dict[str, Case] = {
    "34 functions that each call the next twice": Case(saved(lambda: doubling(34)), EXPANDS),
    "60 functions that each call the next twice": Case(saved(lambda: doubling(60)), EXPANDS),
    "calls in branches": Case(saved(lambda: doubling_in_branches(30)), EXPANDS),
    "200 functions in each other": Case(saved(lambda: chained(200)), DEEP),
    "5000 functions in each other": Case(saved(lambda: chained(5000)), DEEP),
    "a function that calls itself": Case(
        saved(lambda: calling(function("f", call("f", "a", "b")))), "function 'f' calls itself"
    ),
    "functions that call each other": Case(
        saved(lambda: calling(function("f", call("g", "a", "b")), function("g", call("f", "a", "b")))),
        "calls itself",
    ),
    "a function that calls itself in a branch": Case(
        saved(lambda: calling(function("f", *neg_in_if()))), "function 'f' calls itself"
    ),
    "a cycle of nodes": Case(saved(cycle_of_nodes), "topologically sorted"),
    "100,000 inputs": Case(saved(lambda: many_inputs(100_000)), "has 100,001 inputs, more than 10,000"),
    "a loop of 10^12 trips": Case(saved(lambda: loop(10**12)), RUNS),
    "loops in loops": Case(saved(lambda: loop(10**5, 3)), RUNS),
    "ConstantOfShape": Case(saved(lambda: made("ConstantOfShape", "s", ints("s", HUGE))), CONSTANT),
    "ConstantOfShape of 34 GB": Case(saved(lambda: made("ConstantOfShape", "s", ints("s", 2**33))), CONSTANT),
    "ConstantOfShape beyond 64 bits": Case(
        saved(lambda: made("ConstantOfShape", "s", ints("s", 2**62, 2**62))), CONSTANT
    ),
    "a shape that is multiplied": Case(
        saved(lambda: computed(node("Mul", "a a", "s"), initializers=[ints("a", 2**17)])), CONSTANT
    ),
    "a shape that is a power": Case(
        saved(lambda: computed(node("Pow", "a a", "s"), initializers=[ints("a", 12)])), CONSTANT
    ),
    "a shape that was a float": Case(
        saved(
            lambda: computed(
                node("Cast", "f", "s", to=INT64), initializers=[from_array(np.array([1e11], "f"), "f")]
            )
        ),
        CONSTANT,
    ),
    "a tensor inside a function": Case(
        saved(
            lambda: inside_function(
                helper.make_node("Constant", [], ["s"], value_ints=[2**34]),
                node("ConstantOfShape", "s", "made"),
                node("ReduceSum", "made", "sum", keepdims=0),
                node("Add", "a sum", "b"),
            )
        ),
        CONSTANT,
    ),
    "Expand": Case(saved(lambda: made("Expand", "x s", ints("s", HUGE, 1, 4))), VALUE),
    "Range": Case(
        saved(
            lambda: made("Range", "a b c", number("a", 0), number("b", 2**60), number("c", 1), dtype=INT64)
        ),
        CONSTANT,
    ),
    "Tile": Case(saved(lambda: made("Tile", "x s", ints("s", 1, HUGE))), VALUE),
    "Tile after Tile": Case(saved(lambda: growing(5)), CONSTANT),
    "Pad": Case(saved(lambda: made("Pad", "x s", ints("s", 0, 0, 0, HUGE))), VALUE),
    "OneHot": Case(
        saved(
            lambda: made(
                "OneHot",
                "i d v",
                ints("i", 1),
                number("d", HUGE),
                from_array(np.array([0, 1], np.float32), "v"),
            )
        ),
        CONSTANT,
    ),
    "RandomUniform": Case(saved(lambda: made("RandomUniform", "", shape=[2**20, 2**20])), CONSTANT),
    "HannWindow": Case(saved(lambda: made("HannWindow", "n", number("n", HUGE))), CONSTANT),
    "an input of 2^124 numbers": Case(saved(lambda: declared(2**62, 2**62)), CONSTANT),
    "an input of 16 GiB": Case(saved(lambda: declared(2, 2**31)), CONSTANT),
    "a negative sparse tensor": Case(saved(lambda: sparse([-4], [0])), "is not a valid ONNX model"),
    "a negative input": Case(
        saved(lambda: declared(-3, 4)), "'x' has shape (-3, 4); a dimension that is not known"
    ),
    "2^62 numbers in 16 bytes": Case(
        saved(lambda: stored(tensor("w", [2**62], bytes(16)))), "has 16 bytes, expected 18446744073709551616"
    ),
    "2^64 numbers in none": Case(
        saved(lambda: stored(tensor("w", [2**32, 2**32], b""))), "has 0 bytes, expected 73786976294838206464"
    ),
    "a negative tensor": Case(
        saved(lambda: stored(tensor("w", [-4], bytes(16)))), "tensor 'w' has shape (-4,)"
    ),
    "too few bytes": Case(saved(lambda: stored(tensor("w", [4], bytes(8)))), "has 8 bytes, expected 16"),
    "too many bytes": Case(saved(lambda: stored(tensor("w", [4], bytes(20)))), "has 20 bytes, expected 16"),
    "an unknown type": Case(saved(lambda: stored(tensor("w", [4], bytes(16), 999))), "unknown type 999"),
    "values in two fields": Case(saved(two_fields), "tensor 'w' has values in float_data and raw_data"),
    "a sparse tensor of 2^40": Case(saved(lambda: sparse([HUGE], [0])), CONSTANT),
    "an index before the first": Case(saved(lambda: sparse([4], [-9])), "out of range"),
    "two versions of a domain": Case(saved(produced_twice), "it imports versions 17 and 13 of domain ''"),
    "data above the folder": Case(external(location="../data.bin"), PLACE),
    "data above a folder": Case(external(location="sub/../../data.bin"), PLACE),
    "data at the root": Case(external(location="/dev/zero"), PLACE),
    "data by backslashes": Case(external(location="..\\data.bin"), PLACE),
    "data on a drive": Case(external(location="C:data.bin"), PLACE),
    "data after a NUL": Case(external(location="data.bin\0x"), CONTROL),
    "data of no name": Case(external(location=""), PLACE),
    "the folder as data": Case(external(location="."), PLACE),
    "a folder as data": Case(
        external(location="sub", prepare=lambda f: (f / "sub").mkdir()), "not an ordinary file"
    ),
    "data that are missing": Case(external(location="none.bin"), "cannot read 'none.bin': No such file"),
    "a link out": Case(external(location="link.bin", prepare=linked), LEADS_OUT),
    "a linked folder": Case(external(location="sub/data.bin", prepare=linked_folder), LEADS_OUT),
    "a hard link out": Case(external(location="link.bin", prepare=hard_linked), LEADS_OUT),
    "a link to itself": Case(
        external(location="link.bin", prepare=lambda f: (f / "link.bin").symlink_to("link.bin")),
        "cannot read 'link.bin'",
    ),
    "a pipe": Case(external(location="pipe.bin", prepare=pipe), "'pipe.bin' is not an ordinary file"),
    "a negative offset": Case(external(offset=-4), "the offset of external data of 'w' is '-4'"),
    "an offset that is text": Case(external(offset="0x10"), "is '0x10', expected a number of bytes"),
    "an offset beyond 64 bits": Case(external(offset=10**30), "expected a number of bytes"),
    "an offset beyond the end": Case(external(offset=8), "end at byte 24 of 'data.bin', which has 16"),
    "a negative length": Case(external(length=-1), "the length of external data of 'w' is '-1'"),
    "a length beyond the end": Case(external(length=10**12), "have a length of 1000000000000 bytes"),
    "external data of 2^62": Case(external([2**62]), "end at byte 18446744073709551616"),
    "a NUL in a node's name": Case(
        saved(lambda: named("a\0b")), "the name 'a\\x00b' has a control character"
    ),
    "a line break in an input's name": Case(saved(lambda: input_named("a\nb")), CONTROL),
    "a terminal escape in an input's name": Case(saved(lambda: input_named("\x1b[31mred")), CONTROL),
    "a terminal escape in a dimension": Case(saved(lambda: symbol_named("\x1b]0;title\x07")), CONTROL),
    "a terminal escape in the producer": Case(saved(lambda: produced_by("\x9b2J")), CONTROL),
    "text that turns": Case(saved(lambda: input_named("a\u202eb")), CONTROL),
    "300 levels of messages": Case(bytes_of(b"\x3a\x7f" * 300), "is not a valid ONNX model"),
    "an archive": Case(bytes_of(b"PK\x03\x04" + bytes(100)), "is not a valid ONNX model"),
}
"""What is refused, and the words with which."""

ODD: dict[str, Case] = {
    "8 functions that each call the next twice": Case(saved(lambda: doubling(8)), None),
    "20 functions in each other": Case(saved(lambda: chained(20)), None),
    "28 nodes in each other": Case(saved(lambda: nested(28)), None),
    "3000 nodes": Case(saved(lambda: many_nodes(3000)), None),
    "a loop of 1000 trips": Case(saved(lambda: loop(1000)), None),
    "a loop that ends by itself": Case(saved(counted_while), None),
    "a link inside": Case(external(location="link.bin", prepare=linked_inside), None),
    "a hard link inside": Case(external(location="link.bin", prepare=hard_linked_inside), None),
    "data in the middle of a file": Case(external(size=100, offset=33, length=16), None),
    "a tensor of nothing": Case(
        saved(lambda: model([node("Neg", "x")], [tensor("w", [0, 2**40], b"")])), None
    ),
    "names of all kinds": Case(saved(lambda: input_named("été/数:0 [x] \\n")), None),
}
"""What is unusual and nevertheless right."""
