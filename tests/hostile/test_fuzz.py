"""A short run of the fuzzer, and what it is made of. ``make fuzz`` runs a long one."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from random import Random

import numpy as np
import pytest
from onnx import ModelProto

import neuromatic as nm
from tests.hostile import fuzz, fuzz_mutations
from tests.hostile.fuzz_corpus import corpus
from tests.hostile.fuzz_run import inputs

SEED = 20250101
CASES = 320
SECONDS = 80
"""After which no further batch begins, where the machine is slow."""
LEAST = 40


@pytest.mark.parametrize("name", sorted(corpus()))
def test_the_corpus_is_valid(name: str, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(corpus()[name])
    model = nm.load(tmp_path / "m.onnx")
    x = inputs(model)
    if x is not None and name != "sequence_output":
        model.predict(x)


def test_cases_are_made_by_their_numbers_alone() -> None:
    for number in range(60):
        first, second = (fuzz.Case(3, number).content() for _ in range(2))
        assert first == second
    assert len({fuzz.Case(3, number).content() for number in range(60)}) > 50


def test_damage_is_of_all_kinds() -> None:
    """Most damaged models still parse, or nothing behind the parser would be tried."""
    parsed, changed = 0, 0
    for name, data in corpus().items():
        for i in range(20):
            damaged = fuzz_mutations.mutated(data, Random(f"{name}/{i}"))
            changed += damaged != data
            try:
                parsed += ModelProto.FromString(damaged) != ModelProto.FromString(data)
            except Exception:
                continue
    total = 20 * len(corpus())
    assert changed > 0.85 * total
    assert parsed > 0.6 * total
    arrays = {"x": np.ones((2, 3), np.float32), "y": np.zeros(2, np.int64)}
    assert len({fuzz_mutations.npz(arrays, Random(i)) for i in range(50)}) > 40


class BrokenError(Exception):
    """What no command may raise."""


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked")
@pytest.mark.parametrize(
    ("fault", "text"), [("raise", "BrokenError"), ("exit", "status"), ("hang", "no answer")]
)
def test_what_goes_wrong_is_found(
    fault: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception, the end of the process, and a process that hangs; the other cases of the batch go on."""

    def action(case: fuzz.Case, folder: Path) -> None:
        if case.number != 2:
            return
        if fault == "raise":
            raise BrokenError
        if fault == "exit":
            os._exit(11)
        while True:
            pass

    monkeypatch.setattr(fuzz, "run_case", action)
    monkeypatch.setattr(fuzz, "SECONDS", 3)
    report = fuzz.Report()
    fuzz.run_batch([fuzz.Case(0, i) for i in range(5)], tmp_path, report)
    (found,) = report.findings
    assert (found.case.number, report.done) == (2, 4)
    assert text in found.text


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked")
@pytest.mark.timeout(600)
def test_a_short_run(tmp_path: Path) -> None:
    """In a process of its own, which has started nothing that a fork would break."""
    import subprocess

    command = [sys.executable, "-m", "tests.hostile.fuzz", "--seed", str(SEED), "--cases", str(CASES)]
    command += ["--keep", str(tmp_path), "--seconds", str(SECONDS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    findings = "\n".join(p.read_text() for p in sorted(tmp_path.glob("*.txt")))
    assert done.returncode == 0, f"{done.stdout}{done.stderr}{findings}"
    count = int(done.stdout.split(": ")[-1].split()[0])
    assert count >= LEAST
