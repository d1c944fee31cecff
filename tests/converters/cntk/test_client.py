"""The worker as a process: what becomes of it, and of Neuromatic, when something goes wrong."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neuromatic.converters.cntk import handover
from neuromatic.converters.cntk.client import Worker
from neuromatic.converters.cntk.environment import Environment
from neuromatic.converters.cntk.graph import Graph, described
from neuromatic.converters.cntk.worker import protocol
from neuromatic.errors import DataError, WorkerError


def impostor(environment: Environment, folder: Path, script: str) -> Environment:
    """An environment whose Python runs a script of ours instead of the worker."""
    program = folder / "python"
    program.write_text(f"#!{sys.executable}\n{script}\n")
    program.chmod(0o755)
    return replace(environment, python=program)


def doubling(worker: Worker) -> None:
    """Build a program named "double" that doubles its input "x" (batch, 2)."""
    graph = Graph()
    x = graph.input("x", (None, 2), np.float32)
    y = graph.add("plus", [x, x], x.shape)
    worker.build("double", graph, described(graph, outputs=[y.register], loss=False))


def is_gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has waited for yet counts as ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


def wait_until_gone(pid: int, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if is_gone(pid):
            return True
        time.sleep(0.05)
    return False


def test_data_are_mapped_and_computed_with(cntk_environment: Environment) -> None:
    worker = Worker(cntk_environment)
    doubling(worker)
    data = np.arange(12, dtype=np.int64).reshape(6, 2)
    dataset = worker.load({"x": data})
    rows = np.array([[0, 5], [3, 3]])
    (result,) = worker.run("double", dataset, rows, np.zeros((2, 0), np.float32))
    np.testing.assert_array_equal(result, 2.0 * data[rows])
    worker.close()
    assert is_gone(worker.pid)


def test_no_file_is_left_once_data_are_mapped(
    cntk_environment: Environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    worker = Worker(cntk_environment)
    worker.load({"x": np.ones((3, 2), np.float32)})
    assert list(tmp_path.iterdir()) == []
    worker.close()


def test_the_folder_is_private() -> None:
    with handover.private_folder() as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not folder.exists()


def test_a_full_disk_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(descriptor: int, offset: int, length: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(os, "posix_fallocate", full)
    with (
        pytest.raises(DataError, match=r"cannot hand 0\.8 MB .*No space left on device.*TMPDIR"),
        handover.private_folder() as folder,
    ):
        handover.write_files(folder, {"x": np.zeros((1000, 200), np.float32)})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_killed_worker_is_one_sentence(cntk_environment: Environment, number: signal.Signals) -> None:
    worker = Worker(cntk_environment)
    os.kill(worker.pid, number)
    with pytest.raises(WorkerError, match=f"was killed by {number.name}"):
        worker.load({"x": np.ones((3, 2), np.float32)})
    with pytest.raises(WorkerError, match="has ended"):
        worker.load({"x": np.ones((3, 2), np.float32)})


def test_a_worker_that_is_killed_while_it_computes(cntk_environment: Environment) -> None:
    worker = Worker(cntk_environment)
    doubling(worker)
    dataset = worker.load({"x": np.ones((3, 2), np.float32)})
    rows = np.zeros((200_000, 1), np.int64)
    threading.Timer(0.5, os.kill, (worker.pid, signal.SIGKILL)).start()
    with pytest.raises(WorkerError, match="was killed by SIGKILL"):
        worker.run("double", dataset, rows, np.zeros((len(rows), 0), np.float32))
    assert is_gone(worker.pid)


def test_garbage_is_one_sentence(cntk_environment: Environment, tmp_path: Path) -> None:
    talker = impostor(
        cntk_environment, tmp_path, "import time; print('hello there!', flush=True); time.sleep(60)"
    )
    started = time.monotonic()
    with pytest.raises(WorkerError, match=r"answered nonsense.*hello"):
        Worker(talker)
    assert time.monotonic() - started < 20


def test_a_wrong_python_is_one_sentence_with_its_last_words(
    cntk_environment: Environment, tmp_path: Path
) -> None:
    script = "import sys; sys.exit('ModuleNotFoundError: No module named cntk')"
    with pytest.raises(WorkerError, match=r"ended with status 1.*No module named cntk"):
        Worker(impostor(cntk_environment, tmp_path, script))


def test_a_python_that_is_not_there(cntk_environment: Environment, tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="does not start"):
        Worker(replace(cntk_environment, python=tmp_path / "python"))


def test_another_protocol_is_refused(cntk_environment: Environment, tmp_path: Path) -> None:
    answer = b"".join(protocol.encode({"protocol": 99}))
    script = f"import os, time; os.write(1, {answer!r}); time.sleep(60)"
    with pytest.raises(WorkerError, match="speaks protocol 99"):
        Worker(impostor(cntk_environment, tmp_path, script))


def test_a_hung_worker_is_ended(cntk_environment: Environment) -> None:
    worker = Worker(cntk_environment)
    worker.timeout = 1.0  # not before it has started, which may take longer on a busy machine
    os.kill(worker.pid, signal.SIGSTOP)
    with pytest.raises(WorkerError, match=r"did not answer for 1 s and was ended.*'timeout'"):
        worker.load({"x": np.ones((3, 2), np.float32)})
    assert is_gone(worker.pid)


def test_a_refusal_is_one_line_and_the_worker_goes_on(worker: Worker) -> None:
    doubling(worker)
    dataset = worker.load({"x": np.ones((3, 5), np.float32)})
    with pytest.raises(WorkerError) as caught:
        worker.run("double", dataset, np.array([[0, 1]]), np.zeros((1, 0), np.float32))
    assert "\n" not in str(caught.value)
    assert "CALL STACK" not in str(caught.value)
    fine = worker.load({"x": np.ones((3, 2), np.float32)})
    (result,) = worker.run("double", fine, np.array([[0, 1]]), np.zeros((1, 0), np.float32))
    np.testing.assert_array_equal(result, np.full((1, 2, 2), 2.0))


def test_the_worker_ends_with_its_parent(cntk_environment: Environment, tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import os, signal\n"
        "from neuromatic.converters.cntk.client import Worker\n"
        "from neuromatic.converters.cntk.environment import require\n"
        "worker = Worker(require())\n"
        "print(worker.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environ = {**os.environ, "NEUROMATIC_CNTK": str(cntk_environment.location)}
    done = subprocess.run(
        [sys.executable, str(script)], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert wait_until_gone(int(done.stdout))


def test_a_worker_that_nobody_refers_to_any_more_is_ended(cntk_environment: Environment) -> None:
    worker = Worker(cntk_environment)
    pid = worker.pid
    del worker
    assert wait_until_gone(pid)


def test_what_cntk_refuses_while_it_computes_names_the_node(worker: Worker) -> None:
    graph = Graph()
    x = graph.input("x", (None, 4), np.float32)
    graph.node = "node 'before' (Neg-13)"
    y = graph.add("negate", [x], x.shape)
    graph.node = "node 'c' (Add-14)"
    y = graph.add("plus", [graph.add("unpack_batch", [y], (3, 4)), graph.constant(np.ones((3, 4)))], (3, 4))
    graph.node = "node 'after' (Neg-13)"
    y = graph.add("negate", [y], y.shape)
    worker.build("three", graph, described(graph, outputs=[y.register], loss=False))
    dataset = worker.load({"x": np.ones((3, 4), np.float32)})
    (result,) = worker.run("three", dataset, np.array([[0, 1, 2]]), np.zeros((1, 0), np.float32))
    np.testing.assert_array_equal(result[0], np.zeros((3, 4)))
    with pytest.raises(WorkerError, match=r"^CNTK: node 'c' \(Add-14\): \w+Error: "):
        worker.run("three", dataset, np.array([[0, 1]]), np.zeros((1, 0), np.float32))


def test_what_cntk_refuses_while_it_is_built_names_the_node(worker: Worker) -> None:
    graph = Graph()
    x = graph.input("x", (None, 3), np.float32)
    graph.node = "the node of output 'y' (Gemm-13)"
    y = graph.add("times", [x, graph.constant(np.ones((4, 2), np.float32))], (None, 2))
    with pytest.raises(WorkerError, match=r"^CNTK: the node of output 'y' \(Gemm-13\): ValueError: Times: "):
        worker.build("wrong", graph, described(graph, outputs=[y.register], loss=False))


def test_a_kernel_that_cntk_refuses_names_the_node(worker: Worker) -> None:
    graph = Graph()
    x = graph.input("x", (None, 1, 2, 2), np.float32)
    w = graph.constant(np.ones((1, 1, 3, 3), np.float32))
    graph.node = "node 'c' (Conv-22)"
    y = graph.add("convolution", [w, x], x.shape, strides=[1, 1], same=[True, True], groups=1)
    with pytest.raises(WorkerError, match=r"^CNTK: node 'c' \(Conv-22\): .*kernel dim 3 <= input dim 2"):
        worker.build("wrong", graph, described(graph, outputs=[y.register], loss=False))
