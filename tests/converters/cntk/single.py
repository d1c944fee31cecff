"""One node on CNTK and in onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from neuromatic.converters.cntk.client import Worker
from neuromatic.converters.cntk.evaluate import run_model

Array = NDArray[Any]
IR_VERSION = 10
TOLERANCE = 2e-5


def check(
    worker: Worker,
    op: str,
    inputs: Mapping[str, Array],
    *,
    opset: int = 21,
    constants: Sequence[str] = (),
    batched: Sequence[str] = (),
    outputs: int = 1,
    **attributes: Any,
) -> None:
    """Assert that a node computes the same in both: with fixed shapes, then with CNTK's batch.

    Args:
        inputs: in the node's order; those whose name starts with ``_`` are left out.
        constants: which are initializers.
        batched: which have the batch in the second form; the first input if none are named.
    """
    names = ["" if name.startswith("_") else name for name in inputs]
    results = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(op, names, results, **attributes)
    fed = {name: a for name, a in inputs.items() if name in names and name not in constants}
    infos = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for name, a in fed.items()
    ]
    stored = [numpy_helper.from_array(inputs[name], name) for name in constants]
    values = [helper.make_empty_tensor_value_info(name) for name in results]
    graph = helper.make_graph([node], "one", infos, values, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=IR_VERSION)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    expected = session.run(None, fed)
    for rows in ((), tuple(batched) or tuple(fed)[:1]):
        found = run_model(model, fed, worker, batched=rows)
        for name, value in zip(results, expected, strict=True):
            assert found[name].dtype == value.dtype
            np.testing.assert_allclose(found[name], value, rtol=TOLERANCE, atol=TOLERANCE, err_msg=f"{rows}")


def normal(*shape: int, seed: int = 0) -> Array:
    """Normally distributed float32."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)
