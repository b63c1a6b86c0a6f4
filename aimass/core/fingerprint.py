"""Which code this is: two processes with the same fingerprint run the same files of AI Mass."""

import hashlib
from functools import cache
from pathlib import Path

import aimass


@cache
def code_fingerprint() -> str:
    """Of every Python file of the package, as it lies on disk when it is first asked for."""
    folder = Path(aimass.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]
