"""Before the first step: what CNTK computes from the model is what onnxruntime computes.

Both run loss, metrics and outputs forward on a few rows. Where they differ, the first node that does is
named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, helper

from neuromatic.converters.cntk.evaluate import as_onnx
from neuromatic.converters.cntk.graph import Moment, Tensor, described
from neuromatic.errors import VerificationError
from neuromatic.inference import Session
from neuromatic.ir import randomness
from neuromatic.recipe.sections import evaluation_part

if TYPE_CHECKING:
    from neuromatic.converters.cntk.client import Worker
    from neuromatic.converters.cntk.program import CNTKDataset, CNTKProgram
    from neuromatic.converters.cntk.recorder import Recording

Array = NDArray[Any]
TOLERANCE = 1e-4
LEAST_ROWS = 2
"""With one row, mistakes about the batch axis do not show."""


def check_forward(program: CNTKProgram, dataset: CNTKDataset) -> None:
    """Compare CNTK with onnxruntime on the first rows of a dataset.

    Raises:
        VerificationError: they differ; names the first node whose output does.
    """
    rows = np.arange(len(next(iter(dataset.head.values()))))
    rows = np.resize(rows, max(LEAST_ROWS, len(rows)))
    inputs = {name: array[rows] for name, array in dataset.head.items()}
    part = evaluation_part(program.model, program.recipe)
    recorded = program.recorder.record("evaluate", dataset.spec, dataset.head)
    shown = [o.name for o in part.graph.output if is_computed(recorded, o.name, dataset)]
    if _first_difference(program, dataset, recorded, part, inputs, rows, shown) is None:
        return
    made = [name for node in part.graph.node for name in node.output if name]
    names = [name for name in made if is_computed(recorded, name, dataset)]
    found = _first_difference(program, dataset, recorded, part, inputs, rows, list(dict.fromkeys(names)))
    name, difference, values = found or (shown[0], float("nan"), "")
    node = next(n for n in part.graph.node if name in n.output)
    where = f"node {node.name!r} ({node.op_type})" if node.name else f"the {node.op_type} that makes {name!r}"
    raise VerificationError(
        f"cntk and onnxruntime differ from {where} on: its output {name!r} is {difference:.3g} off on the "
        f"first {len(rows)} rows{values} (allowed: {TOLERANCE:g}); nothing was trained",
        difference=difference,
    )


def is_computed(recorded: Recording, name: str, dataset: CNTKDataset) -> bool:
    """Whether CNTK has a value, and the worker all that it is computed from."""
    value = recorded.values.get(name)
    if not isinstance(value, Tensor):
        return False
    header = described(recorded.graph, outputs=[value.register], loss=False)
    return all(entry["name"] in dataset.fed for entry in header["inputs"])


def _first_difference(
    program: CNTKProgram,
    dataset: CNTKDataset,
    recorded: Recording,
    part: ModelProto,
    inputs: dict[str, Array],
    rows: Array,
    names: list[str],
) -> tuple[str, float, str] | None:
    """The first of some values that differs, by how much, and where one is not finite, both numbers.

    onnxruntime takes what CNTK drew at random.
    """
    drawn = [n for n in randomness.drawn_values(part) if isinstance(recorded.values.get(n), Tensor)]
    asked = [*drawn, *(name for name in names if name not in drawn)]
    tensors = [recorded.values[name] for name in asked]
    moment = Moment(len(rows), program.recorder.first_step)
    results = run_once(program.worker, recorded, dataset.number, rows, moment, tensors)
    found = dict(zip(asked, results, strict=True))
    given = randomness.with_draws_given(part, asked[len(drawn) :]) if drawn else part
    expected = _expected(given, inputs | {n: found[n] for n in drawn}, asked[len(drawn) :])
    for name, value in expected.items():
        difference = _difference(found[name], value)
        if difference > TOLERANCE:
            return name, difference, _not_finite(found[name], value)
    return None


def run_once(
    worker: Worker, recorded: Recording, dataset: int, rows: Array, moment: Moment, tensors: list[Tensor]
) -> list[Array]:
    """Some values of a recorded graph for some rows, by a program that is built for this call only."""
    if not tensors:
        return []
    header = described(recorded.graph, outputs=[t.register for t in tensors], loss=False)
    worker.build("once", recorded.graph, header)
    results = worker.run("once", dataset, rows[None], recorded.feeds([moment]), moment.step)
    worker.forget(programs=["once"])
    return [as_onnx(value[0], like) for value, like in zip(results, tensors, strict=True)]


def _expected(part: ModelProto, inputs: dict[str, Array], names: list[str]) -> dict[str, Array]:
    """What onnxruntime computes for some values of a graph."""
    graph = ModelProto()
    graph.CopyFrom(part)
    del graph.graph.output[:]
    graph.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    wanted = {i.name for i in part.graph.input}
    return Session(graph).run({name: array for name, array in inputs.items() if name in wanted}, names)


def _not_finite(found: Array, expected: Array) -> str:
    """The first number that is not finite, where only one of the two has it."""
    if found.shape != expected.shape:
        return f", of shape {found.shape} in cntk and {expected.shape} in onnxruntime"
    places = np.argwhere(np.isfinite(found) != np.isfinite(expected))
    if not len(places):
        return ""
    place = tuple(int(i) for i in places[0])
    return f", {found[place]:.3g} in cntk and {expected[place]:.3g} in onnxruntime"


def _difference(found: Array, expected: Array) -> float:
    """The largest difference, relative where values are above 1; infinite where shapes differ."""
    if found.shape != expected.shape:
        return float("inf")
    exact = expected.astype(np.float64)
    off = np.abs(found.astype(np.float64) - exact) / np.maximum(1.0, np.abs(exact))
    both = np.isnan(exact) & np.isnan(found.astype(np.float64))
    return float(np.where(both | (found == expected), 0.0, np.nan_to_num(off, nan=np.inf)).max(initial=0.0))
