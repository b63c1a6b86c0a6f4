"""``aimass feedback`` as it is typed: an option that would be without effect is refused before anything is asked."""

import pytest
from typer.testing import CliRunner

from aimass.cli.main import app
from aimass.core.errors import Invalid


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--file", "labels.jsonl"], "a --file says itself what its items are for; leave 'digits' out"),
        (["--rollout"], "--rollout goes with a service and --propose-weights, not with a look at a service"),
        (["-o", "better.yaml"], "--output goes with a service and --propose-weights, not with a look at a service"),
        (["--row", "1"], "--row goes with a request id and --label or --reward, not with a look at a service"),
        (["--export", "rows.csv", "--html", "q.html"], "--html goes with a look at a service, not with a service and"),
        (["--propose-weights", "--hours", "1"], "--hours goes with a service and --export or a look at a service, not"),
        (["--label", "7", "--rollout"], "--rollout goes with a service and --propose-weights, not with a request id"),
        (
            ["--file", "labels.jsonl", "--label", "7"],
            "--label goes with a request id and --label or --reward, not with",
        ),
    ],
)
def test_an_option_without_effect_is_refused(words: list[str], says: str) -> None:
    with pytest.raises(Invalid) as caught:
        CliRunner().invoke(app, ["feedback", "digits", *words], catch_exceptions=False)
    assert str(caught.value).startswith(says)
    assert "\n" not in str(caught.value)
