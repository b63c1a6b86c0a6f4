"""Where everything of one platform lies on disk, and how a file of it is written. Standard library only, as the command
line starts with it.

A lock tells who owns a file; the kernel lets it go with the process that holds it, however that ends.
"""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Home:
    """The folder of one platform, and the name of each thing in it. Always absolute."""

    path: Path

    @property
    def database(self) -> Path:
        return self.path / "aimass.db"

    @property
    def artifacts(self) -> Path:
        return self.path / "artifacts"

    @property
    def cache(self) -> Path:
        """Versions checked out for loading; may be deleted at any time."""
        return self.path / "cache"

    @property
    def journal(self) -> Path:
        return self.path / "journal"

    @property
    def marks(self) -> Path:
        """What runs in each replica just now, for who finds it dead; see ``serving.marks``."""
        return self.path / "marks"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def receipts(self) -> Path:
        """Which request was answered how, for feedback that comes later; see ``monitoring.feedback.receipts``."""
        return self.path / "receipts"

    @property
    def feedback(self) -> Path:
        """Replicas' journals of labels and rewards that are not in the database yet."""
        return self.path / "feedback"

    @property
    def payloads(self) -> Path:
        """What services were asked and answered, where they keep it; see ``monitoring.payloads``."""
        return self.path / "payloads"

    @property
    def payload_key_file(self) -> Path:
        """What opens the encrypted columns in there, and makes the hashes of the masked ones."""
        return self.path / "payload-key"

    @property
    def runs(self) -> Path:
        return self.path / "runs"

    @property
    def state_file(self) -> Path:
        """The last numbered state of the gateway, for replicas that start while the reconciler is away."""
        return self.path / "state.json"

    @property
    def platform_file(self) -> Path:
        """Who runs the platform and where it listens; written by ``aimass up``, read by everyone."""
        return self.path / "platform.json"

    @property
    def key_file(self) -> Path:
        return self.path / "key"

    @property
    def ray_token_file(self) -> Path:
        return self.path / "ray-token"


def begin_owned(path: Path) -> int:
    """A new file to append to, for its owner only, and locked: it is under its name only once it is, so that whoever
    drains files of dead owners never finds it free. Its descriptor; ``OSError`` as the disk says it."""
    hidden = path.with_suffix(".new")
    descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        hidden.rename(path)
    except OSError:
        os.close(descriptor)
        hidden.unlink(missing_ok=True)
        raise
    return descriptor


@contextmanager
def owning(path: Path) -> Iterator[bool]:
    """Own a file for a while, if nobody does; whether one does. ``OSError`` as the disk says it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def owner_is_gone(path: Path) -> bool:
    """Whether the file is there and nobody owns it."""
    with suppress(FileNotFoundError), owning(path) as is_ours:
        return is_ours
    return False


def write_whole(path: Path, data: bytes) -> None:
    """Replace a file in one step: whatever happens to the writer, readers find the old or the new one, whole, and it is
    readable for its owner only from the first byte on. ``OSError`` as the disk says it, and nothing is left beside."""
    partial = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def find_home(start: Path | None = None) -> Home:
    """``AIMASS_HOME``, else the nearest ``.aimass/`` from ``start`` (or here) upwards, else one to be made here."""
    named = os.environ.get("AIMASS_HOME")
    if named:
        return Home(Path(named).expanduser().absolute())
    here = (start or Path.cwd()).absolute()
    for folder in (here, *here.parents):
        if (folder / ".aimass").is_dir():
            return Home(folder / ".aimass")
    return Home(here / ".aimass")
