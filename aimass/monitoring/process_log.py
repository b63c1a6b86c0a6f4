"""What a process of the platform says of itself: warnings and failures with tracebacks, in a file of the home."""

import logging
from logging.handlers import RotatingFileHandler
from pathlib import Path

OURS = "aimass"
FILE_BYTES = 16 * 1024 * 1024


def keep_log(folder: Path, process: str) -> Path:
    """From now on this process's own warnings also go to ``folder/process.log``; Ray's workers let them fall."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{process}.log"
    handler = RotatingFileHandler(path, maxBytes=FILE_BYTES, backupCount=1, encoding="utf-8", delay=True)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger(OURS).addHandler(handler)
    return path
