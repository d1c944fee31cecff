"""Links as a Hugging Face cache has them are taken; whatever else leads out of a folder is refused."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

import neuromatic as nm
from neuromatic.errors import InvalidModelError
from neuromatic.ir.tensors import is_mapped
from neuromatic.saving import external_data as external
from neuromatic.saving.atomic import cached_blob
from tests.hostile.files import stored

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links are Unix'")

REVISION = "0123456789abcdef" * 2 + "01234567"
WEIGHTS = np.arange(4, dtype=np.float32)
X = np.ones((2, 4), np.float32)


def blob(repository: Path, content: bytes, *, sha256: bool = True) -> Path:
    digest = hashlib.sha256(content).hexdigest() if sha256 else hashlib.sha1(content).hexdigest()
    path = repository / "blobs" / digest
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def model_bytes() -> bytes:
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value="model.onnx_data")
    return stored(weight).SerializeToString()


def cache(root: Path, inside: str = "") -> Path:
    """A repository with a model and its external data, as ``huggingface_hub`` keeps it; the model's path."""
    repository = root / "models--org--name"
    folder = repository / "snapshots" / REVISION / inside
    folder.mkdir(parents=True)
    for name, content, sha256 in (
        ("model.onnx", model_bytes(), False),
        ("model.onnx_data", WEIGHTS.tobytes(), True),
    ):
        target = blob(repository, content, sha256=sha256)
        (folder / name).symlink_to(os.path.relpath(target, folder))
    return folder / "model.onnx"


@pytest.mark.parametrize("inside", ["", "onnx", "onnx/deep"])
@pytest.mark.parametrize("mapped", [False, True])
def test_a_model_in_a_cache(
    inside: str, mapped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if mapped:
        monkeypatch.setattr(external, "MOST_READ", 0)
        monkeypatch.setattr(external, "LEAST_MAPPED", 0)
    path = cache(tmp_path, inside)
    model = nm.load(path)
    assert is_mapped(model.proto.graph.initializer[0]) == mapped
    np.testing.assert_array_equal(model.predict(X), X + WEIGHTS)
    model.save(tmp_path / "copy.onnx")
    assert (tmp_path / "model.onnx_data").read_bytes() == WEIGHTS.tobytes()
    assert not (tmp_path / "model.onnx_data").is_symlink()
    np.testing.assert_array_equal(nm.load(tmp_path / "copy.onnx").predict(X), X + WEIGHTS)


def test_the_cache_may_lie_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    path = cache(tmp_path / "real")
    (tmp_path / "hub").symlink_to("real")
    through = tmp_path / "hub" / path.relative_to(tmp_path / "real")
    np.testing.assert_array_equal(nm.load(through).predict(X), X + WEIGHTS)


def test_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(cache(tmp_path).parent)
    np.testing.assert_array_equal(nm.load("model.onnx").predict(X), X + WEIGHTS)


def test_what_others_share_is_never_written_to(tmp_path: Path) -> None:
    """Saving over a file of the cache replaces the link; the blob is what its name says for all revisions."""
    path = cache(tmp_path)
    blobs = {p: p.read_bytes() for p in (tmp_path / "models--org--name" / "blobs").iterdir()}
    model = nm.load(path)
    model.proto.graph.initializer[0].raw_data = (2 * WEIGHTS).tobytes()
    model.proto.doc_string = "changed"
    nm.Model.from_proto(model.proto).save(path)
    assert {p: p.read_bytes() for p in blobs} == blobs
    assert not path.is_symlink()
    np.testing.assert_array_equal(nm.load(path).predict(X), X + 2 * WEIGHTS)
    assert [p.name for p in path.parent.iterdir() if p.name.startswith(".")] == []


def relinked(path: Path, text: str | Path) -> None:
    data = path.with_name("model.onnx_data")
    data.unlink()
    data.symlink_to(text)


def hash_of(path: Path) -> str:
    return path.with_name("model.onnx_data").resolve().name


def a_branch(path: Path) -> None:
    path.parent.rename(path.parent.with_name("main"))


def renamed(path: Path, repository: str) -> None:
    path.parents[2].rename(path.parents[3] / repository)


def with_secret(path: Path, name: str = "secret") -> Path:
    secret = path.parents[3] / name
    secret.parent.mkdir(parents=True, exist_ok=True)
    secret.write_bytes(WEIGHTS.tobytes())
    return secret


def other_repository(path: Path) -> None:
    target = blob(path.parents[3] / "models--org--other", WEIGHTS.tobytes())
    relinked(path, f"../../../models--org--other/blobs/{target.name}")


def blob_is_a_link(path: Path) -> None:
    target = path.with_name("model.onnx_data").resolve()
    target.unlink()
    target.symlink_to(with_secret(path))


def blobs_are_a_link(path: Path) -> None:
    blobs = path.parents[2] / "blobs"
    blobs.rename(path.parents[3] / "elsewhere")
    blobs.symlink_to("../elsewhere")


def snapshots_are_a_link(path: Path) -> None:
    """As deep as they were, so that the links in them still lead to the blobs."""
    snapshots = path.parents[1]
    snapshots.rename(path.parents[2] / "elsewhere")
    snapshots.symlink_to("elsewhere")


def hard_linked(path: Path) -> None:
    target = path.with_name("model.onnx_data").resolve()
    os.link(target, path.parents[3] / "other-name")


WRONG: dict[str, Callable[[Path], None]] = {
    "a link to a file above": lambda p: relinked(p, f"../../../{with_secret(p).name}"),
    "an absolute link": lambda p: relinked(p, p.with_name("model.onnx_data").resolve()),
    "another repository": other_repository,
    "a name that is no hash": lambda p: relinked(
        p, f"../../blobs/{with_secret(p, 'models--org--name/blobs/secret').name}"
    ),
    "more steps than it takes": lambda p: relinked(p, f"../../../models--org--name/blobs/{hash_of(p)}"),
    "a way round": lambda p: relinked(p, f"../../snapshots/../blobs/{hash_of(p)}"),
    "a folder of another name": lambda p: renamed(p, "org--name"),
    "a blob that is a link": blob_is_a_link,
    "blobs that are a link": blobs_are_a_link,
    "snapshots that are a link": snapshots_are_a_link,
    "a blob with a name elsewhere": hard_linked,
    "a revision that is none": a_branch,
}


@pytest.mark.parametrize("kind", WRONG)
def test_other_links_are_refused(kind: str, tmp_path: Path) -> None:
    path = cache(tmp_path)
    WRONG[kind](path)
    moved = [*tmp_path.glob("*/snapshots/*/model.onnx"), *tmp_path.glob("*/*/model.onnx")]
    found = path if path.exists() else moved[0]
    with pytest.raises(InvalidModelError, match="is a link that leads out of the model's folder"):
        nm.load(found)


def test_what_is_no_cache() -> None:
    for path in ("model.onnx", "/", "", "/models--a/snapshots/x"):
        assert cached_blob(path) is None
