"""What ``aimass up --example`` prints at its end is true: the answer, the curl line, the lines of Python."""

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from aimass.cli.example import activation, show_example
from aimass.client.control import Control
from aimass.core.home import Home
from aimass.core.platform_file import PlatformFile
from aimass.testing.gateway import ROWS, SECRET, Gateway, open_door, real_plan, scores


class Deployed:
    """A control API whose service is up already."""

    def services(self) -> Any:
        return [{"name": "iris", "deployed": True}]


class Interrupted:
    """A control API whose user presses Ctrl-C while the first run goes on."""

    def services(self) -> Any:
        return []

    runs = services

    def train(self, *_: Any) -> Any:
        return {"id": "run-1"}

    def run(self, _: str) -> Any:
        return {"status": "running"}

    def run_logs(self, _: str, follow: bool) -> Any:
        raise KeyboardInterrupt


def test_a_run_that_ends_with_the_platform_is_not_said_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recipe.yaml").write_text("recipe: iris")
    (tmp_path / "service.yaml").write_text("service: iris")
    file = PlatformFile(1, 1, "", "http://a", "http://a", "", "", "", "", "0", 0.0, True)
    with pytest.raises(KeyboardInterrupt):
        show_example(cast(Control, Interrupted()), file, Home(tmp_path), tmp_path)
    assert "run-1 ends with the platform; the next start trains anew." in capsys.readouterr().out


async def test_rows_are_sent_where_there_is_no_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "iris"
    folder.mkdir()
    (folder / "recipe.yaml").write_text("recipe: iris")
    (folder / "service.yaml").write_text("service: iris")
    (folder / "rows.json").write_text(json.dumps(ROWS))
    gateway, home = Gateway(tmp_path / "home"), Home(tmp_path / "home")
    gateway.serve(real_plan(tmp_path))
    home.key_file.write_text(SECRET)
    monkeypatch.setenv("AIMASS_HOME", str(home.path))
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    async with open_door(gateway.app) as door:
        url = f"http://127.0.0.1:{door.port}"
        file = PlatformFile(1, 1, "", url, url, "", "", "", "", "0", 0.0, True)
        file.write(home)
        await asyncio.to_thread(show_example, cast(Control, Deployed()), file, home, folder)
        printed = capsys.readouterr().out
        label = [int(value) for value in scores(ROWS).argmax(axis=1)]
        assert f"label: {label[0]}" in printed
        assert re.search(r"From a shell \(first: source .*/bin/activate\)", printed)
        assert f"aimass predict iris --rows {folder / 'rows.json'}" in printed
        script = printed.partition("From Python:\n")[2].partition("\n\n")[0].replace("\n  ", "\n").strip()
        ran = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", script], capture_output=True, text=True, env=dict(os.environ)
        )
        assert ran.stdout.split() == [f"[{label[0]}", f"{label[1]}]"], ran.stderr
        body = re.search(r"-d '(.*)'$", printed, re.MULTILINE)
        assert body and json.loads(body[1])["inputs"][0]["data"] == [value for row in ROWS for value in row]


def test_an_active_environment_needs_no_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIRTUAL_ENV", sys.prefix)
    assert activation() == ""
