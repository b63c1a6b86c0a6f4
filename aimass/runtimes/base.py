"""What every runtime does: load a checked-out folder, answer batches, let go."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self, final

from aimass.core.batch import Batch
from aimass.core.errors import Invalid, NotFound
from aimass.core.signature import Signature


class Runtime(ABC):
    """One loaded version. ``predict`` may be called from several threads at once."""

    def __init__(self, signature: Signature, device: str) -> None:
        self.signature = signature
        self.device = device  # where it really runs: "cpu" or "cuda"

    @final
    @classmethod
    def load(cls, folder: Path, signature: Signature, gpus: float = 0.0) -> Self:
        """Load the folder of files; ``Invalid`` when they are not what ``signature`` says.

        ``gpus``: that part of the one GPU that this process was given, ``Unavailable`` where there is none; 0: the CPU.
        """
        if not 0 <= gpus <= 1:
            raise Invalid(f"a version runs on one GPU or a part of it, not on {gpus:g}", field="gpus")
        if not folder.is_dir():
            raise NotFound(f"{folder} is not a folder; check the version out first")
        return cls._load(folder, signature, gpus)

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
    def _load(cls, folder: Path, signature: Signature, gpus: float) -> Self: ...

    @abstractmethod
    def _predict(self, batch: Batch) -> Batch: ...

    @abstractmethod
    def _close(self) -> None: ...
