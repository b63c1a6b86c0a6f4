"""What the facts about a machine mean: findings in plain words, each with the way to mend it."""

import difflib
import errno
import os
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from pathlib import Path

from aimass.control.platform.machine import MIB, Machine, why_not_writable
from aimass.control.platform.processes import MARK
from aimass.core.errors import Invalid, Unavailable
from aimass.core.settings import Settings

MIN_MEMORY_BYTES = 2048 * MIB  # Ray's head, gateway, console and reconciler hold 1.5 GiB, a run some more
MIN_SHARED_MEMORY_BYTES = 256 * MIB  # Ray's object store
MIN_DISK_BYTES = 512 * MIB
ROOMY_DISK_BYTES = 2048 * MIB
MIN_PYTHON = (3, 11)
EXPORTER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
NO_SETTINGS = {"AIMASS_URL", "AIMASS_KEY", MARK}  # read by the command line; set for our own processes


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    level: Level
    says: str
    mend: str = ""


def size(count: int) -> str:
    """Bytes as a person reads them."""
    return f"{count / MIB:,.0f} MiB" if count < 10240 * MIB else f"{count / MIB / 1024:,.0f} GiB"


def judge(machine: Machine, home: Path, temporary: Path) -> list[Finding]:
    """A finding per fact, the bad ones being those that would make a start fail."""
    return [
        _python(machine),
        *_packages(machine),
        _writable(machine.home_writable, home),
        _disk("disk of the home", machine.home_free, home),
        _disk("disk for Ray's logs and sockets", machine.temporary_free, temporary),
        _memory(machine),
        _shared_memory(machine),
        _gpus(machine),
    ]


def unknown_settings(environment: Iterable[str]) -> list[Finding]:
    """Variables that look like a setting and are none, as a misspelt one is."""
    fields = sorted(name.upper() for name in Settings.model_fields)
    found = []
    for name in sorted(environment):
        prefix, _, rest = name.partition("_")
        if prefix == "AIMASS" and rest not in fields and name not in NO_SETTINGS:
            near = difflib.get_close_matches(rest, fields, 1)
            known = ", ".join(f"AIMASS_{field}" for field in near or fields)
            mend = f"did you mean {known}?" if near else f"there are: {known}"
            found.append(Finding("environment", Level.WARN, f"{name} is no setting and does nothing", mend))
    return found


def check_home(home: Path) -> None:
    """Makes the home; ``Unavailable`` when nothing can be written there."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        why_not = why_not_writable(home)
    except OSError as error:
        why_not = error.strerror or str(error)
    refuse_if_bad([_writable(why_not, home)])


def check_spans(endpoint: str | None) -> None:
    """``Invalid`` where spans are to be sent and nobody here can."""
    if endpoint is None:
        return
    try:
        import_module(EXPORTER)
    except ModuleNotFoundError as error:
        raise Invalid(
            f"AIMASS_OTLP_ENDPOINT is set, but {error.name} is not installed: pip install -e '.[otel]'",
            "AIMASS_OTLP_ENDPOINT",
        ) from error


def check_tls(cert: Path, key: Path) -> None:
    """``Invalid``, naming setting and file, unless these are a certificate and its key as both doors will load them."""
    for name, path in (("AIMASS_TLS_CERT", cert), ("AIMASS_TLS_KEY", key)):
        try:
            path.open("rb").close()
        except OSError as error:
            raise Invalid(f"{name}: cannot read {path}: {error.strerror}; name a PEM file", name) from None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password="")
    except (ssl.SSLError, ValueError) as error:
        why = getattr(error, "reason", None) or str(error)
        raise Invalid(
            f"AIMASS_TLS_CERT {cert} and AIMASS_TLS_KEY {key} are no certificate with its key ({why}); "
            "name two PEM files that belong together, the key without a password",
            "AIMASS_TLS_CERT",
        ) from None


def refuse_if_bad(findings: Iterable[Finding]) -> None:
    """``Unavailable`` with everything that is bad, before anything is started."""
    bad = [f"{finding.what}: {finding.says}; {finding.mend}" for finding in findings if finding.level == Level.BAD]
    if bad:
        raise Unavailable("; ".join(bad))


def _python(machine: Machine) -> Finding:
    version = tuple(int(part) for part in machine.python.split(".")[:2])
    says = f"{machine.python} on {machine.system}"
    if version < MIN_PYTHON:
        return Finding("python", Level.BAD, says, "AI Mass needs Python 3.11 or newer; install it and remove .venv")
    return Finding("python", Level.OK, says)


def _packages(machine: Machine) -> Iterable[Finding]:
    missing = [name for name, version in machine.packages.items() if not version]
    if "onnxruntime-gpu" in missing and machine.system != "Linux":
        missing.remove("onnxruntime-gpu")
    if missing:
        yield Finding("packages", Level.BAD, f"not installed: {', '.join(missing)}", "run: make up")
    else:
        installed = ", ".join(f"{name} {version}" for name, version in machine.packages.items() if version)
        yield Finding("packages", Level.OK, installed)


def _writable(why_not: str, home: Path) -> Finding:
    if why_not:
        mend = "choose another folder with AIMASS_HOME"
        if why_not == os.strerror(errno.ENOSPC):
            mend = f"free some space, or {mend}"
        return Finding("home", Level.BAD, f"cannot write to {home}: {why_not}", mend)
    return Finding("home", Level.OK, f"{home} can be written")


def _disk(what: str, free: int, folder: Path) -> Finding:
    if free < 0:
        return Finding(what, Level.WARN, f"cannot tell how much is free for {folder}")
    says = f"{size(free)} free for {folder}"
    if free < MIN_DISK_BYTES:
        return Finding(what, Level.BAD, says, f"at least {size(MIN_DISK_BYTES)} are needed; free some space")
    if free < ROOMY_DISK_BYTES:
        return Finding(what, Level.WARN, says, "runs and artifacts will fill this soon; free some space")
    return Finding(what, Level.OK, says)


def _memory(machine: Machine) -> Finding:
    free = machine.memory_available
    if free < 0:
        return Finding("memory", Level.WARN, "cannot tell how much is available")
    says = f"{size(free)} available, {machine.cpus} cores"
    if free < MIN_MEMORY_BYTES:
        return Finding("memory", Level.BAD, says, f"at least {size(MIN_MEMORY_BYTES)} are needed; end something large")
    return Finding("memory", Level.OK, says)


def _shared_memory(machine: Machine) -> Finding:
    free = machine.shared_memory_free
    if free < 0:
        return Finding("/dev/shm", Level.OK, "not used on this system")
    says = f"{size(free)} free"
    if free < MIN_SHARED_MEMORY_BYTES:
        mend = f"at least {size(MIN_SHARED_MEMORY_BYTES)} are needed for Ray's objects; in Docker: --shm-size=1g"
        return Finding("/dev/shm", Level.BAD, says, mend)
    return Finding("/dev/shm", Level.OK, says)


def _gpus(machine: Machine) -> Finding:
    if not machine.gpus:
        return Finding("GPUs", Level.OK, "none; models run on the CPU, and nodes that ask for `gpus` are refused")
    if machine.no_cuda:
        says = f"{machine.gpus}, which onnxruntime cannot use: {machine.no_cuda}"
        return Finding("GPUs", Level.WARN, says, "until then, nodes that ask for `gpus` do not load")
    return Finding("GPUs", Level.OK, f"{machine.gpus}, for nodes that ask for `gpus`; the others run on the CPU")
