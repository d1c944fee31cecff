"""Trains a small network with CNTK and with numpy, and compares them; prints what is installed as JSON.

Runs under Python 3.6, by itself: it must import nothing of Neuromatic. Exit status 1 if the two disagree.
"""

import ctypes
import importlib
import json
import os
import platform
import sys
from typing import Any, List, Tuple

import numpy as np

TOLERANCE = 1e-5
STEPS, BATCH, RATE = 8, 16, 0.5


def reference(
    x: np.ndarray, y: np.ndarray, w1: np.ndarray, b1: np.ndarray, w2: np.ndarray, b2: np.ndarray
) -> Tuple[np.ndarray, List[np.ndarray]]:
    """Losses and parameters of SGD steps, by numpy in float64: softmax(tanh(x w1 + b1) w2 + b2)."""
    w1, b1, w2, b2 = (p.astype(np.float64) for p in (w1, b1, w2, b2))
    losses = []
    for step in range(STEPS):
        rows = slice(step * BATCH, (step + 1) * BATCH)
        h = np.tanh(x[rows] @ w1 + b1)
        z = h @ w2 + b2
        p = np.exp(z - z.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        losses.append(-np.mean(np.log((p * y[rows]).sum(1))))
        dz = (p - y[rows]) / BATCH
        dh = dz @ w2.T * (1 - h * h)
        w2, b2 = w2 - RATE * h.T @ dz, b2 - RATE * dz.sum(0)
        w1, b1 = w1 - RATE * x[rows].T @ dh, b1 - RATE * dh.sum(0)
    return np.array(losses), [w1, b1, w2, b2]


def trained(C: Any, x: np.ndarray, y: np.ndarray, *values: np.ndarray) -> Tuple[np.ndarray, List[np.ndarray]]:
    """The same by CNTK."""
    w1, b1, w2, b2 = parameters = [C.parameter(init=v) for v in values]
    features, target = C.input_variable(x.shape[1]), C.input_variable(y.shape[1])
    z = C.times(C.tanh(C.times(features, w1) + b1), w2) + b2
    loss = C.cross_entropy_with_softmax(z, target)
    learner = C.sgd(z.parameters, C.learning_parameter_schedule(RATE), use_mean_gradient=True)
    trainer = C.Trainer(z, (loss, None), [learner])
    losses = []
    for step in range(STEPS):
        rows = slice(step * BATCH, (step + 1) * BATCH)
        trainer.train_minibatch({features: x[rows], target: y[rows]})
        losses.append(trainer.previous_minibatch_loss_average)
    return np.array(losses), [p.value for p in parameters]


def open_mpi_version(C: Any) -> str:
    """The version of the MPI library that CNTK has loaded, such as 4.1.4."""
    library = ctypes.CDLL(os.path.join(os.path.dirname(C.__file__), "libs", "libmpi.so.12"))
    text, length = ctypes.create_string_buffer(8192), ctypes.c_int()
    library.MPI_Get_library_version(text, ctypes.byref(length))
    words = text.value.decode("ascii", "replace").replace(",", " ").split()  # Open MPI v4.1.4, package: ...
    return words[2].lstrip("v") if words[:2] == ["Open", "MPI"] else "unknown"


def main() -> None:
    """Compare, then print one line of JSON."""
    C: Any = importlib.import_module("cntk")  # so that type checkers, which cannot find it, do not look
    rng = np.random.RandomState(0)
    x = rng.standard_normal((STEPS * BATCH, 4)).astype(np.float32)
    y = np.eye(3, dtype=np.float32)[x[:, :3].argmax(1)]
    shapes = [(4, 6), (6,), (6, 3), (3,)]
    values = [rng.uniform(-0.5, 0.5, shape).astype(np.float32) for shape in shapes]
    losses, parameters = trained(C, x, y, *values)
    expected_losses, expected = reference(x, y, *values)
    pairs = [(losses, expected_losses), *zip(parameters, expected)]
    difference = max(float(np.abs(found - wanted).max()) for found, wanted in pairs)
    if not difference < TOLERANCE:  # so written, NaN counts as too large
        sys.exit(f"a network trained by CNTK differs from numpy's by {difference:.3g}")
    versions = {"python": platform.python_version(), "cntk": C.__version__, "numpy": np.__version__}
    versions["openmpi"] = open_mpi_version(C)
    devices = [str(device) for device in C.all_devices()]
    print(json.dumps({"versions": versions, "devices": devices, "difference": difference}))


if __name__ == "__main__":
    main()
