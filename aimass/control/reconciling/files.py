"""Files that readers find whole, whatever happens to the writer."""

import os
from pathlib import Path


def write_whole(path: Path, data: bytes) -> bool:
    """Replace a file in one step, readable for its owner only; whether the disk took it."""
    partial = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        partial.write_bytes(data)
        partial.chmod(0o600)
        partial.replace(path)
    except OSError:
        return False
    return True
