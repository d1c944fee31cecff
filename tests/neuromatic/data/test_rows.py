"""What the named axes of a model say about rows, and rows that depend on each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

import neuromatic as nm
from neuromatic.data import Rows, rows_of, settled, split
from neuromatic.errors import DataError, InvalidModelError

Shape = tuple[Any, ...] | None


def net(inputs: Mapping[str, Shape], outputs: Mapping[str, Shape]) -> ModelProto:
    """A graph of these inputs and outputs; what it computes is of no interest."""
    info = helper.make_tensor_value_info
    first = next(iter(inputs))
    nodes = [helper.make_node("Identity", [first], [name]) for name in outputs]
    ends = [[info(n, TensorProto.FLOAT, s) for n, s in part.items()] for part in (inputs, outputs)]
    return helper.make_model(helper.make_graph(nodes, "net", ends[0], ends[1]))


CASES: dict[str, tuple[Mapping[str, Shape], Mapping[str, Shape], set[str], int | None]] = {
    "one batch": ({"x": ("batch", 3)}, {"y": ("batch", 2)}, {"x"}, None),
    "no name": ({"x": (None, 3)}, {"y": (None, 2)}, {"x"}, None),
    "names of each axis": (
        {"a": ("a_dynamic_axes_1", 3), "b": ("b_dynamic_axes_1", 3)},
        {"y": ("Addy_dim_0", 3)},
        {"a", "b"},
        None,
    ),
    "a table": ({"x": ("n", 3), "table": (3, 5)}, {"y": ("n", 5)}, {"x"}, None),
    "a number": ({"x": ("n", 3), "scale": ()}, {"y": ("n", 5)}, {"x"}, None),
    "nodes": ({"nodes": ("n", 4), "edges": (2, "m")}, {"y": ("n", 3)}, {"nodes"}, None),
    "nodes of a matrix": ({"nodes": ("n", 4), "near": ("n", "n")}, {"y": ("n", 3)}, set(), None),
    "edges": ({"nodes": ("n", 4), "edges": (2, "m")}, {"y": ("m", 3)}, set(), None),
    "a graph": ({"nodes": ("n", 4), "edges": (2, "m")}, {"y": (1, 3)}, set(), None),
    "edges with features": (
        {"nodes": ("n", 4), "features": ("m", 2), "edges": (2, "m")},
        {"y": ("n", 3)},
        {"nodes"},
        None,
    ),
    "time first": ({"x": ("time", "batch", 4)}, {"y": ("time", "batch", 2)}, {"x"}, None),
    "time first beside": (
        {"x": ("time", "batch", 4), "h": ("batch", 4)},
        {"y": ("batch", 2)},
        set(),
        None,
    ),
    "fixed": ({"x": (4, 3)}, {"y": (4, 2)}, {"x"}, 4),
    "fixed, several": ({"x": (4, 3), "z": (4, 1), "table": (7, 3)}, {"y": (4, 2)}, {"x", "z"}, 4),
    "fixed, an output of other rows": ({"x": (4, 3)}, {"y": (12, 2)}, {"x"}, 4),
    "one image": ({"x": (1, 3, 8, 8)}, {"boxes": ("count", 4)}, {"x"}, 1),
    "no batch": ({"x": (28, 28)}, {"y": (10,)}, set(), None),
}


@pytest.mark.parametrize("case", CASES)
def test_what_axes_say(case: str) -> None:
    inputs, outputs, shared, size = CASES[case]
    rows = rows_of(net(inputs, outputs))
    assert (set(rows.shared), rows.size) == (shared, size)
    assert set(rows.whole) == inputs.keys() - shared


def test_the_batch_axis_of_outputs() -> None:
    outputs = {"y": ("n", 3), "turned": (5, "n"), "table": (7, 3), "total": (), "open": (None, 3)}
    rows = rows_of(net({"x": ("n", 3), "table_in": (7, 3)}, outputs))
    assert rows.outputs == {"y": 0, "turned": 1, "table": None, "total": None, "open": 0}


def test_rows_are_taken_padded_and_joined() -> None:
    rows = Rows(frozenset({"x"}), 4, outputs={"y": 0, "many": 0, "turned": 1, "table": None})
    data = {"x": np.arange(6), "table": np.arange(3)}
    assert rows.count(data) == 6
    assert rows.padded(np.array([4, 5])).tolist() == [4, 5, 4, 5]
    assert rows.padded(np.array([3])).tolist() == [3, 3, 3, 3]
    assert [b.tolist() for b in rows.batches(data, 4)] == [[0, 1, 2, 3], [4, 5]]
    taken = rows.take(data, np.array([4, 5]))
    assert {name: array.tolist() for name, array in taken.items()} == {"x": [4, 5], "table": [0, 1, 2]}
    table = np.ones((4, 3))[:3]
    parts = [
        {
            "y": np.arange(4) + start,
            "many": np.arange(8) + 2 * start,
            "turned": np.arange(4)[None] + start,
            "table": table,
        }
        for start in (0, 4)
    ]
    joined = rows.join(parts, [4, 2], 4)
    assert joined["y"].tolist() == list(range(6))
    assert joined["many"].tolist() == list(range(12))
    assert joined["turned"].tolist() == [list(range(6))]
    assert joined["table"] is table


def test_an_output_that_is_one_for_all_rows() -> None:
    rows = Rows(frozenset({"x"}), outputs={"y": None})
    total: list[dict[str, Any]] = [{"y": np.float32(1)}, {"y": np.float32(2)}]
    with pytest.raises(
        InvalidModelError, match="output 'y' is one number for all rows of a batch; give a batch_size that"
    ):
        rows.join(total, [2, 1], 2)
    with pytest.raises(
        InvalidModelError, match=r"output 'y' has shape \(3,\), without a batch axis, for all rows"
    ):
        rows.join([{"y": np.zeros(3)}, {"y": np.ones(3)}], [2, 1], 2)
    assert rows.join(total[:1], [2], 2)["y"] == 1


def test_rows_that_depend_on_each_other_are_found() -> None:
    model = net({"x": ("n", 2), "shift": (2,)}, {"y": ("n", 2)})
    data = {"x": np.random.default_rng(0).normal(size=(6, 2)), "shift": np.ones(2)}
    rows = rows_of(model)
    assert settled(rows, model, lambda given: {"y": given["x"] + given["shift"]}, data) is rows
    centred = settled(rows, model, lambda given: {"y": given["x"] - given["x"].mean(0)}, data)
    assert (centred.shared, set(centred.whole)) == (frozenset(), {"x", "shift"})
    mixed = settled(rows, model, lambda given: {"y": given["x"][::-1]}, data)
    assert mixed.shared == frozenset()

    def failing(given: Mapping[str, Any]) -> Mapping[str, Any]:
        if len(given["x"]) < 6:
            raise InvalidModelError("index out of range")
        return {"y": given["x"]}

    assert settled(rows, model, failing, data).shared == frozenset()
    fixed = net({"x": (3, 2)}, {"y": (3, 2)})
    assert settled(rows_of(fixed), fixed, lambda given: {"y": given["x"].cumsum(0)}, data).ordered
    assert not settled(rows_of(fixed), fixed, lambda given: {"y": given["x"] * 2}, data).ordered


def test_splitting() -> None:
    data = {"x": np.arange(10), "table": np.arange(3)}
    first, last = split(data, 0.3, Rows(frozenset({"x"})))
    assert (first["x"].tolist(), last["x"].tolist()) == (list(range(7)), [7, 8, 9])
    assert first["table"] is last["table"] is data["table"]
    with pytest.raises(DataError, match="validation_split: the rows of this model's inputs depend on each"):
        split(data, 0.3, Rows(frozenset()))


def test_named_axes_agree_where_something_is_given_whole() -> None:
    model = net({"nodes": ("n", 4), "features": ("m", 2), "edges": (2, "m")}, {"y": ("n", 4)})
    data = {"nodes": np.ones((5, 4)), "features": np.ones((3, 2)), "edges": np.ones((2, 4))}
    with pytest.raises(DataError, match="x: axis 'm' has size 3 in 'features' and 4 in 'edges'"):
        nm.Model.from_proto(model).predict(data)
