"""Gradients of one node by its inputs: TensorFlow's, and central differences in float64."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import tensorflow as tf
from onnx import helper

from neuromatic.converters import lowering
from neuromatic.converters.tensorflow import execution
from neuromatic.converters.tensorflow.context import TensorFlowContext
from neuromatic.converters.tensorflow.lowerings import ops

Array = np.ndarray[Any, Any]
NEWEST = 21
"""The opset of nodes, unless they say otherwise, and beside those of other domains."""


@dataclass(frozen=True)
class Random:
    """An input to differentiate by: uniform in ``[low, high)``."""

    shape: tuple[int, ...]
    low: float = -2.0
    high: float = 2.0


Input = Random | Array | Sequence[Array] | None
"""Arrays are constants of the graph; a list of them is a sequence."""


@dataclass(frozen=True)
class Node:
    """A node with its inputs, whose gradients are to be checked."""

    op: str
    inputs: tuple[Input, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    opset: int = NEWEST
    outputs: int = 1
    training: bool = False
    domain: str = ""
    single: bool = False
    """Whether it is a function that computes in float32, whatever its inputs are."""

    def __str__(self) -> str:
        shapes = ",".join(
            "x".join(map(str, i.shape)) or "scalar" for i in self.inputs if isinstance(i, Random)
        )
        attributes = ",".join(f"{k}={getattr(v, 'name', v)}" for k, v in self.attributes.items())
        return f"{self.op}-{self.opset}({shapes};{attributes})".replace(" ", "")

    @property
    def lowering(self) -> Any:
        """What lowers it; None where TensorFlow runs the function that defines it."""
        return ops.find(self.op, self.opset, self.domain)

    def formal(self, index: int) -> str:
        """What ONNX calls one of its inputs."""
        formals = onnx.defs.get_schema(self.op, self.opset, self.domain).inputs
        return str(formals[min(index, len(formals) - 1)].name)


class Graph:
    """A model of one node that can be evaluated in any float type."""

    def __init__(self, node: Node) -> None:
        rng = np.random.default_rng(zlib.crc32(str(node).encode()))
        self.node = node
        self.names = ["" if i is None else f"x{n}" for n, i in enumerate(node.inputs)]
        self.outputs = [f"y{n}" for n in range(node.outputs)]
        self.constants = {
            n: i for n, i in zip(self.names, node.inputs, strict=True) if isinstance(i, np.ndarray)
        }
        self.inputs: dict[str, Array] = {
            n: rng.uniform(i.low, i.high, i.shape)
            for n, i in zip(self.names, node.inputs, strict=True)
            if isinstance(i, Random)
        }
        self.plan = self.planned(np.float64)
        outputs = onnx.defs.get_schema(node.op, node.opset, node.domain).outputs
        never = onnx.defs.OpSchema.DifferentiationCategory.NonDifferentiable
        self.differentiable = [
            name
            for name, o in zip(self.outputs, outputs, strict=False)
            if o.differentiation_category != never
        ]
        if node.op == "BatchNormalization":  # whose first versions leave it open
            del self.differentiable[1:]
        self.weights: dict[str, Array] = {}
        self._rng = rng

    def planned(self, kind: Any) -> lowering.Plan:
        """The plan for inputs of a float type; only what is a function of other operators depends on it."""
        node = self.node
        made = helper.make_node(node.op, self.names, self.outputs, domain=node.domain, **node.attributes)
        given: list[onnx.ValueInfoProto] = []
        if node.lowering is None:
            arrays = self.inputs | self.constants
            given = [
                helper.make_tensor_value_info(n, self._type(a, kind), a.shape) for n, a in arrays.items()
            ]
        graph = helper.make_graph([made], "g", given, [])
        opsets = [helper.make_opsetid(node.domain, node.opset)]
        opsets += [helper.make_opsetid("", NEWEST)] if node.domain else []
        return lowering.plan(helper.make_model(graph, opset_imports=opsets), ops)

    @staticmethod
    def _type(array: Array, kind: Any) -> int:
        return helper.np_dtype_to_tensor_dtype(np.dtype(kind) if array.dtype.kind == "f" else array.dtype)

    def value(self, inputs: dict[str, Any], kind: Any) -> Any:
        """A weighted sum of all outputs that can be differentiated."""
        constants = {
            n: a.astype(kind) if a.dtype.kind == "f" and a.dtype.itemsize > 2 else a
            for n, a in self.constants.items()
        }
        values = {**constants, **inputs}
        statistics = frozenset(self.names[3:5])
        context = TensorFlowContext(training=self.node.training, updated=statistics, values=values)
        plan = self.plan if self.node.lowering is not None else self.planned(kind)
        lowering.run(plan, values, context, execution.call)
        total = tf.zeros([], kind)
        for name in self.differentiable:
            result = execution.channels_first(values.get(name))
            if result is None:  # labels of a classifier, which engines leave to onnxruntime
                continue
            if name not in self.weights:
                self.weights[name] = self._rng.uniform(0.5, 1.5, result.shape)
            total += tf.reduce_sum(tf.cast(result, kind) * tf.constant(self.weights[name], kind))
        return total

    def gradients(self, kind: Any = np.float64, *, traced: bool = False) -> dict[str, Array]:
        """TensorFlow's gradients of ``value``."""

        def differentiate(inputs: dict[str, Any]) -> dict[str, Any]:
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                total = self.value(inputs, kind)
            zero = tf.UnconnectedGradients.ZERO
            found: dict[str, Any] = tape.gradient(total, inputs, unconnected_gradients=zero)
            return found

        function = tf.function(differentiate, autograph=False) if traced else differentiate
        inputs = {name: tf.constant(a, kind) for name, a in self.inputs.items()}
        return {name: tf.convert_to_tensor(g).numpy() for name, g in function(inputs).items()}

    def differences(self, step: float = 1e-5) -> dict[str, Array]:
        """Central differences of ``value`` in float64, element by element."""

        def at(name: str, array: Array) -> float:
            changed = {n: tf.constant(array if n == name else a, tf.float64) for n, a in self.inputs.items()}
            return float(self.value(changed, np.float64))

        found = {}
        for name, array in self.inputs.items():
            slopes = np.zeros_like(array)
            for index in np.ndindex(array.shape):
                moved = array.copy()
                moved[index] += step
                above = at(name, moved)
                moved[index] -= 2 * step
                slopes[index] = (above - at(name, moved)) / (2 * step)
            found[name] = slopes
        return found


