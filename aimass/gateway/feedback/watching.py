"""Writes a receipt of every answered call: behind the answer, for all calls of one round of the event loop at once."""

import asyncio
from collections.abc import Mapping, Sequence
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

Answered = tuple["ReceiptWatcher", Job]


class ReceiptWatching:
    """Of all revisions. For one event loop."""

    def __init__(self, books: Books, clock: Clock) -> None:
        self._books = books
        self._clock = clock
        self._round: list[Answered] = []
        self._watchers: WeakKeyDictionary[Target, ReceiptWatcher] = WeakKeyDictionary()

    def watcher(self, target: Target) -> "ReceiptWatcher":
        known = self._watchers.get(target)
        if known is None:
            known = self._watchers[target] = ReceiptWatcher(target, self._take)
        return known

    def flush(self) -> None:
        """Write down what was answered so far."""
        held, self._round = self._round, []
        by_prefix: dict[str, list[Answered]] = {}
        for item in held:
            by_prefix.setdefault(item[1].call.request_id[:PREFIX], []).append(item)
        for prefix, answered in by_prefix.items():
            self._write(prefix, answered)

    def _write(self, prefix: str, held: list[Answered]) -> None:
        groups: dict[tuple[ReceiptWatcher, str, float], list[Job]] = {}
        for watcher, job in held:
            key = job.call.key
            assert key is not None
            groups.setdefault((watcher, key.account, job.call.probability), []).append(job)
        at = self._clock.now()
        lines = [watcher.line(jobs, account, share, at) for (watcher, account, share), jobs in groups.items()]
        highest = max([job.call.request_id for _, job in held])
        self._books.of(prefix).write(b"".join(lines), len(lines), int(highest[PREFIX:], 16))

    def _take(self, watcher: "ReceiptWatcher", job: Job) -> None:
        if not self._round:
            asyncio.get_running_loop().call_soon(self.flush)
        self._round.append((watcher, job))


class ReceiptWatcher:
    """Of one revision."""

    def __init__(self, target: Target, take: Any) -> None:
        private = _private(target.payloads)
        label = label_spec(target.signature)
        self._service, self._revision = target.service, target.revision
        self._label = label.name if label is not None and label.name not in private else ""
        self._members = tuple(name for name in target.feedback.get("members", ()) if name not in private)
        self._take = take

    def answered(self, job: Job) -> None:
        self._take(self, job)

    def failed(self, call: Call, status: int, error: str) -> None:
        """Without an answer there is nothing to give feedback on."""

    def line(self, jobs: list[Job], account: str, share: float, at: float) -> bytes:
        """The receipts of calls that were answered together."""
        shared = Shared(self._service, self._revision, account, share)
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
