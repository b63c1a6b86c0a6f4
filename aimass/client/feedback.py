"""Feedback as a client sends it: items into requests of a size that the door takes, and the outcome of each."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from aimass.client.failures import failure
from aimass.core.errors import AimassError, Bug, Invalid, Kind, of_kind

PATH = "/v2/feedback"
BATCH = 500  # items in one request

Item = Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What became of one item; ``error`` is None where it was accepted."""

    item: Item
    revision: int | None = None
    error: AimassError | None = None


def item_of(request_id: str, row: int | None, label: Any, reward: float | None, key: str | None) -> dict[str, Any]:
    """One item, of what was given."""
    if (label is None) == (reward is None):
        raise Invalid("give a label or a reward for a row; not both, not none", field="label")
    given = {"row": row, "label": plain(label), "reward": plain(reward), "idempotency_key": key}
    return {"request_id": request_id, **{name: value for name, value in given.items() if value is not None}}


def bodies(items: Iterable[Item]) -> Iterator[tuple[list[Item], bytes]]:
    """The items of each request, and its body."""
    rest = [{name: plain(value) for name, value in item.items()} for item in items]
    for at in range(0, len(rest), BATCH):
        part: list[Item] = list(rest[at : at + BATCH])
        yield part, _dumps({"items": part})


def read(answer: httpx.Response, items: Sequence[Item]) -> list[Outcome]:
    """What became of each."""
    if answer.status_code != 202:
        raise failure(answer.status_code, answer.headers, answer.content)
    return outcomes(answer.content, items)


def outcomes(body: bytes, items: Sequence[Item]) -> list[Outcome]:
    """What became of each, as the door says it."""
    try:
        said = json.loads(body)["items"]
        return [_outcome(item, result) for item, result in zip(items, said, strict=True)]
    except (ValueError, KeyError, TypeError) as error:
        raise Bug(f"the answer to feedback cannot be read: {error}") from error


def plain(value: Any) -> Any:
    """A value of numpy, or a text as answers hold it, as Python's own."""
    if isinstance(value, bytes):
        return value.decode()
    return value.item() if hasattr(value, "item") and not hasattr(value, "__len__") else value


def _dumps(value: Any) -> bytes:
    try:
        return json.dumps(value, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise Invalid(f"feedback cannot be sent as JSON: {error}", field="items") from None


def _outcome(item: Item, said: Mapping[str, Any]) -> Outcome:
    if said["status"] == "accepted":
        return Outcome(item, revision=int(said["revision"]))
    return Outcome(item, error=of_kind(Kind(said["kind"]))(str(said["error"]), str(said.get("field") or "")))
