"""Training steps without Dropout and the layers like it."""

from __future__ import annotations

import re
from typing import Literal

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from neuromatic.ir.opsets import NEUROMATIC_DOMAIN, TRAINING_SUFFIX
from neuromatic.ir.traversal import Body, bodies

DropoutForm = Literal["train", "off"]
"""Whether Dropout and what is like it draw in training, or pass on what they get, as in inference."""

LAYERS = ("AlphaDropout", "GaussianDropout", "GaussianNoise", "InputDropout", "SharedDropout")
"""The functions of layers that, like ONNX' own Dropout, disturb values in training to regularize it.

They are those of Keras' regularization layers and of ``dropout=`` and ``recurrent_dropout=`` of recurrent
ones. Layers that augment data are others.
"""

_TRAINING = re.compile(rf"({'|'.join(LAYERS)})(_\d+)?{TRAINING_SUFFIX}")
_NO_RATIO = "dropout/none"


def without_dropout(step: ModelProto) -> None:
    """Take Dropout out of a training step, in place; layers like it pass on what they get."""
    drawing = [f for f in step.functions if f.domain == NEUROMATIC_DOMAIN and _TRAINING.fullmatch(f.name)]
    for function in drawing:
        step.functions.remove(function)
    for body in list(bodies(step)):
        nodes = [n for n in body.node if n.op_type == "Dropout" and n.domain in ("", "ai.onnx")]
        if nodes:
            _without_ratio(body, nodes)


def _without_ratio(body: Body, nodes: list[NodeProto]) -> None:
    constant = False
    for node in nodes:
        attribute = next((a for a in node.attribute if a.name == "ratio"), None)
        if attribute is not None:  # before opset 12
            attribute.CopyFrom(helper.make_attribute("ratio", 0.0))
            continue
        given = list(node.input)
        del node.input[:]
        node.input.extend([given[0], _NO_RATIO, *given[2:]])
        constant = True
    if constant:
        zero = numpy_helper.from_array(np.zeros((), np.float32))
        body.node.insert(0, helper.make_node("Constant", [], [_NO_RATIO], value=zero))
