"""A worker's memory stays as it is, however long it trains."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from neuromatic.converters.cntk.client import Worker
from neuromatic.converters.cntk.environment import Environment
from neuromatic.converters.cntk.program import CNTKProgram
from tests.converters.cntk.nets import data, with_recipe

STEPS, BATCH = 1000, 16
ALLOWED_MEGABYTES = 4.0


def resident(pid: int) -> float:
    """Resident memory of a process in megabytes, without the pages of mapped files."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))


def test_memory_is_flat_over_5000_steps(cntk_environment: Environment) -> None:
    model = with_recipe("mlp", "adam")
    program = CNTKProgram(model.proto, start=lambda: Worker(cntk_environment, threads=1))
    x, y = data((12,))
    assert model.recipe is not None
    dataset = program.load({model.input_names[0]: x, model.recipe.targets[0].name: y})
    rng = np.random.default_rng(0)
    rates = np.full(STEPS, 1e-3, np.float32)
    sizes = []
    for block in range(6):  # the first is not counted: everything is allocated in it
        batch = BATCH if block % 2 else BATCH // 2
        program.train(dataset, rng.integers(len(x), size=(STEPS, batch)), rates)
        sizes.append(resident(program.worker.pid))
    program.close()
    assert sizes[-1] - sizes[0] < ALLOWED_MEGABYTES, sizes
