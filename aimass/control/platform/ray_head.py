"""Ray inside this process: all of it on loopback, with a token, on free ports, and gone with its driver.

Knows nothing of Serve or of the platform's own parts.
"""

import functools
import logging
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aimass.control.platform.checks import MIN_SHARED_MEMORY_BYTES
from aimass.control.platform.processes import MARK
from aimass.control.platform.ray_dir import temporary_of
from aimass.core.home import Home, write_whole
from aimass.core.platform_file import NAMESPACE, PlatformFile

VITAL = ("gcs_server", "raylet")


@dataclass(frozen=True)
class RayHead:
    """Where this platform's Ray is; both as host:port."""

    address: str
    dashboard: str


def prepare_environment(home: Home, folder: Path) -> None:
    """What Ray and everything it starts inherit; must run before Ray is imported."""
    if not home.ray_token_file.exists():
        write_whole(home.ray_token_file, secrets.token_hex(32).encode())
    for name in ("RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_JOB_CONFIG_JSON_ENV_VAR"):
        os.environ.pop(name, None)
    os.environ |= {
        "AIMASS_HOME": str(home.path),
        MARK: str(folder),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(home.ray_token_file),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # Ray's own switch for "this machine only": it then binds to loopback
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",  # jobs find `aimass`
    }


def environment_to_join(file: PlatformFile, home: Home) -> dict[str, str]:
    """For a program that is to join the running platform's Ray, or to submit jobs to it."""
    return {
        "RAY_ADDRESS": file.ray_address,
        "RAY_API_SERVER_ADDRESS": f"http://{file.ray_dashboard}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(home.ray_token_file),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # else Ray takes loopback for this machine's other address
    }


def start(folder: Path, log: Path) -> RayHead:
    """Starts a new Ray whose driver is this process. What Ray has to say goes to ``log``, not to the terminal."""
    import ray  # after prepare_environment, which it reads when imported
    import ray._private.utils
    import ray._private.worker

    temporary = temporary_of(folder)
    with _as_we_need_it():
        context = ray.init(
            address="local",
            namespace=NAMESPACE,
            include_dashboard=True,
            dashboard_host="127.0.0.1",
            object_store_memory=MIN_SHARED_MEMORY_BYTES,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _node_ip_address="127.0.0.1",
            _temp_dir=str(temporary),
        )
    log.parent.mkdir(parents=True, exist_ok=True)
    ray._private.worker.print_to_stdstream = functools.partial(_write_down, log)
    # Without this file a job's supervisor joins whichever Ray it finds on the machine first.
    ray._private.utils.write_ray_address(context.address_info["address"], str(temporary))
    return RayHead(context.address_info["address"], context.address_info["webui_url"])


@contextmanager
def _as_we_need_it() -> Iterator[None]:
    """Three things that ``ray.init`` has no argument for.

    The agent takes any free port: its fixed default collides with every other Ray on the machine, and an agent without
    its port takes no jobs. Ray's processes get groups of their own: a signal to ours (a closed terminal, ``timeout``)
    would end them before the platform can stop in order. And SIGTERM stays ours: Ray would raise SystemExit, which is
    lost where it comes in the middle of a fork; ours is remembered.
    """
    from ray._private import parameter, services, utils

    params, popen, take_sigterm = parameter.RayParams, services.ConsolePopen, utils.set_sigterm_handler
    utils.set_sigterm_handler = lambda handler: None
    parameter.RayParams = functools.partial(params, dashboard_agent_listen_port=0)
    services.ConsolePopen = functools.partial(popen, process_group=0)
    try:
        yield
    finally:
        parameter.RayParams, services.ConsolePopen, utils.set_sigterm_handler = params, popen, take_sigterm


def _write_down(log: Path, data: dict[str, Any], ignore_prefix: bool = False) -> None:
    """Ray reports errors of any task or actor on the driver's terminal, also those that a stop brings with it."""
    with log.open("a", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in data["lines"])


def is_started() -> bool:
    """Whether Ray came all the way up. Asked before any other call, since most of Ray's calls would start a new one."""
    module = sys.modules.get("ray")
    return module is not None and hasattr(module, "is_initialized") and bool(module.is_initialized())


def dead_part() -> str:
    """The process without which Ray is dead and which has ended; empty while all of them run."""
    import ray._private.worker

    dead = dict(ray._private.worker.global_worker.node.dead_processes())
    return next((f"{name} (pid {dead[name].pid})" for name in VITAL if name in dead), "")


def stop() -> None:
    """Ends what ``start`` started."""
    import ray

    ray.shutdown()
