"""On a real platform: answers, what was right about them told by every way, and what the command line makes of it."""

import json
import sqlite3
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import httpx
import numpy as np
import pytest

from aimass.client import Client
from aimass.core.errors import Invalid, NotFound
from aimass.core.home import Home
from aimass.core.statistics.intervals import wilson
from aimass.testing.faults.database_away import database_away
from aimass.testing.running import RunningPlatform
from tests.control.feedback.coin import DOCUMENT, FACTORS, SENT, TRUTH, model, scores
from tests.e2e.e2e_kit import aimass, deploy_scaling, eventually, told

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]
ROWS = 3  # in a call
METERED = "select request_id from usage_events where key_id = ?"


def test_labels_come_back(platform: RunningPlatform, tmp_path: Path) -> None:
    with platform.control() as control:
        for name, factor in FACTORS.items():
            (tmp_path / f"{name}.onnx").write_bytes(model(factor))
            control.add_model(name, tmp_path / f"{name}.onnx")
        control.deploy(DOCUMENT)
        raters = control.create_key("raters", ["feedback"])["secret"]
    ids, said = [], []
    with Client(platform.url, platform.key) as client:
        for at in range(0, len(SENT), ROWS):
            answer = client.predict("coin", SENT[at : at + ROWS])
            ids += [answer.request_id] * ROWS
            said += [label.decode() for label in answer["label"]]
    items = [{"request_id": request_id, "row": at % ROWS, "label": str(TRUTH[at])} for at, request_id in enumerate(ids)]
    bearer = {"authorization": f"Bearer {raters}"}
    for at in range(0, 60, 20):
        sent = httpx.post(f"{platform.url}/v2/feedback", json={"items": items[at : at + 20]}, headers=bearer)
        assert (sent.status_code, sent.json()["accepted"]) == (202, 20)
    (tmp_path / "labels.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items[60:-1]))
    told(platform, "feedback", "--file", str(tmp_path / "labels.jsonl"))
    told(platform, "feedback", ids[-1], "--row", str(ROWS - 1), "--label", str(TRUTH[-1]))
    with Client(platform.url, raters) as client:
        client.feedback(ids[0], 0, reward=0.5)
        with pytest.raises(NotFound, match="no answer with the request id"):
            client.feedback("0" * 27, label="heads")
        with pytest.raises(Invalid, match="has no row 3"):
            client.feedback(ids[0], 3, label="heads")
        with pytest.raises(Invalid, match="none of the service's classes"):
            client.feedback(ids[0], 0, label="edge")
    _see(platform, tmp_path, said)
    _learn(platform, tmp_path)
    for words, says in (
        (("feedback",), "name a service to look at"),
        (("feedback", "nobody"), "no service is named 'nobody'"),
        (("feedback", "0" * 27, "--label", "heads"), "no answer with the request id"),
        (("feedback", ids[0], "--label", "heads", "--reward", "1"), "not both"),
    ):
        refused = aimass(platform, *words)
        assert refused.returncode == 1 and says in refused.stderr and len(refused.stderr.splitlines()) == 1, words


def _see(platform: RunningPlatform, tmp_path: Path, said: list[str]) -> None:
    right = int((np.array(said) == TRUTH).sum())
    eventually(lambda: told(platform, "feedback", "coin")["waiting_bytes"] == 0)  # of all replicas
    page = tmp_path / "quality.html"
    (revision,) = told(platform, "feedback", "coin", "--html", str(page))["revisions"]
    assert (revision["right"], revision["rewards"], revision["reward_total"]) == (right, 1, 0.5)
    assert (revision["low"], revision["high"]) == pytest.approx(wilson(right, len(SENT)))
    assert "<svg" in page.read_text()
    shown = aimass(platform, "feedback", "coin")
    assert f"{right / len(SENT):.2%}" in shown.stdout, shown.stdout


def _learn(platform: RunningPlatform, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    eventually(lambda: told(platform, "feedback", "coin", "--export", str(rows))["without_inputs"] == 0)
    lines = rows.read_text().split()
    assert lines[0] == "x_0,x_1,label"
    assert sorted(lines[1:]) == sorted(
        f"{float(a)},{float(b)},{label}" for (a, b), label in zip(SENT, TRUTH, strict=True)
    )
    better = tmp_path / "better.yaml"
    found = told(platform, "feedback", "coin", "--propose-weights", "-o", str(better))
    assert found["weights"]["proposed"][0] > 0.8
    told(platform, "deploy", str(better))
    with Client(platform.url, platform.key) as client:
        answer = client.predict("coin", SENT)
    assert answer.revision == 2
    mixed = sum(
        share * scores(SENT, factor) for share, factor in zip(found["weights"]["proposed"], (2, -1), strict=True)
    )
    np.testing.assert_allclose(answer["probabilities"], mixed / sum(found["weights"]["proposed"]), atol=1e-5)
    _roll_out(platform, answer.request_id)


def _roll_out(platform: RunningPlatform, request_id: str) -> None:
    """What was learnt goes out under guards, and nothing is left of a second try beside it."""
    items = [{"request_id": request_id, "row": row, "label": str(label)} for row, label in enumerate(TRUTH)]
    with Client(platform.url, platform.key) as client:
        assert [outcome.error for outcome in client.feedback_items(items)] == [None] * len(TRUTH)
    eventually(lambda: told(platform, "feedback", "coin")["waiting_bytes"] == 0)
    learn = ("feedback", "coin", "--propose-weights", "--rollout")
    begun = told(platform, *learn)
    assert (begun["revision"], begun["proposed_revision"], begun["rollout"]["state"]) == (2, 3, "running")
    second = aimass(platform, *learn)
    assert second.returncode == 1 and "coin revision 3 is being rolled out; end that first" in second.stderr
    told(platform, "promote", "coin")
    shares = begun["weights"]["proposed"]
    with Client(platform.url, platform.key) as client:
        answer = client.predict("coin", SENT)
        with pytest.raises(NotFound):
            client.metadata("coin", 4)
    assert answer.revision == 3
    mixed = sum(share * scores(SENT, factor) for share, factor in zip(shares, (2, -1), strict=True))
    np.testing.assert_allclose(answer["probabilities"], mixed / sum(shares), atol=1e-5)


@pytest.mark.slow
def test_a_minute_without_the_database_loses_and_doubles_nothing(platform: RunningPlatform, tmp_path: Path) -> None:
    deploy_scaling(platform, tmp_path, "away", 3.0)
    with platform.control() as control:
        key = control.create_key("away", ["predict", "feedback"])
    ids: list[str] = []
    with Client(platform.url, key["secret"]) as client:

        def tell() -> None:
            asked = [client.predict("away", [[1.0, 2.0]]).request_id for _ in range(20)]
            items = [{"request_id": request_id, "row": 0, "reward": 1.0} for request_id in asked]
            for sent in (items, items[:3]):  # some of them again
                assert [outcome.error for outcome in client.feedback_items(sent)] == [None] * len(sent)
            ids.extend(asked)

        tell()
        with database_away(Home(platform.home)):
            until = time.monotonic() + 60
            while time.monotonic() < until:
                tell()
        tell()
    once = dict.fromkeys(ids, 1)
    eventually(lambda: told(platform, "feedback", "away")["waiting_bytes"] == 0, 120)
    (revision,) = told(platform, "feedback", "away")["revisions"]
    assert revision["rewards"] == revision["reward_total"] == len(ids) == len(once)
    assert _counted(platform, "select request_id from feedback where service = ?", "away") == once
    eventually(lambda: len(_counted(platform, METERED, key["id"])) >= len(ids), 120)
    assert _counted(platform, METERED, key["id"]) == once


def _counted(platform: RunningPlatform, query: str, value: str) -> Counter[str]:
    address = f"file:{Home(platform.home).database}?mode=ro"
    with closing(sqlite3.connect(address, uri=True, timeout=30)) as database:
        return Counter(row[0] for row in database.execute(query, (value,)))
