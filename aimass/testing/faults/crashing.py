"""A runtime that dies as native code does, by a real fault: on a row that says so, or at its load. For tests and
benchmarks of how a platform takes that."""

import ctypes
from pathlib import Path
from typing import Self

from aimass.core.batch import Batch
from aimass.core.clock import SystemClock
from aimass.core.home import Home
from aimass.core.ids import DEFAULT_ACCOUNT
from aimass.core.settings import Settings
from aimass.core.signature import Datatype, Signature, TensorSpec
from aimass.database.engine import open_database
from aimass.registry import versions
from aimass.registry.manifest import Manifest
from aimass.runtimes.base import Runtime
from aimass.storage.opening import open_store

FATAL = 666.0  # as the first number of a row
SIGNATURE = Signature((TensorSpec("x", Datatype.FP32, (-1, 2)),), (TensorSpec("y", Datatype.FP32, (-1, 2)),))
KEY = "aimass.testing.faults.crashing:Crashing"


class Crashing(Runtime):
    """y = factor · x, the factor being its file's text; "fatal" there ends the process that loads it."""

    factor: float

    @classmethod
    def _load(cls, folder: Path, signature: Signature, gpus: float) -> Self:
        text = (folder / "factor").read_text()
        if text == "fatal":
            ctypes.string_at(0)
        loaded = cls(signature, "cpu")
        loaded.factor = float(text)
        return loaded

    def _predict(self, batch: Batch) -> Batch:
        if (batch["x"][:, 0] == FATAL).any():
            ctypes.string_at(0)
        return {"y": batch["x"] * self.factor}

    def _close(self) -> None:
        """Holds nothing."""


def register(home: Home, name: str, text: str) -> str:
    """The next version of ``name`` in a platform's registry, as a program of its own would add it; its reference."""
    database, store = open_database(Settings(home=home).database_url), open_store(home)
    with database.session() as session:
        manifest = Manifest("model", KEY, {"factor": store.put(text.encode())}, SIGNATURE)
        version = versions.register(session, store, name, manifest, DEFAULT_ACCOUNT, SystemClock())
    database.close()
    return version.ref
