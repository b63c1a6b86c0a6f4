"""The key that a home's owner finds in it: made at the first start, and again when it is lost or works no more."""

import os

from sqlalchemy.orm import Session

from aimass.accounts.accounts import ensure_default
from aimass.accounts.keys import ADMIN, KeyRequest, create, find
from aimass.core.clock import Clock
from aimass.core.errors import Unauthenticated
from aimass.core.home import Home
from aimass.database import state_number

NAME = "owner of the home"


def ensure_first_key(session: Session, home: Home, clock: Clock) -> bool:
    """Whether a key was made: an admin key of the default account, whose secret lies in ``home.key_file``, mode 600."""
    account = ensure_default(session, clock)
    try:
        find(session, home.key_file.read_text(encoding="utf-8").strip(), clock)
    except (OSError, UnicodeDecodeError, Unauthenticated):
        _, secret = create(session, account, KeyRequest(NAME, (ADMIN,)), clock)
        state_number.bump(session)
        _write_private(home, f"{secret}\n")
        return True
    return False


def _write_private(home: Home, text: str) -> None:
    temporary = home.key_file.with_suffix(f".{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(home.key_file)
