"""Writes a receipt of every answered call: behind the answer, for all calls of some milliseconds at once."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from aimass.core.batch import Array
from aimass.core.clock import Clock
from aimass.core.signature import Signature, TensorSpec
from aimass.gateway.infer import Call, Job
from aimass.gateway.routes import Target
from aimass.graph.graph import LABEL
from aimass.monitoring.feedback.book import Books
from aimass.monitoring.feedback.receipt import PREFIX, Shared, encode

Shapes = tuple[tuple[int, ...], ...]
Line = tuple[bytes, int, str]
"""Itself, how many receipts it has, the highest request id among them."""
GATHER_S = 0.005  # a write for each round of a busy event loop costs every call of W1 a twentieth of its time

_log = logging.getLogger(__name__)


class ReceiptWatching:
    """Of all revisions. For one event loop."""

    def __init__(self, books: Books, clock: Clock) -> None:
        self._books = books
        self._clock = clock
        self._waiting: list[ReceiptWatcher] = []
        self._watchers: WeakKeyDictionary[Target, ReceiptWatcher] = WeakKeyDictionary()

    def watcher(self, target: Target) -> "ReceiptWatcher":
        known = self._watchers.get(target)
        if known is None:
            known = self._watchers[target] = ReceiptWatcher(target, self._begun)
        return known

    def flush(self) -> None:
        """Write down what was answered so far."""
        waiting, self._waiting = self._waiting, []
        at = self._clock.now()
        by_prefix: dict[str, list[Line]] = {}
        for watcher, jobs in [(watcher, watcher.take()) for watcher in waiting]:
            try:
                lines = list(watcher.lines(jobs, at))
            except Exception:  # noqa: BLE001 - one service's outputs must not cost another's receipts
                self._books.lose(len(jobs))
                _log.exception("%d receipts of service %r cannot be made", len(jobs), watcher.service)
                continue
            for prefix, line in lines:
                by_prefix.setdefault(prefix, []).append(line)
        for prefix, found in by_prefix.items():
            made, receipts, highest = zip(*found, strict=True)
            self._books.of(prefix).write(b"".join(made), receipts, int(max(highest)[PREFIX:], 16))

    def _begun(self, watcher: "ReceiptWatcher") -> None:
        """It holds something."""
        if not self._waiting:
            asyncio.get_running_loop().call_later(GATHER_S, self.flush)
        self._waiting.append(watcher)


class ReceiptWatcher:
    """Of one revision."""

    def __init__(self, target: Target, begun: Callable[["ReceiptWatcher"], None]) -> None:
        private = _private(target.payloads)
        label = label_spec(target.signature)
        self.service, self._revision = target.service, target.revision
        self._label = label.name if label is not None and label.name not in private else ""
        self._members = tuple(name for name in target.feedback.get("members", ()) if name not in private)
        self._begun = begun
        self._held: list[Job] = []

    def answered(self, jobs: Sequence[Job]) -> None:
        if not self._held:
            self._begun(self)
        self._held += jobs

    def failed(self, call: Call, status: int, error: str) -> None:
        """Without an answer there is nothing to give feedback on."""

    def take(self) -> list[Job]:
        """All that it holds, which it then holds no more."""
        held, self._held = self._held, []
        return held

    def lines(self, jobs: Sequence[Job], at: float) -> Iterator[tuple[str, Line]]:
        """What request ids begin with, and a line of their receipts."""
        groups: dict[tuple[str, str, float, Shapes], list[Job]] = {}
        for job in jobs:
            call = job.call
            assert call.key is not None
            shapes = tuple([job.outputs[name].shape[1:] for name in self._members]) if self._members else ()
            groups.setdefault((call.request_id[:PREFIX], call.key.account, call.probability, shapes), []).append(job)
        for (prefix, account, share, _), alike in groups.items():
            highest = max([job.call.request_id for job in alike])
            yield prefix, (self._line(alike, account, share, at), len(alike), highest)

    def _line(self, jobs: list[Job], account: str, share: float, at: float) -> bytes:
        shared = Shared(self.service, self._revision, account, share)
        requests = [(job.call.request_id, job.request.rows) for job in jobs]
        labels = _labels([job.outputs[self._label] for job in jobs]) if self._label else None
        members = {name: _joined([job.outputs[name] for job in jobs]) for name in self._members}
        return encode(shared, at, requests, labels, members)


def label_spec(signature: Signature) -> TensorSpec | None:
    """The output that feedback's labels are compared with: ``label``, else the only one with a whole number, a text or
    a truth value for each row."""
    found = [
        spec for spec in signature.outputs if not spec.datatype.startswith("FP") and spec.shape in ((-1,), (-1, 1))
    ]
    named = next((spec for spec in found if spec.name == LABEL), None)
    return named or (found[0] if len(found) == 1 else None)


def _labels(arrays: list[Array]) -> Any:
    joined = _joined(arrays).ravel()
    if joined.dtype.kind != "O":
        return joined
    return [item.decode(errors="replace") if isinstance(item, bytes) else str(item) for item in joined]


def _joined(arrays: list[Array]) -> Array:
    return np.ascontiguousarray(arrays[0] if len(arrays) == 1 else np.concatenate(arrays))


def _private(payloads: Mapping[str, Any] | None) -> Sequence[str]:
    """Outputs that the service keeps to itself."""
    said = (payloads or {}).get("private", {})
    return [*said.get("mask", ()), *said.get("encrypt", ())]
