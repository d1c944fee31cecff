"""Optimizers on CNTK as on TensorFlow, from the same gradients; most are recorded from their functions."""

from __future__ import annotations

import numpy as np
import pytest

from neuromatic import optimizers
from neuromatic.converters.cntk.recorder import Recorder
from neuromatic.errors import UnsupportedFeatureError
from neuromatic.optimizers import MultiOptimizer
from tests.catalogue.descent import net, trained

ON_CNTK: dict[str, optimizers.Optimizer] = {
    "sgd, all options": optimizers.SGD(
        0.05, momentum=0.9, weight_decay=0.1, global_clipnorm=0.4, use_ema=True, ema_overwrite_frequency=4
    ),
    "adam, accumulating": optimizers.Adam(0.02, clipnorm=0.3, gradient_accumulation_steps=3),
    "average alone": optimizers.SGD(0.05, use_ema=True, ema_momentum=0.8),
    "adamw, rates by pattern": optimizers.AdamW(0.02, learning_rates={"*/bias": 0.3}, clipvalue=0.1),
    "amsgrad": optimizers.Adam(0.02, amsgrad=True),
    "adadelta": optimizers.Adadelta(0.5),
    "adafactor": optimizers.Adafactor(0.02),
    "adagrad": optimizers.Adagrad(0.02),
    "adamax": optimizers.Adamax(0.02),
    "ftrl": optimizers.Ftrl(0.02, l1_regularization_strength=0.01),
    "lamb": optimizers.Lamb(0.02),
    "lion": optimizers.Lion(0.02),
    "muon": optimizers.Muon(0.02),
    "nadam": optimizers.Nadam(0.02),
    "schedule-free": optimizers.ScheduleFreeAdamW(0.02, warmup_steps=4),
    "by pattern": MultiOptimizer(optimizers.Adamax(0.02), {"*/bias": optimizers.SGD(0.1)}),
}


@pytest.mark.usefixtures("cntk_environment")
@pytest.mark.parametrize("name", ON_CNTK)
def test_ten_steps_on_cntk(name: str) -> None:
    expected, found = (
        trained(ON_CNTK[name]),
        trained(ON_CNTK[name], engine="cntk", engine_options={"threads": 1}),
    )
    assert found.keys() == expected.keys()
    for key, wanted in expected.items():
        np.testing.assert_allclose(found[key], wanted, rtol=1e-4, atol=1e-5, err_msg=key)


def test_averages_are_not_left_to_a_learner_of_cntk() -> None:
    plain, averaged = (net(optimizers.SGD(use_ema=flag)).proto for flag in (False, True))
    assert Recorder(plain).learner is not None
    assert Recorder(averaged).learner is None


def test_a_scaled_loss_is_refused() -> None:
    with pytest.raises(UnsupportedFeatureError, match="cntk takes gradients of the loss itself, not of"):
        Recorder(net(optimizers.SGD(loss_scale_factor=8.0)).proto)
