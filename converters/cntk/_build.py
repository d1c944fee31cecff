"""Making the CNTK environment, step by step, so that it may be interrupted anywhere."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from neuromatic.converters.cntk import _mpi
from neuromatic.converters.cntk._interpreters import Interpreter, find_python
from neuromatic.converters.cntk._location import MARKER
from neuromatic.converters.cntk._process import (
    ISOLATED,
    InstallationError,
    Runner,
    child_environ,
    pip_command,
    pip_environ,
)
from neuromatic.saving import atomic as files

PIP = "pip==21.3.1"
"""The last for Python 3.6; the one that comes with it is too old to see scipy's wheels."""

PACKAGES = ("cntk==2.7.post2", "numpy==1.19.5", "scipy==1.5.4")
SELFTEST = Path(__file__).with_name("selftest.py")
READY, STAMP = "ready.json", "installed.json"


@dataclass(frozen=True)
class Ready:
    """What ``ready.json`` says of a finished environment; paths in it are relative to its place.

    Attributes:
        folder: of the virtual environment.
        base: the Python it was made from.
        packages: what was installed into it.
        mpi: the way its MPI libraries came.
        library_paths, versions, devices: as in :class:`~neuromatic.converters.cntk.environment.Environment`.
    """

    folder: str
    base: str
    packages: Sequence[str]
    mpi: str
    library_paths: Sequence[str]
    versions: dict[str, str]
    devices: Sequence[str]


@dataclass(frozen=True)
class Plan:
    """What an environment is to be made of."""

    interpreter: Interpreter
    mpi: _mpi.SystemMpi | _mpi.WheelMpi


def plan(python: str | None, mpi: _mpi.Route) -> Plan:
    """Find what the environment is made of; nothing is written or downloaded.

    Raises:
        InstallationError: there is no fitting Python, or no way to have the MPI libraries.
    """
    return Plan(find_python(python), _mpi.choose(mpi))


def read_ready(location: Path) -> Ready:
    """What is ready at a place.

    Raises:
        InstallationError: nothing is, with the reason.
    """
    try:
        fields = json.loads((location / READY).read_text(encoding="utf-8"))
        ready = Ready(**fields)
        if not (location / ready.folder).is_dir():
            raise InstallationError(f"{location / ready.folder} is gone")
        return ready
    except (FileNotFoundError, NotADirectoryError):
        raise InstallationError(_why_not_ready(location)) from None
    except (OSError, ValueError, TypeError) as error:
        raise InstallationError(f"{location / READY} cannot be read") from error


def _why_not_ready(location: Path) -> str:
    if (location / MARKER).is_file():
        return f"its installation in {location} was not finished"
    if location.is_dir() and any(location.iterdir()):
        return f"{location} holds something that Neuromatic did not make"
    return f"there is no environment in {location}"


def satisfies(ready: Ready, python: str | None, mpi: _mpi.Route) -> bool:
    """Whether a finished environment is what an installation asks for."""
    same_python = python is None or str(find_python(python).path) == ready.base
    return same_python and mpi in ("auto", ready.mpi) and tuple(ready.packages) == PACKAGES


def build(location: Path, plan: Plan, runner: Runner, report: Callable[[str], None]) -> Ready:
    """Make an environment, beside one that may be there, and put it in its place once it works.

    Raises:
        InstallationError: a step fails.
    """
    report(f"Python {plan.interpreter.version}: {plan.interpreter.path}")
    report(f"Open MPI: {plan.mpi}")
    base, packages = str(plan.interpreter.path), list(PACKAGES)
    wanted = {"base": base, "packages": packages}
    folder = _unfinished(location, wanted)
    if folder is None:
        folder = _fresh(location)
        report(f"installing {', '.join(PACKAGES)} into {location} (120 MB to download, 450 MB installed)")
        _install_packages(folder, plan.interpreter, runner)
        files.write(folder / STAMP, json.dumps(wanted).encode())
    else:
        report(f"continuing the installation in {location}: {', '.join(PACKAGES)} are there")
    report("adding the MPI libraries")
    python_paths = plan.interpreter.library_paths
    mpi_paths = plan.mpi.install(folder, libraries_of(folder), runner, pip_environ(python_paths))
    library_paths = (*mpi_paths, *python_paths)
    report("testing: a small network is trained by CNTK and by numpy")
    found = selftest(folder / "bin/python", library_paths, runner)
    ready = Ready(
        folder=folder.name,
        mpi=plan.mpi.route,
        library_paths=[_relative(path, location) for path in library_paths],
        versions=found["versions"],
        devices=found["devices"],
        base=base,
        packages=packages,
    )
    files.write(location / READY, json.dumps(asdict(ready), indent=1).encode())
    for other in _folders(location):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
    return ready


def selftest(python: Path, library_paths: Iterable[Path], runner: Runner) -> dict[str, Any]:
    """Train a small network under an environment; returns ``versions``, ``devices`` and ``difference``.

    Raises:
        InstallationError: CNTK does not load, or does not train as it should.
    """
    command: list[str | Path] = [python, *ISOLATED, "-W", "ignore", SELFTEST]
    output = runner.run("the test of CNTK", command, child_environ(library_paths, threads=1))
    for line in output.splitlines():
        if line.startswith("{"):  # CNTK's own messages stand around it
            result: dict[str, Any] = json.loads(line)
            return result
    raise InstallationError(f"the test of CNTK printed no result (see {runner.log})")


def libraries_of(folder: Path) -> Path:
    """Where CNTK's libraries are in a virtual environment, and look for others first."""
    return folder / "lib/python3.6/site-packages/cntk/libs"


def venv_command(interpreter: Interpreter, folder: Path) -> list[str | Path]:
    """How a virtual environment is made."""
    return [interpreter.path, *ISOLATED, "-m", "venv", folder]


def _install_packages(folder: Path, interpreter: Interpreter, runner: Runner) -> None:
    environ = child_environ(interpreter.library_paths, threads=1)
    runner.run("making the virtual environment", venv_command(interpreter, folder), environ)
    pip = [*pip_command(folder), "install", "--disable-pip-version-check"]
    environ = pip_environ(interpreter.library_paths)
    runner.run(f"installing {PIP}", [*pip, "--upgrade", PIP], environ)
    runner.run("installing CNTK", [*pip, "--no-deps", "--only-binary=:all:", *PACKAGES], environ)


def _folders(location: Path) -> list[Path]:
    return sorted(path for path in location.glob("env[0-9]*") if path.is_dir())


def _unfinished(location: Path, wanted: dict[str, Any]) -> Path | None:
    """A folder that an interrupted installation has filled with the packages that are wanted.

    One that it left before that is not continued: only what was finished is known to be whole, and what was
    downloaded is in pip's cache.
    """
    for folder in _without_ready(location):
        try:
            if json.loads((folder / STAMP).read_text(encoding="utf-8")) == wanted:
                return folder
        except (OSError, ValueError):
            continue
    return None


def _fresh(location: Path) -> Path:
    """A folder for a new environment; what interrupted installations left is removed."""
    for folder in _without_ready(location):
        shutil.rmtree(folder)
    taken = {folder.name for folder in _folders(location)}
    number = 1
    while f"env{number}" in taken:
        number += 1
    return location / f"env{number}"


def _without_ready(location: Path) -> list[Path]:
    try:
        ready = read_ready(location).folder
    except InstallationError:
        ready = None
    return [folder for folder in _folders(location) if folder.name != ready]


def _relative(path: Path, location: Path) -> str:
    """Relative where it lies inside, so that the place may be moved."""
    return str(path.relative_to(location) if path.is_relative_to(location) else path)
