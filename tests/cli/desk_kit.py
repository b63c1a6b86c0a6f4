"""Commands as they are typed, without HTTP: a client whose verbs run on a desk, or in the test itself."""

from collections.abc import Callable

import pytest
from typer.testing import CliRunner

from aimass.cli import terminal
from aimass.cli.main import app
from aimass.testing.desk import Desk


class Verbs:
    """In place of ``client.control.Control``."""

    desk: Desk

    def __enter__(self) -> "Verbs":
        return self

    def __exit__(self, *_: object) -> None:
        pass


def typing_into(
    verbs: type[Verbs], monkeypatch: pytest.MonkeyPatch, desk: Desk | None = None, *before: str, columns: int = 160
) -> Callable[..., str]:
    """What a command writes that ends well; the words of every one begin with ``before``."""
    monkeypatch.setattr("aimass.client.control.Control", verbs)
    if desk is not None:
        monkeypatch.setattr(verbs, "desk", desk, raising=False)

    def shown(*words: str) -> str:
        terminal.console.cache_clear()
        env = {"COLUMNS": str(columns)}
        result = CliRunner().invoke(app, [*before, *words], catch_exceptions=False, env=env)
        assert result.exit_code == 0, result.output
        return result.output

    return shown
