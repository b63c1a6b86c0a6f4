"""Sentences of different lengths on a running platform: padded, run together, answered as if each were alone."""

import asyncio
from pathlib import Path

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from aimass.client import AsyncClient
from aimass.client.prediction import Prediction
from aimass.core.errors import Invalid
from aimass.testing.running import RunningPlatform
from tests.e2e.e2e_kit import eventually
from tests.serving.text_models import expected, sentence, service_text, text_model

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


def counted(platform: RunningPlatform, name: str, service: str) -> float:
    text = httpx.get(f"{platform.url}/metrics", headers={"authorization": f"Bearer {platform.key}"}).text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return sum(sample.value for sample in samples if sample.name == name and sample.labels["service"] == service)


@pytest.mark.parametrize("placement", ["fused", "fanout"])
def test_sentences_of_all_lengths_run_together(platform: RunningPlatform, tmp_path: Path, placement: str) -> None:
    service = f"text-{placement}"
    path = tmp_path / "text.onnx"
    path.write_bytes(text_model())
    with platform.control() as control:
        added = control.add_model(service, path)
        control.deploy(service_text(service, added["ref"], placement))
    sentences = [sentence(length, 1 + length % 2, seed) for seed in range(4) for length in range(1, 36)]

    async def ask_all() -> list[Prediction]:
        async with AsyncClient(platform.url, platform.key) as client:
            return list(await asyncio.gather(*(client.predict(service, batch) for batch in sentences)))

    for batch, answer in zip(sentences, asyncio.run(ask_all()), strict=True):
        for name, array in expected(batch).items():
            assert answer[name].shape == array.shape
            np.testing.assert_allclose(answer[name], array, rtol=1e-4, atol=1e-5)
    eventually(lambda: counted(platform, "aimass_together_rows_sum", service) >= sum(len(b["ids"]) for b in sentences))
    assert counted(platform, "aimass_together_rows_count", service) < len(sentences), "some travelled together"
    with platform.control() as control:
        control.undeploy(service)


def test_a_model_that_padding_would_change_is_refused_with_the_figures(
    platform: RunningPlatform, tmp_path: Path
) -> None:
    path = tmp_path / "careless.onnx"
    path.write_bytes(text_model(heeds_mask=False))
    with platform.control() as control:
        added = control.add_model("careless", path)
        with pytest.raises(Invalid, match=r"from length 1 to 4 changes output 'embedding' by up to [0-9.]+"):
            control.deploy(service_text("careless", added["ref"]))
