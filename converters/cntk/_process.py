"""Running commands for the CNTK environment: what they inherit, where their output goes, how they fail."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from neuromatic.errors import NeuromaticError


class InstallationError(NeuromaticError):
    """The CNTK environment cannot be made; says which step failed, and why."""


class NoPythonError(InstallationError):
    """This machine has no Python that CNTK runs on: a Python 3.6 for x86-64 Linux."""

    exit_code = 3


ISOLATED = ("-I", "-B")
"""Options of a child's Python: what it imports is its own, and comes neither from the current folder nor from
where variables or the user's folder of packages point; it writes no bytecode."""

ISOLATED_ANY = ("-E", "-s")
"""The same for a Python that may be too old for ``-I``; its code begins with :data:`ON_ITS_OWN`."""

ON_ITS_OWN = "import sys; sys.path[:] = [p for p in sys.path if p]"
"""Takes the current folder off the import path, where ``-c`` puts it."""


def on_path(name: str) -> str | None:
    """Where a program is on PATH, in its absolute folders only: not in the current one."""
    folders = [folder for folder in os.get_exec_path() if os.path.isabs(folder)]
    return shutil.which(name, path=os.pathsep.join(folders)) if folders else None


def child_environ(library_paths: Iterable[Path], threads: int) -> dict[str, str]:
    """The environment of a process under Python 3.6: ours, without what is meant for our Python.

    Variables of Python are left out, for they name folders of another version or turn warnings into errors;
    so is the search path for libraries, for what was tested at installation is what has to be used.

    Raises:
        ValueError: ``threads`` is less than 1.
    """
    if threads < 1:
        raise ValueError(f"threads must be at least 1, got {threads}")
    left_out = ("VIRTUAL_ENV", "LD_LIBRARY_PATH")
    environ = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON") and k not in left_out}
    environ |= {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "KMP_BLOCKTIME": "0",  # OpenMP's threads sleep between two pieces of work, where they would spin
        "PYTHONNOUSERSITE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    if paths := os.pathsep.join(map(str, library_paths)):
        environ["LD_LIBRARY_PATH"] = paths
    return environ


def pip_environ(library_paths: Iterable[Path]) -> dict[str, str]:
    """The environment of a pip under Python 3.6: the user's mirrors and proxies, but no other targets."""
    environ = child_environ(library_paths, threads=1) | {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"}
    return {k: v for k, v in environ.items() if k not in ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT")}


def pip_command(folder: Path) -> list[str | Path]:
    """The pip of a virtual environment, as the beginning of a command."""
    return [folder / "bin/python", *ISOLATED, "-m", "pip"]


@dataclass(frozen=True)
class Runner:
    """Runs the commands of one installation.

    Attributes:
        log: the file that gets each command and its output.
        lock: descriptor of the locked file. Each command inherits it: one that outlives us, because we were
            killed, keeps other installations waiting for as long as it writes.
    """

    log: Path
    lock: int

    def run(self, what: str, command: Sequence[str | Path], environ: Mapping[str, str]) -> str:
        """Run a command to its end; returns its output, messages included.

        Raises:
            InstallationError: it cannot be started or fails; ``what`` names it, its last line says why.
        """
        words = [str(word) for word in command]
        with self.log.open("ab") as log:
            log.write(f"$ {shlex.join(words)}\n".encode())
            log.flush()
            start = log.tell()
            try:
                done = subprocess.run(
                    words,
                    env=dict(environ),
                    cwd=self.log.parent,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=(self.lock,),
                    check=False,
                )
            except OSError as error:
                raise InstallationError(f"{what} failed: {words[0]}: {error.strerror}") from error
        with self.log.open("rb") as log:
            log.seek(start)
            output = log.read().decode(errors="replace")
        if done.returncode:
            reason = last_line(output) or f"exit status {done.returncode}"
            raise InstallationError(f"{what} failed: {reason} (all of its output is in {self.log})")
        return output


def last_line(output: str) -> str:
    """The line of a command's output that says why it failed: pip's last error, else the last line."""
    advice = ("WARNING:", "[notice]", "You are using pip version", "You should consider upgrading")
    lines = [line.strip() for line in output.splitlines()]
    lines = [line for line in lines if line and not line.startswith(advice)]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return (errors or lines or [""])[-1]
