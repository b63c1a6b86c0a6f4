"""The selected ensemble: its graph document, and the same thing run here to see what it is worth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from aimass.core.batch import Array, Batch
from aimass.core.signature import Datatype, Signature, TensorSpec
from aimass.data.dataset import Dataset
from aimass.ensembling.combiners.base import Combiner
from aimass.ensembling.combiners.weighted import WeightedCombiner
from aimass.pipeline.build import INPUT, LABEL, PROBABILITIES, Built, outputs_of
from aimass.pipeline.recipe import COMBINE_NODE, Recipe
from aimass.registry.manifest import Profile
from aimass.registry.profiler import profile_callable


@dataclass(frozen=True)
class Member:
    """A built model and its share."""

    built: Built
    weight: float


def predict(built: Built, transforms: Mapping[str, Built], rows: Array) -> Array:
    """FP32 [rows, classes] of raw rows, as it will be served: the ONNX form behind the ONNX form of its transform."""
    if built.transform:
        rows = transforms[built.transform].runtime.predict({INPUT: rows})["y"]
    answer: Array = built.runtime.predict({INPUT: rows})[PROBABILITIES]
    return answer


def combine(combiner: Combiner, models: Sequence[Built], transforms: Mapping[str, Built], rows: Array) -> Array:
    """What ``combiner`` makes of the models' probabilities for raw rows; shared transforms run once."""
    inputs = {"": rows}
    for name in dict.fromkeys(built.transform for built in models if built.transform):
        inputs[name] = transforms[name].runtime.predict({INPUT: rows})["y"]
    return combiner.combine(
        [model.runtime.predict({INPUT: inputs[model.transform]})[PROBABILITIES] for model in models]
    )


def signature_of(recipe: Recipe, dataset: Dataset) -> Signature:
    """Raw features by the recipe's input name; the classifier's two outputs."""
    features = TensorSpec(recipe.input, Datatype.FP32, (-1, dataset.rows.shape[1]))
    label, probabilities = outputs_of(len(dataset.classes))
    if isinstance(dataset.classes[0], str):
        label = replace(label, datatype=Datatype.BYTES)
    return Signature((features,), (label, probabilities))


def named_classes(dataset: Dataset) -> tuple[int | str, ...] | None:
    """Labels that the combine node maps to; none when they are 0 … k-1 already."""
    return None if dataset.classes == tuple(range(len(dataset.classes))) else dataset.classes


def graph_document(
    recipe: Recipe, dataset: Dataset, members: Sequence[Member], refs: Mapping[str, str]
) -> dict[str, Any]:
    """The sub-graph as a service writes it; ``refs``: model name → pinned version."""
    nodes: dict[str, Any] = {}
    for member in members:
        built = member.built
        source = f"$in.{recipe.input}"
        if built.transform:
            ref = refs[f"{recipe.recipe}-{built.transform}"]
            nodes[built.transform] = {"transform": ref, "inputs": {INPUT: source}}
            source = f"{built.transform}.y"
        nodes[node_name(recipe, built)] = {"model": refs[built.name], "inputs": {INPUT: source}}
    vote: dict[str, Any] = {
        "combine": "weighted",
        "weights": [member.weight for member in members],
        "inputs": [f"{node_name(recipe, member.built)}.{PROBABILITIES}" for member in members],
    }
    classes = named_classes(dataset)
    if classes is not None:
        vote["classes"] = list(classes)
    nodes[COMBINE_NODE] = vote
    outputs = {name: f"{COMBINE_NODE}.{name}" for name in (LABEL, PROBABILITIES)}
    return {"nodes": nodes, "outputs": outputs}


def node_name(recipe: Recipe, built: Built) -> str:
    return built.name.removeprefix(f"{recipe.recipe}-")


def measure(recipe: Recipe, dataset: Dataset, members: Sequence[Member], transforms: Mapping[str, Built]) -> Profile:
    """The ensemble's profile, its members run one after the other in this process."""
    combiner = WeightedCombiner(tuple(member.weight for member in members))
    models = [member.built for member in members]
    steps = {model.transform for model in models if model.transform}
    memory = sum(model.profile.memory_bytes for model in models)
    memory += sum(transforms[name].profile.memory_bytes for name in steps)
    labels = np.array(dataset.classes)

    def run(batch: Batch) -> Batch:
        probabilities = combine(combiner, models, transforms, batch[recipe.input])
        return {LABEL: labels[probabilities.argmax(axis=1)], PROBABILITIES: probabilities}

    return profile_callable(run, signature_of(recipe, dataset), memory)
