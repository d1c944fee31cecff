"""Nets of PyTorch: their export, their parameters in the file, and training there and here."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper
from torch import nn

import neuromatic as nm
from neuromatic import engines
from neuromatic.engines import Program
from neuromatic.inference import Session
from neuromatic.ir import parameters as weights
from neuromatic.recipe.schema import Recipe
from neuromatic.recipe.sections import strip
from neuromatic.training.verification import verify

Array = NDArray[Any]
BATCH, STEPS = 8, 20
PROBE = 1024.0
"""A learning rate that makes a step show its gradient, whatever the size of the parameters."""


@dataclass(frozen=True)
class Family:
    """A net, what it is fed, and what it is trained by.

    Attributes:
        build: makes the net.
        shape: of its input, without the batch.
        outputs: shape of its output, without the batch.
        loss: "mse", or "cross_entropy" with the classes last.
        tokens: how many there are, for integers as input.
        rate: learning rate of SGD.
    """

    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    outputs: tuple[int, ...]
    loss: str = "cross_entropy"
    tokens: int | None = None
    rate: float = 0.05

    def net(self) -> nn.Module:
        """The net in inference mode; every parameter is random, since exporters share equal ones."""
        torch.manual_seed(7)
        net = self.build()
        with torch.no_grad():
            for parameter in net.parameters():
                parameter += 0.1 * torch.randn_like(parameter)
            for name, buffer in net.named_buffers():
                if "running" in name:
                    buffer += torch.rand_like(buffer)
        return net.eval()

    def data(self) -> tuple[Array, Array]:
        """Rows for every step."""
        rng = np.random.default_rng(3)
        size = (STEPS * BATCH, *self.shape)
        x = rng.integers(0, self.tokens, size) if self.tokens else rng.normal(size=size).astype(np.float32)
        if self.loss == "mse":
            return x, rng.normal(size=(STEPS * BATCH, *self.outputs)).astype(np.float32)
        return x, rng.integers(0, self.outputs[-1], (STEPS * BATCH, *self.outputs[:-1]))

    def criterion(self, output: torch.Tensor, y: Array) -> torch.Tensor:
        """PyTorch's loss."""
        truth = torch.from_numpy(y)
        if self.loss == "mse":
            return nn.functional.mse_loss(output, truth)
        return nn.functional.cross_entropy(output.flatten(0, -2), truth.flatten())


def exported(net: nn.Module, family: Family, **options: Any) -> ModelProto:
    """The net as PyTorch's exporter writes it, with a symbolic batch.

    Args:
        options: of ``torch.onnx.export``; ``dynamo`` is always given.
    """
    return export(net, torch.from_numpy(family.data()[0][:2]), **options)


def export(net: nn.Module, example: torch.Tensor, **options: Any) -> ModelProto:
    """The same for an example of what the net takes."""
    batch: dict[str, Any] = {"dynamic_axes": {"x": {0: "batch"}, "y": {0: "batch"}}}
    if options["dynamo"]:
        batch = {"dynamic_shapes": ({0: torch.export.Dim("batch", min=2)},), "verbose": False}
        options.setdefault("external_data", False)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")  # each exporter warns of the other, of itself and of tracing
        path = Path(folder, "net.onnx")
        torch.onnx.export(net, (example,), path, input_names=["x"], output_names=["y"], **batch, **options)
        model = onnx.load(path)
    onnx.checker.check_model(model)
    return model


# -- parameters by name --------------------------------------------------------------------------------


Forms = dict[str, Callable[[Mapping[str, Array]], Array]]
"""Arrays that a file may hold, by what they are made of: functions of PyTorch's arrays by name."""

GATES: dict[type[nn.Module], tuple[int, ...]] = {nn.LSTM: (0, 3, 1, 2), nn.GRU: (1, 0, 2)}
"""ONNX' order of the gates, in numbers of PyTorch's."""


def forms(net: nn.Module) -> Forms:
    """Each parameter as it is, turned, and packed with others as ONNX' recurrent operators want them."""
    found: Forms = {}
    for name in dict(net.named_parameters()):
        found[name] = lambda arrays, n=name: arrays[n]
        found[f"{name} turned"] = lambda arrays, n=name: np.swapaxes(arrays[n], -1, -2)
    for path, module in net.named_modules():
        if isinstance(module, nn.RNNBase):
            found |= _packed(f"{path}.", module, GATES[type(module)])
    return found


def _packed(path: str, module: nn.RNNBase, order: tuple[int, ...]) -> Forms:
    found: Forms = {}
    ends = ("", "_reverse") if module.bidirectional else ("",)
    for layer in range(module.num_layers):
        for kind, parts in {"W": ["weight_ih"], "R": ["weight_hh"], "B": ["bias_ih", "bias_hh"]}.items():
            names = [[f"{path}{part}_l{layer}{end}" for part in parts] for end in ends]

            def pack(arrays: Mapping[str, Array], names: list[list[str]] = names) -> Array:
                each = [[_reordered(arrays[name], order) for name in group] for group in names]
                return np.stack([np.concatenate(group) for group in each])

            found[f"{path}{kind} of layer {layer}"] = pack
    return found


def _reordered(array: Array, order: tuple[int, ...]) -> Array:
    gates = np.split(array, len(order))
    return np.concatenate([gates[i] for i in order])


def stored(model: ModelProto) -> dict[str, Array]:
    """The initializers of a file's graph."""
    return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}


