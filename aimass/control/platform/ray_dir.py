"""The folder of a home's Ray: short, because Unix socket paths are, and open to its owner alone."""

import hashlib
import os
import shutil
import stat
import tempfile
from pathlib import Path

from aimass.core.errors import Conflict
from aimass.core.home import Home

_LONGEST_BASE = 14  # leaves room for Ray's session name and its sockets within 107 characters


def ray_dir_of(home: Home) -> Path:
    """Always the same folder for the same home and user."""
    base = tempfile.gettempdir()
    digest = hashlib.sha256(str(home.path.resolve()).encode()).hexdigest()[:8]
    return Path(base if len(base) <= _LONGEST_BASE else "/tmp") / f"aimass-{os.getuid()}-{digest}"


def claim(home: Home) -> Path:
    """The folder, made and marked as this home's; ``Conflict`` when somebody else put something in its place."""
    folder = ray_dir_of(home)
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise Conflict(f"{folder} is not a private folder of this user; remove it and start again")
    (folder / "home").write_text(f"{home.path}\n", encoding="utf-8")
    return folder


def temporary_of(folder: Path) -> Path:
    """Where Ray itself writes. Ray opens this one to every user, on purpose; nobody gets there through the folder."""
    return folder / "r"


def clear(home: Home) -> None:
    """Removes the folder if it is ours; call it only when no process of it runs."""
    folder = ray_dir_of(home)
    if folder.is_dir() and not folder.is_symlink() and folder.lstat().st_uid == os.getuid():
        shutil.rmtree(folder, ignore_errors=True)
