"""The first key: made once, for its owner's eyes, made again when it is lost; and the last admin key stays."""

import stat
from pathlib import Path

import pytest

from aimass.accounts.keys import KeyRequest
from aimass.control import keys
from aimass.core.errors import Conflict, Denied, Invalid, Unauthenticated, Unavailable
from aimass.core.home import Home
from aimass.core.ids import AccountId
from aimass.core.settings import Settings
from aimass.database.tables import AccountRow
from aimass.testing.desk import Desk


def test_the_first_start_makes_an_admin_key_that_works(desk: Desk) -> None:
    home = desk.settings.home
    assert stat.S_IMODE(home.key_file.stat().st_mode) == 0o600
    secret = home.key_file.read_text().strip()
    assert keys.find(desk.context, secret).scopes == ("admin",)
    assert not keys.ensure_first_key(desk.settings)
    assert home.key_file.read_text().strip() == secret
    assert sorted(path.name for path in home.path.iterdir() if "tmp" in path.name) == []


@pytest.mark.parametrize("loss", ["deleted", "revoked", "of another home", "garbage"])
def test_a_lost_key_is_replaced(desk: Desk, loss: str) -> None:
    home = desk.settings.home
    old = home.key_file.read_text().strip()
    if loss == "deleted":
        home.key_file.unlink()
    elif loss == "revoked":
        keys.create(desk.context, KeyRequest("other", ("admin",)))
        keys.revoke(desk.context, keys.find(desk.context, old).id)
    else:
        home.key_file.write_bytes(b"aim_x" if loss == "of another home" else b"\xff\xfe")
    assert keys.ensure_first_key(desk.settings)
    new = home.key_file.read_text().strip()
    assert new != old
    assert keys.find(desk.context, new).scopes == ("admin",)


def test_a_home_that_cannot_hold_the_key_leaves_no_key_behind(tmp_path: Path) -> None:
    settings = Settings(home=Home(tmp_path / "home"))
    settings.home.key_file.mkdir(parents=True)
    with pytest.raises((Unavailable, IsADirectoryError)):
        keys.ensure_first_key(settings)


def test_an_operator_makes_keys_of_other_accounts_and_with_the_first_the_account(desk: Desk) -> None:
    wanted = KeyRequest("phone", ("predict",))
    made = [keys.create(desk.context, wanted, "bob"), keys.create(desk.context, wanted, "bob")]
    assert [(key["account"], key["new_account"]) for key in made] == [("bob", True), ("bob", False)]
    assert keys.find(desk.context, made[0]["secret"]).account == "bob"
    assert keys.create(desk.context, wanted)["account"] == "default"
    (state,) = {replica.state for replica in desk.pusher.replicas}
    assert {key.id: key.account for key in state.keys}[made[0]["id"]] == "bob"
    his = desk.context.by("bob", AccountId("bob"))
    assert keys.create(his, wanted, "bob")["account"] == "bob"
    with pytest.raises(Denied, match="made with an admin key"):
        keys.create(his, wanted, "eve")
    for bad in ("Eve", "e ve", "../eve"):
        with pytest.raises(Invalid, match="account name"):
            keys.create(desk.context, wanted, bad)
    with pytest.raises(Invalid, match="scope admin"):
        keys.create(desk.context, KeyRequest("root", ("admin",)), "eve")
    assert {key["account"] for key in keys.list_keys(desk.context)} == {"default", "bob"}
    with desk.context.database.reading() as session:
        assert session.get(AccountRow, "eve") is None, "an account comes with a good key only"


def test_the_last_admin_key_cannot_be_revoked(desk: Desk) -> None:
    secret = desk.settings.home.key_file.read_text().strip()
    first = keys.find(desk.context, secret)
    with pytest.raises(Conflict, match="last admin key"):
        keys.revoke(desk.context, first.id)
    assert keys.find(desk.context, secret).revoked_at is None
    keys.create(desk.context, KeyRequest("brief", ("admin",), expires_at=desk.clock.now() + 5))
    keys.revoke(desk.context, first.id)
    with pytest.raises(Unauthenticated, match="revoked"):
        keys.find(desk.context, secret)
