"""Making the CNTK environment and finding it again, with a script in the part of Python 3.6."""

from __future__ import annotations

import ast
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from neuromatic.converters.cntk import _build, _location, environment
from neuromatic.converters.cntk.environment import InstallationError, find, install, require
from neuromatic.errors import EngineNotAvailableError
from tests.converters.cntk.fake_python import INSTALLS, SELFTEST, FakePython, isolate


@pytest.fixture
def python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakePython:
    """A machine on which nothing is real but the folders."""
    return isolate(monkeypatch, tmp_path)


@pytest.fixture
def default(tmp_path: Path) -> Path:
    """Where the environment is made if no place is given."""
    return tmp_path / "home/.local/share/neuromatic/cntk"


def installs(place: Path, folder: str = "env1") -> list[str]:
    """The calls that a whole installation makes."""
    return [call.format(folder=place / folder) for call in INSTALLS]


def why_not() -> str:
    """The reason for which there is no environment."""
    assert find() is None
    with pytest.raises(EngineNotAvailableError) as caught:
        require()
    assert (caught.value.engine, caught.value.install) == ("cntk", "neuromatic engines install cntk")
    text = str(caught.value)
    end = "); install it with: neuromatic engines install cntk"
    assert text.startswith("cntk is not available (")
    assert text.endswith(end)
    return text.removeprefix("cntk is not available (").removesuffix(end)


@pytest.mark.usefixtures("python")
def test_nothing_is_installed(default: Path) -> None:
    assert why_not() == f"there is no environment in {default}"
    assert not default.parent.exists()


def test_an_installation(python: FakePython, default: Path, tmp_path: Path) -> None:
    report: list[str] = []
    made = install(report=report.append)
    assert made == require() == find()
    assert (made.location, made.python) == (default, default / "env1/bin/python")
    assert made.library_paths == (tmp_path / "openmpi",)
    assert (dict(made.versions), list(made.devices)) == (SELFTEST["versions"], SELFTEST["devices"])
    assert python.calls() == installs(default)
    assert report == [
        f"Python 3.6.15: {python.path}",
        f"Open MPI: the system's, in {tmp_path / 'openmpi'}",
        f"installing cntk==2.7.post2, numpy==1.19.5, scipy==1.5.4 into {default} "
        "(120 MB to download, 450 MB installed)",
        "adding the MPI libraries",
        "testing: a small network is trained by CNTK and by numpy",
    ]
    assert {p.name for p in default.iterdir()} == {".neuromatic-cntk", "env1", "install.log", "ready.json"}


def test_a_second_installation_only_tests(python: FakePython, default: Path) -> None:
    first = install()
    python.forget()
    report: list[str] = []
    assert install(report=report.append) == install(str(python.path), mpi="system") == first
    assert python.calls() == installs(default)[-1:] * 2
    assert report == [f"testing the environment in {default}"]


@pytest.mark.parametrize(
    ("step", "name"),
    [
        ("-m venv", "making the virtual environment"),
        ("--upgrade pip", "installing pip==21.3.1"),
        ("cntk==", "installing CNTK"),
        ("selftest.py", "the test of CNTK"),
    ],
)
def test_a_failed_step_is_a_sentence_and_can_be_repeated(
    step: str, name: str, python: FakePython, default: Path
) -> None:
    python.trouble(f'case "$*" in *"{step}"*) echo "ERROR: no way"; echo "WARNING: old pip"; exit 1 ;; esac')
    with pytest.raises(InstallationError) as caught:
        install()
    assert caught.value.exit_code == 1
    assert str(caught.value) == f"{name} failed: no way (all of its output is in {default}/install.log)"
    assert "no way" in (default / "install.log").read_text()
    assert why_not() == f"its installation in {default} was not finished"
    python.forget()
    assert install() == require()


def test_what_was_finished_is_not_repeated(python: FakePython, default: Path) -> None:
    python.trouble('case "$*" in *selftest.py*) exit 1 ;; esac')
    with pytest.raises(InstallationError, match="the test of CNTK failed: exit status 1"):
        install()
    python.forget()
    report: list[str] = []
    install(report=report.append)
    assert python.calls() == installs(default)[-1:]
    assert f"continuing the installation in {default}: cntk==" in report[2]


def test_a_test_without_a_result_has_failed(python: FakePython) -> None:
    python.trouble('case "$*" in *selftest.py*) exit 0 ;; esac')
    with pytest.raises(InstallationError, match="the test of CNTK printed no result"):
        install()


