"""Reading .npz files, hostile ones above all: they can make us refuse, never execute or exhaust memory."""

from __future__ import annotations

import io
import pickle
import struct
import time
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neuromatic.data import NpzFile, read_npz
from neuromatic.errors import DataError


def npy(array: Any) -> bytes:
    """An array as .npy bytes."""
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def header(text: str, body: bytes = b"", version: tuple[int, int] = (1, 0)) -> bytes:
    """.npy bytes with a header of one's own."""
    raw = text.encode("latin1") + b"\n"
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H", len(raw)) + raw + body


def archive(path: Path, *members: tuple[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, data in members:
            file.writestr(name, data)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "d.npz"


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_come_back(save: Any, file: Path) -> None:
    arrays = {
        "x": np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32),
        "y": np.arange(5),
        "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "empty": np.zeros((0, 4)),
        "scalar": np.float64(2.5),
        "zeros": np.zeros((1000, 100)),
        "name/with.dots": np.ones(2, bool),
    }
    save(file, **arrays)
    found = read_npz(file)
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


class Malicious:
    executed = False

    def __reduce__(self) -> tuple[Any, ...]:
        return (setattr, (Malicious, "executed", True))


def test_pickles_are_not_loaded(file: Path) -> None:
    np.savez(file, x=np.array([Malicious()], object))
    with pytest.raises(
        DataError, match=r"'x.npy' holds Python objects; save numbers, for instance with x.as"
    ):
        read_npz(file)
    archive(file, ("x.npy", pickle.dumps(Malicious())))
    with pytest.raises(DataError, match=r"'x.npy' is not an array in .npy form: "):
        read_npz(file)
    assert not Malicious.executed


LIE = "{'descr': '<f8', 'fortran_order': False, 'shape': (%s,), }"
STRUCTURE = "{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (1,), }"

MEMBERS: dict[str, tuple[str, bytes, str]] = {
    "no array": ("readme.txt", b"hello", "'readme.txt' is not an array; save the data with numpy.savez"),
    "no magic": ("x.npy", b"hello, world", "'x.npy' is not an array in .npy form: "),
    "nothing": ("x.npy", b"", "'x.npy' is not an array in .npy form: "),
    "a version of others": (
        "x.npy",
        header(LIE % 1, b"12345678", (9, 9)),
        "'x.npy' has .npy version (9, 9), expected 1.0 or 2.0",
    ),
    "half a header": ("x.npy", npy(np.ones(3))[:20], "'x.npy' has a damaged .npy header"),
    "half an array": ("x.npy", npy(np.ones(3))[:-4], "'x.npy' declares 152 bytes and has 148"),
    "more than an array": ("x.npy", npy(np.ones(3)) + b"!", "'x.npy' declares 152 bytes and has 153"),
    "a header that lies": ("x.npy", header(LIE % 10**12, b"1" * 8), "'x.npy' declares 80000000000"),
    "a size below zero": ("x.npy", header(LIE % "-1", b"1" * 8), "'x.npy' declares "),
    "two sizes below zero": ("x.npy", header(LIE % "-1, -1", b"1" * 8), "cannot be read: "),
    "objects inside": ("x.npy", header(STRUCTURE, b"1" * 8), "'x.npy' holds Python objects"),
    "a call": ("x.npy", header("__import__('os').abort()"), "'x.npy' has a damaged .npy header"),
    "an open bracket": ("x.npy", header("{'descr': ("), "'x.npy' has a damaged .npy header"),
    "a bad indent": ("x.npy", header("  x\n y"), "'x.npy' has a damaged .npy header"),
    "many brackets": ("x.npy", header("(" * 9000), "'x.npy' has a damaged .npy header"),
    "a long header": ("x.npy", header(" " * 60000), "'x.npy' has a damaged .npy header"),
    "a type that is none": (
        "x.npy",
        header("{'descr': 'zz', 'fortran_order': False, 'shape': (1,), }"),
        "'x.npy' has a damaged .npy header",
    ),
}


@pytest.mark.parametrize("kind", MEMBERS)
def test_members_that_are_no_arrays(kind: str, file: Path) -> None:
    name, data, message = MEMBERS[kind]
    archive(file, (name, data))
    with pytest.raises(DataError) as caught:
        read_npz(file)
    assert message in str(caught.value)
    assert str(file) in str(caught.value)


def test_members_of_one_name(file: Path) -> None:
    archive(file, ("x.npy", npy(np.ones(3))), ("x.npy", npy(np.zeros(3))))
    with pytest.raises(DataError, match=r"d.npz holds \['x.npy'\] twice"):
        read_npz(file)


def test_an_empty_archive(file: Path) -> None:
    archive(file)
    with pytest.raises(DataError, match=r"d.npz holds no arrays"):
        read_npz(file)


def patched(file: Path, offset: int, value: bytes) -> None:
    """Change bytes of the only entry of an archive's directory."""
    data = bytearray(file.read_bytes())
    start = data.index(b"PK\x01\x02") + offset
    data[start : start + len(value)] = value
    file.write_bytes(data)


def test_an_encrypted_member(file: Path) -> None:
    archive(file, ("x.npy", npy(np.ones(3))))
    patched(file, 8, b"\x01\x00")
    with pytest.raises(DataError, match=r"d.npz cannot be read: .* is encrypted"):
        read_npz(file)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_directory_that_claims_more_than_there_is(method: int, file: Path) -> None:
    archive(file, ("x.npy", header(LIE % (2**29 - 16), b"1" * 8)), method=method)
    patched(file, 24, struct.pack("<I", 2**32 - 2))
    with pytest.raises(DataError, match=r"'x.npy' claims 4294967294 bytes, more than .*d.npz can hold"):
        read_npz(file)
    patched(file, 20, struct.pack("<I", 2**32 - 2))
    with pytest.raises(DataError, match=r"'x.npy' claims 4294967294 bytes, more than .*d.npz can hold"):
        read_npz(file)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_ways_of_packing(method: int, file: Path) -> None:
    archive(file, ("x.npy", npy(np.zeros(10**6))), method=method)
    with pytest.raises(DataError, match=rf"'x.npy' is packed by method {method}; save the data with numpy"):
        read_npz(file)


def test_files_that_are_no_archives(file: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*d.npz: No such file or directory"):
        read_npz(file)
    for data in (b"", b"hello", b"PK\x03\x04", npy(np.ones(3))):
        file.write_bytes(data)
        with pytest.raises(DataError, match=r"d.npz is not a readable .npz file: "):
            read_npz(file)
    with pytest.raises(DataError, match=r"cannot read"):
        read_npz(file.parent)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_damage_anywhere_is_refused_or_harmless(method: int, file: Path) -> None:
    archive(file, ("x.npy", npy(np.arange(20.0))), ("y.npy", npy(np.arange(4))), method=method)
    original = file.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for i in range(800):
        data = bytearray(original)
        if i % 4 == 0:
            data = data[: rng.integers(len(data))]
        else:
            for place in rng.integers(len(data), size=rng.integers(1, 4)):
                data[place] = rng.integers(256)
        file.write_bytes(data)
        try:
            read_npz(file)
        except DataError:
            refused += 1
    assert refused > 400


def test_only_what_is_asked_for_is_read(file: Path) -> None:
    archive(
        file,
        ("x.npy", npy(np.ones(3))),
        ("notes.txt", b"hello"),
        ("lies.npy", header(LIE % 10**12, b"1" * 8)),
        ("objects.npy", pickle.dumps(Malicious())),
    )
    found = NpzFile(file)
    assert set(found) == {"x", "notes.txt", "lies", "objects"}
    np.testing.assert_array_equal(found["x"], np.ones(3))
    for name, message in {"notes.txt": "is not an array", "lies": "declares", "objects": "not an ar"}.items():
        with pytest.raises(DataError, match=message):
            found[name]
    assert "y" not in found


def test_many_members_take_time_by_their_number(file: Path) -> None:
    """60,000 members took minutes when each was compared with all others."""
    member = npy(np.ones(1, np.float32))
    archive(file, ("x.npy", member), *((f"array{i}.npy", member) for i in range(60_000)))
    started = time.process_time()
    found = NpzFile(file)
    assert len(found) == 60_001
    assert found["x"].tolist() == [1]
    assert time.process_time() - started < 20


def test_all_of_many_members(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each member is looked at once, and the file's directory once for all."""
    looked: list[str] = []
    opened = zipfile.ZipFile.open

    def counted(self: zipfile.ZipFile, name: Any, *args: Any, **kwargs: Any) -> Any:
        looked.append(name.filename)
        return opened(self, name, *args, **kwargs)

    archive(file, *((f"array{i}.npy", npy(np.float32(i))) for i in range(500)))
    monkeypatch.setattr(zipfile.ZipFile, "open", counted)
    assert len(read_npz(file)) == 500
    assert len(looked) == 2 * 500  # header and values
