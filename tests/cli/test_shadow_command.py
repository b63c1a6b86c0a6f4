"""``aimass shadow``: casts, shows as a table, as a page and as JSON, ends; what is half said is refused."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aimass.control import deploy
from aimass.control.shadows import verbs
from aimass.control.shadows.choosing import Wish
from aimass.core.errors import Invalid
from aimass.gateway.metrics import Metrics
from aimass.gateway.shadows.counts import Lone, Outcome
from aimass.serving.shadows.comparing import Compared
from aimass.testing.desk import Desk, open_desk, service_document
from tests.cli.desk_kit import Verbs, typing_into


class Control(Verbs):
    """The client's verbs, without HTTP, on a desk."""

    def shadow(self, name: str, share: float, revision: int | None, node: str, model: str) -> Any:
        return asdict(verbs.cast(self.desk.context, name, Wish(revision, node, model), share))

    def end_shadow(self, name: str, revision: int | None, node: str, model: str) -> Any:
        asked = Wish(revision, node, model) if revision or node else None
        return [asdict(done) for done in verbs.end(self.desk.context, name, asked)]

    def shadows(self, name: str) -> Any:
        return verbs.show(self.desk.context, name)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path) as made:
        made.register("double", 3.0)
        for ref in ("double@1", "double@2"):
            deploy.deploy(made.context, service_document(ref))
        deploy.rollback(made.context, "twice")
        yield made


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, desk: Desk) -> Callable[..., str]:
    return typing_into(Control, monkeypatch, desk, "shadow", columns=220)


def _look_on(desk: Desk) -> None:
    """As if a replica had compared 100 rows, 97 of which agree."""

    metrics, agreed = Metrics(), np.arange(100) >= 3
    lone = {"primary": Lone(2, 0.0004, 0.0002), "shadow": Lone(2, 0.0009, 0.0006)}
    compared = Compared(100, agreed, np.where(agreed, 0.001, 0.25))
    metrics.shadow("twice", 1, "2").add(Outcome(50, (compared,), lone))
    metrics.shadow("twice", 1, "2").drop("busy", 4)
    desk.pusher.counts = metrics.snapshot()


def test_it_is_cast_shown_and_ended(run: Callable[..., str], desk: Desk, tmp_path: Path) -> None:
    assert run("twice").startswith("twice has no shadows; begin one with: aimass shadow twice REVISION --share 10")
    assert run("twice", "2", "--share", "10") == "shadow 2 runs 10 % of the calls of twice\n"
    assert "m=double@2 runs 5 %" in run("twice", "--node", "m", "--model", "double@2", "--share", "5")
    _look_on(desk)
    page = tmp_path / "shadows.html"
    shown = run("twice", "--html", str(page))
    assert "97.00 %" in shown and "91.55-98.97" in shown and "busy: 4" in shown and "0.1 / 0.3" in shown
    assert "times and cost: primary / shadow" in shown
    text = page.read_text()
    assert text.count("<figure") == 3 and "97.00 %" in text and "revision 2 beside 1" in text
    first = json.loads(run("twice", "--json"))["shadows"][0]
    assert (first["agreement"], first["calls"], first["share"]) == (0.97, 50, 10)
    assert run("twice", "2", "--off") == "shadow 2 of twice ended\n"
    assert "ended" in run("twice"), "what was seen of it is still told"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["2"], "how many per cent"),
        (["2", "--off", "--share", "3"], "give one of them"),
        (["--off", "--html", "page.html"], "leave --off and --share out"),
        (["2", "--share", "3", "--html", "page.html"], "leave --off and --share out"),
        (["--share", "3"], "name the revision"),
        (["2", "--share", "0"], "above 0"),
        (["--html", "/no/such/folder/page.html"], "cannot write"),
    ],
)
def test_what_is_half_said_is_refused(run: Callable[..., str], words: list[str], says: str) -> None:
    with pytest.raises(Invalid, match=says):
        run("twice", *words)


def test_a_page_of_nothing_says_so(run: Callable[..., str], tmp_path: Path) -> None:
    run("twice", "2", "--share", "10")
    run("twice", "--html", str(tmp_path / "page.html"))
    assert "Nothing was compared yet." in (tmp_path / "page.html").read_text()
