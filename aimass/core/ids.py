"""Names, numbers and ids as types of their own, and how names, ids and digests are made and checked."""

import hashlib
import json
import os
import re
from typing import Any, NewType

from aimass.core.errors import Invalid

AccountId = NewType("AccountId", str)
KeyId = NewType("KeyId", str)
Digest = NewType("Digest", str)  # 64 lower-case hex characters of a SHA-256

RevisionId = tuple[str, int]  # its service's name and its number

DEFAULT_ACCOUNT = AccountId("default")

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_REF = re.compile(r"(?P<name>[^@]+)@(?P<which>[a-z0-9][a-z0-9-]*)")


def new_id(prefix: str) -> str:
    """A fresh id such as ``run-5f2c…``: 12 random hex characters, unique for our purposes."""
    return f"{prefix}-{os.urandom(6).hex()}"


def canonical_json(data: Any) -> bytes:
    """The one way to write ``data``: sorted keys, no spaces, UTF-8, finite numbers only."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest_of_json(data: Any) -> Digest:
    """SHA-256 of the canonical JSON."""
    return Digest(hashlib.sha256(canonical_json(data)).hexdigest())


def check_name(name: str, what: str, field: str = "") -> str:
    """A model's, service's or node's name: a DNS label, so that it fits into URLs, files and pods."""
    if not _NAME.fullmatch(name):
        raise Invalid(f"{what} name {name!r} must be 1 to 63 lower-case letters, digits and inner hyphens", field=field)
    return name


def parse_ref(ref: str, field: str = "") -> tuple[str, int | str]:
    """``digits-forest@3`` → (name, 3); ``digits-forest@champion`` → (name, "champion")."""
    match = _REF.fullmatch(ref)
    if match is None:
        raise Invalid(f"{ref!r} must read MODEL@VERSION or MODEL@ALIAS, as in digits-forest@1", field=field)
    which = match["which"]
    return check_name(match["name"], "model", field), int(which) if which.isdigit() else which
