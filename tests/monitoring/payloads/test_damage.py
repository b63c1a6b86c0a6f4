"""What a crash, a power loss or another version leaves behind costs only itself."""

import os
from pathlib import Path

import numpy as np
import pytest

from aimass.core.errors import Unavailable
from aimass.core.home import Home
from aimass.monitoring.payloads import log as log_module
from aimass.monitoring.payloads import retention
from aimass.monitoring.payloads.reading import files, read
from aimass.monitoring.payloads.retention import ASIDE_S
from aimass.monitoring.payloads.secrets import Private, Secrets
from aimass.monitoring.payloads.spill import Spill, parts, set_aside
from aimass.monitoring.payloads.storing import store
from tests.monitoring.payloads.made import NOON, everything, log_in, taken

CALL = ("request", "iris", NOON)
SEALED = Private.of([], ["x"])


def _ids(folder: Path) -> set[str]:
    return {item.request_id for item in read(Home(folder))}


@pytest.mark.parametrize("bad", [b"", b'\x05\0\0\0{"a"}', b"\x02\0\0\0{}", b"no record at all"])
def test_a_record_that_cannot_be_read_keeps_no_other_from_parquet(
    tmp_path: Path, bad: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "payloads"
    for name in ("a", "b"):
        log, _ = log_in(tmp_path)
        log.offer(taken(name))
        log.close()
    first = parts(folder / "spill")[0]
    writer = Spill(tmp_path / "other", "replica")
    writer.append([bad])
    (other,) = parts(tmp_path / "other")
    first.write_bytes(other.read_bytes() + first.read_bytes())
    assert _ids(tmp_path) == {"a", "b"}
    assert store(folder) == 2 and store(folder) == 0
    assert (parts(folder / "spill"), len(files(folder)), _ids(tmp_path)) == ([], 2, {"a", "b"})
    (aside,) = set_aside(folder / "spill")
    assert str(aside) in caplog.text
    os.utime(aside, (NOON, NOON))
    retention.sweep(folder, {}, NOON + ASIDE_S - 1)
    assert aside.exists()
    retention.sweep(folder, {}, NOON + ASIDE_S + 1)
    assert not aside.exists()


def test_calls_that_make_no_table_keep_no_others_from_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "payloads"
    for service in ("alpha", "iris", "wine"):
        with monkeypatch.context() as patch:
            if service == "iris":
                patch.setattr("aimass.monitoring.payloads.secrets.to_bytes", lambda array: b"torn")
            log, _ = log_in(tmp_path)
            log.offer(taken(service, service=service))
            log.close()
    first, *others = parts(folder / "spill")
    first.write_bytes(b"".join(part.read_bytes() for part in (first, *others)))
    for part in others:
        part.unlink()
    assert store(folder) == 2 and store(folder) == 0
    assert _ids(tmp_path) == {"alpha", "wine"}
    assert parts(folder / "spill") == [] and len(set_aside(folder / "spill")) == 1
    retention.clean(folder, ["alpha"], NOON)
    assert len(set_aside(folder / "spill")) == 1, "whose calls it holds cannot be told"
    retention.clean(folder, ["alpha"], NOON, with_aside=True)
    assert set_aside(folder / "spill") == []


def test_what_a_writer_that_was_killed_left_goes_with_the_rest(tmp_path: Path) -> None:
    folder = tmp_path / "payloads"
    log, _ = log_in(tmp_path)
    log.offer(taken("a"))
    log.close()
    store(folder)
    (path,) = files(folder)
    half = path.with_name(f"{path.name}.123.tmp")
    half.write_bytes(b"half of a payload")
    assert retention.clean(folder, ["wine"], NOON) == 0 and half.exists()
    assert retention.clean(folder, ["iris"], NOON) > len(b"half of a payload")
    assert b"half" not in everything(tmp_path) and not (folder / "service=iris").exists()


@pytest.mark.parametrize("key", [b"", b"\n", b"00" * 31, b"00" * 33, b"no hex", b"\xff" * 64])
def test_a_key_that_is_none_seals_and_masks_nothing(tmp_path: Path, key: bytes) -> None:
    path = tmp_path / "payload-key"
    path.write_bytes(key)
    for private in (SEALED, Private.of(["x"], [])):
        with pytest.raises(Unavailable, match=r"payload-key holds no key of 32 bytes in hex; put its copy back"):
            Secrets(path).column("x", True, np.zeros((1, 2)), CALL, private)
    assert path.read_bytes() == key, "it is the operator's to replace"


def test_calls_wait_for_the_key_and_those_beyond_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(log_module, "AGAIN_S", 0.01)
    monkeypatch.setattr(log_module, "CALLS_HELD", 5)
    monkeypatch.setattr(log_module, "CLOSE_S", 30.0)
    path = tmp_path / "payload-key"
    path.write_bytes(b"")
    log, dropped = log_in(tmp_path)
    for index in range(8):
        log.offer(taken(f"r{index}", private=SEALED))
    assert sum(dropped.values()) == 3 and log.held_bytes > 0
    path.write_text("5c" * 32)
    log.close()
    assert _ids(tmp_path) == {f"r{index}" for index in range(5)}
    assert "Traceback" not in caplog.text


def test_a_new_key_is_whole_and_nothing_is_left_beside(tmp_path: Path) -> None:
    path = tmp_path / "payload-key"
    Secrets(path).column("x", True, np.zeros((1, 2)), CALL, SEALED)
    assert len(bytes.fromhex(path.read_text())) == 32 and path.stat().st_mode & 0o777 == 0o600
    assert [item.name for item in tmp_path.iterdir()] == ["payload-key"]