def arrays_of(tensors: Iterator[tuple[str, torch.Tensor]]) -> dict[str, Array]:
    """PyTorch's tensors as arrays, copied."""
    return {name: tensor.detach().numpy().copy() for name, tensor in tensors}


def matched(net: nn.Module, model: ModelProto, trainable: tuple[str, ...]) -> dict[str, str]:
    """For each trainable initializer the form of PyTorch's parameters whose values it has."""
    arrays = arrays_of(net.named_parameters())
    made = {form: make(arrays) for form, make in forms(net).items() if _makes(make, arrays)}
    values = stored(model)
    result = {}
    for name in trainable:
        value = values[name]
        equal = [form for form, array in made.items() if array.size == value.size and _same(array, value)]
        assert equal, f"{name!r} {value.shape} is none of PyTorch's parameters"
        result[name] = name if name in equal else equal[0]
    return result


def _makes(make: Callable[[Mapping[str, Array]], Array], arrays: Mapping[str, Array]) -> bool:
    try:
        make(arrays)
    except np.exceptions.AxisError:  # a vector has no other way to be turned
        return False
    return True


def _same(array: Array, value: Array) -> bool:
    """Equal but for dimensions of 1."""
    return np.array_equal(array.squeeze(), value.squeeze())


# -- training there and here ---------------------------------------------------------------------------


@dataclass(frozen=True)
class There:
    """What PyTorch does: its first gradients, its losses, and the net after all steps."""

    gradients: dict[str, Array]
    losses: list[float]
    net: nn.Module


def trained_there(net: nn.Module, family: Family) -> There:
    """SGD in training mode over consecutive batches."""
    net.train()
    x, y = family.data()
    optimizer = torch.optim.SGD(net.parameters(), family.rate)
    gradients: dict[str, Array] = {}
    losses = []
    for start in range(0, len(x), BATCH):
        rows = slice(start, start + BATCH)
        loss = family.criterion(net(torch.from_numpy(x[rows])), y[rows])
        optimizer.zero_grad()
        loss.backward()
        if not gradients:
            gradients = arrays_of((n, p.grad) for n, p in net.named_parameters() if p.grad is not None)
        optimizer.step()
        losses.append(loss.item())
    return There(gradients, losses, net.eval())


@dataclass(frozen=True)
class Here:
    """What a file does when it is trained.

    Attributes:
        recipe: how.
        outputs: of the untrained model for the first batch, by the engine.
        gradients: by initializer.
        losses: step by step.
        trained: the model after all steps, without its recipe.
    """

    recipe: Recipe
    outputs: Array
    gradients: dict[str, Array]
    losses: list[float]
    trained: ModelProto


LOSSES = {"mse": "mse", "cross_entropy": nm.losses.SparseCategoricalCrossentropy(from_logits=True)}


def trained_here(
    file: ModelProto,
    loss: Any,
    x: Array,
    y: Array,
    rate: float,
    frozen: Sequence[str] = (),
    engine: str = "tensorflow",
) -> Here:
    """The same steps of a file on an engine, TensorFlow if none is named, checked by onnxruntime."""
    model = nm.Model.from_proto(file)
    model = model.freeze(*frozen) if frozen else model
    model = model.loss(loss).optimizer("sgd", learning_rate=rate)
    assert model.recipe is not None
    options = {"jit": False} if engine == "tensorflow" else {}
    program = engines.find(engine).compile(model.proto, seed=0, options=options)
    data = model.arrays(x, y)
    dataset, rows = program.load(data), np.arange(len(x)).reshape(-1, BATCH)
    outputs = program.predict(dataset, rows[0])
    before = program.parameters()
    program.train(dataset, rows[:1], np.full(1, PROBE, np.float32))
    gradients = {n: (before[n] - after) / PROBE for n, after in program.parameters().items()}
    program.assign(before)
    losses = program.train(dataset, rows, np.full(len(rows), rate, np.float32)).loss
    written = written_back(model.proto, program, data)
    trainable = {name: gradients[name] for name in model.recipe.trainable}
    return Here(model.recipe, next(iter(outputs.values())), trainable, losses.tolist(), written)


def written_back(model: ModelProto, program: Program, data: Mapping[str, Array]) -> ModelProto:
    """The trained model without its recipe, once onnxruntime has confirmed it."""
    trained = ModelProto()
    trained.CopyFrom(model)
    weights.write_back(trained, program.parameters())
    verify(trained, program, data, (1e-4, 1e-4))
    program.close()
    return strip(trained)


def in_onnxruntime(model: ModelProto, x: Array) -> Array:
    """The first output of a file."""
    session = Session(model)
    return session.run({model.graph.input[0].name: x})[session.outputs[0]]


def close(found: Array, expected: Array, tolerance: float, noise: float = 0.0) -> None:
    """Equal up to a share of the largest element.

    Args:
        noise: what counts as zero.

    Raises:
        AssertionError: they are not; shows where.
    """
    largest = float(np.abs(expected).max(initial=0.0))
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * largest + noise)


def only_bound_changed(before: ModelProto, after: ModelProto, recipe: Recipe) -> None:
    """A file after training is the file before but for the values of what the recipe updates.

    Raises:
        AssertionError: something else differs.
    """
    old, new = ModelProto(), ModelProto()
    for copy, source in ((old, before), (new, after)):
        copy.CopyFrom(source)
        for tensor in copy.graph.initializer:
            if tensor.name in recipe.updates:
                tensor.CopyFrom(onnx.TensorProto(name=tensor.name, dims=tensor.dims))
    assert new == old
