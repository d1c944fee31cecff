"""A transformer on CNTK and on TensorFlow."""

from __future__ import annotations

import pytest

from neuromatic.reports.parity import compare
from tests.neuromatic import transformers

pytestmark = pytest.mark.usefixtures("cntk_environment")


@pytest.mark.parametrize("causal", [False, True])
def test_both_engines_train_alike(causal: bool) -> None:
    model = transformers.model(causal)
    x, y = transformers.data(80)
    found = compare(model, x, y, batch_size=8, seed=3, verbose=0, engine_options={"cntk": {"threads": 1}})
    assert len(found.losses["cntk"]) == 10
    assert found.losses["cntk"][-1] < found.losses["cntk"][0]
    assert found.loss_difference < 1e-4
    assert found.weight_difference[0] < 1e-3, found.weight_difference
    assert found.output_difference < 1e-3
