"""API keys: made, found by their secret, revoked. A secret is shown once; only its SHA-256 is kept."""

import hashlib
import hmac
import math
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from aimass.core.clock import Clock
from aimass.core.errors import Denied, Invalid, NotFound, Unauthenticated
from aimass.core.ids import DEFAULT_ACCOUNT, AccountId, KeyId, new_id
from aimass.database.tables import KeyRow

SCOPES = ("predict", "feedback", "read", "deploy", "train", "admin")
ADMIN = "admin"  # implies every scope; for keys of the platform's own account
PREFIX = "aim_"
MAX_NAME = 100
MAX_LIFE_S = 100 * 365 * 86400.0  # beyond the years that calendars print, an expiry is a slip


@dataclass(frozen=True)
class KeyRequest:
    """What a new key is to be. No ``rate_per_s``: the platform's; no ``expires_at`` (seconds since 1970): never."""

    name: str
    scopes: tuple[str, ...]
    rate_per_s: float | None = None
    expires_at: float | None = None


@dataclass(frozen=True)
class Key:
    """A key as everyone may see it: without its secret."""

    id: KeyId
    account: AccountId
    name: str
    scopes: tuple[str, ...]
    rate_per_s: float | None
    created_at: float
    expires_at: float | None
    revoked_at: float | None

    def allows(self, scope: str) -> bool:
        return scope in self.scopes or ADMIN in self.scopes

    @property
    def is_operator(self) -> bool:
        """Whether it may see and do what is any account's."""
        return ADMIN in self.scopes and self.account == DEFAULT_ACCOUNT


def create(session: Session, account: AccountId, wanted: KeyRequest, clock: Clock) -> tuple[Key, str]:
    """A new key and its secret, which nobody can look up again."""
    _check(wanted, account, clock.now())
    secret = PREFIX + secrets.token_urlsafe(24)
    row = KeyRow(
        id=new_id("key"),
        account=account,
        name=wanted.name.strip(),
        digest=digest_of(secret),
        scopes=sorted(set(wanted.scopes), key=SCOPES.index),
        rate_per_s=wanted.rate_per_s,
        created_at=clock.now(),
        expires_at=wanted.expires_at,
        revoked_at=None,
    )
    session.add(row)
    session.flush()
    return _key(row), secret


def revoke(session: Session, key_id: str, clock: Clock) -> Key:
    """The key works no more; one that is revoked already stays as it is."""
    row = session.get(KeyRow, key_id)
    if row is None:
        raise NotFound(f"no key has the id {key_id!r}; `aimass keys list` shows them", field="id")
    if row.revoked_at is None:
        row.revoked_at = clock.now()
        session.flush()
    return _key(row)


def list_keys(session: Session) -> list[Key]:
    """Every key, revoked and expired ones too, oldest first."""
    return [_key(row) for row in session.scalars(select(KeyRow).order_by(KeyRow.created_at, KeyRow.id))]


def find(session: Session, secret: str, clock: Clock) -> Key:
    """The valid key with this secret; else ``Unauthenticated``.

    The look-up goes by digest, so its time tells nothing about any secret.
    """
    digest = digest_of(secret)
    row = session.scalar(select(KeyRow).where(KeyRow.digest == digest))
    if row is None or not hmac.compare_digest(row.digest, digest):
        raise Unauthenticated("no such key; check the Authorization header, as in: Bearer aim_…")
    if row.revoked_at is not None:
        raise Unauthenticated(f"key {row.id} was revoked; ask for a new one")
    if row.expires_at is not None and row.expires_at <= clock.now():
        raise Unauthenticated(f"key {row.id} has expired; ask for a new one")
    return _key(row)


def require_any(key: Key, scopes: Iterable[str]) -> None:
    """``Denied`` unless the key has one of the scopes."""
    wanted = tuple(scopes)
    if not any(key.allows(scope) for scope in wanted):
        raise Denied(f"key {key.id} has scope {', '.join(key.scopes)}; this needs {' or '.join(wanted)}")


def digest_of(secret: str) -> str:
    """SHA-256 of a secret, hex. Secrets hold 192 random bits, so no slow hash is needed."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _check(wanted: KeyRequest, account: AccountId, now: float) -> None:
    if not wanted.name.strip() or len(wanted.name) > MAX_NAME:
        raise Invalid(f"a key's name has 1 to {MAX_NAME} characters; say whose or what it is for", field="name")
    unknown = [scope for scope in wanted.scopes if scope not in SCOPES]
    if unknown or not wanted.scopes:
        problem = f"unknown scope {unknown[0]!r}" if unknown else "no scope is given"
        raise Invalid(f"{problem}; known: {', '.join(SCOPES)}", field="scopes")
    if ADMIN in wanted.scopes and account != DEFAULT_ACCOUNT:
        raise Invalid(
            f"scope {ADMIN} is for keys of the platform's own account, not of {account}; give it other scopes", "scopes"
        )
    rate, expires_at = wanted.rate_per_s, wanted.expires_at
    if rate is not None and not (math.isfinite(rate) and rate > 0):
        raise Invalid("a rate is a number of requests a second above 0", field="rate_per_s")
    if expires_at is not None and not now < expires_at < now + MAX_LIFE_S:
        problem = "in the past" if expires_at <= now else "more than 100 years ahead, or is no time"
        raise Invalid(f"the expiry lies {problem}; give another one, or none", field="expires_at")


def _key(row: KeyRow) -> Key:
    return Key(
        id=KeyId(row.id),
        account=AccountId(row.account),
        name=row.name,
        scopes=tuple(row.scopes),
        rate_per_s=row.rate_per_s,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )
