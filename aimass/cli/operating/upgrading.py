"""``aimass upgrade`` and ``aimass scale``: newer code, or another size, while calls go on."""

import os
import time
from typing import Annotated

import typer

from aimass.cli import terminal
from aimass.core.errors import Timeout
from aimass.core.home import find_home

PATIENCE_S = 120.0


def add_to(app: typer.Typer) -> None:
    app.command(epilog="Example: pip install --upgrade aimass && aimass upgrade")(upgrade)
    app.command(epilog="Examples: aimass scale 4 · aimass scale 1 --max 4")(scale)


def upgrade() -> None:
    """Have the running platform take over the code that is installed now, part by part; no call is lost."""
    from aimass.cli.platform import ray_environment

    home = find_home()
    os.environ |= {**ray_environment(home), "AIMASS_HOME": str(home.path)}
    from aimass.control.operating.upgrading import upgrade as run  # brings Ray, which reads the environment

    done = run(home, terminal.step)
    same = done.before == done.after
    terminal.say(f"AI Mass {done.after} runs{'' if same else f' in place of {done.before}'}.")
    if done.kept:
        terminal.say(f"Of this code and these settings already, and left running: {terminal.text(done.kept)}.")


def scale(
    replicas: Annotated[int, typer.Argument(help="How many replicas the gateway has, or has at least.")],
    most: Annotated[int | None, typer.Option("--max", help="How many it has at most; its policy chooses.")] = None,
) -> None:
    """Give the gateway another size, until the platform is started again; no replica restarts, no call is lost."""
    from aimass.client.control import Control

    with Control() as control:
        bounds = control.resize(replicas, replicas if most is None else most)
        with terminal.step("Resizing the gateway"):
            until = time.monotonic() + PATIENCE_S
            while not bounds["min"] <= (answering := control.desired()["gateway"]["running"]) <= bounds["max"]:
                if time.monotonic() >= until:
                    raise Timeout(
                        "the gateway has not reached its size yet; it is still under way: aimass status --watch"
                    )
                time.sleep(0.2)
    terminal.say(f"The gateway answers with {terminal.count(answering, 'replica')}.")
