"""What other programs export is made fit for training, once: before a loss is chosen.

- Weights that are ``Constant`` nodes become initializers (:mod:`neuromatic.transfer.lift_constants`).
- So do those that LinearRegressor and LinearClassifier, of scikit-learn's models, have as attributes; plain
  nodes take their place (:mod:`neuromatic.transfer.linear_models`).
- PyTorch writes parameters of equal values once, and an ``Identity`` node in place of each other one, for
  instance of the running mean and the offset of a new BatchNormalization. Each gets its own initializer,
  under its own name. What PyTorch shares on purpose has no such node, and stays shared.
- BatchNormalization and Dropout in training form get their inference form. A training step gives them their
  training meaning by itself, and the file stays one that can be deployed.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper

from neuromatic.ir.types import FLOATS
from neuromatic.recipe.running_statistics import is_batch_normalization
from neuromatic.recipe.schema import METADATA_KEY
from neuromatic.transfer import lift_constants as lifting
from neuromatic.transfer.linear_models import linear_models, with_initializers

TRAINING_MODE = "training_mode"


def for_training(model: ModelProto) -> ModelProto:
    """The model, changed as above if another program wrote it and it has had no recipe before."""
    chosen = any(p.key == METADATA_KEY for p in model.metadata_props)
    if chosen or model.producer_name == "neuromatic":
        return model
    ready = lifting.lift(model) if lifting.hidden_weights(model) else model
    ready = with_initializers(ready) if linear_models(ready.graph) else ready
    if not (copies(ready) or in_training_form(ready.graph)):
        return ready
    changed = ModelProto()
    changed.CopyFrom(ready)
    _separate(changed)
    for node in in_training_form(changed.graph):
        _to_inference(node)
    return changed


def copies(model: ModelProto) -> list[NodeProto]:
    """The ``Identity`` nodes of a file by PyTorch that stand for initializers of their own."""
    if model.producer_name != "pytorch":
        return []
    stored = {t.name for t in model.graph.initializer if t.data_type in FLOATS}
    outputs = {o.name for o in model.graph.output}
    return [
        node
        for node in model.graph.node
        if node.op_type == "Identity" and node.input[0] in stored and node.output[0] not in outputs
    ]


def in_training_form(graph: GraphProto) -> list[NodeProto]:
    """The nodes that draw at random, or take a batch's statistics, also in inference."""
    constants = _constants(graph)
    read = {name for node in graph.node for name in node.input} | {o.name for o in graph.output}
    found = []
    for node in graph.node:
        if is_batch_normalization(node):
            trains = len(node.output) > 1 or any(a.name == TRAINING_MODE and a.i for a in node.attribute)
            if trains and read.isdisjoint(filter(None, node.output[1:])):
                found.append(node)
        elif node.op_type == "Dropout" and node.domain in ("", "ai.onnx") and len(node.input) == 3:
            mode = constants.get(node.input[2])
            if mode is not None and bool(np.any(numpy_helper.to_array(mode))):
                found.append(node)
    return found


def _separate(model: ModelProto) -> None:
    stored = {t.name: t for t in model.graph.initializer}
    for node in copies(model):
        tensor = model.graph.initializer.add()
        tensor.CopyFrom(stored[node.input[0]])
        tensor.name = node.output[0]
        model.graph.node.remove(node)


def _to_inference(node: NodeProto) -> None:
    if node.op_type == "Dropout":
        del node.input[2:]
        return
    del node.output[1:]
    kept = [a for a in node.attribute if a.name != TRAINING_MODE]
    del node.attribute[:]
    node.attribute.extend(kept)


def _constants(graph: GraphProto) -> Mapping[str, TensorProto]:
    """The values of a graph that do not depend on its inputs, as far as they are written in it."""
    nodes = [node for node in graph.node if node.op_type == "Constant"]
    values = {node.output[0]: a.t for node in nodes for a in node.attribute if a.name == "value"}
    return {t.name: t for t in graph.initializer} | values