def test_an_older_environment_outlives_a_failure(
    python: FakePython, default: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = install()
    monkeypatch.setattr(_build, "PACKAGES", ("cntk==2.8",))
    python.trouble('case "$*" in *cntk==2.8*) exit 1 ;; esac')
    with pytest.raises(InstallationError, match="installing CNTK failed"):
        install()
    assert require() == first
    python.forget()
    second = install()
    assert second.python == default / "env2/bin/python"
    assert not (default / "env1").exists()


def test_one_that_does_not_work_is_made_anew(python: FakePython, default: Path) -> None:
    install()
    (default / "env1/bin/python").write_text("#!/bin/sh\necho broken; exit 1\n")
    python.forget()
    report: list[str] = []
    assert install(report=report.append).python == default / "env2/bin/python"
    assert report[1].startswith("it does not work and is made anew: the test of CNTK failed: broken")
    assert python.calls() == installs(default, "env2")


INSTALL_IN_A_PROCESS = """
from neuromatic.converters.cntk import _mpi
_mpi._loader_folders = lambda: iter(())
_mpi._FOLDERS = ()
from neuromatic.converters.cntk.environment import install
install()
"""


def test_killed_midway(python: FakePython, default: Path, tmp_path: Path) -> None:
    started, go_on = tmp_path / "started", tmp_path / "go_on"
    wait = f"'{started.parent}/tools/mkdir' '{started}'; while [ ! -e '{go_on}' ]; do sleep 0.05; done"
    python.trouble(f'case "$*" in *cntk==*) [ -e "{started}" ] || {{ {wait}; }} ;; esac')
    with subprocess.Popen([sys.executable, "-c", INSTALL_IN_A_PROCESS]) as process:
        wait_until(started.exists)
        process.send_signal(signal.SIGKILL)
    assert why_not() == f"its installation in {default} was not finished"
    # What it had started is still writing, so another installation waits for that.
    report: list[str] = []
    other = threading.Thread(target=lambda: install(report=report.append))
    other.start()
    wait_until(lambda: bool(report))
    assert report == [f"another installation is at work in {default}; waiting for it"]
    time.sleep(0.2)
    assert len(report) == 1
    python.forget()
    go_on.touch()
    other.join(timeout=30)
    assert require().python == default / "env1/bin/python"
    assert python.calls() == installs(default)  # nothing of the unfinished one is trusted


def wait_until(happened: Callable[[], bool]) -> None:
    """Wait for something that another process does."""
    end = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_two_at_a_time_make_one(python: FakePython, default: Path) -> None:
    python.trouble('case "$*" in *cntk==*) sleep 0.3 ;; esac')
    both = [threading.Thread(target=install) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join(timeout=30)
    assert find() is not None
    assert sorted(python.calls()) == sorted([*installs(default), installs(default)[-1]])


def test_nothing_is_made_where_something_is_missing(
    python: FakePython, default: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LD_LIBRARY_PATH")
    with pytest.raises(InstallationError, match="no Open MPI 4 was found"):
        install(mpi="system")
    python.path.unlink()
    with pytest.raises(environment.NoPythonError):
        install()
    assert not default.parent.exists()


def test_a_place_of_one_s_own_is_remembered(python: FakePython, default: Path, tmp_path: Path) -> None:
    place = tmp_path / "a place/of my own"
    made = install(location=place)
    assert made.location == require().location == place
    python.forget()
    assert install() == made
    assert python.calls() == installs(place)[-1:]
    shutil.rmtree(place)  # which is how it is uninstalled
    assert why_not() == f"there is no environment in {default}"


@pytest.mark.usefixtures("python")
def test_the_variable_goes_first(default: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named, given = tmp_path / "named", tmp_path / "given"
    monkeypatch.setenv("NEUROMATIC_CNTK", str(named))
    assert why_not() == f"there is no environment in {named}; NEUROMATIC_CNTK names this place"
    assert install().location == named
    report: list[str] = []
    install(location=given, report=report.append)
    assert report[-1] == f"NEUROMATIC_CNTK names {named} and goes first: set it to {given}, or unset it"
    assert require().location == named
    monkeypatch.delenv("NEUROMATIC_CNTK")
    assert why_not() == f"there is no environment in {default}"  # neither has been remembered


@pytest.mark.usefixtures("python")
def test_homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "relative, which does not count")
    assert _location.current() == tmp_path / "home/.local/share/neuromatic/cntk"
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert _location.current() == tmp_path / "data/neuromatic/cntk"
    monkeypatch.setenv("NEUROMATIC_HOME", "~/nm")
    assert _location.current() == tmp_path / "home/nm/cntk"


@pytest.mark.usefixtures("python")
def test_a_home_that_cannot_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NEUROMATIC_HOME", str(tmp_path / "file"))
    report: list[str] = []
    place = install(location=tmp_path / "place", report=report.append).location
    assert report[-1].startswith("cannot remember this place (")
    assert report[-1].endswith(f": set NEUROMATIC_CNTK={place}")
    monkeypatch.setenv("NEUROMATIC_CNTK", str(place))
    assert require().location == place


@pytest.mark.usefixtures("python")
def test_places_that_are_refused(tmp_path: Path) -> None:
    others = tmp_path / "others"
    others.mkdir()
    (others / "thesis.txt").write_text("years of work")
    with pytest.raises(InstallationError) as caught:
        install(location=others)
    assert str(caught.value) == (
        f"{others} holds other files, and the environment wants a folder of its own; "
        "name one that is empty or does not exist: --location FOLDER"
    )
    with pytest.raises(InstallationError, match=r"thesis\.txt is not a folder"):
        install(location=others / "thesis.txt")
    with pytest.raises(
        InstallationError, match="a:b cannot hold the environment: search paths are cut at ':'"
    ):
        install(location=tmp_path / "a:b")
    assert [path.name for path in others.iterdir()] == ["thesis.txt"]
    (tmp_path / "empty").mkdir()
    assert install(location=tmp_path / "empty").location == tmp_path / "empty"


def test_a_variable_that_names_something_else(
    python: FakePython, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEUROMATIC_CNTK", sys.prefix)
    named = "NEUROMATIC_CNTK names this place"
    assert why_not() == f"{sys.prefix} holds something that Neuromatic did not make; {named}"
    monkeypatch.setenv("NEUROMATIC_CNTK", str(python.path))
    assert why_not() == f"there is no environment in {python.path}; {named}"


def test_what_was_lost_since(python: FakePython, default: Path, tmp_path: Path) -> None:
    install()
    interpreter = default / "env1/bin/python"
    answers = '[ "$1 $2 $3" = "-I -B -c" ] && {{ echo \'["cpython-{}-x86_64-linux-gnu", {}]\'; exit; }}'
    python.trouble(answers.format("311", "true"))
    assert why_not() == f"{interpreter} is no Python 3.6 for x86-64 Linux but cpython-311-x86_64-linux-gnu"
    python.trouble(answers.format("36m", "false"))
    assert why_not() == f"{interpreter} has no module cntk"
    python.trouble("exit 3")
    assert why_not() == f"{interpreter} does not run any more"
    python.forget()
    (tmp_path / "openmpi/libmpi_cxx.so.40").unlink()
    library = default / "env1/lib/python3.6/site-packages/cntk/libs/libmpi_cxx.so.1"
    assert why_not() == f"{library} leads to no library any more"
    interpreter.unlink()
    assert why_not() == f"{interpreter} does not run any more"
    shutil.rmtree(default / "env1")
    assert why_not() == f"{default}/env1 is gone"


@pytest.mark.usefixtures("python")
@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"folder": 5}', "\xff"])
def test_a_damaged_list_of_what_is_there(text: str, default: Path) -> None:
    first = install()
    (default / "ready.json").write_text(text, encoding="latin-1")
    assert why_not() == f"{default}/ready.json cannot be read"
    assert install() == first


@pytest.mark.usefixtures("python")
def test_a_place_may_be_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(location=tmp_path / "first")
    (tmp_path / "first").rename(tmp_path / "second")
    monkeypatch.setenv("NEUROMATIC_CNTK", str(tmp_path / "second"))
    assert require().python == tmp_path / "second/env1/bin/python"


@pytest.mark.usefixtures("python")
def test_the_variables_of_a_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = install()
    for name in ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONWARNINGS", "VIRTUAL_ENV"):
        monkeypatch.setenv(name, "ours")
    monkeypatch.setenv("KEPT", "kept")
    found = made.environ(threads=3)
    assert "ours" not in found.values()
    assert (
        found.items()
        >= {
            "KEPT": "kept",
            "LD_LIBRARY_PATH": str(tmp_path / "openmpi"),
            "OMP_NUM_THREADS": "3",
            "MKL_NUM_THREADS": "3",
            "KMP_BLOCKTIME": "0",
            "PYTHONNOUSERSITE": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }.items()
    )
    assert os.environ["PYTHONPATH"] == "ours"
    with pytest.raises(ValueError, match="threads must be at least 1, got 0"):
        made.environ(0)


def test_what_runs_under_python_3_6_is_written_in_it() -> None:
    ast.parse(_build.SELFTEST.read_text(encoding="utf-8"), feature_version=(3, 6))
