"""The split that a deploy without traffic names: as it stands, it gives the newcomer some and changes nothing else."""

import shlex
from typing import Any

import pytest

from aimass.cli.traffic.split import _pair
from aimass.control import deploy as verbs
from aimass.control.revisions.standing import standings
from aimass.control.rollouts.starting import Wish as RolloutWish
from aimass.control.rollouts.starting import start
from aimass.control.traffic.naming import name_split
from aimass.control.traffic.splitting import Wish, split
from aimass.core.errors import Conflict
from aimass.testing.desk import Desk, service_document

HINT = "; give it some with: "


@pytest.fixture
def three(desk: Desk) -> Desk:
    """Revisions 1 to 3 of the service, the newest live."""
    for factor in (3.0, 5.0, 7.0):
        verbs.deploy(desk.context, service_document(desk.register("times", factor)))
    return desk


def hold_ready(desk: Desk, factor: float) -> str:
    """A further revision without traffic; the command that is named."""
    done = verbs.deploy(desk.context, service_document(desk.register("times", factor)), traffic=False)
    return done.message.partition(HINT)[2]


def typed(desk: Desk, command: str) -> dict[str, Any]:
    """What the command line makes of that, done."""
    aimass, traffic, service, *words = shlex.split(command)
    assert (aimass, traffic) == ("aimass", "traffic")
    wish: dict[str, Any] = {"weights": {}, "options": {}}
    while words:
        word = words.pop(0)
        if word == "--option":
            wish["options"].update([_pair(words.pop(0), "")])
        elif word.startswith("--"):
            wish[word[2:]] = words.pop(0)
        else:
            wish["weights"].update([_pair(word, "")])
    split(desk.context, service, Wish(**wish))
    with desk.context.database.reading() as session:
        now = standings(session, service)[service]
    return {"weights": now.weights, "ready": now.readied, "policy": now.policy, "options": now.options}


def test_beside_one_revision(three: Desk) -> None:
    assert hold_ready(three, 9.0) == "aimass traffic twice 3=95 4=5"


def test_a_split_over_several_is_kept_and_the_largest_gives(three: Desk) -> None:
    split(three.context, "twice", Wish({"1": 20, "2": 20.5, "3": 59.5}))
    command = hold_ready(three, 9.0)
    assert command == "aimass traffic twice 1=20 2=20.5 3=54.5 4=5"
    assert typed(three, command)["weights"] == {1: 20.0, 2: 20.5, 3: 54.5, 4: 5.0}


def test_who_else_is_held_ready_stays_so(three: Desk) -> None:
    hold_ready(three, 9.0)
    command = hold_ready(three, 11.0)
    assert command == "aimass traffic twice 3=95 4=0 5=5"
    assert typed(three, command)["ready"] == {4}


@pytest.mark.parametrize(
    "wish",
    [
        {"sticky": "header:x-user"},
        {"sticky": "field:it's"},
        {"policy": "steps", "options": {"steps": [1.0, 50.0, 100.0], "every_s": 1e6}, "sticky": "key"},
        {"policy": "thompson", "options": {"posterior": "normal", "floor": 2.0}},
    ],
)
def test_policy_and_who_sticks_by_what_are_kept(three: Desk, wish: dict[str, Any]) -> None:
    split(three.context, "twice", Wish({"2": 40, "3": 60}, **wish))
    with three.context.database.reading() as session:
        before = standings(session, "twice")["twice"]
    after = typed(three, hold_ready(three, 9.0))
    assert (after["policy"], after["options"]) == (before.policy, before.options)


def test_shares_that_are_no_round_numbers_still_make_a_hundred(three: Desk) -> None:
    split(three.context, "twice", Wish({"1": 100 / 3, "2": 100 / 3, "3": 100 - 200 / 3}))
    after = typed(three, hold_ready(three, 9.0))
    assert after["weights"].keys() == {1, 2, 3, 4}
    assert sum(after["weights"].values()) == pytest.approx(100)


def test_a_first_revision_is_given_all_and_one_with_a_share_nothing_more(three: Desk) -> None:
    document = service_document("times@1").replace("twice", "later", 1)
    assert verbs.deploy(three.context, document, traffic=False).message.endswith("aimass traffic later 1=100")
    split(three.context, "twice", Wish({"2": 40, "3": 60}))
    said = verbs.deploy(three.context, service_document("times@2"), traffic=False).message
    assert said.endswith("revision 2 of twice is loaded and takes 40 % of its traffic")
    with three.context.database.reading() as session:
        assert name_split("twice", standings(session, "twice")["twice"], 9) == "aimass traffic twice 2=40 3=55 9=5"


def test_what_a_rollout_asks_for_first_keeps_who_sticks_and_who_is_held_ready(three: Desk) -> None:
    split(three.context, "twice", Wish({"1": 0, "2": 40, "3": 60}, sticky="header:x-user"))
    with pytest.raises(Conflict, match="a rollout begins with one revision; first: ") as caught:
        start(three.context, "twice", 2, RolloutWish())
    command = str(caught.value).partition("first: ")[2]
    assert command == "aimass traffic twice 3=100 1=0 --sticky header:x-user"
    after = typed(three, command)
    assert (after["weights"], after["ready"]) == ({3: 100.0}, {1})
    assert (after["policy"], after["options"]) == ("sticky", {"by": "header:x-user"})
    assert start(three.context, "twice", 2, RolloutWish()).weights == {"3": 99.0, "2": 1.0}
