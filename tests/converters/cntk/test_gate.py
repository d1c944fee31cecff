"""What CNTK gets wrong is found before the first step, with the node's name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from neuromatic.converters.cntk import ops as ck
from neuromatic.converters.cntk.graph import Tensor
from neuromatic.converters.cntk.lowerings import ops
from neuromatic.converters.lowering import Scope
from neuromatic.errors import VerificationError
from tests.converters.cntk.nets import data, with_recipe

pytestmark = pytest.mark.usefixtures("cntk_environment")


@pytest.fixture
def wrong_tanh() -> Iterator[None]:
    """Tanh lowered as something else."""

    def wrong(scope: Scope, input: Tensor) -> Tensor:
        return ck.scaled(ck.unary("tanh", input), 1.01)

    right = ops.find("Tanh", 17)
    assert right is not None
    ops._lowerings[right.key] = replace(right, function=wrong)
    yield
    ops._lowerings[right.key] = right


@pytest.mark.usefixtures("wrong_tanh")
def test_the_first_node_that_differs_is_named() -> None:
    x, y = data((12,))
    model = with_recipe("mlp", "sgd")
    before = model.parameters()
    with pytest.raises(
        VerificationError, match=r"differ from node 'dense/Tanh' \(Tanh\) on.*nothing was trained"
    ):
        model.train(x, y, verbose=0, engine="cntk", engine_options={"threads": 1})
    for name, value in model.parameters().items():
        np.testing.assert_array_equal(value, before[name])


def test_one_row_is_enough_to_train_on() -> None:
    x, y = data((12,), rows=1)
    history = with_recipe("mlp", "sgd").train(x, y, verbose=0, engine="cntk", engine_options={"threads": 1})
    assert len(history.step_losses) == 1
