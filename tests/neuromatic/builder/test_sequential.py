"""Sequential: immutable, fluent, and clear about mistakes."""

from __future__ import annotations

import dataclasses
import inspect
import subprocess
import sys
from collections.abc import Callable
from keyword import iskeyword
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from neuromatic import layers
from neuromatic._names import snake_case
from neuromatic.builder import generate
from neuromatic.builder.sequential import Sequential
from neuromatic.errors import ShapeError, UnknownNameError
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value
from neuromatic.layers import Dense, Layer

CLASSES = [c for c in dict.fromkeys(getattr(layers, name) for name in layers.__all__) if c is not Layer]
MERGING = [c for c in CLASSES if c.merges]
UNARY = [c for c in CLASSES if c not in MERGING and not iskeyword(snake_case(c.__name__))]

CNN = (
    Sequential((1, 12, 12))
    .conv2d(4, 3, activation="relu", padding="same")
    .batch_normalization()
    .max_pooling2d(2)
    .flatten()
    .dropout(0.25)
    .dense(10)
    .dense(10, activation="softmax")
)


def test_a_chain_becomes_a_checked_model() -> None:
    model = CNN.onnx()
    onnx.checker.check_model(model, full_check=True)
    assert [t.name for t in model.graph.initializer if t.name.endswith("kernel")] == [
        "conv2d/kernel",
        "dense/kernel",
        "dense_1/kernel",
    ]
    assert model.graph.name == "sequential"
    assert [v.name for v in model.graph.output] == ["dense_1"]
    assert CNN.output.shape == ("batch", 10)


def test_a_call_returns_a_new_chain_and_keeps_the_old_one() -> None:
    stem = Sequential((3,)).dense(4)
    left, right = stem.dense(2), stem.relu()
    assert (len(stem.layers), len(left.layers), len(right.layers)) == (1, 2, 2)
    assert stem.output.shape == ("batch", 4)
    assert left.output.shape == ("batch", 2)
    assert left.layers[0] is right.layers[0]
    assert left.input is stem.input
    with pytest.raises(dataclasses.FrozenInstanceError):
        stem.layers = ()  # type: ignore[misc]


def test_append_costs_one_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Sequential((3,)).dense(4).dense(5)
    calls: list[Layer] = []
    emit = Dense.emit

    def counted(self: Dense, g: GraphBuilder, x: Value) -> Value:
        calls.append(self)
        return emit(self, g, x)

    monkeypatch.setattr(Dense, "emit", counted)
    longer = model.append(Dense(6))
    assert calls == [longer.layers[-1]]


def test_layers_may_be_given_at_once() -> None:
    given = [Dense(4), Dense(2)]
    model = Sequential([3], layers=tuple(given))
    grown = Sequential((3,)).append(given[0]).append(given[1])
    assert model == grown
    assert hash(model) == hash(grown)
    assert model.output.shape == grown.output.shape == ("batch", 2)


def test_the_same_layer_twice_has_its_parameters_once() -> None:
    shared = Dense(3)
    model = Sequential((3,)).append(shared).append(shared).onnx()
    assert [t.name for t in model.graph.initializer] == ["dense/kernel", "dense/bias"]


def test_the_seed_decides_the_parameters() -> None:
    def kernel(seed: int) -> Any:
        return numpy_helper.to_array(Sequential((3,), seed=seed).dense(4).onnx().graph.initializer[0])

    np.testing.assert_array_equal(kernel(1), kernel(1))
    assert not np.array_equal(kernel(1), kernel(2))


def test_options_reach_the_model() -> None:
    model = Sequential((3, "time"), "float64", opset=21, name="mine").relu().onnx()
    assert (model.graph.name, model.opset_import[0].version) == ("mine", 21)
    tensor = model.graph.input[0].type.tensor_type
    assert tensor.elem_type == onnx.TensorProto.DOUBLE
    assert [d.dim_param or d.dim_value for d in tensor.shape.dim] == ["batch", 3, "time"]


@pytest.mark.parametrize("opset", [16, 99])
def test_an_impossible_opset_is_refused(opset: int) -> None:
    with pytest.raises(ValueError, match=f"opset must be from 17 to .* got {opset}"):
        Sequential((3,), opset=opset)


