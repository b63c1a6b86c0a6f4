"""An answer: named numpy arrays, and which request, revision and plan they come from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from aimass.core.batch import Array, Batch


@dataclass(frozen=True, eq=False)
class Prediction(Mapping[str, Array]):
    """A mapping of output names to arrays."""

    outputs: Batch
    request_id: str
    service: str
    revision: int
    plan: str

    def __getitem__(self, name: str) -> Array:
        return self.outputs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.outputs)

    def __len__(self) -> int:
        return len(self.outputs)
