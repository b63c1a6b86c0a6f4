"""Keys: a secret finds its key until it expires or is revoked, and is kept nowhere."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from aimass.accounts import keys
from aimass.accounts.accounts import ensure, ensure_default
from aimass.accounts.keys import SCOPES, KeyRequest
from aimass.core.clock import ManualClock
from aimass.core.errors import Denied, Invalid, NotFound, Unauthenticated
from aimass.core.ids import DEFAULT_ACCOUNT, AccountId
from aimass.database.engine import Database, open_database
from aimass.database.migrate import migrate


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(f"sqlite:///{tmp_path / 'a.db'}")
    migrate(opened)
    with opened.session() as session:
        ensure_default(session, ManualClock())
    yield opened
    opened.close()


def test_a_key_is_found_by_its_secret_only(database: Database, tmp_path: Path) -> None:
    clock = ManualClock()
    with database.session() as session:
        made, secret = keys.create(session, DEFAULT_ACCOUNT, KeyRequest("phone", ("read", "predict"), 5.0), clock)
        assert keys.find(session, secret, clock) == made
        for wrong in ("", "aim_", secret[:-1], secret + "x", secret.upper(), "\ud800"):
            with pytest.raises(Unauthenticated):
                keys.find(session, wrong, clock)
    assert made.scopes == ("predict", "read")
    assert keys.digest_of(secret) == hashlib.sha256(secret.encode()).hexdigest()
    database.close()
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert keys.digest_of(secret).encode() in stored
    assert secret.encode() not in stored


def test_expired_and_revoked_keys_find_nothing(database: Database) -> None:
    clock = ManualClock()
    with database.session() as session:
        _, brief = keys.create(session, DEFAULT_ACCOUNT, KeyRequest("a", ("read",), expires_at=clock.now() + 10), clock)
        gone, revoked = keys.create(session, DEFAULT_ACCOUNT, KeyRequest("b", ("read",)), clock)
        clock.advance(9)
        keys.find(session, brief, clock)
        clock.advance(1)
        with pytest.raises(Unauthenticated, match="expired"):
            keys.find(session, brief, clock)
        first = keys.revoke(session, gone.id, clock)
        clock.advance(5)
        assert keys.revoke(session, gone.id, clock) == first, "revoked once, at one time"
        with pytest.raises(Unauthenticated, match="revoked"):
            keys.find(session, revoked, clock)
        with pytest.raises(NotFound, match="key-none"):
            keys.revoke(session, "key-none", clock)
        assert sorted(key.name for key in keys.list_keys(session)) == ["a", "b"]


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (KeyRequest(" ", ("read",)), "name"),
        (KeyRequest("x" * 101, ("read",)), "name"),
        (KeyRequest("a", ()), "scopes"),
        (KeyRequest("a", ("read", "root")), "scopes"),
        (KeyRequest("a", ("read",), 0.0), "rate_per_s"),
        (KeyRequest("a", ("read",), float("nan")), "rate_per_s"),
        (KeyRequest("a", ("read",), expires_at=999_999.0), "expires_at"),
        *((KeyRequest("a", ("read",), expires_at=at), "expires_at") for at in (float("inf"), float("nan"), 8.6e18)),
    ],
)
def test_a_bad_key_is_refused_by_field(database: Database, wanted: KeyRequest, field: str) -> None:
    with database.session() as session, pytest.raises(Invalid) as caught:
        keys.create(session, DEFAULT_ACCOUNT, wanted, ManualClock())
    assert caught.value.field == field


def test_an_account_is_made_once_and_its_name_is_a_name(database: Database) -> None:
    with database.session() as session:
        assert ensure(session, "bob", ManualClock()) == ("bob", True)
        assert ensure(session, "bob", ManualClock()) == ("bob", False)
        assert ensure(session, DEFAULT_ACCOUNT, ManualClock()) == (DEFAULT_ACCOUNT, False)
        for name in ("", "Bob", "bob smith", "-bob", "bob/eve", "b" * 64, "../bob", "b\n"):
            with pytest.raises(Invalid, match="account name") as caught:
                ensure(session, name, ManualClock())
            assert caught.value.field == "account"


def test_only_the_platforms_own_account_has_admin_keys(database: Database) -> None:
    with database.session() as session:
        bob, _ = ensure(session, "bob", ManualClock())
        for scopes in (("admin",), ("read", "admin")):
            with pytest.raises(Invalid, match="scope admin is for keys of the platform's own account, not of bob"):
                keys.create(session, bob, KeyRequest("a", scopes), ManualClock())
        every = tuple(scope for scope in SCOPES if scope != "admin")
        his, _ = keys.create(session, bob, KeyRequest("b", every), ManualClock())
        mine, _ = keys.create(session, DEFAULT_ACCOUNT, KeyRequest("m", every), ManualClock())
        first, _ = keys.create(session, DEFAULT_ACCOUNT, KeyRequest("f", ("admin",)), ManualClock())
        assert his.account == AccountId("bob")
        assert (his.is_operator, mine.is_operator, first.is_operator) == (False, False, True)


def test_admin_has_every_scope_and_others_their_own(database: Database) -> None:
    with database.session() as session:
        admin, _ = keys.create(session, DEFAULT_ACCOUNT, KeyRequest("a", ("admin",)), ManualClock())
        reader, _ = keys.create(session, DEFAULT_ACCOUNT, KeyRequest("r", ("read",)), ManualClock())
    for scope in SCOPES:
        keys.require_any(admin, [scope])
        if scope != "read":
            with pytest.raises(Denied, match=f"needs {scope}"):
                keys.require_any(reader, [scope])
    keys.require_any(reader, ["deploy", "read"])


def test_two_first_keys_at_once_make_one_account(database: Database) -> None:
    together = Barrier(2)

    def first(_: int) -> bool:
        together.wait()
        with database.session() as session:
            return ensure(session, "bob", ManualClock())[1]

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(first, range(2))) == [False, True]
