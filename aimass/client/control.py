"""The control API, one method per call: what the command line does, for programs. Answers are plain JSON values."""

import json
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from aimass.client.connection import Connection, find_calls, find_connection
from aimass.client.failures import failure
from aimass.client.http import Closing, options, reaching
from aimass.core.errors import Invalid, NotFound
from aimass.core.ids import check_name

MOVE_S = 200.0  # a deploy waits up to two minutes for replicas to load; its caller must not leave before it ends
Json = Any  # what the control API answers: objects, lists


class Control(Closing):
    """Deploys, trains and looks. Without arguments it finds the platform and the key as the command line does."""

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        timeout_s: float = 120.0,
        verify: ssl.SSLContext | bool | None = None,
    ) -> None:
        self.connection = find_connection(url, key)
        self.url = self.connection.control_url
        self._http = httpx.Client(base_url=f"{self.url}/api/v1", **options(self.connection, timeout_s, verify))

    # platform

    def status(self) -> Json:
        return self._get("/status")

    def platform(self) -> Json:
        return self._get("/platform")

    def desired(self) -> Json:
        """What is desired beside what is, revision by revision, and what is being put right."""
        return self._get("/status/desired")

    def resize(self, least: int, most: int) -> Json:
        """How many replicas the gateway has from now on, until the platform is started again."""
        return self._call("PUT", "/gateway/size", json={"min": least, "max": most})

    # services

    def services(self, usage: bool = False) -> Json:
        return self._get("/services", usage="true") if usage else self._get("/services")

    def service(self, name: str) -> Json:
        return self._get(f"/services/{check_name(name, 'service')}")

    def deploy(self, document: str, name: str = "service.yaml", traffic: bool = True) -> Json:
        """Deploys a service document (YAML); all traffic goes to the new revision once it is loaded, or none yet.

        ``name`` is what errors call it.
        """
        body = {"document": document, "name": name, "traffic": traffic}
        return self._call("POST", "/services", json=body, timeout=MOVE_S)

    def traffic(self, name: str) -> Json:
        """How a service's traffic is spread, by which policy, and the moves that led there."""
        return self._get(f"/services/{check_name(name, 'service')}/traffic")

    def split(self, name: str, weights: Mapping[int, float], **rest: Any) -> Json:
        """Spreads a service's calls: revision → per cent, together 100. ``rest``: policy, options, sticky, why."""
        body = {"weights": {str(number): weight for number, weight in weights.items()}, **rest}
        return self._call("PUT", f"/services/{check_name(name, 'service')}/traffic", json=body, timeout=MOVE_S)

    def undeploy(self, name: str) -> Json:
        return self._call("DELETE", f"/services/{check_name(name, 'service')}")

    def rollback(self, name: str) -> Json:
        return self._call("POST", f"/services/{check_name(name, 'service')}/rollback", timeout=MOVE_S)

    # rollouts

    def roll_out(self, name: str, revision: int, **plan: Any) -> Json:
        """Starts one; ``plan``: ``steps``, ``guards``, ``tolerances``, ``least_requests``, ``least_s``, ``why``."""
        body = {"revision": revision, **plan}
        return self._call("POST", f"/services/{check_name(name, 'service')}/rollout", json=body, timeout=MOVE_S)

    def rollout(self, name: str, looks: bool = False) -> Json:
        """The newest rollout; with ``looks`` all that guards said."""
        return self._get(f"/services/{check_name(name, 'service')}/rollout", **({"looks": "true"} if looks else {}))

    def promote(self, name: str, why: str = "") -> Json:
        return self._rollout_verb(name, "promote", why)

    def pause(self, name: str, why: str = "") -> Json:
        return self._rollout_verb(name, "pause", why)

    def resume(self, name: str, why: str = "") -> Json:
        return self._rollout_verb(name, "resume", why)

    def abort(self, name: str, why: str = "") -> Json:
        return self._rollout_verb(name, "abort", why)

    def _rollout_verb(self, name: str, verb: str, why: str) -> Json:
        path = f"/services/{check_name(name, 'service')}/rollout/{verb}"
        return self._call("POST", path, json={"why": why}, timeout=MOVE_S)

    # shadows

    def shadow(self, name: str, share: float, revision: int | None = None, node: str = "", model: str = "") -> Json:
        """Has a revision, or a model beside a node, run so many per cent of a service's calls too."""
        body = {"share": share, "revision": revision, "node": node, "model": model}
        return self._call("PUT", f"/services/{check_name(name, 'service')}/shadows", json=body, timeout=MOVE_S)

    def end_shadow(self, name: str, revision: int | None = None, node: str = "", model: str = "") -> Json:
        """Ends one shadow; none named: all of the service's."""
        query = {"revision": None if revision is None else str(revision), "node": node, "model": model}
        path = f"/services/{check_name(name, 'service')}/shadows"
        return self._call("DELETE", path, params={key: value for key, value in query.items() if value})

    def shadows(self, name: str) -> Json:
        """How a service's shadows compare with what was answered."""
        return self._get(f"/services/{check_name(name, 'service')}/shadows")

    # services that went wrong, or are asked about

    def release(self, name: str) -> Json:
        """Has replicas load again what was put aside of the service, because it killed them."""
        return self._call("POST", f"/services/{check_name(name, 'service')}/release")

    def explain(
        self, name: str, load_rps: float | None = None, rows: int | None = None, measured: bool = False
    ) -> Json:
        """Every plan of the current revision; ``load_rps``: for so many calls a second, each with so many ``rows``."""
        asked = {"load_rps": load_rps, "rows": rows, "measured": "true" if measured else None}
        query = {key: str(value) for key, value in asked.items() if value is not None}
        return self._get(f"/services/{check_name(name, 'service')}/explain", **query)

    def explain_document(
        self, document: str, name: str = "service.yaml", load_rps: float | None = None, rows: int | None = None
    ) -> Json:
        body = {"document": document, "name": name, "load_rps": load_rps, "rows": rows}
        return self._call("POST", "/explain", json=body)

    def graph(self, name: str) -> Json:
        """The current revision's boxes and lines, and how each node runs."""
        return self._get(f"/services/{check_name(name, 'service')}/graph")

    def graph_document(self, document: str, name: str = "service.yaml") -> Json:
        return self._call("POST", "/graph", json={"document": document, "name": name})

    # models

    def models(self) -> Json:
        return self._get("/models")

    def model(self, name: str) -> Json:
        return self._get(f"/models/{check_name(name, 'model')}")

    def add_model(self, name: str, path: Path, check: Path | None = None) -> Json:
        """Registers a file (.onnx, .skops, a sentence model's .zip) as the model's next version; ``check``: rows to
        compare a conversion on."""
        files = {"file": (path.name, _read(path))}
        if check is not None:
            files["check"] = (check.name, _read(check))
        return self._call("POST", f"/models/{check_name(name, 'model')}/versions", files=files, timeout=600.0)

    def quantize(self, name: str, version: int, min_cosine: float | None = None) -> Json:
        """Registers a sentence model's version in 8 bits as the next one; each sample text keeps ``min_cosine``."""
        path = f"/models/{check_name(name, 'model')}/versions/{version}/quantize"
        body = {} if min_cosine is None else {"min_cosine": min_cosine}
        return self._call("POST", path, json=body, timeout=600.0)

    def halve(self, name: str, version: int, check: Path | None = None) -> Json:
        """Registers a version in FP16 as the next one; ``check``: rows to compare both on."""
        path = f"/models/{check_name(name, 'model')}/versions/{version}/halve"
        files = None if check is None else {"file": (check.name, _read(check))}
        return self._call("POST", path, files=files, timeout=600.0)

    def move_alias(self, name: str, alias: str, version: int, why: str = "") -> Json:
        body = {"version": version, "why": why}
        return self._call("PUT", f"/models/{check_name(name, 'model')}/aliases/{check_name(alias, 'alias')}", json=body)

    def drop_alias(self, name: str, alias: str) -> Json:
        return self._call("DELETE", f"/models/{check_name(name, 'model')}/aliases/{check_name(alias, 'alias')}")

    def remove_version(self, name: str, version: int) -> Json:
        return self._call("DELETE", f"/models/{check_name(name, 'model')}/versions/{version}")

    def sweep(self, dry_run: bool = False) -> Json:
        """Deletes artifacts that nobody refers to; with ``dry_run`` only counts them."""
        return self._call("POST", "/artifacts/sweep", json={"dry_run": dry_run})

    # runs

    def train(self, recipe: str, name: str = "recipe.yaml", folder: Path | None = None) -> Json:
        """Submits a recipe (YAML) as a run.

        ``folder``: where the run works, on the platform's machine; paths in the recipe are relative to it.
        """
        body = {"recipe": recipe, "name": name, "folder": str(folder) if folder else None}
        return self._call("POST", "/runs", json=body)

    def runs(self) -> Json:
        return self._get("/runs")

    def run(self, run_id: str) -> Json:
        return self._get(f"/runs/{_id(run_id, 'run')}")

    def run_logs(self, run_id: str, follow: bool = False) -> Iterator[str]:
        """The run's output, line by line; with ``follow`` until it ends."""
        return self._stream(f"/runs/{_id(run_id, 'run')}/logs", follow="true" if follow else "false")

    def run_report(self, run_id: str) -> str:
        """The report as an HTML page."""
        return self._send("GET", f"/runs/{_id(run_id, 'run')}/report").text

    def cancel_run(self, run_id: str) -> Json:
        return self._call("POST", f"/runs/{_id(run_id, 'run')}/cancel")

    # keys

    def keys(self) -> Json:
        return self._get("/keys")

    def create_key(
        self,
        name: str,
        scopes: list[str],
        rate_per_s: float | None = None,
        expires_at: float | None = None,
        account: str = "",
    ) -> Json:
        """A new key; the answer holds the secret, which is shown this once and stored nowhere. ``account``: whose it
        is, made if there is none of this name; the caller's own unless given."""
        body = {"name": name, "scopes": scopes, "rate_per_s": rate_per_s, "expires_at": expires_at}
        whose = {"account": account} if account else {}  # a console before this client's refuses what it does not know
        return self._call("POST", "/keys", json={**body, **whose})

    def revoke_key(self, key_id: str) -> Json:
        return self._call("DELETE", f"/keys/{_id(key_id, 'key')}")

    # logs

    def logs(self, service: str = "", follow: bool = False, lines: int = 100) -> Iterator[Json]:
        """Requests as they were logged, oldest first; with ``follow`` it never ends."""
        query = {"follow": "true" if follow else "false", "lines": str(lines)}
        if service:
            query["service"] = service
        for line in self._stream("/logs", **query):
            if line:
                yield json.loads(line)

    # single calls

    def trace(self, request_id: str) -> Json:
        """Where one request's time went: its line of the request log, times in µs."""
        return self._get(f"/requests/{_request(request_id)}")

    def replay(self, request_id: str) -> Json:
        """What was kept of a request, and the same run again; see ``aimass.client.replays`` for the comparison."""
        return self._call("POST", f"/requests/{_request(request_id)}/replay", timeout=MOVE_S)

    def payloads(self, service: str = "") -> Json:
        """What is kept of calls, by service and day."""
        return self._get("/payloads", service=_optional(service))

    def export_payloads(self, service: str, path: Path) -> int:
        """All that is kept of a service into one Parquet file; its bytes."""
        answer = self._send("GET", f"/payloads/{check_name(service, 'service')}", timeout=MOVE_S)
        _write(path, answer.content)
        return len(answer.content)

    def clean_payloads(self, service: str = "") -> Json:
        """Remove what is kept of a service, or of all."""
        return self._call("DELETE", "/payloads", params={"service": _optional(service)})

    # feedback

    def feedback(self, name: str, since: float = 0.0) -> Json:
        """How good a service's revisions were, by the labels and rewards for what was answered since then."""
        return self._get(f"/services/{check_name(name, 'service')}/feedback", since=str(since))

    def export_feedback(self, name: str, path: Path, form: str, since: float = 0.0) -> tuple[int, int]:
        """Labelled rows with their inputs as a file: csv, npz or parquet. How many, and how many had to be left out."""
        place, query = f"/services/{check_name(name, 'service')}/feedback/rows", {"form": form, "since": str(since)}
        answer = self._send("GET", place, params=query, timeout=MOVE_S)
        _write(path, answer.content)
        return int(answer.headers["x-aimass-rows"]), int(answer.headers["x-aimass-without-inputs"])

    def propose_weights(self, name: str) -> Json:
        """A document of the service with weights learnt from its labels, and what it is worth."""
        return self._get(f"/services/{check_name(name, 'service')}/feedback/weights")

    # the connection

    def calls(self) -> Connection:
        """The door for calls of this platform. A platform that says "loopback" from afar is reached by its own host."""
        if self.connection.url:
            return self.connection
        url = str(self.platform()["url"])
        here, there = urlsplit(self.url), urlsplit(url)
        if there.hostname in ("127.0.0.1", "localhost", "::1") and here.hostname:
            host = f"[{here.hostname}]" if ":" in here.hostname else here.hostname
            url = there._replace(netloc=f"{host}:{there.port}" if there.port else host).geturl()
        return Connection(url, self.url, self.connection.key, self.connection.verify)

    @property
    def is_local(self) -> bool:
        """Whether this is the platform of the home, on this machine."""
        return bool(self.connection.url)

    def _get(self, path: str, **query: str) -> Any:
        return self._call("GET", path, params=query)

    def _call(self, method: str, path: str, **rest: Any) -> Any:
        answer = self._send(method, path, **rest)
        return answer.json() if answer.content else {}

    def _send(self, method: str, path: str, **rest: Any) -> httpx.Response:
        with reaching(self.url):
            answer = self._http.request(method, path, **rest)
        if answer.status_code == 404 and answer.request.url.path in answer.text:  # the path is unknown, not the thing
            raise NotFound(
                f"{self.url} is no control API; AIMASS_URL names that one, not the door for calls: its port is 8002 "
                "unless `aimass up` was told another"
            )
        if not answer.is_success:
            raise failure(answer.status_code, answer.headers, answer.content)
        return answer

    def _stream(self, path: str, **query: str) -> Iterator[str]:
        within = httpx.Timeout(120.0, read=None)
        with reaching(self.url), self._http.stream("GET", path, params=query, timeout=within) as answer:
            if not answer.is_success:
                raise failure(answer.status_code, answer.headers, answer.read())
            yield from answer.iter_lines()


def find_door(url: str | None, key: str | None) -> Connection:
    """The connection for calls; a platform that is known only by its control API is asked for it."""
    found = find_calls(url, key)
    if found.url:
        return found
    with Control(found.control_url, found.key) as control:
        return control.calls()


def _id(text: str, what: str) -> str:
    """The id as a piece of a path; ``NotFound`` for what none can be, since it would be another path."""
    try:
        return check_name(text, what)
    except Invalid:
        raise NotFound(f"no {what} has the id {text!r}; `aimass {what}s list` shows them") from None


def _request(request_id: str) -> str:
    try:
        return check_name(request_id, "request")
    except Invalid:
        raise NotFound(f"no request {request_id!r} is on record; answers name theirs as x-aimass-request-id") from None


def _optional(service: str) -> str:
    return check_name(service, "service") if service else ""


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise Invalid(f"cannot write {path}: {error.strerror}") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Invalid(f"cannot read {path}: {error.strerror}") from error
