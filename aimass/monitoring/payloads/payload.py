"""One call as it is kept: what is known about it, and its tensors as columns. Knows no file."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from aimass.core.batch import Batch
from aimass.core.signature import Datatype
from aimass.monitoring.payloads.tensors import from_bytes


class Form(StrEnum):
    """How a column's values lie on disk."""

    PLAIN = "plain"
    MASKED = "masked"  # a keyed hash of 16 bytes for each row
    SEALED = "sealed"  # encrypted


@dataclass(frozen=True, slots=True)
class Column:
    """One input or output. ``data``: see ``tensors`` (plain) and ``secrets`` (masked, sealed)."""

    name: str
    is_input: bool
    datatype: Datatype
    shape: tuple[int, ...]
    form: Form
    data: bytes


@dataclass(frozen=True, slots=True)
class Payload:
    """One call to one revision. Without inputs where it was refused before they could be read, and without outputs
    where it failed. Times: microseconds by stage (decode, queue, run, encode, total) and by node."""

    request_id: str
    at: float  # seconds since 1970 UTC, of its end
    service: str
    revision: int
    status: int  # as over HTTP
    probability: float = 1.0  # with which this revision was chosen for it
    plan: str = ""
    protocol: str = ""
    client_id: str = ""
    key_id: str = ""
    account: str = ""
    error: str = ""
    degraded: str = ""  # nodes that the answer had to do without, joined by commas
    rows: int = 0
    us: Mapping[str, int] = field(default_factory=dict)
    nodes_us: Mapping[str, int] = field(default_factory=dict)
    columns: tuple[Column, ...] = ()

    @property
    def inputs(self) -> Batch:
        """Those that can be read."""
        return self._batch(is_input=True)

    @property
    def outputs(self) -> Batch:
        """Those that can be read."""
        return self._batch(is_input=False)

    def hidden(self, form: Form) -> tuple[str, ...]:
        """Columns of this form, inputs first."""
        return tuple(column.name for column in self.columns if column.form == form)

    def with_columns(self, columns: tuple[Column, ...]) -> "Payload":
        return replace(self, columns=columns)

    def _batch(self, is_input: bool) -> Batch:
        return {
            column.name: from_bytes(column.data, column.datatype, column.shape)
            for column in self.columns
            if column.is_input == is_input and column.form == Form.PLAIN
        }
