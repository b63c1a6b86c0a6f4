"""The digits example on the shared platform: trained with a small budget, deployed, ready to be called."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from aimass.testing.running import RunningPlatform
from tests.e2e.e2e_kit import eventually

EXAMPLE = Path(__file__).parents[2] / "deployments" / "digits"


@dataclass(frozen=True)
class Digits:
    """What became of the example."""

    run: dict[str, Any]
    deployed: dict[str, Any]
    document: str
    picture: Path


@pytest.fixture(scope="session")
def digits(platform: RunningPlatform) -> Digits:
    """The example's own recipe, with one trial per kind of model, and its service document."""
    recipe = yaml.safe_load((EXAMPLE / "recipe.yaml").read_text())
    recipe["budget"] = {"trials": len(recipe["candidates"])}
    document = (EXAMPLE / "service.yaml").read_text()
    with platform.control() as control:
        run_id = control.train(yaml.safe_dump(recipe))["id"]
        eventually(lambda: control.run(run_id)["status"] not in ("queued", "running"), 240)
        run = control.run(run_id)
        assert run["status"] == "succeeded", "\n".join(control.run_logs(run_id))
        return Digits(run, control.deploy(document), document, EXAMPLE / "seven.png")
