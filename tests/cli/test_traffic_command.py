"""``aimass traffic`` as it is typed: what it says, what it asks for, and every mistake in one line."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from aimass.control import services, status
from aimass.control.deploy import deploy
from aimass.control.reconciling.comparing import compare
from aimass.control.rollouts.starting import Wish, start
from aimass.control.traffic import splitting
from aimass.core.errors import Conflict, Invalid, NotFound
from aimass.testing.desk import Desk, open_desk, service_document
from tests.cli.desk_kit import Verbs, typing_into


class Control(Verbs):
    """The client's verbs, without HTTP, on a desk; values travel as JSON."""

    def traffic(self, name: str) -> Any:
        return json.loads(json.dumps(splitting.show(self.desk.context, name)))

    def services(self, usage: bool) -> Any:
        return services.list_services(self.desk.context, usage)

    def status(self) -> Any:
        return status.status(self.desk.context)

    def split(self, name: str, weights: dict[str, Any], **rest: Any) -> Any:
        wish = splitting.Wish(**json.loads(json.dumps({"weights": weights, **rest}, allow_nan=False)))
        return json.loads(json.dumps(asdict(splitting.split(self.desk.context, name, wish))))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path) as made:
        for factor in (3.0, 5.0):
            deploy(made.context, service_document(made.register("times", factor)))
        yield made


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, desk: Desk) -> Callable[..., str]:
    return typing_into(Control, monkeypatch, desk)


def test_a_split_is_said_and_then_shown(run: Callable[..., str]) -> None:
    said = run("traffic", "twice", "1=95", "2=5", "--why", "a first look")
    assert "traffic of twice (weighted): revision 1: 95 %, revision 2: 5 %" in said
    assert "Acknowledged by 2 replicas." in said
    shown = run("traffic", "twice")
    assert "twice: 1: 95 %, 2: 5 %" in shown
    assert "a first look" in shown
    found = json.loads(run("traffic", "twice", "--json"))
    assert (found["weights"], found["policy"], len(found["moves"])) == ({"1": 95.0, "2": 5.0}, "weighted", 3)


def test_who_is_held_ready_beside_the_traffic_and_who_no_longer_is_said(run: Callable[..., str], desk: Desk) -> None:
    for factor in (7.0, 9.0):
        deploy(desk.context, service_document(desk.register("times", factor)), traffic=False)
    assert "revision 1: 100 %; held ready: revision 2, 4; no longer held ready: revision 3" in run(
        "traffic", "twice", "1=100", "2=0", "4=0"
    )
    said = run("traffic", "twice", "1=95", "2=5")
    assert "revision 2: 5 %; no longer held ready: revision 4\n" in said


def test_a_service_that_is_only_held_ready_is_listed(run: Callable[..., str], desk: Desk) -> None:
    document = service_document("times@1").replace("twice", "later", 1)
    done = deploy(desk.context, document, traffic=False)
    assert done.message.endswith("give it some with: aimass traffic later 1=100")
    assert "revision 1: held ready, takes no calls" in run("services")
    assert "1: held ready, takes no calls" in run("status")
    (row,) = [item for item in compare(desk.context)["revisions"] if item["service"] == "later"]
    assert (row["is"], row["loaded"]) == ("held ready", 2)
    with pytest.raises(Conflict, match="takes no calls yet; give it all: aimass traffic later 1=100"):
        start(desk.context, "later", 1, Wish())
    assert "later (weighted): revision 1: 100 %" in run("traffic", "later", "1=100")


def test_a_policy_gets_its_options_as_numbers_lists_and_words(run: Callable[..., str]) -> None:
    words = ("2=100", "--policy", "steps", "--option", "steps=5,50,100", "--option", "every_s=0.5", "--sticky", "key")
    done = json.loads(run("traffic", "twice", "1=100", "2=0", "--json"))
    assert done["weights"] == {"1": 100.0}
    done = json.loads(run("traffic", "twice", *words, "--json"))
    assert done["options"] == {"steps": [5, 50, 100], "every_s": 0.5, "by": "key"}
    assert done["weights"] == {"1": 95.0, "2": 5.0}
    shown = run("traffic", "twice")
    assert "policy: steps (steps=5, 50, 100, every_s=0.5, by=key)" in shown
    assert "asked for: 2: 100 %" in shown
    assert "aimass rollback leads to: revision 1" in shown


def test_replicas_that_are_silent_are_named(run: Callable[..., str], desk: Desk) -> None:
    desk.pusher.silent = {"replica-1"}
    assert "Not acknowledged by replica-1" in run("traffic", "twice", "1=95", "2=5")


@pytest.mark.parametrize(
    ("words", "kind", "said"),
    [
        (["1=95", "2=4"], Invalid, "weights add up to 99, not to 100: 1=95, 2=4"),
        (["1=105", "2=-5"], Invalid, "weights must be per cents from 0 to 100"),
        (["1=lots"], Invalid, "the weight of revision 1 must be a number, not 'lots'"),
        (["1=NaN", "2=1"], Invalid, "the weight of revision 1 must be a number, not 'NaN'"),
        (["1=1e999"], Invalid, "must be a number"),
        (["1=50,50"], Invalid, "must be a number"),
        (["1"], Invalid, "write REVISION=PER_CENT, as in 7=95 8=5, not '1'"),
        (["1=50", "1=50"], Invalid, "a revision is named twice"),
        (["9=100"], NotFound, "service twice has no revision 9; there is: 1, 2"),
        (["1=50", "2=50", "--policy", "coin"], Invalid, "unknown 'coin'; known: steps, sticky, thompson, weighted"),
        (["1=50", "2=50", "--option", "x"], Invalid, "write NAME=VALUE"),
        (["1=50", "2=50", "--sticky", "cookie"], Invalid, "header:NAME, field:NAME or key"),
        (["--sticky", "key"], Invalid, "say the weights too"),
    ],
)
def test_a_mistake_is_one_line_and_moves_nothing(
    run: Callable[..., str], desk: Desk, words: list[str], kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind) as caught:
        run("traffic", "twice", *words)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert desk.answer("twice") == (2, 5.0)


def test_a_service_that_is_not_deployed_is_said(run: Callable[..., str], desk: Desk) -> None:
    from aimass.control.deploy import undeploy

    undeploy(desk.context, "twice")
    with pytest.raises(Conflict, match="twice is not deployed; deploy it"):
        run("traffic", "twice", "1=100")
    assert "twice: takes no calls" in run("traffic", "twice")
