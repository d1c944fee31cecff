"""What is shipped, what is installed beside it, and which way imports run."""

from __future__ import annotations

import ast
import importlib.util
import itertools
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES: list[str] = PYPROJECT["tool"]["setuptools"]["packages"]
# Where each top-level folder of the checkout appears in Python; the links inward are never followed.
FOLDERS = {"neuromatic": "neuromatic"} | PYPROJECT["tool"]["setuptools"]["package-dir"]
BARE_NAMES = {folder for folder in FOLDERS.values() if folder != "neuromatic"}
ENGINE_LOOKUP = "neuromatic.engines"


def folder_of(package: str) -> Path:
    """Return the real folder of a package."""
    root = max((name for name in FOLDERS if f"{package}.".startswith(f"{name}.")), key=len)
    return ROOT / FOLDERS[root] / package.removeprefix(root).removeprefix(".").replace(".", "/")


def packages_on_disk() -> set[str]:
    """Return the package of each folder that has an ``__init__.py``."""
    found = set()
    for name, folder in FOLDERS.items():
        for path, _, files in os.walk(ROOT / folder, followlinks=False):
            if "__init__.py" in files:
                found.add(".".join((name, *Path(path).relative_to(ROOT / folder).parts)))
    return found


def shipped_files() -> set[str]:
    """Return what has to be in the wheel beside its metadata: all sources, and the declared data."""
    files = set()
    for package in PACKAGES:
        patterns = ["*.py", *PYPROJECT["tool"]["setuptools"]["package-data"].get(package, [])]
        folder = folder_of(package)
        for path in itertools.chain.from_iterable(folder.glob(pattern) for pattern in patterns):
            files.add(f"{package.replace('.', '/')}/{path.relative_to(folder).as_posix()}")
    return files


def test_the_package_list_is_the_folders() -> None:
    assert sorted(PACKAGES) == sorted(packages_on_disk())


def test_each_outer_folder_is_linked_inward() -> None:
    for name, folder in FOLDERS.items():
        link = ROOT / name.replace(".", "/")
        assert link.resolve() == (ROOT / folder).resolve(), f"{link} has to be a link to {folder}/"


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build an sdist of a copy of the checkout, and the wheel of that sdist; nothing is downloaded."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in {Path(folder).parts[0] for folder in FOLDERS.values()}:
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    project = PYPROJECT["project"]
    modules = [f"{name}.py" for name in PYPROJECT["tool"]["setuptools"]["py-modules"]]
    for name in ("pyproject.toml", project.get("readme"), *project["license-files"], *modules):
        if name:
            shutil.copy(ROOT / name, copy / name)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", "dist", "."]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return copy / "dist"


@pytest.fixture(scope="module")
def wheel(distributions: Path) -> zipfile.ZipFile:
    """Return the built wheel."""
    (path,) = distributions.glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_holds_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    names = {name for name in wheel.namelist() if not name.endswith("/")}
    version = PYPROJECT["project"]["version"]
    roots = {"neuromatic", "neuromatic_command.py", f"neuromatic-{version}.dist-info"}
    assert {name.split("/")[0] for name in names} == roots
    assert {name for name in names if name.startswith("neuromatic/")} == shipped_files()


