"""Checking out and sweeping: what is damaged or missing is named, what is needed stays."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aimass.core.errors import Invalid, NotFound
from aimass.core.ids import Digest
from aimass.registry import versions
from aimass.registry.artifacts import checkout, sweep, unreferenced
from aimass.testing.registry import SmallRegistry
from aimass.testing.storage import MemoryStore


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[SmallRegistry]:
    small = SmallRegistry(tmp_path)
    yield small
    small.close()


def test_a_folder_holds_the_files_and_is_reused(tmp_path: Path) -> None:
    store = MemoryStore()
    files = {"model.onnx": store.put(b"weights"), "labels.json": store.put(b"[]")}
    folder = checkout(store, files, tmp_path / "cache")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "model.onnx": b"weights",
        "labels.json": b"[]",
    }
    before = (folder / "model.onnx").stat().st_ino
    assert checkout(store, dict(reversed(files.items())), tmp_path / "cache") == folder
    assert (folder / "model.onnx").stat().st_ino == before
    assert checkout(store, {"model.onnx": files["model.onnx"]}, tmp_path / "cache") != folder


@pytest.mark.parametrize("spoil", ["damage", "delete"])
def test_a_spoilt_folder_is_made_again(tmp_path: Path, spoil: str) -> None:
    store = MemoryStore()
    files = {"model.onnx": store.put(b"weights")}
    folder = checkout(store, files, tmp_path)
    if spoil == "damage":
        (folder / "model.onnx").write_bytes(b"wejghts")
    else:
        (folder / "model.onnx").unlink()
    assert checkout(store, files, tmp_path) == folder
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"model.onnx": b"weights"}
    assert list(tmp_path.iterdir()) == [folder]


def test_damaged_and_missing_artifacts_are_named_and_not_left_there(tmp_path: Path) -> None:
    store = MemoryStore()
    good, damaged = store.put(b"good"), store.put(b"bad")
    store.artifacts[damaged] = b"bed"
    with pytest.raises(Invalid, match=rf"model\.onnx: artifact {damaged} is corrupted"):
        checkout(store, {"good": good, "model.onnx": damaged}, tmp_path)
    nowhere = Digest("0" * 64)
    with pytest.raises(NotFound, match=rf"model\.onnx: artifact {nowhere} is missing"):
        checkout(store, {"good": good, "model.onnx": nowhere}, tmp_path)
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {"good"}


def test_many_at_once(tmp_path: Path) -> None:
    store = MemoryStore()
    files = {f"part{index}": store.put(bytes([index]) * 100_000) for index in range(5)}
    with ThreadPoolExecutor(8) as pool:
        (folder,) = set(pool.map(lambda _: checkout(store, files, tmp_path), range(16)))
    assert sorted(path.name for path in folder.iterdir()) == sorted(files)
    assert list(tmp_path.iterdir()) == [folder]


def test_sweeping_frees_what_nobody_refers_to(registry: SmallRegistry) -> None:
    shared, alone = registry.manifest(b"shared"), registry.manifest(b"alone")
    for manifest in (shared, shared, alone):
        registry.register("forest", manifest)
    compiled, stray = registry.store.put(b"compiled"), registry.store.put(b"stray")
    with registry.database.session() as session:
        versions.remove(session, "forest", 1, (), registry.clock)
        versions.remove(session, "forest", 3, (), registry.clock)
    with registry.database.reading() as session:
        expected = sorted([stray, alone.files["model.onnx"]])
        assert unreferenced(session, registry.store, {compiled}) == expected
    with registry.database.session() as session:
        assert sweep(session, registry.store, {compiled}, dry_run=True) == (2, len(b"stray") + len(b"alone"))
        assert sweep(session, registry.store, {compiled}) == (2, len(b"stray") + len(b"alone"))
        assert sweep(session, registry.store, {compiled}) == (0, 0)
    assert set(registry.store.digests()) == {compiled, shared.files["model.onnx"]}
