"""Finding a Python 3.6."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

import pytest

from neuromatic.converters.cntk import _interpreters
from neuromatic.converters.cntk._interpreters import candidates, find_python, probe
from neuromatic.converters.cntk._process import InstallationError, NoPythonError
from tests.converters.cntk.fake_python import fake_python, isolate

OTHER_ABI = "cpython-311-x86_64-linux-gnu"


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of this machine is found."""
    isolate(monkeypatch, tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "tools"))
    monkeypatch.setattr(_interpreters, "CONDA_FOLDERS", ("conda-of-this-test",))


def on_path(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    """These folders are the first on PATH."""
    monkeypatch.setenv("PATH", os.pathsep.join([*map(str, folders), os.environ["PATH"]]))


def test_on_path_behind_a_shim_that_fails_and_other_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shims, later = tmp_path / "shims", tmp_path / "later"
    shims.mkdir()
    for name in ("python3.6", "python3"):
        (shims / name).write_text("#!/bin/sh\necho 'pyenv: command not found' >&2; exit 127\n")
        (shims / name).chmod(0o755)
    python = fake_python(later)
    on_path(
        monkeypatch,
        shims,
        fake_python(tmp_path / "other", version="3.11.2", abi=OTHER_ABI).path.parent,
        later,
    )
    found = find_python()
    assert (found.path, found.version, found.library_paths) == (python.path, "3.6.15", ())


@pytest.mark.parametrize("name", ["python3", "python"])
def test_under_another_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = fake_python(tmp_path / "found")
    python.path.rename(python.path.with_name(name))
    on_path(monkeypatch, tmp_path / "found")
    assert find_python().version == "3.6.15"


@pytest.mark.parametrize(
    ("variable", "value", "place"),
    [
        (None, None, "home/.pyenv/versions/3.6.9/bin"),
        ("PYENV_ROOT", "pyenv", "pyenv/versions/3.6.15/bin"),
        ("CONDA_PREFIX", "active", "active/bin"),
        ("MAMBA_ROOT_PREFIX", "mamba", "mamba/envs/old/bin"),
        ("CONDA_EXE", "base/bin/conda", "base/envs/old/bin"),
        (None, None, "home/conda-of-this-test/envs/py36/bin"),
    ],
)
def test_in_pyenv_and_conda(
    variable: str | None, value: str | None, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable and value:
        monkeypatch.setenv(variable, str(tmp_path / value))
    assert find_python_or_none() is None
    python = fake_python(tmp_path / place)
    assert find_python().path == python.path


def find_python_or_none() -> Path | None:
    """The Python 3.6 that is found, or None."""
    try:
        return find_python().path
    except NoPythonError:
        return None


def test_one_with_venv_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare, whole = fake_python(tmp_path / "bare", complete=False), fake_python(tmp_path / "whole")
    on_path(monkeypatch, bare.path.parent, whole.path.parent)
    assert find_python().path == whole.path
    with pytest.raises(InstallationError, match=r"bare/python3\.6 lacks venv or ensurepip.*python3\.6-venv"):
        find_python(str(bare.path))


def test_none_is_found() -> None:
    with pytest.raises(NoPythonError) as caught:
        find_python()
    assert caught.value.exit_code == 3
    assert str(caught.value) == (
        "no Python 3.6 was found on PATH, in pyenv or in conda, and CNTK 2.7 runs on no other; install one, "
        "for example by: pyenv install 3.6.15, or: conda create -n python36 python=3.6; "
        "or name it: --python PATH"
    )


def test_what_is_given_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, given = fake_python(tmp_path / "first"), fake_python(tmp_path / "given", version="3.6.1")
    on_path(monkeypatch, first.path.parent)
    assert find_python(str(given.path)).version == "3.6.1"
    assert find_python("python3.6").path == first.path


def test_what_is_given_is_another_version() -> None:
    version = platform.python_version()
    with pytest.raises(
        InstallationError, match=rf"is Python {version} \(.*\); CNTK 2\.7 needs Python 3\.6 \("
    ):
        find_python(sys.executable)


@pytest.mark.parametrize("name", ["nowhere/python3.6", "text", "folder", "no-such-command"])
def test_what_is_given_is_no_python(name: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("text")
    (tmp_path / "folder").mkdir()
    given = name if name == "no-such-command" else str(tmp_path / name)
    with pytest.raises(InstallationError) as caught:
        find_python(given)
    assert str(caught.value) == f"{given} is no Python that can be run; CNTK needs a Python 3.6"


@pytest.mark.parametrize("abi", ["cpython-36dm-x86_64-linux-gnu", "cpython-36m-i386-linux-gnu", None])
def test_other_builds_of_3_6_do_not_fit(
    abi: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path(monkeypatch, fake_python(tmp_path / "build", abi=abi).path.parent)
    assert find_python_or_none() is None


@pytest.mark.parametrize(
    ("system", "machine"), [("darwin", "x86_64"), ("win32", "AMD64"), ("linux", "aarch64")]
)
def test_other_machines(system: str, machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    with pytest.raises(NoPythonError, match=f"CNTK exists for x86-64 Linux only, and this is {machine} "):
        find_python()


def test_an_environment_answers_with_the_python_it_was_made_from() -> None:
    if sys.prefix == sys.base_prefix:
        pytest.skip("these tests do not run in a virtual environment")
    found = probe(Path(sys.executable))
    assert found is not None
    assert found.path.is_relative_to(sys.base_prefix)
    assert not found.fits


def test_a_module_in_the_current_folder_does_not_disturb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit(1)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert probe(Path(sys.executable)) is not None


def test_a_shared_library_beside_it_is_found(tmp_path: Path) -> None:
    python = fake_python(tmp_path / "built/bin")
    (tmp_path / "built/lib").mkdir()
    (tmp_path / "built/lib/libpython3.6m.so.1.0").touch()
    python.trouble('[ -n "$LD_LIBRARY_PATH" ] || exit 127')
    found = probe(python.path)
    assert found is not None
    assert found.library_paths == (tmp_path / "built/lib",)


def test_each_candidate_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fake_python(tmp_path / "twice").path.parent
    on_path(monkeypatch, folder, folder)
    assert [path for path in candidates() if path.parent == folder] == [folder / "python3.6"]
