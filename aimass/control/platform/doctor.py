"""``aimass doctor``: everything that can be seen from outside a platform, running or not. Never imports Ray."""

import ipaddress
import os
import stat
from collections.abc import Iterable, Iterator

from aimass.control.platform import leftovers, lock, machine, ports
from aimass.control.platform.checks import Finding, Level, judge, unknown_settings
from aimass.control.platform.processes import Process, all_pids, inspect, members
from aimass.control.platform.ray_dir import ray_dir_of
from aimass.control.revisions.soundness import examine_services
from aimass.core.home import Home
from aimass.core.settings import Settings


def examine(settings: Settings) -> list[Finding]:
    """All findings, in the order in which a start would meet them."""
    home = settings.home
    folder = ray_dir_of(home)
    facts = machine.look(home.path, folder.parent)
    return [
        *judge(facts, home.path, folder.parent),
        *unknown_settings(os.environ),
        *_home(home),
        *_key(home),
        *_platform(settings),
        *examine_services(settings),
        *_foreign_rays(home),
        *_listeners(home),
    ]


def foreign_rays(home: Home) -> list[Process]:
    """Head processes of other Rays on this machine, another AI Mass's among them."""
    own = {process.pid for process in members(ray_dir_of(home))}
    heads = (inspect(pid) for pid in all_pids() if pid not in own)
    return [head for head in heads if head and head.command.split(" ")[0].endswith("/gcs_server")]


def _home(home: Home) -> Iterator[Finding]:
    if home.path.exists() and stat.S_IMODE(home.path.stat().st_mode) & 0o077:
        yield Finding(
            "home", Level.WARN, f"{home.path} is open to other users of the machine", f"run: chmod 700 {home.path}"
        )


def _key(home: Home) -> Iterator[Finding]:
    if not home.key_file.exists() and home.database.exists():
        mend = (
            "aimass down, then aimass up writes a new admin key there; or, with another admin key: "
            "AIMASS_KEY=… aimass keys create mine --scope admin. Revoke the lost one: aimass keys list"
        )
        yield Finding("key", Level.WARN, f"{home.key_file} is gone, and commands here have no key", mend)
    elif not home.key_file.exists():
        yield Finding("key", Level.OK, f"none yet; the first start writes {home.key_file}")
    elif stat.S_IMODE(home.key_file.stat().st_mode) & 0o077:
        mend = f"run: chmod 600 {home.key_file}"
        yield Finding("key", Level.WARN, f"{home.key_file} can be read by other users", mend)
    else:
        yield Finding("key", Level.OK, f"{home.key_file}, for its owner only")


def _platform(settings: Settings) -> Iterator[Finding]:
    home = settings.home
    runs = leftovers.running(home)
    if runs is not None:
        ready = "runs" if runs.ready else "is starting"
        where = f"calls {runs.url}, {f'gRPC {runs.grpc}, ' if runs.grpc else ''}control {runs.control_url}"
        yield Finding("platform", Level.OK, f"{ready} as pid {runs.pid}: {where}")
        return
    if lock.is_held(home):
        starts = lock.holder(home)
        says = f"is starting or stopping as pid {starts.pid}" if starts else "is being stopped by aimass down"
        yield Finding("platform", Level.OK, says)
        return
    left = leftovers.find(home)
    if left:
        yield Finding("platform", Level.WARN, f"a dead one left {left}", "aimass up or aimass down clears them")
    else:
        yield Finding("platform", Level.OK, f"none runs from {home.path}; start it with: aimass up")
    options = [(settings.port, "--port"), (settings.control_port, "--control-port")]
    if settings.ingress == "own":
        options.append((settings.grpc_port, "--grpc-port"))
    for port, option in options:
        yield _port(settings.host, port, option)


def _port(host: str, port: int, option: str) -> Finding:
    if ports.is_free(host, port):
        return Finding(f"port {port}", Level.OK, "free")
    owner = next((item for item in ports.listeners() if item.port == port), None)
    says = f"taken by {ports.describe(owner)}" if owner else "taken by a process that this user may not see"
    return Finding(f"port {port}", Level.BAD, says, f"stop it, or start with {option} and another number")


def _foreign_rays(home: Home) -> Iterator[Finding]:
    for head in foreign_rays(home):
        whose = ports.platform_home(head.pid)
        says = f"the AI Mass of {whose} (pid {head.pid})" if whose else f"not ours (pid {head.pid})"
        yield Finding("another Ray", Level.OK, f"{says}; left alone, ours runs beside it on free ports")


def _listeners(home: Home) -> Iterable[Finding]:
    pids = {process.pid for process in members(ray_dir_of(home))}
    runs = leftovers.running(home)
    pids |= {runs.pid} if runs else set()
    for item in dict.fromkeys(ports.listeners(pids) if pids else ()):  # a door may listen by several sockets
        what = f"listens on {item.host}:{item.port}"
        name = f"{_short(item.command)} (pid {item.pid})"
        if ipaddress.ip_address(item.host).is_loopback:
            yield Finding(what, Level.OK, name)
        else:
            yield Finding(what, Level.WARN, name, "it can be reached from other machines; close it with a firewall")


def _short(command: str) -> str:
    first, *rest = command.split(" ")
    if first.rpartition("/")[2].startswith("python"):
        script = next((word for word in rest if not word.startswith("-")), first)
        return script.rpartition("/")[2]
    return first.rpartition("/")[2]