def check(node: Node) -> None:
    """Compare TensorFlow's gradients in float64 with differences, and in float32, traced, with float64."""
    graph = Graph(node)
    exact = graph.gradients()
    step, rtol, atol = (1e-2, 2e-3, 1e-3) if node.single else (1e-5, 1e-5, 1e-6)
    for name, slopes in graph.differences(step).items():
        np.testing.assert_allclose(exact[name], slopes, rtol=rtol, atol=atol, err_msg=f"{node}: {name}")
    for name, single in graph.gradients(np.float32, traced=True).items():
        np.testing.assert_allclose(single, exact[name], rtol=2e-3, atol=2e-4, err_msg=f"{node}: {name}")


def ints(*values: int) -> Array:
    """A constant of int64, such as axes."""
    return np.array(values, np.int64)


def R(*shape: int, low: float = -2.0, high: float = 2.0) -> Random:
    """A random input of that shape."""
    return Random(shape, low, high)


def nodes(op: str, inputs: Sequence[Input], *attributes: dict[str, Any], **how: Any) -> Iterable[Node]:
    """The same node with several choices of attributes."""
    return [Node(op, tuple(inputs), chosen, **how) for chosen in attributes or ({},)]


def functions() -> dict[int, str]:
    """Each registered function by identity, with the operator version that names it in messages."""
    return {id(found.function): str(found.key) for found in ops}


__all__ = ["Graph", "Node", "R", "Random", "check", "functions", "ints", "nodes"]
