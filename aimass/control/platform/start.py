"""``aimass up``: checks the machine, clears leftovers, starts Ray and the reconciler, waits, and stops it all again."""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

import aimass
from aimass.control.keys import ensure_first_key
from aimass.control.platform import leftovers, lock, machine, ports, ray_dir, ray_head
from aimass.control.platform.checks import check_home, check_spans, check_tls, judge, refuse_if_bad, unknown_settings
from aimass.control.platform.doctor import foreign_rays
from aimass.control.platform.health import wait_healthy
from aimass.control.platform.processes import boot_id, children, end, inspect, members
from aimass.core.errors import Unavailable
from aimass.core.platform_file import PlatformFile
from aimass.core.settings import Settings
from aimass.serving.sizing import policy_of

Step = Callable[[str], AbstractContextManager[None]]
Say = Callable[[str], None]
SERVE_STOP_S = 20.0


class Platform:
    """A platform that runs as long as this process does."""

    def __init__(self, file: PlatformFile) -> None:
        self.file = file

    def check(self) -> None:
        """``Unavailable`` when a process without which Ray is dead has ended."""
        dead = ray_head.dead_part()
        if dead:
            raise Unavailable(
                f"Ray's {dead} has died, and the platform with it; start it again and what was deployed comes back"
            )

    def wait(self) -> None:
        """Returns never by itself: a signal ends it, or Ray's death."""
        while True:
            self.check()
            time.sleep(0.5)


def preflight(settings: Settings, say: Say) -> None:
    """Everything that can be known to fail is said here, before anything is started; leftovers are cleared."""
    home = settings.home
    left = leftovers.find(home)
    if left:
        say(f"Cleared what a dead platform of this home left: {left}.")
        leftovers.clear(home)
    for finding in unknown_settings(os.environ):
        say(f"{finding.says}; {finding.mend}")
    folder = ray_dir.ray_dir_of(home)
    refuse_if_bad(judge(machine.look(home.path, folder.parent), home.path, folder.parent))
    if settings.tls_cert and settings.tls_key:
        check_tls(settings.tls_cert, settings.tls_key)
    check_spans(settings.otlp_endpoint)
    policy_of(settings.gateway_scale)
    ports.check_free(settings.host, settings.port, "--port")
    ports.check_free(settings.host, settings.control_port, "--control-port")
    if settings.ingress == "own":
        ports.check_free(settings.host, settings.grpc_port, "--grpc-port")
    for head in foreign_rays(home):
        say(f"Another Ray runs on this machine (pid {head.pid}); ours starts beside it on free ports and leaves it be.")


@contextmanager
def started(settings: Settings, step: Step, say: Say, retake_signals: Callable[[], None]) -> Iterator[Platform]:
    """The platform, healthy; however the block ends, everything that was started has ended after it.

    ``retake_signals`` is called when Ray has started and at the end: it raises again what was lost on the way.
    """
    os.umask(0o077)  # ours and every process's that we start: a home that others may enter shows them nothing
    check_home(settings.home.path)
    with lock.hold(settings.home):
        preflight(settings, say)
        try:
            platform = _start(settings, step, retake_signals)
            yield platform
        finally:
            with step("Stopping"):
                _stop(settings)


def _start(settings: Settings, step: Step, retake_signals: Callable[[], None]) -> Platform:
    home = settings.home
    folder = ray_dir.claim(home)
    with step("Preparing database and key"):
        ensure_first_key(settings)
    ray_head.prepare_environment(home, folder)
    with step("Starting Ray"):
        head = ray_head.start(folder, home.logs / "ray.log")
        retake_signals()
    me = inspect(os.getpid())
    file = PlatformFile(
        pid=os.getpid(),
        start_ticks=me.start_ticks if me else 0,
        boot_id=boot_id(),
        url=f"{settings.scheme}://{settings.host}:{settings.port}",
        control_url=f"{settings.scheme}://{settings.host}:{settings.control_port}",
        tls_cert=str(settings.tls_cert.absolute()) if settings.tls_cert else "",
        ray_dir=str(folder),
        ray_address=head.address,
        ray_dashboard=head.dashboard,
        version=aimass.__version__,
        started_at=time.time(),
        ready=False,
        grpc=f"{settings.host}:{settings.grpc_port}" if settings.ingress == "own" else "",
    )
    file.write(home)
    platform = Platform(file)
    from aimass.control import reconciler

    with step("Starting the reconciler"):
        reconciler.start(settings)
    with step("Waiting for the control API"):
        wait_healthy(file.control_url, file.tls_cert, platform.check)
    with step("Waiting for the gateway"):
        wait_healthy(file.url, file.tls_cert, platform.check)
    retake_signals()
    platform.file = replace(file, ready=True)
    platform.file.write(home)
    return platform


def _stop_serve() -> None:
    import ray
    from ray import serve
    from ray.exceptions import RayError

    from aimass.core.platform_file import NAMESPACE, RECONCILER
    from aimass.serving.arrays import APP
    from aimass.serving.nodes.wire import revision_of

    try:
        logging.getLogger("ray.serve").setLevel(logging.ERROR)  # it prints on the terminal
        with contextlib.suppress(ValueError):  # it may have died
            ray.kill(ray.get_actor(RECONCILER, NAMESPACE))  # first, or it would restore what goes
        if any(revision_of(name) for name in serve.status().applications):
            serve.delete(APP)  # its calls in flight need their fan-out nodes until they have ended
        serve.shutdown()
    except (RayError, ValueError, RuntimeError):
        return  # it was not there, or is dead already: what is left of it is ended by pid


def _stop(settings: Settings) -> None:
    """Serve first, so that requests in flight finish; then Ray; then whoever is left and provably ours."""
    home = settings.home
    folder = ray_dir.ray_dir_of(home)
    if ray_head.is_started():
        graceful = threading.Thread(target=_stop_serve, daemon=True)
        graceful.start()
        until = time.monotonic() + SERVE_STOP_S
        while graceful.is_alive() and time.monotonic() < until and not ray_head.dead_part():
            graceful.join(0.1)
        ray_head.stop()
    end(lambda: [*children(), *members(folder)])
    home.platform_file.unlink(missing_ok=True)
    ray_dir.clear(home)
