"""The platform's settings: from the environment (``AIMASS_…``) or flags of ``aimass up``, built once, passed down."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

import aimass
from aimass.core.home import Home, find_home
from aimass.core.policies import NodeScale

SIZE = ("gateway_min_replicas", "gateway_max_replicas")


def _as_home(value: Any) -> Any:
    return Home(Path(value).expanduser().absolute()) if isinstance(value, str | Path) else value


@cache
def code_fingerprint() -> str:
    """Which code this is: of every Python file of the package, as it lies on disk when it is first asked for."""
    folder = Path(aimass.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


class Settings(BaseSettings):
    """One platform. A service's own limits stand in its service.yaml, not here."""

    model_config = SettingsConfigDict(env_prefix="AIMASS_", extra="forbid", frozen=True, validate_default=True)

    home: Annotated[Home, NoDecode, BeforeValidator(_as_home)] = Field(default_factory=find_home)
    """The folder that holds database, artifacts, logs, journal and key."""

    host: Literal["127.0.0.1"] = "127.0.0.1"
    """Where calls and control listen. Only loopback until Ray runs with its own authentication on every node."""

    port: int = Field(default=8000, ge=1, le=65535)
    """The door for calls over HTTP."""

    grpc_port: int = Field(default=8001, ge=1, le=65535)
    """The door for calls over gRPC; only with ``ingress`` own."""

    control_port: int = Field(default=8002, ge=1, le=65535)
    """The door for the control API."""

    ingress: Literal["own", "serve"] = "own"
    """Who listens on ``port``: the gateway's replicas themselves, or Ray Serve's proxy (slower)."""

    gateway_min_replicas: int = Field(default=1, ge=1)
    gateway_max_replicas: int = Field(default=1, ge=1)
    """Bounds of the gateway's size on this platform; each replica answers for every in-process plan."""

    gateway_memory_bytes: int | None = Field(default=None, ge=1024 * 1024)
    """What the plans in one replica may hold; beyond it the least recently used are let go, and loaded again by a call.
    None: half of the machine's memory, shared among ``gateway_max_replicas``."""

    gateway_target_in_flight: int = Field(default=64, ge=1)
    """Requests in flight per replica that the gateway's size aims at."""

    gateway_policy: str = "queue_length"
    gateway_policy_options: dict[str, Any] = Field(default_factory=dict)
    """How the gateway's size follows its load: queue_length, latency, schedule, or module:attribute; the policy's own
    options, as JSON."""

    quarantine: bool = True
    """Whether a service that slows others down in its replica gets but a small part of it for a while. One that kills
    its replica is put aside in any case."""

    max_body_bytes: int = Field(default=64 * 1024 * 1024, ge=1024)
    """Largest request body, also after inflating; larger ones get 413."""

    max_upload_bytes: int = Field(default=256 * 1024 * 1024, ge=1024)
    """Largest model file that the control API takes; it holds about three times as much while it does."""

    key_rate_per_s: float | None = Field(default=None, gt=0)
    """Requests a second for a key that has no rate of its own; none: unlimited."""

    request_log_per_s: float = Field(default=50.0, ge=0)
    """Answered requests logged a second and replica at most; errors are always logged."""

    request_log_days: float = Field(default=14.0, gt=0)
    request_log_bytes: int = Field(default=1024**3, ge=1024**2)
    """Files of the request log are removed once nothing was written to them for so long, and the oldest of them while
    all together are larger."""

    usage_events_hours: float = Field(default=24.0, ge=0)
    """Usage events are kept one by one for so long, then as sums by the hour, for ever."""

    receipts_days: float = Field(default=7.0, ge=0)
    receipts_bytes: int = Field(default=2 * 1024**3, ge=1024**2)
    """Feedback is taken for answers that are not older, nor more of them than fit; 0 days: none is, and no receipt is
    written."""

    feedback_days: float = Field(default=365.0, gt=0)
    """Labels and rewards are kept one by one for so long after their answer, their sums by the hour for ever."""

    otlp_endpoint: str | None = Field(default=None, pattern=r"^https?://[^/\s]+")
    """The collector of OpenTelemetry's spans over HTTP, as http://127.0.0.1:4318; none: no spans are sent."""

    otlp_sample: float = Field(default=1.0, ge=0, le=1)
    """Share of the calls that come without a ``traceparent`` whose spans are sent, by their trace's id; of the others
    the caller decides."""

    tls_cert: Path | None = None
    tls_key: Path | None = None
    """PEM files; both or none. Given, every door speaks TLS; not with ``ingress: serve``."""

    @property
    def gateway_scale(self) -> NodeScale:
        """The gateway's size in the form that every deployment's has."""
        return NodeScale(
            min=self.gateway_min_replicas,
            max=self.gateway_max_replicas,
            target_ongoing=float(self.gateway_target_in_flight),
            policy=self.gateway_policy,
            policy_options=self.gateway_policy_options,
        )

    @property
    def replica_version(self) -> str:
        """Of the code and of all that a replica is told but how many there are: replicas of one version are alike."""
        told = self.model_dump_json(exclude=set(SIZE))
        return f"{code_fingerprint()}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"

    def __setstate__(self, state: dict[Any, Any]) -> None:
        """What an older version pickled has not every field: an actor that restarts after an upgrade gets defaults."""
        super().__setstate__(state)
        for name, field in type(self).model_fields.items():
            self.__dict__.setdefault(name, field.get_default(call_default_factory=True))

    @property
    def scheme(self) -> str:
        return "https" if self.tls_cert else "http"

    @property
    def database_url(self) -> str:
        return f"sqlite:///{self.home.database}"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together: give both PEM files, or none")
        if self.tls_cert and self.ingress == "serve":
            raise ValueError("Ray Serve's own ingress speaks no TLS; use ingress own, or end TLS before it")
        if self.port == self.control_port:
            raise ValueError(f"port and control_port are both {self.port}; calls and control need a port each")
        if self.grpc_port in (self.port, self.control_port):
            other = "port" if self.grpc_port == self.port else "control_port"
            raise ValueError(f"grpc_port and {other} are both {self.grpc_port}; each door needs a port of its own")
        if self.feedback_days < self.receipts_days:
            raise ValueError("feedback_days is below receipts_days: a label that comes again could not be told")
        if self.gateway_min_replicas > self.gateway_max_replicas:
            raise ValueError("gateway_min_replicas is above gateway_max_replicas")
        return self
