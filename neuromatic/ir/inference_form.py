"""Nodes that a file has in training form, and the inference form in which Neuromatic reads them.

PyTorch's ``TrainingMode.TRAINING`` and other exporters leave BatchNormalization and Dropout so that they take
a batch's statistics, or draw, whenever they run. Neuromatic gives such nodes one meaning everywhere, that of
inference: what is predicted for a row does not depend on the rows beside it, and files that are written have
this form. A training step gives the nodes their training meaning by itself.

What the graph uses in another way stays as it is: a normalization whose batch statistics are read, a Dropout
whose mode is an input. So do the files of Neuromatic, whose nodes in training form are there on purpose.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from neuromatic.ir.opsets import NEUROMATIC_DOMAIN, opset_of
from neuromatic.ir.traversal import Body, bodies, graphs_in

TRAINING_MODE, IS_TEST = "training_mode", "is_test"
LAST_WITH_IS_TEST = 6
"""Up to this opset the attribute ``is_test`` says which form a node has, and training is its default."""


def is_batch_normalization(node: NodeProto) -> bool:
    """Whether a node is ONNX' BatchNormalization."""
    return node.op_type == "BatchNormalization" and node.domain in ("", "ai.onnx")


def inference_form(model: ModelProto) -> ModelProto:
    """The model in inference form: itself if it is so, else a copy."""
    if not in_training_form(model):
        return model
    changed = ModelProto()
    changed.CopyFrom(model)
    to_inference_form(changed)
    return changed


def to_inference_form(model: ModelProto) -> None:
    """Give the nodes of a model that are in training form their inference form, in place."""
    old = (opset_of(model) or 0) <= LAST_WITH_IS_TEST
    for node in in_training_form(model):
        if node.op_type == "Dropout":
            del node.input[2:]
        else:
            del node.output[1:]
        kept = [a for a in node.attribute if a.name not in (TRAINING_MODE, IS_TEST)]
        del node.attribute[:]
        node.attribute.extend(kept)
        if old:
            node.attribute.append(helper.make_attribute(IS_TEST, 1))


def in_training_form(model: ModelProto) -> list[NodeProto]:
    """The nodes that draw at random, or take a batch's statistics, also in inference."""
    if model.producer_name == "neuromatic":
        return []
    old = (opset_of(model) or 0) <= LAST_WITH_IS_TEST
    found = [node for node, constants in _nodes(model) if _trains(node, constants, old)]
    if not any(is_batch_normalization(node) for node in found):
        return found
    read = _read(model)
    return [n for n in found if not is_batch_normalization(n) or read.isdisjoint(filter(None, n.output[1:]))]


def training_form_note(model: ModelProto) -> str | None:
    """One sentence on a model's nodes in training form; None where there are none."""
    counted = Counter(node.op_type for node in in_training_form(model))
    if not counted:
        return None
    some = ", ".join(f"{count} {op}" for op, count in sorted(counted.items()))
    return f"nodes in training form ({some}) are read, and written, in inference form"


def _trains(node: NodeProto, constants: Mapping[str, TensorProto], old: bool) -> bool:
    given = {a.name: a.i for a in node.attribute}
    if is_batch_normalization(node):
        if old:
            return given.get(IS_TEST) != 1
        return bool(given.get(TRAINING_MODE)) or len(node.output) > 1
    if node.op_type != "Dropout" or node.domain not in ("", "ai.onnx"):
        return False
    if old:
        return given.get(IS_TEST) != 1
    mode = constants.get(node.input[2]) if len(node.input) == 3 else None
    return mode is not None and bool(np.any(numpy_helper.to_array(mode)))


def _nodes(model: ModelProto) -> Iterator[tuple[NodeProto, Mapping[str, TensorProto]]]:
    """Every node that runs in inference, with the constants that it can see."""
    for body in (model.graph, *model.functions):
        if isinstance(body, GraphProto) or body.domain != NEUROMATIC_DOMAIN:
            yield from _nodes_in(body, {})


def _nodes_in(
    body: Body, outer: Mapping[str, TensorProto]
) -> Iterator[tuple[NodeProto, Mapping[str, TensorProto]]]:
    constants = {**outer, **_constants(body)}
    for node in body.node:
        yield node, constants
        for graph in graphs_in(node):
            yield from _nodes_in(graph, constants)


def _constants(body: Body) -> dict[str, TensorProto]:
    """The values of a body that do not depend on its inputs, as far as they are written in it."""
    found = {t.name: t for t in body.initializer} if isinstance(body, GraphProto) else {}
    for node in body.node:
        value = next((a.t for a in node.attribute if a.name == "value"), None)
        if node.op_type == "Constant" and value is not None:
            found[node.output[0]] = value
        elif node.op_type == "Identity" and node.input[0] in found:
            found[node.output[0]] = found[node.input[0]]
    return found


def _read(model: ModelProto) -> set[str]:
    """Every name that some node reads, some graph or function gives, or training binds."""
    found = {binding.value for info in model.training_info for binding in info.update_binding}
    for body in bodies(model):
        found.update(name for node in body.node for name in node.input)
        found.update(str(getattr(output, "name", output)) for output in body.output)
    return found
