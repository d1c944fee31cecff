"""Nodes of operators that neither ONNX' own tests nor the gradient tests evaluate with floats."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.conformance.gradients import Array, Input, Node, R, ints, nodes


def listed(*shapes: tuple[int, ...]) -> list[Array]:
    """A sequence of tensors."""
    rng = np.random.default_rng(0)
    return [rng.uniform(-1, 1, shape) for shape in shapes]


_PAIR = listed((2, 3), (2, 3))
_ONE = np.array(1)
_KERNEL = {"kernel_type": "RBF", "kernel_params": [0.5, 0.0, 0.0], "support_vectors": [0.1, 0.2, -0.3, 0.4]}
_TREE = {
    "nodes_treeids": [0, 0, 0],
    "nodes_nodeids": [0, 1, 2],
    "nodes_featureids": [0, 0, 0],
    "nodes_values": [0.1, 0.0, 0.0],
    "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
    "nodes_truenodeids": [1, 0, 0],
    "nodes_falsenodeids": [2, 0, 0],
}
SEQUENCES: list[Node] = [
    *nodes("ConcatFromSequence", [_PAIR], {"axis": 0}),
    Node("SequenceAt", (_PAIR, _ONE)),
    Node("SequenceConstruct", (R(2, 3), R(2, 3))),
    Node("SequenceErase", (_PAIR, _ONE)),
    Node("SequenceInsert", (_PAIR, R(2, 3))),
    Node("SequenceLength", (_PAIR,)),
    Node("Optional", (R(2, 3),)),
]
PLAIN: list[Node] = [
    Node("Equal", (R(2, 3), R(2, 3))),
    Node("EyeLike", (R(2, 3),)),
    Node("Resize", (R(2, 3), None, np.array([1.3, 0.8])), {"mode": "linear"}),
    Node("Upsample", (R(2, 3), np.array([1.3, 0.8])), {"mode": "linear"}, opset=9),
    Node("Range", (np.array(0.3), np.array(5.0), np.array(0.7)), opset=11),
    Node("NonZero", (R(2, 3),)),
    Node("MaxRoiPool", (R(1, 2, 5, 5), np.array([[0.0, 0.2, 0.3, 3.4, 3.1]])), {"pooled_shape": [2, 2]}),
]


def _learnt(op: str, inputs: tuple[Input, ...], attributes: dict[str, Any], outputs: int = 1) -> Node:
    return Node(op, inputs, attributes, opset=3, outputs=outputs, domain="ai.onnx.ml", single=True)


LINEAR: list[Node] = [
    _learnt("Scaler", (R(2, 3),), {"scale": [0.5, 1.0, 2.0], "offset": [0.1, 0.2, 0.3]}),
    _learnt("Normalizer", (R(2, 3),), {"norm": "L2"}),
    _learnt("Imputer", (R(2, 3),), {"imputed_value_floats": [0.5], "replaced_value_float": 9.0}),
    _learnt("FeatureVectorizer", (R(2, 3), R(2, 1)), {"inputdimensions": [3, 1]}),
    _learnt("LinearRegressor", (R(2, 3),), {"coefficients": [0.5, 1.0, 2.0], "intercepts": [0.1]}),
    _learnt(
        "LinearClassifier",
        (R(2, 2),),
        {"coefficients": [0.5, 1.0, 2.0, -1.0], "intercepts": [0.1, 0.2], "classlabels_ints": [0, 1]},
        outputs=2,
    ),
    _learnt("ArrayFeatureExtractor", (R(2, 3), ints(0, 2)), {}),
]
"""Of scikit-learn's models, what gradients pass; checked as others are."""
LEARNT: list[Node] = [
    _learnt(
        "SVMRegressor",
        (R(2, 2),),
        {**_KERNEL, "coefficients": [0.5, 1.0], "n_supports": 2, "rho": [0.1]},
    ),
    _learnt(
        "SVMClassifier",
        (R(2, 2),),
        {
            **_KERNEL,
            "coefficients": [0.5, 1.0],
            "rho": [0.1],
            "vectors_per_class": [1, 1],
            "classlabels_ints": [0, 1],
        },
        outputs=2,
    ),
    _learnt("OneHotEncoder", (np.array([1.0, 2.0], np.float32),), {"cats_int64s": [1, 2]}),
    _learnt(
        "LabelEncoder",
        (np.array([1.0, 2.0], np.float32),),
        {"keys_floats": [1.0, 2.0], "values_floats": [3.0, 4.0]},
    ),
    _learnt(
        "TreeEnsembleRegressor",
        (R(4, 1),),
        {
            **_TREE,
            "target_treeids": [0, 0],
            "target_nodeids": [1, 2],
            "target_ids": [0, 0],
            "target_weights": [1.0, 2.0],
            "n_targets": 1,
        },
    ),
    _learnt(
        "TreeEnsembleClassifier",
        (R(4, 1),),
        {
            **_TREE,
            "class_treeids": [0, 0],
            "class_nodeids": [1, 2],
            "class_ids": [0, 1],
            "class_weights": [1.0, 2.0],
            "classlabels_int64s": [0, 1],
        },
        outputs=2,
    ),
]
SAMPLES = SEQUENCES + PLAIN + LEARNT
