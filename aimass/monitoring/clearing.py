"""Request logs and receipts nobody will read any more: too old, or too many. Replicas that are gone leave theirs
behind."""

from pathlib import Path

from aimass.monitoring.tail import PATTERN


def clear_old(folder: Path, before: float, max_bytes: int, pattern: str = PATTERN) -> int:
    """Remove files last written before that time (epoch seconds), then the oldest until all fit; the bytes freed.

    Safe while replicas write: each opens its file anew for every batch of lines.
    """
    found = []
    for path in folder.glob(pattern):
        try:
            about = path.stat()
        except FileNotFoundError:
            continue  # rotated meanwhile
        found.append((about.st_mtime, about.st_size, path))
    total, freed = sum(size for _, size, _ in found), 0
    for at, size, path in sorted(found):
        if at >= before and total - freed <= max_bytes:
            break
        path.unlink(missing_ok=True)
        freed += size
    return freed
