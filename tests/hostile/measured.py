"""Memory and time that commands take, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PROGRAM = """
import json, os, resource, sys, time
from neuromatic.cli.main import main
import neuromatic, onnxruntime, rich.table

def limited():
    resource.setrlimit(resource.RLIMIT_AS, (12 << 30, 12 << 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    errors = os.open("errors.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(errors, 1)
    os.dup2(errors, 2)

def idle():
    child = os.fork()
    if not child:
        os._exit(0)
    return os.wait4(child, 0)[2].ru_maxrss

base = idle()
for arguments in json.loads(sys.argv[1]):
    begin = time.perf_counter()
    child = os.fork()
    if not child:
        limited()
        sys.argv[1:] = arguments
        try:
            main()
        except SystemExit as end:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(end.code or 0)
        os._exit(99)
    _, status, usage = os.wait4(child, 0)
    print(json.dumps({
        "code": os.waitstatus_to_exitcode(status),
        "mebibytes": (usage.ru_maxrss - base) >> 10,
        "seconds": time.perf_counter() - begin,
        "said": open("errors.txt", errors="replace").read(),
    }), flush=True)
"""


@dataclass(frozen=True)
class Run:
    """What became of a command.

    Attributes:
        code: its exit code; negative for a signal.
        mebibytes: how much memory it took at most, above the idle program and its libraries.
        seconds: how long it took.
        said: what it wrote.
    """

    code: int
    mebibytes: int
    seconds: float
    said: str


def run(commands: Sequence[Sequence[str]], folder: Path) -> list[Run]:
    """Run commands of the command line one after the other, in a folder."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps([list(command) for command in commands])],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return [Run(**json.loads(line)) for line in done.stdout.splitlines()]
