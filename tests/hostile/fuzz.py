"""Thousands of damaged files through everything the program does: no crash, no exception that is not typed.

``make fuzz`` runs 100,000 (``CASES=`` and ``SEED=`` choose others). Each case is made by its number and the
seed alone. Cases run in forked processes with bounds of memory and time; a process takes several, and if one
ends it, the next process goes on after that. What fails is kept in a folder, with as few changes as it takes,
and the command that repeats it.
"""

from __future__ import annotations

import argparse
import importlib
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import IO, Any

import numpy as np

from neuromatic import engines

BATCH = 40
"""Cases in one process."""
PROCESSOR = 60
"""Seconds of computing for one case, a compiled training step included."""
SECONDS = 300
"""Seconds on the clock for one case, on however busy a machine."""
MEMORY = 4 << 30
"""Bytes of address space beyond what the process has at first."""
STEPS = 10
"""One in so many models is trained as well."""
ENGINE = "tensorflow"


@dataclass(frozen=True)
class Case:
    """A damaged file, told by numbers.

    Attributes:
        seed: of the run.
        number: of the case.
        skipped: which of its changes are left out.
    """

    seed: int
    number: int
    skipped: frozenset[int] = frozenset()

    def kind(self) -> str:
        """``model`` or ``data``."""
        return "data" if self._random().random() < 0.12 else "model"

    def _random(self) -> Random:
        return Random(f"{self.seed}/{self.number}")

    def origin(self) -> str:
        """The name of the model that is damaged, or that the data are for."""
        from tests.hostile.fuzz_corpus import CORPUS

        return self._random().choice(sorted(CORPUS))

    def changes(self) -> int:
        """How many changes are made."""
        return 1 if self.kind() == "data" else self._random().choice((1, 1, 1, 2, 3))

    def trains(self) -> bool:
        """Whether the model is trained as well."""
        return self.number % STEPS == 0

    def content(self) -> bytes:
        """The damaged file."""
        from tests.hostile import fuzz_mutations
        from tests.hostile.fuzz_corpus import corpus

        data = corpus()[self.origin()]
        if self.kind() == "data":
            return fuzz_mutations.npz(_arrays(data), Random(f"{self.seed}/{self.number}/data"))
        for i in range(self.changes()):
            changed = fuzz_mutations.mutated(data, Random(f"{self.seed}/{self.number}/{i}"))
            data = data if i in self.skipped else changed
        return data


def _arrays(data: bytes) -> dict[str, Any]:
    from onnx import ModelProto

    import neuromatic as nm
    from tests.hostile.fuzz_run import inputs

    return inputs(nm.Model.from_proto(ModelProto.FromString(data)), targets=True) or {"x": np.ones((2, 4))}


@dataclass
class Finding:
    """A case that went wrong.

    Attributes:
        case: which.
        text: a traceback, or how the process ended.
    """

    case: Case
    text: str

    def sign(self) -> str:
        """What tells findings apart: the exception and the line of ours that it passed last."""
        lines = self.text.strip().splitlines()
        ours = [
            line.strip()
            for line in lines
            if "/neuromatic/" in line or "/converters/" in line or "/cli/" in line
        ]
        return f"{lines[-1].split(':')[0]} {ours[-1] if ours else ''}"


@dataclass
class Report:
    """What came of a run.

    Attributes:
        done: cases that ended as they should.
        findings: and those that did not, the first of each kind and then some.
    """

    done: int = 0
    findings: list[Finding] = field(default_factory=list)


# -- a process -----------------------------------------------------------------------------------------


