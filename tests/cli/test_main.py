"""The command line as a whole: quick to start, an example in every help, one line per error."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from aimass.cli.main import app
from aimass.core.home import Home
from aimass.core.platform_file import PlatformFile

VERBS = {"up", "down", "status", "doctor", "train", "run", "runs", "models", "deploy", "undeploy", "rollback"}
VERBS |= {"rollout", "promote", "pause", "resume", "abort", "shadow", "payloads", "replay", "trace"}
VERBS |= {
    "scale",
    "upgrade",
    "feedback",
    "traffic",
    "services",
    "explain",
    "graph",
    "predict",
    "keys",
    "logs",
    "env",
    "release",
}
HEAVY = (
    "ray",
    "numpy",
    "httpx",
    "pydantic",
    "sqlalchemy",
    "sklearn",
    "rich.table",
    "aimass.control",
    "aimass.pipeline",
)


def aimass(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, as a person runs it."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("AIMASS_")}
    command = [sys.executable, "-W", "error", "-m", "aimass", *words]
    return subprocess.run(
        command, capture_output=True, text=True, env={**bare, **environment}, stdin=subprocess.DEVNULL, check=False
    )


def every_command() -> list[tuple[str, ...]]:
    groups = {group.name: group.typer_instance for group in app.registered_groups}
    names: list[tuple[str, ...]] = [(name,) for name in groups if name]
    for prefix, instance in [((), app), *[((name,), instance) for name, instance in groups.items() if name]]:
        for command in instance.registered_commands if isinstance(instance, typer.Typer) else ():
            assert command.callback
            names.append((*prefix, command.name or command.callback.__name__.replace("_", "-")))
    return names


def test_every_verb_is_there() -> None:
    assert {words[0] for words in every_command()} == VERBS


@pytest.mark.parametrize("words", every_command(), ids=" ".join)
def test_help_has_an_example(words: tuple[str, ...]) -> None:
    shown = aimass(*words, "--help", COLUMNS="200")
    assert shown.returncode == 0, shown.stderr
    assert "Example" in shown.stdout
    assert f"aimass {words[0]}" in shown.stdout or f"aimass {' '.join(words)}" in shown.stdout


def test_nothing_heavy_is_loaded_to_start() -> None:
    code = f"import sys, aimass.cli.main; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


@pytest.mark.parametrize(
    "module",
    [
        "aimass.client.control",
        "aimass.client.client",
        "aimass.cli.watch",
        "aimass.cli.example",
        "aimass.pipeline.terminal",
    ]
    + [f"aimass.control.platform.{name}" for name in ("doctor", "stop", "leftovers", "lock")],
)
def test_ray_is_for_up_and_run_alone(module: str) -> None:
    code = f"import sys, {module}; print('ray' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


def test_without_a_platform_the_next_step_is_one_line(tmp_path: Path) -> None:
    for words in (["status"], ["services"], ["predict", "digits", "--rows", "-"], ["logs"], ["runs", "list"]):
        failed = aimass(*words, AIMASS_HOME=str(tmp_path))
        assert failed.returncode == 1
        assert failed.stdout == ""
        lines = failed.stderr.strip().splitlines()
        assert len(lines) == 1, failed.stderr
        assert lines[0].startswith("error: no platform runs from ")
        assert "aimass up" in lines[0]


def test_a_dead_platform_is_told_from_none(tmp_path: Path) -> None:
    PlatformFile(1, 1, "", "http://127.0.0.1:9", "http://127.0.0.1:9", "", "", "", "", "0", 0.0, True).write(
        Home(tmp_path)
    )
    failed = aimass("status", AIMASS_HOME=str(tmp_path))
    assert failed.returncode == 1
    assert "nothing answers at http://127.0.0.1:9" in failed.stderr
    assert "aimass doctor" in failed.stderr


def test_a_traceback_only_with_debug(tmp_path: Path) -> None:
    for words in (["status", "--debug"], ["--debug", "status"]):
        failed = aimass(*words, AIMASS_HOME=str(tmp_path))
        assert failed.returncode == 1
        assert "Traceback" in failed.stderr


@pytest.mark.parametrize("words", [["nonsense"], ["deploy"], ["logs", "--lines", "many"], ["status", "--nonsense"]])
def test_a_wrong_command_line_is_code_two(words: list[str], tmp_path: Path) -> None:
    failed = aimass(*words, AIMASS_HOME=str(tmp_path))
    assert failed.returncode == 2
    assert "Traceback" not in failed.stderr


@pytest.mark.parametrize(
    "words, says",
    [
        (["up", "--port", "99999"], "AIMASS_PORT or its flag: Input should be less than or equal to 65535"),
        (["up", "--port", "8002"], "port and control_port are both 8002"),
        (["up", "--grpc-port", "8002"], "grpc_port and control_port are both 8002"),
        (["models", "remove", "digits@champion"], "names an alias; a version is a number, as in digits@1"),
        (["deploy", "missing.yaml"], "cannot read missing.yaml"),
        (["keys", "create", "x", "--expires", "soon"], "'soon' is no duration"),
    ],
)
def test_bad_input_is_said_plainly(words: list[str], says: str, tmp_path: Path) -> None:
    failed = aimass(*words, AIMASS_HOME=str(tmp_path))
    assert failed.returncode == 1
    assert says in failed.stderr
    assert len(failed.stderr.strip().splitlines()) == 1


def test_a_home_that_cannot_be_written_stops_up_before_anything_starts() -> None:
    failed = aimass("up", AIMASS_HOME="/proc/aimass")
    assert failed.returncode == 1
    assert "home: cannot write to /proc/aimass" in failed.stderr


def test_down_without_a_platform_says_so(tmp_path: Path) -> None:
    done = aimass("down", AIMASS_HOME=str(tmp_path / "none"))
    assert done.returncode == 0
    assert "No platform runs from" in done.stdout
    assert not (tmp_path / "none").exists()