@pytest.mark.parametrize("opset", [17, 21, 25, onnx.defs.onnx_opset_version()])
def test_every_layer_can_be_written_at_newer_opsets(opset: int) -> None:
    model = dataclasses.replace(CNN, opset=opset)
    model = model.reshape((2, 5)).elu().leaky_relu().prelu().softmax().relu(max_value=6.0)
    model = model.reshape((2, 5, 1)).average_pooling2d(1).global_average_pooling2d().activation("gelu")
    assert model.onnx().opset_import[0].version == opset


def test_mistakes_are_reported_by_the_call_that_makes_them() -> None:
    model = Sequential((3, 4)).dense(2)
    message = (
        r"^conv2d: Conv2D takes \(batch, channels, height, width\), got \(batch, 3, 2\) from 'dense'; put a"
    )
    with pytest.raises(ShapeError, match=message):
        model.conv2d(3, 3)
    with pytest.raises(ShapeError, match=r"^dense_1: Dense takes .* got \(batch,\) from 'input'"):
        Sequential(()).append(Dense(2, name="dense_1"))
    with pytest.raises(
        ShapeError, match=r"^max_pooling2d_1: .*needs an image of at least 2 x 2, got \(batch, 1, 1, 1\)"
    ):
        Sequential((1, 2, 2)).max_pooling2d().max_pooling2d()
    with pytest.raises(
        UnknownNameError, match="there is no initializer named 'he_norml'; did you mean 'he_normal'"
    ):
        model.dense(2, kernel_initializer="he_norml")
    with pytest.raises(TypeError, match="unit"):
        model.dense(10, unit=3)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="Dense: units must be a positive integer, got 'x'"):
        model.dense("x")  # type: ignore[arg-type]


@pytest.mark.parametrize("layer", UNARY, ids=lambda c: c.__name__)
def test_every_layer_of_one_input_has_its_method(layer: type[Layer]) -> None:
    name = snake_case(layer.__name__)
    method = getattr(Sequential, name)
    assert (method.__name__, method.__qualname__) == (name, f"Sequential.{name}")
    assert method.__doc__ == layer.__doc__
    signature = inspect.signature(method)
    this, *parameters = signature.parameters.values()
    assert (this.name, signature.return_annotation) == ("self", "Sequential")
    assert parameters == list(inspect.signature(layer).parameters.values())


def test_there_are_no_other_methods_of_layers() -> None:
    assert MERGING
    assert not [c for c in MERGING if hasattr(Sequential, snake_case(c.__name__))]


@pytest.mark.parametrize(
    ("path", "source"),
    [(generate.LAYERS, generate.layers_source), (generate.FLUENT, generate.fluent_source)],
)
def test_what_is_generated_is_up_to_date(path: Path, source: Callable[[], str]) -> None:
    assert path.read_text(encoding="utf-8") == source(), "write it anew with: make generated"


def test_a_family_is_imported_when_it_is_first_asked_for() -> None:
    code = (
        "import sys, neuromatic as nm; before = 'neuromatic.layers.rnn.rnn' in sys.modules\n"
        "nm.Sequential((3, 2)).lstm(4); print(before, 'neuromatic.layers.rnn.rnn' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_a_layer_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match=r"module 'neuromatic\.layers' has no attribute 'Denze'"):
        layers.Denze  # type: ignore[attr-defined]  # noqa: B018
    assert "Dense" in dir(layers)


@pytest.mark.parametrize("layer", CLASSES, ids=lambda c: c.__name__)
def test_every_layer_is_documented(layer: type[Layer]) -> None:
    text = inspect.getdoc(layer) or ""
    assert "Input" in text
    assert "Output" in text
    assert "Keras" in text
    assert "ONNX" in text
    assert ">>> import neuromatic as nm" in text
    for field in dataclasses.fields(layer):
        if field.name != "name":
            assert f"{field.name}: " in text, field.name


@pytest.mark.parametrize(
    ("name", "snake"),
    [
        ("MaxPooling2D", "max_pooling2d"),
        ("Dense", "dense"),
        ("LSTM", "lstm"),
        ("ReLU", "relu"),
        ("PReLU", "prelu"),
        ("LeakyReLU", "leaky_relu"),
        ("ELU", "elu"),
        ("BatchNormalization", "batch_normalization"),
    ],
)
def test_names_of_classes_in_snake_case(name: str, snake: str) -> None:
    assert snake_case(name) == snake
