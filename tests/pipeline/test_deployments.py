"""The shipped deployments: their recipe trains what their service serves."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from aimass.core.documents import Document
from aimass.data.sources import SOURCES
from aimass.ensembling.combiners import COMBINERS
from aimass.features.transforms import TRANSFORMS
from aimass.graph.spec import ServiceSpec, load_service
from aimass.pipeline.ensembles.ensemble import signature_of
from aimass.pipeline.propose import propose
from aimass.pipeline.recipe import Recipe, load_recipe
from aimass.pipeline.run import load_data
from aimass.training.evaluation import METRICS
from aimass.training.trainers import TRAINERS

FOLDERS = sorted(path.parent for path in (Path(__file__).parents[2] / "deployments").glob("*/recipe.yaml"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.name))
def test_service_is_what_the_recipe_proposes(folder: Path) -> None:
    if folder.name == "images":
        pytest.importorskip("torch", reason="needs the extra torch")
    recipe = load_recipe(Document.read(folder / "recipe.yaml"))
    service = Document.read(folder / "service.yaml")
    load_service(service)
    name = recipe.recipe
    proposed = propose(recipe, signature_of(recipe, load_data(recipe.data)), f"{name}-ensemble@champion")
    written = service.data["graph"]
    for tensor in written["inputs"].values():
        tensor.pop("picture", None)
    for node in written["nodes"].values():
        node.pop("members", None)  # how they are treated is the service's to say
    assert {"service": service.data["service"], "graph": written} == proposed


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.name))
def test_readme_names_both_files(folder: Path) -> None:
    text = (folder / "README.md").read_text()
    assert "recipe.yaml" in text
    assert "service.yaml" in text


def keys(model: type[BaseModel], above: tuple[type[BaseModel], ...] = ()) -> Iterator[str]:
    """Every key of a document, at any depth, as it is written."""
    if model in above:
        return
    for name, field in model.model_fields.items():
        yield field.alias or name
        yield from (key for inner in models(field.annotation) for key in keys(inner, (*above, model)))


def models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from models(part)


def test_every_key_and_every_choice_is_explained() -> None:
    text = (FOLDERS[0].parent / "README.md").read_text()
    for name in (*keys(Recipe), *keys(ServiceSpec), *SOURCES, *TRANSFORMS, *TRAINERS, *COMBINERS, *METRICS):
        assert f"`{name}`" in text or f"`{name}:" in text, name
