"""Every optimizer against Keras', from the same parameters and the same gradients, over ten steps."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuromatic import optimizers
from neuromatic.optimizers import MultiOptimizer
from tests.catalogue.descent import (
    assert_equals_keras,
    everything,
    gradients,
    keras_trained,
    net,
    rows,
    trained,
)
from tests.catalogue.status import absent, different, equal

different(
    "optimizers",
    "ScheduleFreeAdamW",
    "is what the paper and Keras' own lines say; on TensorFlow, Keras 3.15 reads the fast iterate after it "
    "has changed it, where the old one is meant",
)
different(
    "optimizers",
    "MultiOptimizer",
    "takes the default optimizer and the mapping, without an OptimizerMap; patterns are those of freeze, "
    "the first that matches counts, and the rates keep their ratio when the learning rate changes",
)
absent(
    "optimizers",
    "LossScaleOptimizer",
    "parameters and gradients are float32 or float64, which need no scale that adapts; loss_scale_factor is "
    "a fixed one",
)

settings.register_profile("optimizers", derandomize=True, deadline=None, max_examples=3, database=None)
QUICKLY = settings.get_profile("optimizers")

SHARES = st.sampled_from([0.0, 0.3, 0.8, 0.95])
INNER = st.sampled_from([0.3, 0.8, 0.95])
SMALL = st.sampled_from([1e-7, 1e-4, 1e-2])
SIZES = st.sampled_from([0.0, 0.01, 0.3])
FLAGS = st.booleans()
RATES = st.sampled_from([0.001, 0.02, 0.1])
BETAS = {"beta_1": SHARES, "beta_2": INNER, "epsilon": SMALL}

ARGUMENTS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "SGD": {"momentum": SHARES, "nesterov": FLAGS},
    "RMSprop": {"rho": SHARES, "momentum": SHARES, "epsilon": SMALL, "centered": FLAGS},
    "Adam": {**BETAS, "amsgrad": FLAGS},
    "AdamW": {**BETAS, "amsgrad": FLAGS, "weight_decay": SIZES},
    "Adadelta": {"rho": INNER, "epsilon": SMALL},
    "Adagrad": {"initial_accumulator_value": SIZES, "epsilon": SMALL},
    "Adamax": BETAS,
    "Adafactor": {
        "beta_2_decay": st.sampled_from([-0.8, -0.5]),
        "epsilon_1": st.sampled_from([1e-30, 1e-3]),
        "epsilon_2": SIZES,
        "clip_threshold": st.sampled_from([0.5, 1.0, 2.0]),
        "relative_step": FLAGS,
    },
    "Nadam": BETAS,
    "Ftrl": {
        "learning_rate_power": st.sampled_from([0.0, -0.3, -0.5]),
        "initial_accumulator_value": st.sampled_from([0.1, 0.5]),
        "l1_regularization_strength": SIZES,
        "l2_regularization_strength": SIZES,
        "l2_shrinkage_regularization_strength": SIZES,
        "beta": SIZES,
    },
    "Lion": {"beta_1": INNER, "beta_2": SHARES},
    "Lamb": BETAS,
    "Muon": {
        "adam_beta_1": SHARES,
        "adam_beta_2": INNER,
        "adam_weight_decay": SIZES,
        "adam_lr_ratio": st.sampled_from([0.5, 1.0]),
        "momentum": SHARES,
        "ns_steps": st.sampled_from([1, 5]),
        "nesterov": FLAGS,
        "rms_rate": st.sampled_from([None, 0.2]),
        "exclude_layers": st.sampled_from([[], ["kernel"]]),
    },
}
COMMON = {
    "weight_decay": st.sampled_from([None, 0.1]),
    "use_ema": FLAGS,
    "ema_momentum": SHARES,
    "ema_overwrite_frequency": st.sampled_from([None, 3]),
    "gradient_accumulation_steps": st.sampled_from([None, 3]),
    "loss_scale_factor": st.sampled_from([None, 16.0]),
}
CLIPPING = st.sampled_from([{}, {"clipnorm": 0.3}, {"clipvalue": 0.1}, {"global_clipnorm": 0.4}])


def assert_same(name: str, arguments: dict[str, Any], **options: Any) -> None:
    ours = getattr(optimizers, name)(**arguments)
    arguments.pop("loss_scale_factor", None)  # Keras gets gradients of the loss itself
    assert_equals_keras(ours, getattr(keras.optimizers, name)(**arguments), **options)


@equal("optimizers", *ARGUMENTS)
@pytest.mark.parametrize("name", ARGUMENTS)
@settings(QUICKLY)
@given(data=st.data())
def test_ten_steps_as_in_keras(name: str, data: st.DataObject) -> None:
    arguments = data.draw(st.fixed_dictionaries({"learning_rate": RATES, **ARGUMENTS[name]}))
    assert_same(name, arguments)


@settings(QUICKLY, max_examples=10)
@given(
    name=st.sampled_from(["SGD", "Adam", "Nadam", "Adagrad", "Muon"]),
    common=st.fixed_dictionaries(COMMON),
    clipping=CLIPPING,
)
def test_the_options_of_all_optimizers(name: str, common: dict[str, Any], clipping: dict[str, Any]) -> None:
    assert_same(name, {"learning_rate": 0.02, **common, **clipping})


@pytest.mark.parametrize("name", [*ARGUMENTS, "ScheduleFreeAdamW"])
def test_arguments_and_defaults_are_keras(name: str) -> None:
    theirs = inspect.signature(getattr(keras.optimizers, name)).parameters
    ours = inspect.signature(getattr(optimizers, name)).parameters
    for argument, parameter in theirs.items():
        if argument in ("name", "kwargs"):
            continue
        default = ours[argument].default
        assert (list(default) or None if isinstance(default, tuple) else default) == parameter.default, (
            argument
        )


@pytest.mark.parametrize("name", ["Adamax", "Adafactor", "Nadam", "Ftrl"])
def test_float64(name: str) -> None:
    assert_same(name, {"learning_rate": 0.02, "weight_decay": 0.1, "global_clipnorm": 0.4}, dtype="float64")


@pytest.mark.parametrize("warmup", [0, 4])
def test_schedule_free_by_its_formula(warmup: int) -> None:
    ours = optimizers.ScheduleFreeAdamW(0.02, beta_1=0.8, warmup_steps=warmup)
    z = mean = net(ours).parameters()["dense/kernel"].astype(np.float64)
    v, y = np.zeros_like(z), z
    for t, (kernel, _) in enumerate(gradients(*rows()), 1):
        v = 0.999 * v + 0.001 * kernel.astype(np.float64) ** 2
        rate = 0.02 * min(1.0, t / warmup if warmup else 1.0)
        z = z - rate * kernel / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        mean = (1 - 1 / t) * mean + z / t
        y = 0.2 * z + 0.8 * mean
    np.testing.assert_allclose(trained(ours)["dense/kernel"], y, rtol=1e-5, atol=1e-5)


def test_weights_that_do_not_decay() -> None:
    theirs = keras.optimizers.SGD(0.1, weight_decay=0.5)
    theirs.exclude_from_weight_decay(var_names=["bias"])
    ours = optimizers.SGD(0.1, weight_decay=0.5, exclude_from_weight_decay=["bias"])
    assert_equals_keras(ours, theirs)


def test_a_rate_that_changes_with_every_option() -> None:
    arguments: dict[str, Any] = {"weight_decay": 0.1, "use_ema": True, "ema_overwrite_frequency": 4}
    assert_same("Lamb", arguments, learning_rate=lambda step: 0.02 * (1.5 + np.sin(step)))


def test_rates_by_pattern() -> None:
    """As if each parameter had an optimizer of its own in Keras."""
    ours = optimizers.Adam(0.02, weight_decay=0.1, learning_rates={"*/bias": 0.25, "*": 1.0})
    start = [net(ours).parameters()[f"dense/{name}"] for name in ("kernel", "bias")]
    kernel, _ = keras_trained(keras.optimizers.Adam(0.02, weight_decay=0.1), start)
    _, bias = keras_trained(keras.optimizers.Adam(0.005, weight_decay=0.1), start)
    found = trained(ours)
    np.testing.assert_allclose(found["dense/kernel"], kernel, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found["dense/bias"], bias, rtol=1e-5, atol=1e-5)


def test_optimizers_by_pattern() -> None:
    ours = MultiOptimizer(
        optimizers.Adagrad(0.1, clipnorm=0.2),
        {"*/bias": optimizers.SGD(0.05, momentum=0.9, use_ema=True)},
        loss_scale_factor=4.0,
    )
    start = [net(ours).parameters()[f"dense/{name}"] for name in ("kernel", "bias")]
    by_keras = keras.optimizers.MultiOptimizer(
        keras.optimizers.OptimizerMap(
            keras.optimizers.Adagrad(0.1, clipnorm=0.2),
            {"dense_bias": keras.optimizers.SGD(0.05, momentum=0.9, use_ema=True)},
        )
    )
    variables = [
        keras.Variable(v, name=n) for v, n in zip(start, ("dense_kernel", "dense_bias"), strict=True)
    ]
    for found in gradients(*rows()):
        by_keras.apply([keras.ops.convert_to_tensor(g) for g in found], variables)
    by_keras.finalize_variable_values(variables)
    result = trained(ours)
    for name, wanted in zip(("kernel", "bias"), variables, strict=True):
        np.testing.assert_allclose(result[f"dense/{name}"], np.asarray(wanted), rtol=1e-5, atol=1e-5)


def test_states_as_keras_has_them() -> None:
    """An accumulator that starts above zero, one factored state for rows and one for columns, a product."""
    start = everything(net(optimizers.Adagrad(initial_accumulator_value=0.3)))
    np.testing.assert_array_equal(start["accumulator/dense/kernel"], np.full((3, 5), 0.3, np.float32))
    factored = everything(net(optimizers.Adafactor()))
    assert factored["row/dense/kernel"].shape == (3, 1)
    assert factored["column/dense/kernel"].shape == (1, 5)
    assert factored["velocity/dense/bias"].shape == (5,)
    product = trained(optimizers.Nadam(beta_1=0.8), steps=2)["u_product/dense/bias"]
    expected = 0.8**2 * (1 - 0.5 * 0.96) * (1 - 0.5 * 0.96**2)
    np.testing.assert_allclose(product, expected, rtol=1e-6)
    copied = net(optimizers.ScheduleFreeAdamW())
    np.testing.assert_array_equal(
        everything(copied)["momentum/dense/kernel"], copied.parameters()["dense/kernel"]
    )


def test_an_average_of_parameters() -> None:
    """In float64 by its formula; at the end it takes the parameters' place."""
    found = trained(optimizers.SGD(0.1, use_ema=True, ema_momentum=0.75), "float64")
    weights = net(optimizers.SGD(), "float64").parameters()["dense/kernel"]
    average = 0.0 * weights
    for step, (kernel, _) in enumerate(gradients(*rows(dtype="float64"))):
        weights = weights - np.float32(0.1) * kernel
        average = 0.75 * average + 0.25 * weights if step else weights
    np.testing.assert_allclose(found["dense/kernel"], average, rtol=1e-6)
    np.testing.assert_array_equal(found["dense/kernel"], found["average/dense/kernel"])


def test_accumulated_gradients_are_one_larger_batch() -> None:
    found = trained(optimizers.SGD(0.1, gradient_accumulation_steps=5))
    means = np.array([kernel for kernel, _ in gradients(*rows())]).reshape(2, 5, 3, 5).mean(axis=1)
    expected = net(optimizers.SGD()).parameters()["dense/kernel"] - 0.1 * means.sum(axis=0)
    np.testing.assert_allclose(found["dense/kernel"], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found["gradient_accumulator/dense/kernel"], 0.0)
