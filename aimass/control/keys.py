"""Keys as verbs, and the admin key that the first start leaves in the home."""

from dataclasses import asdict
from typing import Any

from aimass.accounts import keys
from aimass.accounts.accounts import ensure, ensure_default
from aimass.accounts.keys import ADMIN, Key, KeyRequest
from aimass.control.context import Context
from aimass.core.clock import Clock, SystemClock
from aimass.core.errors import Conflict, Denied, Unauthenticated, Unavailable
from aimass.core.home import Home, write_whole
from aimass.core.settings import Settings
from aimass.database import state_number
from aimass.database.engine import Database, open_database
from aimass.database.migrate import migrate

FIRST = "first admin key"


def create(context: Context, wanted: KeyRequest, account: str = "") -> dict[str, Any]:
    """The new key with its ``secret``, which is shown this once; replicas know it, but for those named ``silent``.

    Of another ``account`` than the caller's, which is made if there is none of this name, by operators only.
    """
    if account and account != context.account and not context.is_operator:
        raise Denied("keys of another account are made with an admin key; ask who runs the platform")
    with context.database.session() as session:
        owner, is_new = ensure(session, account or context.account, context.clock)
        key, secret = keys.create(session, owner, wanted, context.clock)
        number = state_number.bump(session)
    pushed = context.pusher.push(number)
    made = {**asdict(key), "secret": secret, "new_account": is_new}
    return {**made, "replicas": len(pushed.reports), "silent": list(pushed.silent)}


def revoke(context: Context, key_id: str) -> dict[str, Any]:
    """The key, revoked: replicas have let it go when this returns, but for those named ``silent``."""
    with context.database.session() as session:
        key = keys.revoke(session, key_id, context.clock)
        if not any(_is_good_admin(other, context.clock) for other in keys.list_keys(session)):
            raise Conflict(f"{key_id} is the last admin key; create another one first")
        number = state_number.bump(session)
    pushed = context.pusher.push(number)
    return {**asdict(key), "replicas": len(pushed.reports), "silent": list(pushed.silent)}


def list_keys(context: Context) -> list[dict[str, Any]]:
    """Every key without its secret."""
    with context.database.reading() as session:
        return [asdict(key) for key in keys.list_keys(session)]


def find(context: Context, secret: str) -> Key:
    """The valid key with this secret; else ``Unauthenticated``."""
    with context.database.reading() as session:
        return keys.find(session, secret, context.clock)


def ensure_first_key(settings: Settings) -> bool:
    """Makes database, default account and an admin key in ``home.key_file`` (mode 600); whether a key was made.

    A key that lies there and still works stays.
    """
    settings.home.path.mkdir(parents=True, exist_ok=True)
    database = open_database(settings.database_url)
    try:
        migrate(database)
        return _ensure_key(database, settings.home, SystemClock())
    finally:
        database.close()


def _ensure_key(database: Database, home: Home, clock: Clock) -> bool:
    with database.session() as session:
        account = ensure_default(session, clock)
        try:
            if ADMIN in keys.find(session, home.key_file.read_text(encoding="utf-8").strip(), clock).scopes:
                return False
        except (Unauthenticated, FileNotFoundError, UnicodeDecodeError):
            pass
        _, secret = keys.create(session, account, KeyRequest(FIRST, (ADMIN,)), clock)
        state_number.bump(session)
        _write_private(home, secret)
    return True


def _write_private(home: Home, secret: str) -> None:
    try:
        write_whole(home.key_file, f"{secret}\n".encode())
    except OSError as error:
        raise Unavailable(
            f"cannot write {home.key_file}: {error.strerror}; free the disk or mend its rights"
        ) from error


def _is_good_admin(key: Key, clock: Clock) -> bool:
    fresh = key.expires_at is None or key.expires_at > clock.now()
    return ADMIN in key.scopes and key.revoked_at is None and fresh
