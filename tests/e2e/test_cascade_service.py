"""The cascade example on the shared platform, made smaller: trained, deployed, and every row answered as offline."""

from pathlib import Path

import httpx
import numpy as np
import onnxruntime
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from aimass.client import Client
from aimass.core.batch import Array
from aimass.core.documents import Document
from aimass.core.home import Home
from aimass.core.ids import Digest
from aimass.data.split import split
from aimass.pipeline.recipe import load_recipe
from aimass.pipeline.run import load_data
from aimass.storage.local import LocalStore
from aimass.testing.running import RunningPlatform
from tests.e2e.e2e_kit import eventually
from tests.pipeline.cascades import by_hand

pytest.importorskip("torch", reason="needs the extra torch")
pytestmark = [pytest.mark.ray, pytest.mark.timeout(600), pytest.mark.slow]

EXAMPLE = Path(__file__).parents[2] / "deployments" / "cascade"
ROWS = 1500


def small_recipe() -> str:
    """The example's own, with fewer rows and a large network that is not so large."""
    recipe = yaml.safe_load((EXAMPLE / "recipe.yaml").read_text())
    recipe["data"]["rows"] = ROWS
    recipe["candidates"]["large"]["space"]["width"] = 64
    text: str = yaml.safe_dump(recipe)
    return text


def counted(platform: RunningPlatform, service: str) -> dict[str, float]:
    """Rows that each member of the cascade answered, as /metrics says."""
    text = httpx.get(f"{platform.url}/metrics", headers={"authorization": f"Bearer {platform.key}"}).text
    return {
        sample.labels["port"]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "aimass_node_rows_total" and sample.labels["service"] == service
    }


def test_every_row_is_answered_as_offline(platform: RunningPlatform) -> None:
    text = small_recipe()
    with platform.control() as control:
        run_id = control.train(text)["id"]
        eventually(lambda: control.run(run_id)["status"] not in ("queued", "running"), 300)
        run = control.run(run_id)
        assert run["status"] == "succeeded", "\n".join(control.run_logs(run_id))
        control.deploy((EXAMPLE / "service.yaml").read_text())
        control.deploy((EXAMPLE / "best.yaml").read_text())
        found = {
            version["ref"]: version for name in run["report"]["versions"] for version in control.model(name)["versions"]
        }
    store = LocalStore(Home(platform.home).artifacts)

    def run_file(ref: str, given: Array) -> list[Array]:
        data = store.get(Digest(found[ref]["files"]["model.onnx"]))
        answer: list[Array] = onnxruntime.InferenceSession(data).run(None, {"x": given})
        return answer

    recipe = load_recipe(Document(text, "recipe.yaml"))
    data = load_data(recipe.data)
    rows = data.part(split(data, recipe.split.test, recipe.seed).test).rows
    graph = found[run["report"]["versions"]["cascade-ensemble"]]["graph"]
    label, member = by_hand(graph, rows, run_file)
    before = counted(platform, "cascade")
    with Client(platform.url, platform.key) as client:
        for size in (1, 64):
            answers = [client.predict("cascade", part) for part in np.array_split(rows, len(rows) // size)]
            np.testing.assert_array_equal(np.concatenate([answer["label"] for answer in answers]), label)
            np.testing.assert_array_equal(np.concatenate([answer["member"] for answer in answers]), member)
        best = client.predict("cascade-best", rows)["label"]
    alone = run_file(run["report"]["versions"]["cascade-large"], rows)[0]
    np.testing.assert_array_equal(best, alone)
    wanted = {str(index): 2 * float((member == index).sum()) for index in set(member.tolist())}

    def answered() -> dict[str, float]:
        return {port: times - before.get(port, 0.0) for port, times in counted(platform, "cascade").items()}

    eventually(lambda: answered() == wanted, 30)
    with platform.control() as control:
        control.undeploy("cascade")
        control.undeploy("cascade-best")
