"""What a process of the platform says of itself: warnings and failures with tracebacks, in a file of the home."""

import logging
import traceback
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

OURS = "aimass"
FILE_BYTES = 16 * 1024 * 1024


class _Whole(logging.Formatter):
    """Joins a traceback itself: logging prints it, and Serve's replicas have a ``print`` of their own."""

    def formatException(self, ei: Any) -> str:
        return "".join(traceback.format_exception(*ei)).rstrip("\n")


def keep_log(folder: Path, process: str) -> Path:
    """From now on this process's own warnings also go to ``folder/process.log``; Ray's workers let them fall."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{process}.log"
    handler = RotatingFileHandler(path, maxBytes=FILE_BYTES, backupCount=1, encoding="utf-8", delay=True)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(_Whole("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger(OURS).addHandler(handler)
    return path
