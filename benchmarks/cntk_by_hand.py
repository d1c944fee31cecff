"""The nets of cntk_step_time.py as one writes them for CNTK itself: cntk.layers and a Trainer.

Runs under CNTK's Python 3.6. Reads a number of steps from each line of standard input, trains them, and
prints the seconds that they took. Arguments: ``mlp`` or ``cnn``, and the number of threads.
"""

import importlib
import sys
import time
from typing import Any

import numpy as np

C: Any = importlib.import_module("cntk")
BATCHES = 20


def net(kind: str) -> Any:
    """The layers, the shape of a row and the batch size."""
    relu, layers = C.relu, C.layers
    if kind == "mlp":
        dense = layers.Dense
        return layers.Sequential([dense(512, relu), dense(512, relu), dense(10)]), (784,), 128
    conv, pool = layers.Convolution2D, layers.MaxPooling
    return (
        layers.Sequential(
            [
                conv((3, 3), 32, activation=relu, pad=True),
                pool((2, 2), (2, 2)),
                conv((3, 3), 64, activation=relu, pad=True),
                pool((2, 2), (2, 2)),
                layers.Dense(128, relu),
                layers.Dense(10),
            ]
        ),
        (1, 28, 28),
        64,
    )


def main() -> None:
    kind, threads = sys.argv[1], int(sys.argv[2])
    C.cntk_py.set_max_num_cputhreads(threads)
    layers, shape, batch = net(kind)
    x, y = C.input_variable(shape), C.input_variable(10)
    z = layers(x)
    rate, mean = C.learning_parameter_schedule(0.001), C.momentum_schedule(0.9)
    learner = C.adam(
        z.parameters,
        rate,
        mean,
        unit_gain=True,
        variance_momentum=C.momentum_schedule(0.999),
        epsilon=1e-7,
        use_mean_gradient=True,
    )
    criterion = (C.cross_entropy_with_softmax(z, y), C.classification_error(z, y))
    trainer = C.Trainer(z, criterion, [learner])
    rng = np.random.RandomState(0)
    data = rng.rand(BATCHES * batch, *shape).astype(np.float32)
    labels = np.eye(10, dtype=np.float32)[rng.randint(0, 10, len(data))]
    for line in sys.stdin:
        started = time.perf_counter()
        for _ in range(int(line)):
            rows = rng.randint(0, len(data), batch)
            trainer.train_minibatch({x: data[rows], y: labels[rows]})
            trainer.previous_minibatch_loss_average  # noqa: B018  # reading it waits for the result
        print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    main()