def _prepare() -> None:
    """Import whatever cases need, and start nothing: a process with threads is not forked."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for name in ("onnxruntime", "onnx.reference"):
        importlib.import_module(name)
    engines.find(ENGINE)
    importlib.import_module(f"neuromatic.converters.{ENGINE}.program")
    importlib.import_module("tests.hostile.fuzz_run")
    from tests.hostile import fuzz_corpus

    fuzz_corpus.corpus()


def _bound() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, 1 << 30))


def run_case(case: Case, folder: Path) -> None:
    """One case, in this process."""
    from tests.hostile import fuzz_run
    from tests.hostile.fuzz_corpus import corpus

    original = folder / "original.onnx"
    original.write_bytes(corpus()[case.origin()])
    if case.kind() == "data":
        (folder / "data.npz").write_bytes(case.content())
        fuzz_run.data_file(folder, original)
    else:
        (folder / "model.onnx").write_bytes(case.content())
        fuzz_run.model_file(folder, original, step=case.trains())


def _work(cases: list[Case], pipe: IO[str], folder: Path) -> None:
    """Run cases in a forked process; each is told before it begins, and what came of it."""
    _bound()
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    for case in cases:
        place = Path(tempfile.mkdtemp(dir=folder))
        spent = time.process_time()
        resource.setrlimit(resource.RLIMIT_CPU, (int(spent) + PROCESSOR, resource.RLIM_INFINITY))
        pipe.write("begin\n")
        pipe.flush()
        try:
            run_case(case, place)
            pipe.write("fine\n")
        except BaseException:
            pipe.write(f"failed {traceback.format_exc()!r}\n")
        pipe.flush()
        shutil.rmtree(place, ignore_errors=True)


def run_batch(cases: list[Case], folder: Path, report: Report) -> None:
    """Run cases in processes of their own, several in each."""
    while cases:
        done = _run_until_one_ends_it(cases, folder, report)
        cases = cases[done:]


def _run_until_one_ends_it(cases: list[Case], folder: Path, report: Report) -> int:
    read, write = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            os.close(read)
            with os.fdopen(write, "w") as pipe:
                _work(cases, pipe, folder)
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    done, buffer, late = 0, b"", False
    begun = False
    while True:
        ready, _, _ = select.select([read], [], [], SECONDS)
        if not ready:
            late = True
            os.kill(child, signal.SIGKILL)
            break
        block = os.read(read, 1 << 16)
        if not block:
            break
        buffer += block
        *lines, buffer = buffer.split(b"\n")
        for line in lines:
            word, _, text = line.decode().partition(" ")
            begun = word == "begin"
            if word == "begin":
                continue
            if word == "failed":
                report.findings.append(Finding(cases[done], _unquoted(text)))
            else:
                report.done += 1
            done += 1
    os.close(read)
    _, status = os.waitpid(child, 0)
    if done < len(cases) and (late or begun or status):
        how = f"no answer within {SECONDS} s" if late else f"process ended by status {status}"
        report.findings.append(Finding(cases[done], how))
        done += 1
    return done


def _unquoted(text: str) -> str:
    import ast

    return str(ast.literal_eval(text))


# -- a run ---------------------------------------------------------------------------------------------


def run(seed: int, numbers: range, *, seconds: float | None = None, keep: Path | None = None) -> Report:
    """Run cases, and keep what fails.

    Args:
        seed: of the run.
        numbers: of the cases.
        seconds: after which no further batch begins.
        keep: the folder for files that fail.
    """
    _prepare()
    report, started, told = Report(), time.monotonic(), set[str]()
    with tempfile.TemporaryDirectory() as scratch:
        for start in range(numbers.start, numbers.stop, BATCH):
            if seconds is not None and time.monotonic() - started > seconds:
                break
            cases = [Case(seed, i) for i in range(start, min(start + BATCH, numbers.stop))]
            before = len(report.findings)
            run_batch(cases, Path(scratch), report)
            for found in report.findings[before:]:
                if keep is not None and found.sign() not in told:
                    told.add(found.sign())
                    _keep(_smallest(found, Path(scratch)), keep)
    return report


def _smallest(found: Finding, scratch: Path) -> Finding:
    """The same finding with as few of its changes as it takes."""
    for i in range(found.case.changes() - 1, -1, -1):
        fewer = Case(found.case.seed, found.case.number, found.case.skipped | {i})
        again = Report()
        run_batch([fewer], scratch, again)
        if again.findings and again.findings[0].sign() == found.sign():
            found = again.findings[0]
    return found


def _keep(found: Finding, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    case = found.case
    ending = "npz" if case.kind() == "data" else "onnx"
    file = folder / f"{case.origin()}-{case.seed}-{case.number}.{ending}"
    file.write_bytes(case.content())
    file.with_suffix(".txt").write_text(found.text)
    again = f"python -m tests.hostile.fuzz --seed {case.seed} --only {case.number}"
    print(f"{file}: {found.sign()}\n  again by: {again}", flush=True)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--seed", type=int, default=int(time.time()), help="another one each time, if not given"
    )
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only", type=int, help="repeat one case in this process, with its traceback")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"), help="folder for files that fail")
    parser.add_argument("--seconds", type=float, help="after which no further batch begins")
    given = parser.parse_args()
    if given.only is not None:
        _prepare()
        with tempfile.TemporaryDirectory() as folder:
            run_case(Case(given.seed, given.only), Path(folder))
        print("fine")
        return
    numbers = range(given.first, given.first + given.cases)
    report = run(given.seed, numbers, seconds=given.seconds, keep=given.keep)
    tried = report.done + len(report.findings)
    print(f"seed {given.seed}: {report.done} of {tried} cases ended as they should")
    sys.exit(1 if report.findings else 0)


if __name__ == "__main__":
    main()