def test_the_wheel_is_typed_and_has_the_digits(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    assert "neuromatic/py.typed" in names
    assert {f"neuromatic/models/data/digits-{part}.npz" for part in ("train", "test")} <= names
    assert {f"{package.replace('.', '/')}/__init__.py" for package in PACKAGES} <= names


def test_the_wheel_names_its_command_and_licence(wheel: zipfile.ZipFile) -> None:
    metadata = f"neuromatic-{PYPROJECT['project']['version']}.dist-info"
    assert b"neuromatic = neuromatic_command:main" in wheel.read(f"{metadata}/entry_points.txt")
    assert "neuromatic_command.py" in wheel.namelist()
    assert any(Path(name).name == "LICENSE" for name in wheel.namelist() if name.startswith(metadata))


def test_packages_are_found_in_the_unpacked_wheel(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path)
    code = "import sys, neuromatic.converters, neuromatic.cli, neuromatic.models\n"
    code += "print(*(sys.modules[n].__file__ for n in sorted(sys.modules) if n.startswith('neuromatic')))"
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    files = [Path(name) for name in done.stdout.split()]
    assert files
    assert all(path.is_relative_to(tmp_path) for path in files), files


def test_the_sdist_holds_each_file_once(distributions: Path) -> None:
    (path,) = distributions.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = [member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()]
    sources = [name for name in names if name.split("/")[0] in FOLDERS.values()]
    assert len(sources) == len(shipped_files()), sorted(sources)
    assert {"pyproject.toml", "LICENSE"} <= set(names)


def constraints() -> list[str]:
    """Return the lines of constraints.txt that say something."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_constraints_are_exact_versions_and_name_no_host() -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert not re.search(r"://|^\s*-|@|--hash", text, flags=re.MULTILINE)
    pin = re.compile(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+( ?;.+)?")
    assert [line for line in constraints() if not pin.fullmatch(line)] == []


@pytest.mark.parametrize("extra", [None, "cpu", "keras", "dev"])
def test_what_development_installs_is_pinned(extra: str | None) -> None:
    project = PYPROJECT["project"]
    wanted = project["dependencies"] if extra is None else project["optional-dependencies"][extra]
    pins = {canonicalize_name(pin.name): pin.specifier for pin in map(Requirement, constraints())}
    for requirement in map(Requirement, wanted):
        (pin,) = pins[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(pin.version), f"{requirement} is pinned to {pin.version}"


def test_import_loads_no_engine_and_few_modules() -> None:
    """The time that it takes is measured by ``benchmarks/import_time.py``: here it would be the machine's."""
    code = "import json, sys; import neuromatic; print(json.dumps(sorted(sys.modules)))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    modules = json.loads(done.stdout)
    heavy = {
        "cntk",
        "keras",
        "matplotlib",
        "onnxruntime",
        "pandas",
        "scipy",
        "sklearn",
        "tensorflow",
        "torch",
    }
    assert heavy & {name.split(".")[0] for name in modules} == set()
    assert len(modules) < 650, f"{len(modules)} modules, of which onnx and numpy are some 330"


class Import(NamedTuple):
    """One imported name: who imports what, where, and whether by a call of ``import_module``."""

    module: str
    target: str
    place: str
    dynamic: bool

    def reaches(self, package: str) -> bool:
        """Tell whether the target is the package or lies in it."""
        return f"{self.target}.".startswith(f"{package}.")


def imports_of(path: Path, module: str, *, is_package: bool = False) -> Iterator[Import]:
    """Yield every import in a source file, wherever it stands, relative ones resolved."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))):
        place = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
        match node:
            case ast.Import(names=names):
                yield from (Import(module, name.name, place, False) for name in names)
            case ast.ImportFrom(module=source, names=names, level=level):
                base = source or ""
                if level:
                    package = module if is_package else module.rpartition(".")[0]
                    base = importlib.util.resolve_name("." * level + base, package)
                yield Import(module, base, place, False)
                yield from (Import(module, f"{base}.{name.name}", place, False) for name in names)
            case ast.Call(func=ast.Name(id=function) | ast.Attribute(attr=function), args=[name, *_]):
                if function in {"import_module", "__import__"}:
                    yield Import(module, _leading_text(name), place, True)


def _leading_text(node: ast.expr) -> str:
    """Return a string literal, or the constant start of an f-string (``f"a.{x}"`` gives ``"a."``)."""
    first = node.values[0] if isinstance(node, ast.JoinedStr) and node.values else node
    return first.value.rstrip(".") if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""


def all_imports() -> list[Import]:
    """Return the imports of all sources of the package."""
    found: list[Import] = []
    for package in sorted(packages_on_disk()):
        for path in sorted(folder_of(package).glob("*.py")):
            is_package = path.name == "__init__.py"
            module = package if is_package else f"{package}.{path.stem}"
            found += imports_of(path, module, is_package=is_package)
    return found


def test_imports_run_one_way() -> None:
    outer = ("neuromatic.converters", "neuromatic.cli")
    wrong = []
    for found in all_imports():
        if f"{found.module}.".startswith("neuromatic.converters."):
            forbidden: tuple[str, ...] = ("neuromatic.cli",)
        elif any(f"{found.module}.".startswith(f"{name}.") for name in FOLDERS if name != "neuromatic"):
            forbidden = ()
        elif found.dynamic and found.module == ENGINE_LOOKUP:
            forbidden = ("neuromatic.cli",)
        else:
            forbidden = outer
        wrong += [f"{found.place} imports {found.target}" for name in forbidden if found.reaches(name)]
    assert wrong == []


def test_nothing_imports_a_folder_by_its_bare_name() -> None:
    tests = [
        found
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for found in imports_of(path, ".".join(path.relative_to(ROOT).with_suffix("").parts))
    ]
    wrong = [
        f"{found.place} imports {found.target}"
        for found in all_imports() + tests
        if any(found.reaches(name) for name in BARE_NAMES)
    ]
    assert wrong == []


def test_imports_are_seen_wherever_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    source = tmp_path / "model.py"
    source.write_text(
        "from . import cli\n"
        "def f(engine):\n"
        "    from .. import errors\n"
        "    import converters.registry\n"
        "    importlib.import_module(f'neuromatic.converters.{engine}')\n",
        encoding="utf-8",
    )
    targets = {found.target for found in imports_of(source, "neuromatic.layers.model")}
    assert targets >= {
        "neuromatic.layers.cli",
        "neuromatic.errors",
        "converters.registry",
        "neuromatic.converters",
    }


@pytest.mark.parametrize("part", ["train", "test"])
def test_the_digits_are_what_their_script_writes(part: str) -> None:
    folder = folder_of("neuromatic.models") / "data"
    expected = runpy.run_path(str(folder / "make_digits.py"))["digits"]()[part]
    with np.load(folder / f"digits-{part}.npz", allow_pickle=False) as arrays:
        assert set(arrays) == {"x", "y"}
        assert arrays["x"].dtype == np.float32
        assert arrays["x"].shape == (360 if part == "test" else 1437, 1, 8, 8)
        assert arrays["y"].dtype == np.int64
        for name, values in arrays.items():
            np.testing.assert_array_equal(values, expected[name])
