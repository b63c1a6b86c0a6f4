"""A whole platform for tests: ``aimass up`` in a process of its own, in a home and on ports of its own."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aimass.client.control import Control
from aimass.control.platform.ports import is_free
from aimass.control.platform.ray_head import environment_to_join
from aimass.core.home import Home
from aimass.core.platform_file import PlatformFile, read_platform_file

START_S = 240.0
STOP_S = 90.0


@dataclass(frozen=True)
class RunningPlatform:
    """Where it listens and how to get in."""

    home: Path
    url: str
    control_url: str
    key: str
    process: subprocess.Popen[str]

    @property
    def file(self) -> PlatformFile:
        """Its platform.json."""
        found = read_platform_file(Home(self.home).platform_file)
        if found is None:
            raise AssertionError(f"no platform.json in {self.home}")
        return found

    @property
    def environment(self) -> dict[str, str]:
        """For a command line that is to find this platform."""
        return clean_environment(self.home)

    @property
    def ray_environment(self) -> dict[str, str]:
        """For a program that is to join its Ray, or to submit jobs to it."""
        return {**self.environment, **environment_to_join(self.file, Home(self.home))}

    def control(self) -> Control:
        """Its control API, with the owner's key."""
        return Control(self.control_url, self.key)

    def output(self) -> str:
        """What ``aimass up`` has printed so far."""
        return (self.home / "up.out").read_text()

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Signals ``aimass up`` and its whole group, as a terminal does, and waits; its exit code."""
        os.killpg(self.process.pid, number)
        return self.process.wait(STOP_S)


def clean_environment(home: Path) -> dict[str, str]:
    """This process's environment, pointed at ``home`` and at nothing else of ours or Ray's."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("AIMASS_", "RAY_"))}
    return {**bare, "AIMASS_HOME": str(home)}


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, below those that the kernel hands out to whoever asks for any, as Ray does."""
    found: list[int] = []
    while len(found) < count:
        port = random.SystemRandom().randrange(20_000, 32_000)
        if port not in found and is_free("127.0.0.1", port):
            found.append(port)
    return found


def start(home: Path, *words: str, code: Path | None = None, **settings: object) -> RunningPlatform:
    """Starts a platform and waits until it is up; ``settings`` become AIMASS_… variables, ``words`` go to ``up``.

    ``code``: the folder that holds the ``aimass`` to run, where it is not this one.
    """
    home.mkdir(parents=True, exist_ok=True)
    port, control_port, grpc_port = free_ports(3)
    ports = {"port": port, "control_port": control_port, "grpc_port": grpc_port}
    extra = {f"AIMASS_{name.upper()}": str(value) for name, value in {**ports, **settings}.items()}
    with (home / "up.out").open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "aimass", "up", *words],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            env={**clean_environment(home), **extra, **({"PYTHONPATH": str(code)} if code else {})},
            cwd=code,
            start_new_session=True,
        )
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        found = read_platform_file(Home(home).platform_file)
        if found is not None and found.ready and found.pid == process.pid:
            key = Home(home).key_file.read_text().strip()
            return RunningPlatform(home, found.url, found.control_url, key, process)
        time.sleep(0.1)
    process.kill()
    process.wait()
    raise AssertionError(f"the platform did not start:\n{(home / 'up.out').read_text()}")


@contextmanager
def running(home: Path, *words: str, code: Path | None = None, **settings: object) -> Iterator[RunningPlatform]:
    """A platform that is stopped at the end, if the block has not done so."""
    platform = start(home, *words, code=code, **settings)
    try:
        yield platform
    finally:
        if platform.process.poll() is None:
            platform.stop()
