"""One label or reward: as a caller sends it, checked against the receipt of the answer, as a line of a journal."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
import orjson

from aimass.core.errors import Invalid, NotFound
from aimass.core.signature import NUMPY, TensorSpec
from aimass.monitoring.feedback.receipt import Receipt

MAX_KEY = 128
MAX_LABEL = 256
FIELDS = ("request_id", "row", "label", "reward", "idempotency_key")
_FIELDS = frozenset(FIELDS)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

Label = int | str | bool


class Kind(StrEnum):
    LABEL = "label"
    REWARD = "reward"


class Asked(NamedTuple):
    """What a caller says. ``row`` is None where the answer has only one."""

    request_id: str
    row: int | None
    kind: Kind
    value: Label | float
    key: str = ""  # empty: none


@dataclass(slots=True)  # frozen ones take three times as long to make
class Feedback:
    """The same with what it is about. ``label`` and ``predicted`` as JSON."""

    request_id: str
    row: int
    kind: str
    key: str
    account: str
    service: str
    revision: int
    probability: float
    predicted: str | None
    label: str | None
    reward: float | None
    answered_at: float
    received_at: float

    def encode(self) -> bytes:
        """A line of a journal."""
        return orjson.dumps(self, option=orjson.OPT_APPEND_NEWLINE)


_STORED = frozenset(item.name for item in fields(Feedback))


def decode(line: bytes) -> Feedback | None:
    """None for what is no feedback. Fields that a newer replica added are left out: an upgrade replaces replicas before
    their reconciler."""
    try:
        said = orjson.loads(line)
        if said.keys() == _STORED:
            return Feedback(**said)
        return Feedback(**{name: value for name, value in said.items() if name in _STORED})
    except (orjson.JSONDecodeError, AttributeError, TypeError):
        return None


def read_item(item: Any) -> Asked:
    """One item of a request; ``Invalid`` names the field."""
    if not isinstance(item, dict):
        raise Invalid("an item of feedback is an object with request_id, row, and label or reward", field="items")
    if not item.keys() <= _FIELDS:
        name = next(name for name in item if name not in _FIELDS)
        raise Invalid(f"unknown field {name!r}; there are: {', '.join(FIELDS)}", field=str(name))
    request_id, row, key = item.get("request_id"), item.get("row"), item.get("idempotency_key", "")
    if not isinstance(request_id, str) or not request_id:
        raise Invalid("request_id is missing: the x-aimass-request-id of the answer, as a string", field="request_id")
    if row is not None and (type(row) is not int or row < 0):
        raise Invalid("row must be a whole number from 0 on", field="row")
    if key != "":
        _check_key(key)
    has_label = "label" in item
    if has_label is ("reward" in item):
        both = "not both in one item" if has_label else "an item needs one of them"
        raise Invalid(f"send a label or a reward: {both}", field="label")
    if has_label:
        return Asked(request_id, row, Kind.LABEL, _label(item["label"]), key)
    return Asked(request_id, row, Kind.REWARD, _reward(item["reward"]), key)


def judge(asked: Asked, receipt: Receipt | None, account: str, received_at: float) -> Feedback:
    """What is stored. ``NotFound`` where there is no such answer of this account's, ``Invalid`` where it does not fit
    the answer."""
    if receipt is None or receipt.shared.account != account:
        raise NotFound(f"no answer with the request id {asked.request_id!r} is on record", field="request_id")
    row = _row(asked.row, receipt.rows)
    predicted = receipt.labels[row] if receipt.labels is not None else None
    shared, is_label = receipt.shared, asked.kind is Kind.LABEL
    if is_label and predicted is not None and type(asked.value) is not type(predicted):
        raise Invalid(f"label must be {_NAMES[type(predicted)]}, as {shared.service}'s own labels are", field="label")
    return Feedback(
        request_id=asked.request_id,
        row=row,
        kind=_LABEL if is_label else _REWARD,
        key=asked.key,
        account=account,
        service=shared.service,
        revision=shared.revision,
        probability=shared.probability,
        predicted=_json(predicted),
        label=_json(asked.value) if is_label else None,
        reward=None if is_label else float(asked.value),
        answered_at=receipt.at,
        received_at=received_at,
    )


class Labels:
    """What the labels of a revision can be: one of its classes where it knows them, a number that fits its output."""

    def __init__(self, classes: Sequence[Label], spec: TensorSpec | None) -> None:
        self._classes = classes
        self._known = frozenset((type(known), known) for known in classes)
        self._spec = spec
        self._bounds = (-math.inf, math.inf)
        if spec is not None and NUMPY[spec.datatype].kind in "iu":
            bounds = np.iinfo(NUMPY[spec.datatype])
            self._bounds = (int(bounds.min), int(bounds.max))

    def check(self, value: Label | float) -> None:
        """``Invalid`` where a label can be no such thing."""
        if self._known and (type(value), value) not in self._known:
            shown = ", ".join(map(str, self._classes[:20])) + (", …" if len(self._classes) > 20 else "")
            raise Invalid(f"label {value!r} is none of the service's classes: {shown}", field="label")
        if isinstance(value, int) and self._spec is not None and not self._bounds[0] <= value <= self._bounds[1]:
            raise Invalid(f"label {value} is no {self._spec.datatype}, as the service's own labels are", field="label")


_NAMES: Mapping[type, str] = {int: "a whole number", str: "a string", bool: "true or false"}
_LABEL, _REWARD = Kind.LABEL.value, Kind.REWARD.value  # an enum's values are slow to look up


def _json(value: Any) -> str | None:
    if type(value) is int:
        return str(value)
    return None if value is None else orjson.dumps(value).decode()


def _check_key(key: Any) -> None:
    if not isinstance(key, str) or len(key) > MAX_KEY:
        raise Invalid(f"idempotency_key must be a string of at most {MAX_KEY} characters", field="idempotency_key")
    if _CONTROL.search(key):  # PostgreSQL takes no NUL
        raise Invalid("idempotency_key may have no control characters", field="idempotency_key")


def _label(value: Any) -> Label:
    if type(value) is int and not -(2**63) <= value < 2**64:
        raise Invalid("label is beyond 64 bits", field="label")
    if isinstance(value, str) and len(value) > MAX_LABEL:
        raise Invalid(f"label has {len(value)} characters; it may have {MAX_LABEL}", field="label")
    if not isinstance(value, int | str):
        raise Invalid("label must be a whole number, a string, or true or false", field="label")
    return value


def _reward(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or abs(value) > 1e150:
        raise Invalid("reward must be a finite number", field="reward")
    return float(value)


def _row(row: int | None, rows: int) -> int:
    if row is None and rows > 1:
        raise Invalid(f"the answer has {rows} rows; say which one is meant, from 0 on", field="row")
    if row is not None and row >= rows:
        raise Invalid(f"the answer has no row {row}; it has {rows}, counted from 0", field="row")
    return row or 0
