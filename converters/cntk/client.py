"""The worker's other end: starts it, asks it, and says in one sentence what became of it."""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import signal
import subprocess
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from neuromatic.converters.cntk._process import ISOLATED
from neuromatic.converters.cntk.environment import Environment
from neuromatic.converters.cntk.graph import Graph
from neuromatic.converters.cntk.handover import private_folder, write_files
from neuromatic.converters.cntk.worker import protocol
from neuromatic.errors import WorkerError

Array = NDArray[Any]
FOLDER = Path(__file__).with_name("worker")
START = """
import importlib.util, runpy, sys
spec = importlib.util.spec_from_file_location("worker", sys.argv[1] + "/__init__.py")
sys.modules["worker"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
runpy.run_module("worker", run_name="__main__")
"""
"""Runs the worker from its own files, so that no folder has to be on its import path for them."""
LOG_LINES = 40
SECONDS_TO_LEAVE = 5.0
SECONDS_TO_DIE = 1.0
"""How long a process may take to end by itself, when it is asked to and when its pipe is closed."""


class Worker:
    """A child process with CNTK.

    Args:
        environment: whose Python runs it.
        threads: how many threads CNTK computes with.
        seed: for what is drawn at random.
        timeout: how many seconds any answer may take.

    Attributes:
        timeout: see above.
        about: versions of protocol, CNTK and numpy, as the process says.

    Raises:
        WorkerError: it does not start.
    """

    def __init__(
        self, environment: Environment, *, threads: int = 1, seed: int = 0, timeout: float = 600.0
    ) -> None:
        self.timeout = timeout
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._datasets = itertools.count()
        self._closed = False
        try:
            self._process = subprocess.Popen(
                [str(environment.python), *ISOLATED, "-W", "ignore", "-c", START, str(FOLDER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment.environ(threads),
                cwd=environment.location,
                bufsize=0,
            )
        except OSError as error:
            raise WorkerError(f"the CNTK worker does not start: {environment.python}: {error}") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._to, self._from = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._to, False)
        # Not a method of ours: a thread that knew this object would keep it, and so the process, alive.
        self._reader = threading.Thread(target=_collect, args=(self._process.stderr, self._log), daemon=True)
        self._reader.start()
        self._stop = weakref.finalize(self, _end, self._process, self._reader)
        try:
            self.about = self._hello(threads, seed)
        except BaseException:
            self.close()
            raise

    def _hello(self, threads: int, seed: int) -> dict[str, Any]:
        about = self.ask("hello", threads=threads, seed=seed)[0]
        if about.get("protocol") != protocol.VERSION:
            raise WorkerError(
                f"the CNTK worker speaks protocol {about.get('protocol')}, expected {protocol.VERSION}"
            )
        return about

    @property
    def pid(self) -> int:
        """The process' number."""
        return self._process.pid

    # -- what it can be asked ----------------------------------------------------------------------

    def define(self, cells: Mapping[str, Array], trainable: Iterable[str]) -> None:
        """Parameters and states that it keeps, by name."""
        chosen = set(trainable)
        entries = [{"name": name, "trainable": name in chosen} for name in cells]
        self.ask("define", [np.asarray(a, np.float32) for a in cells.values()], cells=entries)

    def build(self, program: str, graph: Graph, description: Mapping[str, Any]) -> None:
        """A program of that name from a recorded graph."""
        self.ask("build", graph.arrays, program=program, **description)

    def load(self, arrays: Mapping[str, Array]) -> int:
        """Hand data over; returns the number of the dataset."""
        dataset = next(self._datasets)
        with private_folder() as folder:
            self.ask("load", dataset=dataset, files=write_files(folder, arrays))
        return dataset

    def train(
        self, program: str, dataset: int, rows: Array, rates: Array, feeds: Array, step: int
    ) -> list[Array]:
        """A training step for each line of ``rows``; returns each output of all steps."""
        return self.ask("train", [rows, rates, feeds], program=program, dataset=dataset, step=step)[1]

    def run(self, program: str, dataset: int, rows: Array, feeds: Array, step: int = 0) -> list[Array]:
        """Each output of a program for all lines of ``rows``; random numbers are those of a step."""
        return self.ask("run", [rows, feeds], program=program, dataset=dataset, step=step)[1]

    def run_arrays(
        self, program: str, feeds: Array, arrays: Mapping[str, Array], *, rows: int = 1, step: int = 0
    ) -> list[Array]:
        """The outputs of a program for arrays by input name; random numbers are those of a step."""
        sent = [feeds, *arrays.values()]
        more = {"names": list(arrays), "rows": rows, "step": step}
        return self.ask("run", sent, program=program, dataset=None, **more)[1]

    def read(self, names: Sequence[str]) -> dict[str, Array]:
        """Values of cells by name."""
        return dict(zip(names, self.ask("read", names=list(names))[1], strict=True))

    def assign(self, values: Mapping[str, Array]) -> None:
        """Replace values of cells by name."""
        self.ask("assign", [np.asarray(a, np.float32) for a in values.values()], names=list(values))

    def forget(self, *, datasets: Sequence[int] = (), programs: Sequence[str] = ()) -> None:
        """Drop what is not needed any more."""
        self.ask("forget", datasets=list(datasets), programs=list(programs))

    # -- messages ----------------------------------------------------------------------------------

    def ask(self, do: str, arrays: Sequence[Array] = (), **header: Any) -> tuple[dict[str, Any], list[Array]]:
        """Send one message and wait for its answer.

        Raises:
            WorkerError: it refuses, crashed, was killed, hangs, or answers something else. Only after a
                refusal can it be asked again.
        """
        if self._closed:
            raise WorkerError("the CNTK worker has ended")
        deadline = time.monotonic() + self.timeout
        try:
            for piece in protocol.encode({"do": do, **header}, arrays):
                self._send(memoryview(piece).cast("B"), deadline)
            message = protocol.decode(lambda count: self._receive(count, deadline))
        except (protocol.ProtocolError, BrokenPipeError, ConnectionResetError) as error:
            raise self._failed(str(error)) from error
        except BaseException:  # interrupted between question and answer: nothing fits together any more
            self.close(wait=0)
            raise
        if message is None:
            raise self._failed("it closed its pipe")
        answer, found = message
        if "error" in answer:
            where = f"{answer['node']}: " if answer.get("node") else ""
            raise WorkerError(f"CNTK: {where}{answer['error']}")
        return answer, found

    def _send(self, data: memoryview, deadline: float) -> None:
        poll = select.poll()
        poll.register(self._to, select.POLLOUT)
        while data:
            if not poll.poll(self._left(deadline)):
                raise self._hung()
            with contextlib.suppress(BlockingIOError):
                data = data[os.write(self._to, data) :]

    def _receive(self, count: int, deadline: float) -> bytearray:
        poll = select.poll()
        poll.register(self._from, select.POLLIN)
        data = bytearray()
        while len(data) < count:
            if not poll.poll(self._left(deadline)):
                raise self._hung()
            piece = os.read(self._from, min(count - len(data), 1 << 20))
            if not piece:
                break
            data += piece
        return data

    @staticmethod
    def _left(deadline: float) -> float:
        return max(0.0, deadline - time.monotonic()) * 1000

    def _hung(self) -> WorkerError:
        self.close(wait=0)
        return WorkerError(
            f"the CNTK worker did not answer for {self.timeout:g} s and was ended{self._last_words()}; "
            f"engine option 'timeout' allows it more"
        )

    def _failed(self, what: str) -> WorkerError:
        """What became of a worker that did not answer."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(SECONDS_TO_DIE)
        status = self._process.returncode
        self.close(wait=0)
        if status is None:
            return WorkerError(f"the CNTK worker answered nonsense and was ended: {what}{self._last_words()}")
        if status < 0:
            name = signal.Signals(-status).name
            return WorkerError(f"the CNTK worker was killed by {name}{self._last_words()}")
        return WorkerError(f"the CNTK worker ended with status {status}: {what}{self._last_words()}")

    def _last_words(self) -> str:
        self._reader.join(1.0)
        lines = [line for line in self._log if "Selected CPU as" not in line]
        return f" (its last words: {lines[-1]})" if lines else ""

    def close(self, wait: float = SECONDS_TO_LEAVE) -> None:
        """End the process; it gets some seconds to leave by itself."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(OSError):
            if wait and self._process.poll() is None:
                os.write(self._to, b"".join(protocol.encode({"do": "close"})))
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(wait)
        self._stop()


def _collect(stream: IO[bytes], log: deque[str]) -> None:
    """Keep the last lines of what a process prints, without C++ call stacks."""
    for line in stream:
        text = line.decode(errors="replace").strip()
        if text and not text.startswith("[0x"):
            log.append(text)


def _end(process: subprocess.Popen[bytes], reader: threading.Thread) -> None:
    """Kill a process if it still runs, and wait so that no zombie is left."""
    if process.poll() is None:
        process.kill()
    process.wait()
    reader.join(1.0)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
