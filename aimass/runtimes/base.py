"""What every runtime does: load a checked-out folder, answer batches, let go."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self, final

from aimass.core.batch import Batch
from aimass.core.errors import Invalid, NotFound
from aimass.core.signature import Signature

DEVICES = ("auto", "cpu", "cuda")


class Runtime(ABC):
    """One loaded version. ``predict`` may be called from several threads at once."""

    def __init__(self, signature: Signature, device: str) -> None:
        self.signature = signature
        self.device = device  # where it really runs: "cpu" or "cuda"

    @final
    @classmethod
    def load(cls, folder: Path, signature: Signature, device: str = "auto") -> Self:
        """Load the folder of files; ``Invalid`` when they are not what ``signature`` says.

        ``device``: "cuda" is refused where there is none; "auto" takes it where it is.
        """
        if device not in DEVICES:
            raise Invalid(f"device {device!r} is none of {', '.join(DEVICES)}", field="device")
        if not folder.is_dir():
            raise NotFound(f"{folder} is not a folder; check the version out first")
        return cls._load(folder, signature, device)

    @final
    def predict(self, batch: Batch) -> Batch:
        """Every output of the signature for a batch that fits its inputs; nothing is checked again here."""
        return self._predict(batch)

    @final
    def close(self) -> None:
        """Free what it holds; calls that are running finish, later ones get ``Unavailable``."""
        self._close()

    @classmethod
    @abstractmethod
    def _load(cls, folder: Path, signature: Signature, device: str) -> Self: ...

    @abstractmethod
    def _predict(self, batch: Batch) -> Batch: ...

    @abstractmethod
    def _close(self) -> None: ...
