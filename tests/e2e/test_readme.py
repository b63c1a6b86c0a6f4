"""What the README says first, to the letter: its commands and its Python, on a running platform."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aimass.testing.running import RunningPlatform

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)


def run(platform: RunningPlatform, *words: str) -> str:
    """From the project's folder, by a user whose environment is active."""
    path = f"{Path(sys.executable).parent}:{platform.environment['PATH']}"
    environment = {**platform.environment, "PATH": path, "COLUMNS": "160"}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_first_python_reads_the_picture(platform: RunningPlatform, digits: Any) -> None:
    code = blocks("python")[0]
    assert run(platform, sys.executable, "-W", "error", "-c", code) == "[7]\n"


def test_the_first_commands_answer(platform: RunningPlatform, digits: Any) -> None:
    """As they stand, but for this platform's own port and home."""
    commands = next(block for block in blocks("sh") if "aimass predict" in block)
    commands = commands.replace("http://127.0.0.1:8000", platform.url).replace(".aimass/", f"{platform.home}/")
    said = run(platform, "bash", "-euo", "pipefail", "-c", commands)
    assert "label: 7" in said
    assert "the least core time per call" in said or "the only one" in said or "the service asks for it" in said
    assert '"name":"digits"' in said.replace(" ", "")


def test_the_builders_service_can_be_deployed(platform: RunningPlatform, digits: Any) -> None:
    code = next(block for block in blocks("python") if "GraphBuilder" in block)
    run(platform, sys.executable, "-W", "error", "-c", code)
    said = run(platform, "aimass", "predict", "digits-quick", "--image", "deployments/digits/seven.png")
    run(platform, "aimass", "undeploy", "digits-quick")
    assert "label: 7" in said
