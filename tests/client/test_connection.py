"""Where a client looks for its platform, and that a key goes to nobody else."""

from dataclasses import replace
from pathlib import Path

import pytest

from aimass.client.connection import find_calls, find_connection
from aimass.core.errors import Invalid, Unavailable
from aimass.core.home import Home
from aimass.core.platform_file import PlatformFile, read_platform_file


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    for name in ("AIMASS_URL", "AIMASS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AIMASS_HOME", str(tmp_path))
    return Home(tmp_path)


@pytest.fixture
def running(home: Home) -> Home:
    PlatformFile(1, 1, "", "http://127.0.0.1:1", "http://127.0.0.1:2", "", "", "", "", "0", 0.0, True).write(home)
    home.key_file.write_text("aim_home\n")
    return home


def test_the_home_tells_both(running: Home) -> None:
    found = find_connection()
    assert (found.url, found.control_url, found.key) == ("http://127.0.0.1:1", "http://127.0.0.1:2", "aim_home")
    assert found.headers == {"accept-encoding": "identity", "authorization": "Bearer aim_home"}


def test_without_a_platform_the_next_step_is_named(home: Home) -> None:
    with pytest.raises(Unavailable, match="aimass up"):
        find_connection()


def test_a_platform_that_is_starting_is_not_asked_yet(running: Home) -> None:
    file = read_platform_file(running.platform_file)
    assert file
    replace(file, ready=False).write(running)
    with pytest.raises(Unavailable, match="not up yet"):
        find_connection()


def test_the_environment_wins(running: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIMASS_URL", "https://models.example/")
    monkeypatch.setenv("AIMASS_KEY", "aim_other")
    found = find_connection()
    assert (found.url, found.control_url, found.key) == ("", "https://models.example", "aim_other")


def test_the_key_of_the_home_stays_at_home(running: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIMASS_URL", "https://models.example")
    assert find_connection().key == ""
    assert find_calls("https://models.example", None).key == ""
    assert find_calls("http://127.0.0.1:1/", None).key == "aim_home"
    monkeypatch.setenv("AIMASS_URL", "http://127.0.0.1:2")
    assert find_connection().key == "aim_home"


@pytest.mark.parametrize("url", ["foo", "127.0.0.1:8002", "ftp://a", "http://", "http:/a"])
def test_an_address_that_is_none_is_named(home: Home, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("AIMASS_URL", url)
    with pytest.raises(Invalid, match=f"AIMASS_URL is '{url}'; write it as in http://"):
        find_connection()
    with pytest.raises(Invalid, match=f"url is '{url}'"):
        find_calls(url, None)
