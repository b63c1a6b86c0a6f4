"""Files of the home: replaced whole, private, and nothing beside them when the disk refuses."""

import errno
import os
import stat
from pathlib import Path

import pytest

from aimass.control.platform.ray_head import prepare_environment
from aimass.core.home import Home, write_whole


def test_a_file_is_replaced_and_private(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    path.write_bytes(b"old")
    path.chmod(0o644)
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_refusing_disk_leaves_the_old_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "kept"
    path.write_bytes(b"old")
    monkeypatch.setattr(Path, "replace", _full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_start_that_is_cut_off_leaves_no_empty_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    with monkeypatch.context() as cut, pytest.raises(OSError, match="No space left"):
        cut.setattr(Path, "replace", _full)
        prepare_environment(home, tmp_path)
    assert not home.ray_token_file.exists()
    prepare_environment(home, tmp_path)
    token = home.ray_token_file.read_text()
    assert len(token) == 64
    prepare_environment(home, tmp_path)
    assert home.ray_token_file.read_text() == token


def _full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")
