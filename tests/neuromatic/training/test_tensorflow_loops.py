"""Graphs that TensorFlow's own rewriting of loops once broke: a value added to itself."""

from __future__ import annotations

import numpy as np
import pytest

import neuromatic as nm
from tests.neuromatic.graphs import parsed

X = np.ones((6, 4), np.float32)


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize(
    ("body", "factor"),
    [("a = Add(x, w) y = Add(a, a)", 2.0), ("a = Add(w, w) y = Add(x, a)", 2.0), ("y = Mul(x, w)", 1.0)],
)
def test_every_step_is_done(body: str, factor: float, jit: bool) -> None:
    text = f"""<ir_version: 8, opset_import: ["": 17]> net (float[N, 4] x) => (float[N, 4] y) {{ {body} }}"""
    model = nm.Model.from_proto(parsed(text, w=np.ones((4,), np.float32)))
    net = model.loss("mse").optimizer("sgd", learning_rate=0.1)
    before = net.evaluate(X, 0 * X)["loss"]
    history = net.train(
        X, 0 * X, validation_data=(X, 0 * X), epochs=2, batch_size=4, verbose=0, engine_options={"jit": jit}
    )
    assert len(history.step_losses) == 4
    assert history.step_losses[0] == pytest.approx(before)
    gradient = 2.0 * factor * np.sqrt(before) / 4  # of the mean over four columns
    once = net.parameters()["w"][0]
    assert once < 1.0 - 0.1 * gradient
    assert history.history["val_loss"][-1] < history.history["val_loss"][0]
