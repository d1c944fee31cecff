"""What other programs export is made fit for training, once: before a loss is chosen.

- Weights that are ``Constant`` nodes become initializers (:mod:`neuromatic.transfer.lift_constants`).
- So do those that LinearRegressor and LinearClassifier, of scikit-learn's models, have as attributes; plain
  nodes take their place (:mod:`neuromatic.transfer.linear_models`).
- PyTorch writes parameters of equal values once, and an ``Identity`` node in place of each other one, for
  instance of the running mean and the offset of a new BatchNormalization. Each gets its own initializer,
  under its own name. What PyTorch shares on purpose has no such node, and stays shared.
- BatchNormalization and Dropout in training form get their inference form, see
  :mod:`neuromatic.ir.inference_form`.
"""

from __future__ import annotations

from onnx import ModelProto, NodeProto

from neuromatic.ir.inference_form import in_training_form, to_inference_form
from neuromatic.ir.types import FLOATS
from neuromatic.recipe.schema import METADATA_KEY
from neuromatic.transfer import lift_constants as lifting
from neuromatic.transfer.linear_models import linear_models, with_initializers


def for_training(model: ModelProto) -> ModelProto:
    """The model, changed as above if another program wrote it and it has had no recipe before."""
    chosen = any(p.key == METADATA_KEY for p in model.metadata_props)
    if chosen or model.producer_name == "neuromatic":
        return model
    ready = lifting.lift(model) if lifting.hidden_weights(model) else model
    ready = with_initializers(ready) if linear_models(ready.graph) else ready
    if not (copies(ready) or in_training_form(ready)):
        return ready
    changed = ModelProto()
    changed.CopyFrom(ready)
    _separate(changed)
    to_inference_form(changed)
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


def _separate(model: ModelProto) -> None:
    stored = {t.name: t for t in model.graph.initializer}
    for node in copies(model):
        tensor = model.graph.initializer.add()
        tensor.CopyFrom(stored[node.input[0]])
        tensor.name = node.output[0]
        model.graph.node.remove(node)
