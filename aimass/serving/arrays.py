"""What travels between a handle and the gateway: numpy arrays and values, no JSON. Knows neither Ray nor HTTP."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from aimass.core.batch import Array, Batch, row_count, take
from aimass.core.signature import NUMPY, Datatype, TensorSpec

APP = "gateway"
DEPLOYMENT = "Gateway"
MESSAGE_BYTES = 2 * 1024 * 1024
"""Of tensors in one message, either way: half of what Serve's transport takes from a program that it did not start."""


@dataclass(frozen=True)
class ArraysCall:
    """One call. What is not asked for is empty."""

    service: str
    key: str  # the secret
    batch: Batch
    revision: int | None = None
    outputs: tuple[str, ...] = ()
    left_s: float | None = None  # until the caller's deadline
    answer_bytes: int = MESSAGE_BYTES  # a larger answer is refused before it is metered
    headers: Mapping[str, str] = field(default_factory=dict)  # what its caller is known by


@dataclass(frozen=True)
class ArraysAnswer:
    """The answer to a call."""

    outputs: Batch
    request_id: str
    revision: int
    plan: str
    degraded: str = ""  # nodes that it had to do without, joined by commas


@dataclass(frozen=True)
class ServiceFacts:
    """What a caller must know of a service to ask it well."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    max_batch: int  # rows in one call


def size_bytes(batch: Batch) -> int:
    """Of all its tensors; strings count as their UTF-8."""
    return sum(_size(array) for array in batch.values())


def pieces(batch: Batch, facts: ServiceFacts) -> Iterator[Batch]:
    """The rows in calls that the service takes and the transport carries, as far as the signature tells."""
    rows = 0 if any(not array.ndim for array in batch.values()) else row_count(batch)
    step = max(1, min(facts.max_batch, MESSAGE_BYTES // max(1, size_bytes(batch) // max(1, rows), _row_bytes(facts))))
    for start in range(0, max(1, rows), step):
        yield batch if rows <= step else take(batch, start, start + step)


def _size(array: Array) -> int:
    if array.dtype.kind != "O":
        return int(array.nbytes)
    return sum(len(item) if isinstance(item, bytes) else len(str(item).encode()) for item in array.ravel().tolist())


def _row_bytes(facts: ServiceFacts) -> int:
    """Of an answer's row, as far as the signature says; free dimensions count as one."""
    return sum(_spec_bytes(spec) for spec in facts.outputs)


def _spec_bytes(spec: TensorSpec) -> int:
    width = 16 if spec.datatype is Datatype.BYTES else NUMPY[spec.datatype].itemsize
    for size in spec.shape[1:]:
        width *= max(1, size)
    return width
