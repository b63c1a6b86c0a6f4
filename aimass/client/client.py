"""The client for calls: numpy arrays in, numpy arrays out."""

import ssl
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from aimass.client import feedback as returns
from aimass.client import wire
from aimass.client.control import find_door
from aimass.client.http import Closing, options, reaching
from aimass.client.pictures import read_row
from aimass.client.prediction import Prediction
from aimass.core.batch import Array
from aimass.core.errors import Invalid
from aimass.core.signature import TensorSpec


class Client(Closing):
    """Calls services. Without arguments it finds the platform and the key as the command line does.

        client = Client()
        print(client.predict("digits", rows)["label"])

    Errors are those of ``aimass.core.errors``; nothing is retried. Safe to use from several threads.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        timeout_s: float = 60.0,
        verify: ssl.SSLContext | bool | None = None,
    ) -> None:
        found = find_door(url, key)
        self.url = found.url
        self._http = httpx.Client(base_url=found.url, **options(found, timeout_s, verify))
        self._inputs: dict[tuple[str, int | None], tuple[TensorSpec, ...]] = {}

    def predict(
        self,
        service: str,
        inputs: wire.Inputs | Array | Sequence[Any],
        *,
        revision: int | None = None,
        outputs: Sequence[str] | None = None,
        deadline_ms: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Prediction:
        """The service's outputs for these rows. A lone array stands for the only input.

        ``headers``: what a service whose traffic is sticky may know the caller by.
        """
        specs = self.inputs(service, revision)
        call = wire.encode(service, wire.fit(inputs, specs), wire.Wish(revision, outputs, deadline_ms))
        answer = self._send("POST", call.path, content=call.body, headers={**(headers or {}), **call.headers})
        try:
            return wire.decode(answer.status_code, answer.headers, answer.content)
        except Invalid:
            self._inputs.pop((service, revision), None)  # another revision may take other inputs by now
            raise

    def feedback(
        self,
        request_id: str,
        row: int | None = None,
        *,
        label: int | str | bool | None = None,
        reward: float | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        """What was right for a row of an earlier answer, or how good the answer was. Sent again it changes nothing;
        to correct it, send an ``idempotency_key`` of its own."""
        item = returns.item_of(request_id, row, label, reward, idempotency_key)
        (outcome,) = self.feedback_items([item])
        if outcome.error is not None:
            raise outcome.error

    def feedback_items(self, items: Iterable[returns.Item]) -> list[returns.Outcome]:
        """The same for many, each an object as ``POST /v2/feedback`` takes it. One that is refused fails only
        itself."""
        outcomes: list[returns.Outcome] = []
        for part, body in returns.bodies(items):
            outcomes += returns.read(self._send("POST", returns.PATH, content=body), part)
        return outcomes

    def inputs(self, service: str, revision: int | None = None) -> tuple[TensorSpec, ...]:
        """What the service takes, asked once and remembered."""
        known = self._inputs.get((service, revision))
        if known is None:
            known = self._inputs[service, revision] = wire.read_inputs(self.metadata(service, revision))
        return known

    def picture(self, service: str, path: str | Path) -> Array:
        """An image file as one row for the service's first input that takes pictures."""
        specs = self.inputs(service)
        return read_row(Path(path), next((spec for spec in specs if spec.picture is not None), specs[0]))

    def metadata(self, service: str, revision: int | None = None) -> dict[str, Any]:
        """The protocol's model metadata."""
        answer = self._send("GET", wire.model_path(service, revision))
        return wire.read_metadata(answer.status_code, answer.headers, answer.content)

    def ready(self, service: str, revision: int | None = None) -> bool:
        """Whether the service answers calls now."""
        return self._send("GET", f"{wire.model_path(service, revision)}/ready").status_code == 200

    def _send(self, method: str, path: str, **rest: Any) -> httpx.Response:
        with reaching(self.url):
            return self._http.request(method, path, **rest)
