"""The commands of rollouts, through the control API: what they say, write and refuse."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from aimass.cli import terminal
from aimass.cli.main import app
from aimass.console.app import console_asgi
from aimass.core.errors import AimassError
from aimass.gateway.door import Door
from aimass.testing.rollouts.stage import Stage, open_stage

Run = Callable[..., Awaitable[str]]


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    with open_stage(tmp_path) as made:
        yield made


@pytest.fixture
async def run(stage: Stage) -> AsyncIterator[Run]:
    door = Door(console_asgi(stage.desk.context), "127.0.0.1", 0)
    await door.open()
    settings = {
        "AIMASS_URL": f"http://127.0.0.1:{door.port}",
        "AIMASS_KEY": stage.desk.settings.home.key_file.read_text().strip(),
    }

    def invoke(*words: str) -> Result:
        terminal.console.cache_clear()
        return CliRunner().invoke(app, words, env=settings)

    async def shown(*words: str) -> str:
        result = await asyncio.to_thread(invoke, *words)
        if isinstance(result.exception, AimassError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return str(result.output)

    yield shown
    await door.close(0)


async def test_a_bad_revision_from_start_to_page(run: Run, stage: Stage, tmp_path: Path) -> None:
    said = await run("rollout", "twice", "2", "--steps", "10,100", "--least-requests", "50", "--least-time", "2")
    assert said == "revision 2 of twice takes 10 % of the calls; errors, latency, cost on guard\n"
    assert "twice revision 2: a rollout is running at 10 %" in await run("services")
    stage.look(5, failed=50)
    shown = await run("rollout", "twice")
    assert "twice: revision 2 beside revision 1, steps 10, 100 %, now 0 %" in shown
    assert "returned: errors: 50.00%" in shown
    row = next(line for line in shown.splitlines() if line.startswith("errors "))
    assert "failed" in row
    assert "returned by its guards: errors: 50.00%" in await run("services")
    found = json.loads(await run("rollout", "twice", "--json"))
    assert (found["state"], found["looks"]) == ("returned", [])
    path = tmp_path / "page.html"
    assert f"wrote {path}" in await run("rollout", "twice", "--html", str(path))
    page = path.read_text()
    assert page.count("<figure") == page.count("</figure>") == 1 + 2 * 3, "the share, and two for each guard"
    for text in ("errors: calls that failed", "latency: slow calls", "returned", "Share of revision 2"):
        assert text in page


async def test_pause_resume_promote_and_abort(run: Run) -> None:
    await run("rollout", "twice", "2", "--no-guards", "--why", "new data")
    assert "stays at 1 %, with its guards" in await run("pause", "twice", "--why", "lunch")
    assert "paused: lunch" in await run("rollout", "twice")
    assert "no guard has looked yet" in await run("rollout", "twice")
    assert "goes on from 1 %" in await run("resume", "twice")
    assert "revision 1 takes all traffic of twice again" in await run("abort", "twice")
    await run("rollout", "twice", "2", "--guards", "errors", "--tolerate", "errors=0.01")
    done = json.loads(await run("promote", "twice", "--json"))
    assert (done["state"], done["weights"], done["replicas"]) == ("promoted", {"2": 100.0}, 2)
    assert "before it: revision 2 aborted" in await run("rollout", "twice")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--steps", "1,x"), "--steps must be per cents with commas, as in 1,5,25,100, not '1,x'"),
        (("--steps", ""), "--steps must be per cents with commas, as in 1,5,25,100, not ''"),
        (("--steps", "nan,100"), "--steps must be per cents with commas, as in 1,5,25,100, not 'nan,100'"),
        (("--steps", "1,inf"), "--steps must be per cents with commas, as in 1,5,25,100, not '1,inf'"),
        (("--steps", "50,101"), "steps are per cents above 0 and up to 100, not 50,101"),
        (("--least-time", "inf"), "--least-time must be seconds, as in 15, not inf"),
        (("--guards", "errors,,cost"), "--guards must be names with commas, as in errors,cost, not 'errors,,cost'"),
        (("--tolerate", "errors=nan"), "--tolerate must be GUARD=SHARE, as in errors=0.005, not 'errors=nan'"),
        (("--steps", "5,1,100"), "each step must be above the one before, not 5,1,100"),
        (("--guards", "errors", "--no-guards"), "give --guards or --no-guards, not both"),
        (("--tolerate", "errors"), "--tolerate must be GUARD=SHARE, as in errors=0.005, not 'errors'"),
        (("--guards", "quality"), "guard quality has nothing to go by: twice has no labels yet"),
        (("--html", "page.html"), "--html shows a rollout, it does not start one"),
    ],
)
async def test_what_cannot_be_is_one_sentence(run: Run, words: tuple[str, ...], says: str) -> None:
    with pytest.raises(AimassError, match=says.replace("(", r"\(")):
        await run("rollout", "twice", "2", *words)


async def test_options_of_a_start_are_refused_when_only_looking(run: Run) -> None:
    with pytest.raises(
        AimassError, match=r"^--steps, --why: name the revision to roll out, as in: aimass rollout twice 8$"
    ):
        await run("rollout", "twice", "--steps", "1,5,25,100", "--why", "new data")


async def test_who_resumed_is_said_so(run: Run) -> None:
    await run("rollout", "twice", "2", "--no-guards")
    await run("pause", "twice")
    await run("resume", "twice")
    shown = await run("rollout", "twice")
    assert "paused by " in shown and "resumed by " in shown and "running by " not in shown


async def test_a_page_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    await run("rollout", "twice", "2")
    with pytest.raises(AimassError, match=r"cannot write .*: No such file or directory"):
        await run("rollout", "twice", "--html", str(tmp_path / "none" / "page.html"))
