"""The shipped deployments: their recipe trains what their service serves."""

from pathlib import Path

import pytest

from aimass.core.documents import Document
from aimass.graph.spec import load_service
from aimass.pipeline.ensemble import signature_of
from aimass.pipeline.propose import propose
from aimass.pipeline.recipe import load_recipe
from aimass.pipeline.run import load_data

FOLDERS = sorted(path.parent for path in (Path(__file__).parents[2] / "deployments").glob("*/recipe.yaml"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.name))
def test_service_is_what_the_recipe_proposes(folder: Path) -> None:
    recipe = load_recipe(Document.read(folder / "recipe.yaml"))
    service = Document.read(folder / "service.yaml")
    load_service(service)
    name = recipe.recipe
    proposed = propose(recipe, signature_of(recipe, load_data(recipe.data)), f"{name}-ensemble@champion")
    written = service.data["graph"]
    for tensor in written["inputs"].values():
        tensor.pop("picture", None)
    assert {"service": service.data["service"], "graph": written} == proposed


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.name))
def test_readme_names_both_files(folder: Path) -> None:
    text = (folder / "README.md").read_text()
    assert "recipe.yaml" in text
    assert "service.yaml" in text
