"""AI Mass with everything on, as a user starts and fills it: `aimass up`, models added, services deployed, a key."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from aimass.client.control import Control
from aimass.core.errors import NotFound
from aimass.core.home import Home
from aimass.core.platform_file import PlatformFile, read_platform_file
from benchmarks.peers.server import Door, PeerError, free_port, python, running
from benchmarks.workloads import FEATURES, INPUT, MODELS, OUTPUT, WEIGHTS

KEY_RATE_PER_S = 1e6  # far above what is sent: the limiter works on every call and never refuses
DRAIN_S = 30.0  # within which calls must have reached database and log


@contextmanager
def platform(
    folder: Path, home: Path, replicas: int = 1, plan: str = "merged", more: Callable[[Control], None] | None = None
) -> Iterator[Door]:
    """A platform in ``home`` that serves both services, and what ``more`` deploys; unless the home restored them."""
    with started(folder, home, replicas) as control:
        deploy(control, folder, plan, more)
        key = control.create_key("benchmark", ["predict"], rate_per_s=KEY_RATE_PER_S)
        file = _file(home)
        yield Door(int(file.url.rpartition(":")[2]), {"authorization": f"Bearer {key['secret']}"}, file.grpc)
        _check_everything_was_on(control, home)


@contextmanager
def started(folder: Path, home: Path, replicas: int = 1) -> Iterator[Control]:
    """`aimass up` with its own home and free ports, until it says that it is ready."""
    home.mkdir(mode=0o700, exist_ok=True)
    with running(up_command(), up_environment(home, replicas), folder / "aimass.log", lambda: is_up(home)):
        file = _file(home)
        with Control(file.control_url, Home(home).key_file.read_text().strip()) as control:
            yield control


def up_command() -> list[str]:
    """The command a user types."""
    return python("-m", "aimass", "up")


def up_environment(home: Path, replicas: int = 1) -> dict[str, str]:
    """Settings that a user would change too: where, and how large. All others are the defaults."""
    return {
        "AIMASS_HOME": str(home),
        "AIMASS_PORT": str(free_port()),
        "AIMASS_CONTROL_PORT": str(free_port()),
        "AIMASS_GRPC_PORT": str(free_port()),
        "AIMASS_GATEWAY_MIN_REPLICAS": str(replicas),
        "AIMASS_GATEWAY_MAX_REPLICAS": str(replicas),
    }


def is_up(home: Path) -> bool:
    """Whether the platform of this home says that it is ready."""
    file = read_platform_file(Home(home).platform_file)
    return file is not None and file.ready


def deploy(control: Control, folder: Path, plan: str = "merged", more: Callable[[Control], None] | None = None) -> None:
    """Registers the models and deploys the services that are not there yet."""
    try:
        control.service("vote")
    except NotFound:
        for name, file in MODELS.items():
            control.add_model(name, folder / file)
        for document in documents(plan):
            control.deploy(yaml.safe_dump(document))
        if more is not None:
            more(control)


def documents(plan: str = "merged") -> list[dict[str, object]]:
    """The two services: one model; two models and a weighted vote. Merged, they are one graph and one session call."""
    linear = {"model": "linear@1", "inputs": {INPUT: f"$in.{INPUT}"}}
    forest = {"model": "forest@1", "inputs": {INPUT: f"$in.{INPUT}"}}
    members = [f"forest.{OUTPUT}", f"linear.{OUTPUT}"]
    vote = {"combine": "weighted", "weights": list(WEIGHTS), "inputs": members}
    return [
        _document("linear", {"linear": linear}, plan),
        _document("vote", {"linear": linear, "forest": forest, "vote": vote}, plan),
    ]


def _check_everything_was_on(control: Control, home: Path) -> None:
    """``PeerError`` when nothing was metered or logged: such figures would be void."""
    until = time.monotonic() + DRAIN_S
    while True:
        is_metered = any(item["usage"] for item in control.services(usage=True))
        is_logged = any(Home(home).logs.glob("requests-*.jsonl"))
        if is_metered and is_logged:
            return
        if time.monotonic() > until:
            missing = "the metered usage" if not is_metered else str(Home(home).logs)
            raise PeerError(f"nothing that was measured is in {missing}: the figures are void")
        time.sleep(0.2)


def _document(name: str, nodes: dict[str, object], plan: str) -> dict[str, object]:
    graph = {
        "inputs": {INPUT: {"datatype": "FP32", "shape": [-1, FEATURES]}},
        "nodes": json.loads(json.dumps(nodes)),  # copies: YAML would write shared parts as anchors
        "outputs": {OUTPUT: f"{name}.{OUTPUT}"},
    }
    return {"service": name, "graph": graph, "placement": plan, "limits": {"deadline_ms": 10_000, "max_batch": 64}}


def _file(home: Path) -> PlatformFile:
    file = read_platform_file(Home(home).platform_file)
    if file is None:
        raise PeerError(f"the platform of {home} was up and is gone")
    return file
