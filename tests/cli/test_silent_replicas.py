"""Replicas that did not acknowledge a change are named by the command that made it, and only then."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from aimass.accounts.keys import KeyRequest
from aimass.control import keys
from aimass.control.deploy import deploy, rollback, undeploy
from aimass.testing.desk import Desk, open_desk, service_document
from tests.cli.desk_kit import Verbs, typing_into


class Control(Verbs):
    """The client's verbs, without HTTP, on a desk."""

    def create_key(
        self, name: str, scopes: list[str], rate: float | None, expires_at: float | None, account: str
    ) -> Any:
        return keys.create(self.desk.context, KeyRequest(name, tuple(scopes), rate, expires_at), account)

    def revoke_key(self, key_id: str) -> Any:
        return keys.revoke(self.desk.context, key_id)

    def deploy(self, document: str, name: str, traffic: bool) -> Any:
        return asdict(deploy(self.desk.context, document, name, traffic))

    def rollback(self, name: str) -> Any:
        return asdict(rollback(self.desk.context, name))

    def undeploy(self, name: str) -> Any:
        return asdict(undeploy(self.desk.context, name))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path) as made:
        yield made


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, desk: Desk) -> Callable[..., str]:
    return typing_into(Control, monkeypatch, desk)


def test_a_key_that_a_replica_did_not_hear_of(run: Callable[..., str], desk: Desk) -> None:
    assert "Not acknowledged" not in run("keys", "create", "phone")
    (made,) = [key["id"] for key in keys.list_keys(desk.context) if key["name"] == "phone"]
    name = desk.pusher.replicas[0].name
    desk.pusher.silent = {name}
    assert f"Not acknowledged by {name};" in run("keys", "create", "tablet")
    assert f"Not acknowledged by {name};" in run("keys", "revoke", made)


def test_a_deploy_that_a_replica_did_not_hear_of(run: Callable[..., str], desk: Desk, tmp_path: Path) -> None:
    first, second = (desk.register("times", factor) for factor in (2.0, 3.0))
    path = tmp_path / "service.yaml"
    for ref in (first, second):
        path.write_text(service_document(ref))
        assert "Not acknowledged" not in run("deploy", str(path))
    desk.pusher.silent = {desk.pusher.replicas[0].name}
    for verb in ("rollback", "undeploy"):
        assert "Not acknowledged by" in run(verb, "twice")
    assert "Not acknowledged" not in run("undeploy", "twice")
