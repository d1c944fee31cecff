"""Where the MPI libraries come from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from neuromatic.converters.cntk import _mpi
from neuromatic.converters.cntk._mpi import SYSTEM_MPI, SYSTEM_MPI_CXX, SystemMpi, WheelMpi, choose
from neuromatic.converters.cntk._process import InstallationError, Runner
from tests.converters.cntk.fake_python import isolate


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """There is an Open MPI 4 in a folder on the library path, and no other."""
    isolate(monkeypatch, tmp_path)


def without_open_mpi(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is none."""
    monkeypatch.delenv("LD_LIBRARY_PATH")


def with_compilers(monkeypatch: pytest.MonkeyPatch, folder: Path, *names: str) -> None:
    """Commands of these names, and no others, are on PATH."""
    folder.mkdir()
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("CC", raising=False)


def test_the_system_s_goes_first(tmp_path: Path) -> None:
    for route in ("auto", "system"):
        assert choose(route) == SystemMpi(tmp_path / "openmpi", known=False)  # type: ignore[arg-type]


def test_both_libraries_have_to_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_compilers(monkeypatch, tmp_path / "compilers", "gcc")
    (tmp_path / "openmpi" / SYSTEM_MPI_CXX).unlink()  # as in Open MPI 5
    assert choose("auto") == WheelMpi(str(tmp_path / "compilers/gcc"))


def test_the_wheel_can_be_forced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_compilers(monkeypatch, tmp_path / "compilers", "clang", "my-cc")
    assert choose("wheel") == WheelMpi(str(tmp_path / "compilers/clang"))
    monkeypatch.setenv("CC", "my-cc")
    assert choose("wheel") == WheelMpi(str(tmp_path / "compilers/my-cc"))


def test_no_system_s(monkeypatch: pytest.MonkeyPatch) -> None:
    without_open_mpi(monkeypatch)
    with pytest.raises(InstallationError) as caught:
        choose("system")
    assert str(caught.value) == (
        "no Open MPI 4 was found (libmpi.so.40 with libmpi_cxx.so.40); install it (on Debian and Ubuntu: "
        "apt install libopenmpi3), or let it come as a wheel: --mpi wheel"
    )


@pytest.mark.parametrize(("route", "missing"), [("auto", "no Open MPI 4 and no C"), ("wheel", "no C")])
def test_no_compiler(
    route: _mpi.Route, missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_open_mpi(monkeypatch)
    with_compilers(monkeypatch, tmp_path / "compilers")
    with pytest.raises(InstallationError) as caught:
        choose(route)
    assert str(caught.value) == (
        f"there is {missing} compiler (tried cc, gcc and clang), and CNTK's MPI libraries need one; "
        "on Debian and Ubuntu: apt install libopenmpi3, or: apt install gcc libc6-dev"
    )


def test_what_the_loader_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    tools, libraries = tmp_path / "loader", tmp_path / "libraries"
    tools.mkdir()
    libraries.mkdir()
    for name in (SYSTEM_MPI, SYSTEM_MPI_CXX):
        (libraries / name).touch()
    ldconfig = tools / "ldconfig"
    ldconfig.write_text(
        "#!/bin/sh\n"
        "echo '800 libs found in cache'\n"
        f"echo '	{SYSTEM_MPI} (libc6) => /i386/{SYSTEM_MPI}'\n"
        f"echo '	{SYSTEM_MPI} (libc6,x86-64) => {libraries}/{SYSTEM_MPI}'\n"
    )
    ldconfig.chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=os.pathsep)
    assert choose("auto") == SystemMpi(libraries, known=True)


@pytest.mark.parametrize("known", [True, False])
def test_links_to_the_system_s(known: bool, tmp_path: Path) -> None:
    libs = tmp_path / "libs"
    libs.mkdir()
    (libs / _mpi.MPI).symlink_to("/of/an/earlier/installation")
    way = SystemMpi(tmp_path / "openmpi", known)
    paths = way.install(tmp_path, libs, Runner(tmp_path / "log", 0), {})
    assert paths == (() if known else (tmp_path / "openmpi",))
    assert (libs / _mpi.MPI).resolve() == tmp_path / "openmpi" / SYSTEM_MPI
    assert (libs / _mpi.MPI_CXX).resolve() == tmp_path / "openmpi" / SYSTEM_MPI_CXX
