"""What can fail at the end of a run is tried before its first step, which leaves no trace."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import neuromatic as nm
from neuromatic import engines
from neuromatic.converters.tensorflow import program
from neuromatic.errors import DivergedError, ModelError, VerificationError
from neuromatic.ir import parameters as weights
from neuromatic.ir.tensors import array_of
from neuromatic.saving import writer
from neuromatic.training.callbacks import Callback, Run
from neuromatic.training.inspector import Inspector
from neuromatic.training.loop import fit
from tests.converters.cntk.cntk_environment import environment_or_skip
from tests.neuromatic.training.fake_program import MAE, FakeProgram, Recorder

RNG = np.random.default_rng(3)
X = RNG.normal(size=(50, 6)).astype(np.float32)
Y = np.abs(X).argmax(1)
RECORDED = {"learner": "recorded"}


def net(optimizer: str = "adam", rate: float = 0.01) -> nm.Model:
    chain = nm.Sequential((6,), seed=4).dense(8).batch_normalization().activation("relu").dropout(0.4)
    model = chain.dense(6, activation="softmax").loss("sparse_categorical_crossentropy")
    return model.optimizer(optimizer, learning_rate=rate)


def trained_without_rehearsal(model: nm.Model, engine: str, **options: Any) -> dict[str, Any]:
    """The parameters after two epochs of the loop alone."""
    assert model.recipe is not None
    compiled = engines.find(engine).compile(model.proto, seed=7, options=options)
    try:
        fit(
            compiled,
            model.arrays(X, Y),
            metrics=model.recipe.metrics,
            epochs=2,
            batch_size=16,
            learning_rate=0.01,
            seed=7,
        )
        return compiled.parameters()
    finally:
        compiled.close()


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop"])
@pytest.mark.parametrize(
    ("engine", "options"),
    [("tensorflow", {"jit": False}), ("tensorflow", {"jit": True}), ("cntk", {}), ("cntk", RECORDED)],
    ids=["tensorflow", "jit", "cntk", "cntk-recorded"],
)
def test_a_run_has_the_bits_that_it_has_without(optimizer: str, engine: str, options: dict[str, Any]) -> None:
    if engine == "cntk":
        environment_or_skip()
    model = net(optimizer)
    expected = trained_without_rehearsal(model, engine, **options)
    settings: dict[str, Any] = {"engine": engine, "engine_options": options, "learning_rate": 0.01}
    model.train(X, Y, epochs=2, batch_size=16, seed=7, verbose=0, **settings)
    stored = weights.stored_tensors(model.proto)
    for name, array in expected.items():
        np.testing.assert_array_equal(array_of(stored[name]), array, err_msg=name)


class Failing(Inspector):
    """Fails in the rehearsal."""

    def __init__(self) -> None:
        pass

    def finite(self) -> bool:
        return True

    def rehearse(self, step: int) -> None:
        assert step == 2
        raise ModelError("the file would be too large")


def test_a_failure_comes_before_the_first_event_and_the_state_is_as_it_was() -> None:
    fake, recorder = FakeProgram(steps_per_call=2), Recorder()
    with pytest.raises(ModelError, match="too large"):
        fit(
            fake,
            {"y": np.arange(6.0)},
            metrics=[MAE],
            epochs=3,
            batch_size=2,
            learning_rate=0.25,
            seed=0,
            validation={"y": np.arange(3.0)},
            callbacks=[recorder],
            inspector=Failing(),
        )
    assert recorder.events == ["close"]
    assert [call[0] for call in fake.calls] == ["load", "load", "train", "evaluate"]


def test_what_onnxruntime_denies_is_denied_before_the_first_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    right = program.TensorFlowProgram.predict
    monkeypatch.setattr(
        program.TensorFlowProgram,
        "predict",
        lambda self, *given: {k: v + 0.5 for k, v in right(self, *given).items()},
    )
    recorder = Recorder()
    with pytest.raises(VerificationError, match=r"differs by 0\.5"):
        net().train(X, Y, verbose=0, callbacks=[recorder])
    assert recorder.events == ["close"]


def test_a_model_that_cannot_become_a_file_is_refused_before_the_first_epoch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*given: object) -> None:
        raise ModelError("the model cannot be written as one file: too large")

    monkeypatch.setattr(writer, "stored_form", refuse)
    recorder = Recorder()
    with pytest.raises(ModelError, match="cannot be written as one file"):
        net().train(X, Y, verbose=0, callbacks=[recorder])
    assert recorder.events == ["close"]


class Slower(Callback):
    """Lowers a learning rate that is too high."""

    def on_epoch_begin(self, run: Run, epoch: int) -> None:
        run.learning_rate = 1e-3


def test_a_rate_that_a_callback_lowers_is_no_failure() -> None:
    model = nm.Sequential((6,)).dense(1).loss("mse").optimizer("sgd", learning_rate=1e30)
    history = model.train(X, X[:, :1], callbacks=[Slower()], verbose=0)
    assert np.isfinite(history.step_losses).all()
    with pytest.raises(DivergedError):
        model.train(X, X[:, :1], verbose=0)
