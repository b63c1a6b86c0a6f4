"""Commands against a platform that is known by ``AIMASS_URL`` alone: wrong keys, wrong doors, wrong numbers."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from aimass.accounts.keys import KeyRequest
from aimass.console.app import console_asgi
from aimass.control import keys
from aimass.gateway.door import Door
from aimass.testing.desk import Desk, open_desk


@pytest.fixture
async def far(tmp_path: Path) -> AsyncIterator[tuple[Desk, str]]:
    with open_desk(tmp_path) as desk:
        door = Door(console_asgi(desk.context), "127.0.0.1", 0)
        await door.open()
        yield desk, f"http://127.0.0.1:{door.port}"
        await door.close(0)


async def aimass(url: str, key: str, folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("AIMASS_")}
    environment = {
        **bare,
        "AIMASS_URL": url,
        "AIMASS_HOME": str(folder / "none"),
        **({"AIMASS_KEY": key} if key else {}),
        **more,
    }
    command = [sys.executable, "-m", "aimass", *words]
    return await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL, check=False
    )


async def test_a_key_that_is_missing_or_wrong_is_told_to_whom_types(far: tuple[Desk, str], tmp_path: Path) -> None:
    desk, url = far
    revoked = keys.create(desk.context, KeyRequest("k", ("read",)))
    keys.revoke(desk.context, revoked["id"])
    for key, says in (("", "a key is needed"), ("aim_bad", "no such key"), (revoked["secret"], "was revoked")):
        failed = await aimass(url, key, tmp_path, "services")
        assert failed.returncode == 1
        assert says in failed.stderr
        assert "set AIMASS_KEY" in failed.stderr
        assert "Authorization" not in failed.stderr


async def test_the_door_for_calls_is_not_taken_for_the_control_api(far: tuple[Desk, str], tmp_path: Path) -> None:
    desk, url = far
    failed = await aimass(f"{url}/v2", desk.settings.home.key_file.read_text().strip(), tmp_path, "services")
    assert f"{url}/v2 is no control API; AIMASS_URL names that one" in failed.stderr
    assert (
        "no service"
        in (await aimass(url, desk.settings.home.key_file.read_text().strip(), tmp_path, "explain", "none")).stderr
    )


async def test_keys_of_absurd_rate_or_life_are_refused_and_listed_if_they_are_there(
    far: tuple[Desk, str], tmp_path: Path
) -> None:
    desk, url = far
    secret = desk.settings.home.key_file.read_text().strip()
    for words, says in (
        (("--expires", "99999999999999d"), "more than 100 years ahead"),
        (("--rate", "nan"), "a rate is a number"),
        (("--rate", "0"), "a rate is a number"),
    ):
        failed = await aimass(url, secret, tmp_path, "keys", "create", "x", *words)
        assert (failed.returncode, says in failed.stderr) == (1, True), failed.stderr
        assert len(failed.stderr.splitlines()) == 1
    assert "first admin key" in (await aimass(url, secret, tmp_path, "keys", "list")).stdout


async def test_a_certificate_that_signed_itself_is_trusted_by_naming_it(
    tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    with open_desk(tmp_path) as desk:
        door = Door(console_asgi(desk.context), "127.0.0.1", 0, certificate)
        await door.open()
        url, secret = f"https://127.0.0.1:{door.port}", desk.settings.home.key_file.read_text().strip()
        failed = await aimass(url, secret, tmp_path, "models", "list")
        done = await aimass(url, secret, tmp_path, "models", "list", SSL_CERT_FILE=str(certificate[0]))
        await door.close(0)
    assert failed.returncode == 1
    assert f"{url} shows a certificate that is not trusted here; set SSL_CERT_FILE" in failed.stderr
    assert (done.returncode, "double" in done.stdout) == (0, True), done.stderr
