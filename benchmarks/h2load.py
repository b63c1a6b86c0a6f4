"""Drives h2load, one thread, over HTTP/1.1 or HTTP/2, and reads what it measured."""

import re
import shutil
import statistics
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import LoadError

_FINISHED = re.compile(r"finished in [\d.]+m?s, ([\d.]+) req/s")
_REQUESTS = re.compile(r"(\d+) succeeded, (\d+) failed, (\d+) errored")
_STATUSES = re.compile(r"status codes: (\d+) 2xx")
_DATA = re.compile(r"traffic: .*\((\d+)\) data")


@dataclass(frozen=True)
class Run:
    """What one run of h2load saw."""

    requests: int
    requests_per_s: float
    p50_us: int
    p99_us: int
    data_bytes: int = 0  # of all answers' bodies


def require_h2load() -> str:
    """Where h2load is; ``LoadError`` that says how to get it."""
    found = shutil.which("h2load")
    if found is None:
        raise LoadError("h2load is not installed; on Debian and Ubuntu: sudo apt-get install nghttp2-client")
    return found


def drive(url: str, body: Path, headers: dict[str, str], connections: int, seconds: float, http1: bool) -> Run:
    """Posts the same body over ``connections``, one request at a time on each, for ``seconds``.

    ``LoadError`` unless every answer was 2xx; what a gRPC status says h2load does not know, so the caller must.
    """
    log = body.with_suffix(".log")
    log.unlink(missing_ok=True)
    command = [require_h2load(), f"-c{connections}", "-m1", "-t1", f"-D{max(1, round(seconds))}", f"-d{body}"]
    lines = [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
    answer = subprocess.run(
        [*command, *(["--h1"] if http1 else []), *lines, f"--log-file={log}", url],
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode:
        raise LoadError(f"h2load failed on {url}: {answer.stderr.strip() or answer.stdout.strip()}")
    return read(answer.stdout, log.read_text())


def read(output: str, log: str) -> Run:
    """h2load's output, and its log: a line per request, its duration in µs last."""
    rate, requests, statuses = (pattern.search(output) for pattern in (_FINISHED, _REQUESTS, _STATUSES))
    data = _DATA.search(output)
    if rate is None or requests is None or statuses is None:
        raise LoadError(f"h2load printed no result: {output.strip() or 'nothing'}")
    succeeded, failed, errored = map(int, requests.groups())
    if failed or errored or int(statuses[1]) < succeeded or not succeeded:
        raise LoadError(f"of {succeeded} requests {failed} failed and {errored} broke; such a run measures nothing")
    taken = sorted(int(line.rsplit("\t", 1)[1]) for line in log.splitlines())
    percentiles = statistics.quantiles(taken, n=100, method="inclusive")
    size = int(data[1]) if data else 0
    return Run(succeeded, float(rate[1]), round(percentiles[49]), round(percentiles[98]), size)
