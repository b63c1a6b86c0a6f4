"""``/v1`` through OpenAI's own client: vectors, usage, models, and each refusal as the error that its users catch."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest

from aimass.core.batch import Array, Batch
from aimass.core.errors import Unavailable
from aimass.gateway.state import GatewayState, TrafficState
from aimass.metering.journal import decode_event
from aimass.runtimes.text.files import sentence_signature
from aimass.serving.traffic.cut import Cut, recut
from aimass.testing.gateway import BEARER, SECRET, Gateway, StubPlan, connect, key, open_door, service

SIZE = 4
SIGNATURE = sentence_signature(SIZE)
PATH = "/v1/embeddings"
GOOD = {"model": "minilm", "input": "a text"}


def vectors(texts: Any) -> Array:
    """Any vector that says which text it is of."""
    return np.array([[len(text), text.count("a"), 0.1, -1e-3] for text in texts], np.float32)


def embed(batch: Batch) -> Batch:
    texts = batch["text"].tolist()
    return {"embedding": vectors(texts), "tokens": np.array([len(text.split()) + 2 for text in texts], np.int64)}


def serve(gateway: Gateway, call: Callable[[Batch], Batch] = embed, *keys: Any, **limits: Any) -> None:
    """The service minilm at revisions 1 and 2, all traffic at 1; and iris, which embeds nothing."""
    gateway.number += 1
    services = (service("minilm", {1: 100.0}, (1, 2), **limits), service("iris"))
    minilm = StubPlan(call, SIGNATURE).loaded
    second = StubPlan(lambda batch: {**embed(batch), "embedding": -vectors(batch["text"])}, SIGNATURE).loaded
    plans = {("minilm", 1): minilm, ("minilm", 2): second, ("iris", 1): StubPlan(lambda batch: batch).loaded}
    gateway.app.apply(GatewayState(gateway.number, keys or (key(),), services), plans)


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    made = Gateway(tmp_path, options={"max_body_bytes": 20_000})
    serve(made)
    return made


@pytest.fixture(params=["direct", "asgi"])
async def client(request: pytest.FixtureRequest, gateway: Gateway) -> AsyncIterator[openai.AsyncOpenAI]:
    async with open_door(gateway.app, request.param) as door:
        http = httpx.AsyncClient(trust_env=False)
        async with openai.AsyncOpenAI(
            api_key=SECRET, base_url=f"http://127.0.0.1:{door.port}/v1", max_retries=0, http_client=http
        ) as made:
            yield made


async def test_texts_become_vectors_in_their_order(client: openai.AsyncOpenAI, gateway: Gateway) -> None:
    texts = ["a banana", "東京", "one two three", "a"]
    for more in ({}, {"encoding_format": "float"}, {"encoding_format": "base64"}, {"dimensions": SIZE}):
        answer = await client.embeddings.create(model="minilm", input=texts, **more)
        found = [item.embedding for item in answer.data]
        if more.get("encoding_format") == "base64":
            found = [np.frombuffer(base64.b64decode(str(item)), "<f4").tolist() for item in found]
        np.testing.assert_array_equal(np.array(found, np.float32), vectors(texts))
        assert [item.index for item in answer.data] == [0, 1, 2, 3]
        assert (answer.model, answer.object, answer.data[0].object) == ("minilm", "list", "embedding")
        assert answer.usage.prompt_tokens == answer.usage.total_tokens == 4 + 3 + 5 + 3
    one = await client.embeddings.create(model="minilm", input="a banana", user="user-7")
    assert len(one.data) == 1
    event = decode_event("j", gateway.events()[-1])
    assert event is not None
    assert (event.service, event.rows, event.client_id, event.key_id) == ("minilm", 1, "user-7", "key-1")


async def test_a_revision_may_be_named(client: openai.AsyncOpenAI) -> None:
    answer = await client.embeddings.create(model="minilm/versions/2", input="a text")
    np.testing.assert_array_equal(np.array(answer.data[0].embedding, np.float32), -vectors(["a text"])[0])


async def test_models_are_the_services_that_embed(client: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == ["minilm"]
    assert (await client.models.retrieve("minilm")).owned_by == "default"
    for name in ("iris", "nobody"):
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve(name)


@pytest.mark.parametrize(
    ("asked", "error", "param", "words"),
    [
        ({**GOOD, "model": "nobody"}, openai.NotFoundError, "model", "no service 'nobody'; those that embed: minilm"),
        ({**GOOD, "model": "minilm/versions/9"}, openai.NotFoundError, "model", "no service"),
        ({**GOOD, "model": "iris"}, openai.NotFoundError, "model", "'iris' gives no embeddings"),
        ({**GOOD, "model": ""}, openai.BadRequestError, "model", "name of a service"),
        ({**GOOD, "input": []}, openai.BadRequestError, "input", "not empty"),
        ({**GOOD, "input": ""}, openai.BadRequestError, "input", r"input\[0\] is an empty text"),
        ({**GOOD, "input": ["a", ""]}, openai.BadRequestError, "input", r"input\[1\] is an empty text"),
        ({**GOOD, "input": [1, 2]}, openai.BadRequestError, "input", "token ids; send text"),
        ({**GOOD, "input": [[1, 2], [3]]}, openai.BadRequestError, "input", "token ids; send text"),
        ({**GOOD, "input": ["a", None]}, openai.BadRequestError, "input", r"input\[1\] must be a text"),
        ({**GOOD, "input": {"a": 1}}, openai.BadRequestError, "input", "must be a text or a list"),
        ({**GOOD, "dimensions": 2}, openai.BadRequestError, "dimensions", "gives 4 dimensions, not 2"),
        ({**GOOD, "dimensions": "4"}, openai.BadRequestError, "dimensions", "whole number"),
        ({**GOOD, "encoding_format": "hex"}, openai.BadRequestError, "encoding_format", "not 'hex'"),
        ({**GOOD, "user": 7}, openai.BadRequestError, "user", "string"),
        ({**GOOD, "temperature": 1}, openai.BadRequestError, "temperature", "unknown parameter"),
        ({**GOOD, "input": ["a"] * 9}, openai.APIStatusError, "inputs", "at most 8"),
    ],
)
async def test_what_cannot_be_done_is_a_typed_error(
    client: openai.AsyncOpenAI,
    gateway: Gateway,
    asked: dict[str, Any],
    error: type[openai.APIStatusError],
    param: str,
    words: str,
) -> None:
    serve(gateway, max_batch=8)
    with pytest.raises(error, match=words) as caught:
        await client.post("/embeddings", body=asked, cast_to=object)
    assert (caught.value.param, caught.value.type) == (param, "invalid_request_error")
    assert param != "inputs" or caught.value.status_code == 413
    assert caught.value.code == ("model_not_found" if error is openai.NotFoundError else None)
    assert caught.value.request_id
    assert not gateway.events()


async def test_keys_and_rates_are_those_of_every_door(client: openai.AsyncOpenAI, gateway: Gateway) -> None:
    other = client.with_options(api_key="aim_wrong")
    for call in (other.embeddings.create(model="minilm", input="a"), other.models.retrieve("minilm")):
        with pytest.raises(openai.AuthenticationError, match="not known") as caught:
            await call
        assert caught.value.code == "invalid_api_key"
    serve(gateway, embed, key(scopes=("read",)))
    with pytest.raises(openai.PermissionDeniedError, match="lacks the scope predict"):
        await client.embeddings.create(model="minilm", input="a")
    assert (await client.models.retrieve("minilm")).id == "minilm"
    serve(gateway, embed, key("slow", rate_per_s=0.01))
    await client.embeddings.create(model="minilm", input="a")
    with pytest.raises(openai.RateLimitError) as limited:
        await client.embeddings.create(model="minilm", input="a")
    assert limited.value.code == "rate_limit_exceeded"
    assert int(limited.value.response.headers["retry-after"]) > 1


async def test_the_service_s_own_failures(client: openai.AsyncOpenAI, gateway: Gateway) -> None:
    def busy(batch: Batch) -> Batch:
        raise Unavailable("no room", retry_after_s=3)

    serve(gateway, busy)
    with pytest.raises(openai.InternalServerError, match="no room") as caught:
        await client.embeddings.create(model="minilm", input="a")
    assert (caught.value.status_code, caught.value.code) == (503, "service_unavailable")
    assert caught.value.response.headers["retry-after"] == "3"

    def broken(batch: Batch) -> Batch:
        raise ZeroDivisionError

    serve(gateway, broken)
    with pytest.raises(openai.InternalServerError, match="the platform failed") as failed:
        await client.embeddings.create(model="minilm", input="a")
    assert failed.value.status_code == 500


async def test_a_late_call_is_told_so(client: openai.AsyncOpenAI) -> None:
    late = {"x-aimass-deadline-ms": "0"}
    with pytest.raises(openai.InternalServerError, match="deadline") as caught:
        await client.embeddings.create(model="minilm", input="a", extra_headers=late)
    assert caught.value.status_code == 504


@pytest.mark.parametrize("content", [b"{", b"[]", b'"text"', b""])
async def test_bodies_that_are_none(gateway: Gateway, content: bytes) -> None:
    async with connect(gateway.app) as http:
        answer = await http.post(PATH, content=content)
        assert answer.status_code == 400
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


async def test_paths_methods_and_sizes_are_refused_in_openai_s_shape(gateway: Gateway) -> None:
    async with connect(gateway.app) as http:
        for answer, status in (
            (await http.get(PATH), 405),
            (await http.post("/v1/models"), 405),
            (await http.post("/v1/chat/completions", json=GOOD), 404),
            (await http.post(PATH, content=b" " * 20_001), 413),
            (await http.post(PATH, json=GOOD, headers={"authorization": ""}), 401),
        ):
            assert answer.status_code == status
            assert answer.json()["error"]["message"]
            assert answer.headers["x-request-id"] == answer.headers["x-aimass-request-id"]
        assert "error" in (await http.get("/v2/nothing")).json()
        assert "kind" in (await http.get("/v2/nothing")).json(), "other doors keep their shape"


async def test_bodies_may_be_deflated(gateway: Gateway) -> None:
    import gzip

    packed = gzip.compress(json.dumps(GOOD).encode())
    async with connect(gateway.app) as http:
        answer = await http.post(PATH, content=packed, headers={"content-encoding": "gzip"})
    assert answer.json()["data"][0]["embedding"] == pytest.approx(vectors(["a text"])[0].tolist())


async def test_calls_of_many_callers_are_not_mixed(gateway: Gateway) -> None:
    texts = ["a" * length for length in range(1, 60)]
    async with connect(gateway.app, "direct") as http:
        answers = await asyncio.gather(
            *(http.post(PATH, json={"model": "minilm", "input": text}, headers=BEARER) for text in texts)
        )
    found = [answer.json()["data"][0]["embedding"][0] for answer in answers]
    assert found == [len(text) for text in texts]
    assert len(gateway.events()) == len(texts)


async def test_a_user_stays_at_its_revision_where_traffic_is_sticky_by_user(
    gateway: Gateway, client: openai.AsyncOpenAI
) -> None:
    pieces = recut((), {1: 50.0, 2: 50.0})
    traffic = TrafficState("sticky", {"by": "field:user"}, pieces)
    split = replace(service("minilm", {1: 50.0, 2: 50.0}, (1, 2)), traffic=traffic)
    first = StubPlan(embed, SIGNATURE).loaded
    second = StubPlan(lambda batch: {**embed(batch), "embedding": -vectors(batch["text"])}, SIGNATURE).loaded
    gateway.app.apply(GatewayState(9, (key(),), (split,)), {("minilm", 1): first, ("minilm", 2): second})
    seen = set()
    for user in ("ada", "bob", "cem", "dan"):
        answer = await client.embeddings.create(**GOOD, user=user)
        revision = 1 if answer.data[0].embedding[0] > 0 else 2
        assert revision == Cut(pieces, "minilm").choose(user)
        seen.add(revision)
    assert seen == {1, 2}
