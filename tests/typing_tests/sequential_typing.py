"""What type checkers know of the fluent methods. Checked by mypy in strict mode, never run.

A comment that ignores an error is an error itself where mypy finds none, so each one says: this is refused.
"""

from __future__ import annotations

from typing import assert_type

from neuromatic.builder.sequential import Sequential


def accepted(model: Sequential) -> None:
    assert_type(model.dense(10), Sequential)
    assert_type(model.dense(10, "relu", use_bias=False, name="head").dropout(0.5), Sequential)
    assert_type(model.conv2d(8, (3, 3), padding="same").max_pooling2d().flatten(), Sequential)
    assert_type(model.relu().leaky_relu(0.1).batch_normalization(), Sequential)


def refused(model: Sequential) -> None:
    model.dense("x")  # type: ignore[arg-type]
    model.dense(10, unit=3)  # type: ignore[call-arg]
    model.dense()  # type: ignore[call-arg]
    model.conv2d(8)  # type: ignore[call-arg]
    model.dropout("half")  # type: ignore[arg-type]
    model.no_such_layer()  # type: ignore[attr-defined]
    model.seed = 3  # type: ignore[misc]
