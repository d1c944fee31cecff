"""Finding a Python 3.6, the only version that CNTK's last release runs on."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from neuromatic.converters.cntk._process import (
    ISOLATED_ANY,
    ON_ITS_OWN,
    InstallationError,
    NoPythonError,
    child_environ,
    on_path,
)

ABI = "cpython-36m-x86_64-linux-gnu"
"""What CNTK's wheel was built for, as Python itself names it."""

HINT = (
    "install one, for example by: pyenv install 3.6.15, or: conda create -n python36 python=3.6; "
    "or name it: --python PATH"
)
CONDA_FOLDERS = ("miniconda3", "anaconda3", "miniforge3", "mambaforge", "micromamba", "conda")

# Runs under any Python, 2.7 included. An environment's own interpreter answers with the one it was made
# from: environments made from environments do not find their standard library.
_PROBE = f"""
{ON_ITS_OWN}
import json, os, sys, sysconfig
base = getattr(sys, "real_prefix", getattr(sys, "base_prefix", sys.prefix))
path = sys.executable
if base != sys.prefix:
    path = os.path.join(base, "bin", "python%d.%d" % sys.version_info[:2])
try:
    import venv, ensurepip
    complete = True
except ImportError:
    complete = False
print(json.dumps([path, sys.version.split()[0], sysconfig.get_config_var("SOABI"), complete]))
"""


@dataclass(frozen=True)
class Interpreter:
    """A Python that runs.

    Attributes:
        path: the interpreter.
        version: such as ``3.6.15``.
        abi: as it names it, or None where it does not.
        complete: whether it has what environments are made with, ``venv`` and ``ensurepip``.
        library_paths: folders that it finds its own library in only if told so.
    """

    path: Path
    version: str
    abi: str | None
    complete: bool
    library_paths: tuple[Path, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether CNTK's wheel is for it."""
        return self.abi == ABI


def find_python(given: str | None = None) -> Interpreter:
    """The Python 3.6 to make the environment from: the one that is given, else the first that is found.

    Raises:
        NoPythonError: none is found, or this is not x86-64 Linux.
        InstallationError: what is given does not run or is another version, or none has ``venv``.
    """
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "AMD64"):
        raise NoPythonError(
            f"CNTK exists for x86-64 Linux only, and this is {platform.machine()} {platform.system()}"
        )
    if given is not None:
        return _complete(_given(given))
    found = [p for p in map(probe, candidates()) if p is not None and p.fits]
    if not found:
        raise NoPythonError(
            f"no Python 3.6 was found on PATH, in pyenv or in conda, and CNTK 2.7 runs on no other; {HINT}"
        )
    return _complete(next((p for p in found if p.complete), found[0]))


def _given(name: str) -> Interpreter:
    found = shutil.which(os.path.expanduser(name))
    interpreter = probe(Path(os.path.abspath(found))) if found else None
    if interpreter is None:
        raise InstallationError(f"{name} is no Python that can be run; CNTK needs a Python 3.6")
    if not interpreter.fits:
        raise InstallationError(
            f"{name} is Python {interpreter.version} ({interpreter.abi}); CNTK 2.7 needs Python 3.6 ({ABI})"
        )
    return interpreter


def _complete(interpreter: Interpreter) -> Interpreter:
    if not interpreter.complete:
        raise InstallationError(
            f"{interpreter.path} lacks venv or ensurepip, which make the environment; "
            "install them (with apt: apt install python3.6-venv), or name another Python 3.6: --python PATH"
        )
    return interpreter


def probe(path: Path) -> Interpreter | None:
    """What a Python says of itself, or None where it does not run, as a shim without its Python."""
    library = path.parent.parent / "lib"
    attempts: list[tuple[Path, ...]] = [()]
    if (library / "libpython3.6m.so.1.0").exists():
        attempts.append((library,))
    for library_paths in attempts:
        try:
            done = subprocess.run(
                [path, *ISOLATED_ANY, "-c", _PROBE],
                env=child_environ(library_paths, threads=1),
                cwd="/",
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=30,
                check=True,
            )
            base, version, abi, complete = json.loads(done.stdout)
        except (OSError, subprocess.SubprocessError, ValueError, TypeError):
            continue
        return Interpreter(Path(base), version, abi, complete, library_paths)
    return None


def candidates() -> Iterator[Path]:
    """Where a Python 3.6 may be, the likeliest first: PATH, pyenv, conda."""
    seen = set()
    for path in (*_on_path(), *_in_pyenv(), *_in_conda()):
        if path not in seen and os.access(path, os.X_OK) and path.is_file():
            seen.add(path)
            yield path


def _on_path() -> Iterator[Path]:
    folders = [Path(folder) for folder in os.get_exec_path() if os.path.isabs(folder)]
    for name in ("python3.6", "python3", "python"):
        yield from (folder / name for folder in folders)


def _in_pyenv() -> Iterator[Path]:
    for root in (os.environ.get("PYENV_ROOT"), os.path.expanduser("~/.pyenv")):
        if root:
            yield from (v / "bin/python3.6" for v in sorted(Path(root).glob("versions/3.6*"), reverse=True))


def _in_conda() -> Iterator[Path]:
    home = Path(os.path.expanduser("~"))
    roots = [home / name for name in CONDA_FOLDERS] + [Path("/opt") / name for name in CONDA_FOLDERS]
    if root := os.environ.get("MAMBA_ROOT_PREFIX"):
        roots.insert(0, Path(root))
    for tool in (os.environ.get("CONDA_EXE"), on_path("conda"), on_path("mamba")):
        if tool:  # it lies in bin/ or condabin/ of the base
            roots.insert(0, Path(os.path.realpath(tool)).parent.parent)
    if active := os.environ.get("CONDA_PREFIX"):
        yield Path(active) / "bin/python3.6"
    for root_folder in roots:
        yield root_folder / "bin/python3.6"
        yield from sorted(root_folder.glob("envs/*/bin/python3.6"))
