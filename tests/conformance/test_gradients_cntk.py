"""Gradients on CNTK of every node whose gradients are checked on TensorFlow, against those in float64.

Each node's outputs, weighted at random, are the loss of a step of plain descent with rate 1, so that what a
parameter loses in it is its gradient. In a second form the first input has CNTK's batch.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import helper

from neuromatic.converters import lowering
from neuromatic.converters.cntk import ops as ck
from neuromatic.converters.cntk.client import Worker
from neuromatic.converters.cntk.graph import Graph as Recorded
from neuromatic.converters.cntk.graph import Moment, Tensor, described, feeds_at
from neuromatic.converters.cntk.lowerings import ops
from neuromatic.converters.cntk.merged import Merged
from neuromatic.converters.cntk.recording import RecordingContext, call
from neuromatic.errors import UnsupportedFeatureError, UnsupportedOpError
from tests.conformance.gradient_cases import ALL
from tests.conformance.gradients import Graph, Node
from tests.converters.cntk.cntk_environment import environment_or_skip

Array = NDArray[Any]
TOLERANCE = 1e-4
LEAST_CHECKED = 0.8
"""Share of the nodes with a lowering that CNTK must take with fixed shapes; it refuses the others by name."""
NODES = [
    node
    for node in ALL
    if ops.find(node.op, node.opset) is not None
    and not (node.op == "Dropout" and node.training)  # each engine draws masks of its own
]
numbers = itertools.count()
checked: dict[str, bool] = {}


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    started = Worker(environment_or_skip(), threads=1, timeout=60.0)
    yield started
    started.close()


def uses_batch(node: Node) -> bool:
    return node.training or node.outputs > 1


def single(array: Array) -> Array:
    return array.astype(np.float32) if array.dtype.kind == "f" else array


class Step:
    """One node recorded as a training step.

    Args:
        batched: whether the first input comes row by row; its parameter is then an offset for all rows.
    """

    def __init__(self, graph: Graph, node: Node, batched: bool) -> None:
        self.graph, self.recorded, self.name = graph, Recorded(), f"step {next(numbers)}"
        self.cells: dict[str, Array] = {}
        self.data: dict[str, Array] = {}
        values: dict[str, Any] = {name: single(a) for name, a in graph.constants.items()}
        for name, array in graph.inputs.items():
            if batched and name == "x0":
                self.data[name] = single(array)
                x = self.recorded.input(name, (None, *array.shape[1:]), np.float32)
                values[name] = ck.plus(x, self.parameter(name, np.zeros((1, *array.shape[1:]), np.float32)))
            elif node.op == "BatchNormalization" and uses_batch(node) and name in ("x3", "x4"):
                values[name] = self.recorded.constant(single(array))  # statistics, which nothing flows to
            else:
                values[name] = self.parameter(name, single(array))
        made = helper.make_node(node.op, graph.names, graph.outputs, **node.attributes)
        opset = helper.make_opsetid("", node.opset)
        model = helper.make_model(helper.make_graph([made], "one", [], []), opset_imports=[opset])
        updated = frozenset(graph.names[3:5])
        context = RecordingContext(
            training=node.training, updated=updated, graph=self.recorded, values=values
        )
        lowering.run(lowering.plan(model, ops), values, context, call)
        self.loss = self.weighted(values)

    def parameter(self, name: str, array: Array) -> Tensor:
        own = f"{self.name} {name}"
        self.cells[own] = array
        return self.recorded.cell(own, array)

    def weighted(self, values: dict[str, Any]) -> Tensor:
        """The sum of all outputs that have gradients, each element times its weight."""
        parts = []
        for name in self.graph.differentiable:
            y, weights = values[name], single(self.graph.weights[name])
            if isinstance(y, Merged):
                y = y.tensor
                weights = weights.reshape([-1 if size is None else size for size in y.shape])
            factor: Any = weights
            if y.batch is not None:
                if y.batch:
                    raise UnsupportedFeatureError("the batch of an output is not its first axis")
                self.data[f"w {name}"] = weights
                factor = self.recorded.input(f"w {name}", (None, *weights.shape[1:]), np.float32)
            parts.append(ck.reduce("reduce_sum", ck.multiply(y, factor), range(y.rank), keepdims=False))
        total = parts[0]
        for part in parts[1:]:
            total = ck.plus(total, part)
        return ck.reshape(total, ())

    def gradients(self, worker: Worker) -> dict[str, Array]:
        """What each parameter loses in a step of rate 1."""
        recorded = self.recorded
        if not self.data:
            self.data["none"] = np.zeros((2, 1), np.float32)
            recorded.input("none", (None, 1), np.float32)
        assign = []
        for name, array in self.cells.items():
            recorded.gradients[name] = recorded.new(array.shape, np.float32, "update")
            new = ck.minus(recorded.cells[name], recorded.gradients[name])
            assign.append({"name": name, "register": new.register})
        received = [{"name": n, "register": t.register} for n, t in recorded.gradients.items()]
        header = described(
            recorded, outputs=[self.loss.register], loss=True, learner=None, assign=assign, gradients=received
        )
        worker.define(self.cells, self.cells)
        worker.build(self.name, recorded, header)
        dataset, count = worker.load(self.data), len(next(iter(self.data.values())))
        feeds = feeds_at(recorded, Moment(count))[None]
        worker.train(self.name, dataset, np.arange(count)[None], np.ones(1, np.float32), feeds, 0)
        left = worker.read(list(self.cells))
        worker.forget(programs=[self.name], datasets=[dataset])
        return {name.split()[-1]: self.cells[name] - value for name, value in left.items()}


@pytest.mark.parametrize("batched", [False, True], ids=["fixed", "batched"])
@pytest.mark.parametrize("node", NODES, ids=str)
def test_gradients(node: Node, batched: bool, worker: Worker) -> None:
    graph = Graph(node)
    if (
        not graph.inputs
        or not graph.differentiable
        or (batched and ("x0" not in graph.inputs or not graph.inputs["x0"].ndim))
    ):
        return
    exact = graph.gradients()
    try:
        step = Step(graph, node, batched)
    except (UnsupportedFeatureError, UnsupportedOpError):
        if not batched:
            checked[str(node)] = False
        return
    checked[str(node)] = True
    for name, found in step.gradients(worker).items():
        expected = exact[name].sum(0, keepdims=True) if batched and name == "x0" else exact[name]
        scale = 1 + float(np.abs(expected).max(initial=0.0))
        np.testing.assert_allclose(found / scale, expected / scale, rtol=0, atol=TOLERANCE, err_msg=name)


def test_most_nodes_were_checked() -> None:
    if len(checked) >= len(NODES):  # not where only some of them were asked for, or where they are shared out
        assert sum(checked.values()) >= LEAST_CHECKED * len(checked)
