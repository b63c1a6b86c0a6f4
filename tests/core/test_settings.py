"""Settings and the home folder: from the environment, absolute, checked together."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from aimass.core.home import Home, find_home
from aimass.core.settings import Settings


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AIMASS_HOME", raising=False)
    monkeypatch.chdir(tmp_path)


def test_the_environment_speaks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AIMASS_HOME", str(tmp_path / "here"))
    monkeypatch.setenv("AIMASS_PORT", "9000")
    settings = Settings()
    assert settings.home == Home(tmp_path / "here")
    assert settings.port == 9000
    assert settings.database_url == f"sqlite:///{tmp_path}/here/aimass.db"
    assert Settings(port=9100).port == 9100
    assert settings.scheme == "http"
    assert Settings(tls_cert=Path("c.pem"), tls_key=Path("k.pem")).scheme == "https"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"tls_cert": "c.pem"}, "both PEM files"),
        ({"tls_key": "k.pem"}, "both PEM files"),
        ({"tls_cert": "c.pem", "tls_key": "k.pem", "ingress": "serve"}, "speaks no TLS"),
        ({"port": 8002}, "a port each"),
        ({"grpc_port": 8000}, "a port of its own"),
        ({"gateway_min_replicas": 3, "gateway_max_replicas": 2}, "above gateway_max_replicas"),
        ({"port": 0}, "port"),
        ({"port": 70_000}, "port"),
        ({"host": "0.0.0.0"}, "127.0.0.1"),
        ({"ingress": "nginx"}, "ingress"),
        ({"key_rate_per_s": 0}, "key_rate_per_s"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Settings(**wrong)


def test_settings_stay_as_they_are() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().port = 1


def test_the_nearest_home_upwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    assert find_home() == Home(tmp_path / "a" / "b" / ".aimass")
    (tmp_path / ".aimass").mkdir()
    assert find_home() == Home(tmp_path / ".aimass")
    (tmp_path / "a" / ".aimass").mkdir()
    assert find_home() == Home(tmp_path / "a" / ".aimass") == find_home(Path())
    monkeypatch.setenv("AIMASS_HOME", "relative")
    assert find_home() == Home(tmp_path / "a" / "b" / "relative")


def test_everything_lies_in_the_home(tmp_path: Path) -> None:
    home = Home(tmp_path)
    names = [name for name, value in vars(Home).items() if isinstance(value, property)]
    places = [getattr(home, name) for name in names]
    assert all(place.parent == tmp_path for place in places)
    assert len(set(places)) == len(places)


def test_the_readme_lists_every_setting_with_its_default() -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text()
    cells = [line.split("|") for line in text.splitlines() if line.startswith("| `AIMASS_")]
    defaults = {name: row[3] for row in cells for name in re.findall(r"`AIMASS_([A-Z_]+)`", row[1])}
    assert set(defaults) == {name.upper() for name in Settings.model_fields}
    for name, field in Settings.model_fields.items():
        if isinstance(field.default, int | float | str) and not name.endswith("_bytes"):
            written = f"{field.default:g}" if isinstance(field.default, float) else str(field.default).lower()
            assert written in defaults[name.upper()].replace(",", " ").split()
