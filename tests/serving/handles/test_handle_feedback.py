"""What was right, told by the handle that asked: by its answers' rows, one and many, blocking and awaited."""

import concurrent.futures
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aimass.control.feedback.taking import Taking
from aimass.core.clock import SystemClock
from aimass.core.errors import AimassError, Conflict, Denied, Invalid, NotFound, Timeout
from aimass.core.home import Home
from aimass.core.settings import Settings
from aimass.database.engine import open_database
from aimass.database.migrate import migrate
from aimass.gateway.feedback.opening import OpenFeedback
from aimass.monitoring.feedback.quality import Quality, quality
from aimass.serving import handle
from aimass.testing.gateway import key
from tests.serving.handles.handle_kit import Other, Out, plan_of

SENT = [[float(n), 0.0, 0.0, 0.0] for n in range(7)]


@pytest.fixture
def rated(other: Other) -> Iterator[Other]:
    """Takes feedback, and three rows in a call."""
    gateway = other.gateway
    opened = OpenFeedback(gateway.app, Settings(home=Home(gateway.folder)), "replica", gateway.clock)
    other.serve(plan_of(), key(scopes=("predict", "feedback")), key("key-2", "aim_poor"), max_batch=3)
    yield other
    opened.close()


def _quality(folder: Path) -> dict[int, Quality]:
    database = open_database(f"sqlite:///{folder}/aimass.db")
    migrate(database)
    Taking(database, Settings(home=Home(folder)), SystemClock()).step()
    with database.reading() as session:
        return quality(session, "iris")


def test_each_row_of_a_batch_that_was_cut_is_told(rated: Other) -> None:
    iris = rated.handle()
    answer = pickle.loads(pickle.dumps(iris.predict(SENT)))
    assert len(answer.request_ids) == 3
    places = [answer.request_of(row) for row in range(7)]
    assert places == [(answer.request_ids[row // 3], row % 3) for row in range(7)]
    for row, place in enumerate(places[:-1]):
        iris.feedback(*place, label=answer["label"][row])  # of numpy, as answers are
    iris.feedback(answer.request_ids[2], label=(int(answer["label"][6]) + 1) % 3)  # a request of one row
    iris.feedback(*places[0], reward=0.5, idempotency_key="click")
    assert _quality(rated.gateway.folder) == {1: Quality("iris", 1, 7, 6, 1, 0.5, 0.25)}
    for row in (-1, 7):
        with pytest.raises(Invalid, match=f"the answer has no row {row}; it has 7"):
            answer.request_of(row)


async def test_many_at_once_and_awaited(rated: Other) -> None:
    iris = rated.handle()
    answer = await iris.predict_async(SENT)
    items: list[dict[str, Any]] = [
        {"request_id": request_id, "row": row, "label": 1} for request_id, row in map(answer.request_of, range(7))
    ]
    outcomes = await iris.feedback_items_async([*items, {**items[0], "row": 3}])
    assert [outcome.revision for outcome in outcomes] == [1] * 7 + [None]
    assert isinstance(outcomes[7].error, Invalid) and outcomes[7].item["row"] == 3
    assert len(await iris.feedback_items_async(items * 100)) == 700  # more than one request takes
    assert _quality(rated.gateway.folder)[1].labelled == 7
    with pytest.raises(Conflict, match="await feedback_items_async"):
        iris.feedback(*answer.request_of(0), label=1)


@pytest.mark.parametrize(
    ("secret", "row", "said", "error", "says"),
    [
        ("", 0, {"label": 1}, AimassError, "key"),
        ("aim_poor", 0, {"label": 1}, Denied, "feedback"),
        ("aim_good", 3, {"label": 1}, Invalid, "has no row 3"),
        ("aim_good", 0, {"label": "one"}, Invalid, "label must be a whole number"),
        ("aim_good", 0, {"reward": float("nan")}, Invalid, "cannot be sent"),
        ("aim_good", 0, {}, Invalid, "give a label or a reward"),
    ],
)
def test_what_is_refused_is_the_error_of_every_door(
    rated: Other, secret: str, row: int, said: dict[str, Any], error: type[AimassError], says: str
) -> None:
    (request_id,) = rated.handle().predict(SENT[:2]).request_ids
    with pytest.raises(error, match=says):
        rated.handle(key=secret).feedback(request_id, row, **said)


def test_an_answer_that_nobody_gave(rated: Other) -> None:
    with pytest.raises(NotFound, match="no answer with the request id"):
        rated.handle().feedback("0" * 27, 0, label=1)


async def test_a_gateway_that_does_not_answer_is_waited_for_until_the_deadline(
    rated: Other, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(body: bytes, key: str) -> Out:
        return Out(concurrent.futures.Future())

    monkeypatch.setattr(rated, "feedback", silent)
    monkeypatch.setattr(handle, "GRACE_S", 0.01)
    monkeypatch.setattr(handle, "_inside_a_loop", bool)  # the same test for both ways
    item = {"request_id": "0" * 27, "label": 1}
    for ask in (
        lambda: rated.handle().feedback("0" * 27, 0, label=1, deadline_ms=10),
        lambda: rated.handle().feedback_items([item], deadline_ms=10),
    ):
        with pytest.raises(Timeout, match="the deadline of this call to 'iris' passed"):
            ask()
    with pytest.raises(Timeout, match="the deadline of this call to 'iris' passed"):
        await rated.handle().feedback_items_async([item], deadline_ms=10)
