"""What every kind of ensemble has in common: its graph document, and the same run here to see what it is worth."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np

from aimass.core.batch import Array, Batch
from aimass.core.signature import Datatype, Signature, TensorSpec
from aimass.data.dataset import Dataset
from aimass.ensembling.cascades.cascade import Ask
from aimass.graph.graph import LABEL, MEMBER, PROBABILITIES
from aimass.pipeline.build import INPUT, Built, Workshop, outputs_of
from aimass.pipeline.recipe import CASCADE, Recipe
from aimass.registry.manifest import Profile
from aimass.registry.profiler import profile_callable


class Ensemble(ABC):
    """Built models in the order of the node that brings them together."""

    title: str  # in the report
    detail: str
    description: str  # in the registry, with its models

    def __init__(self, models: Sequence[Built]) -> None:
        self.models = models

    @abstractmethod
    def node(self, sources: Sequence[str]) -> tuple[str, dict[str, Any]]:
        """What its node is called, and how a service writes it; ``sources``: the models' probabilities."""

    @abstractmethod
    def answer(self, ask: Ask) -> Batch:
        """PROBABILITIES, FP32 [rows, classes], and MEMBER, INT64 [rows], if it is a cascade."""

    @abstractmethod
    def report(self, labels: Array, test: Mapping[str, Array], seed: int) -> dict[str, Any]:
        """Its part of the report. ``labels`` and ``test``, model name → FP32 [rows, classes], are of the test split."""


def predict(built: Built, transforms: Mapping[str, Built], rows: Array) -> Array:
    """FP32 [rows, classes] of raw rows, as it will be served: the ONNX form behind the ONNX form of its transform."""
    return asking([built], transforms, rows)(0, None)


def asking(models: Sequence[Built], transforms: Mapping[str, Built], raw: Array) -> Ask:
    """The models' own probabilities for raw rows; a transform runs once, when a model behind it is asked."""
    given = {"": raw}

    def ask(index: int, rows: Array | None) -> Array:
        step = models[index].transform
        if step not in given:
            given[step] = transforms[step].runtime.predict({INPUT: raw})["y"]
        wanted = given[step] if rows is None else given[step][rows]
        answer: Array = models[index].runtime.predict({INPUT: wanted})[PROBABILITIES]
        return answer

    return ask


def signature_of(recipe: Recipe, dataset: Dataset) -> Signature:
    """Raw features by the recipe's input name; the classifier's two outputs, and of a cascade who answered."""
    features = TensorSpec(recipe.input, Datatype.FP32, (-1, dataset.rows.shape[1]))
    label, probabilities = outputs_of(len(dataset.classes))
    if isinstance(dataset.classes[0], str):
        label = replace(label, datatype=Datatype.BYTES)
    member = (TensorSpec(MEMBER, Datatype.INT64, (-1,)),) if recipe.ensemble.kind == CASCADE else ()
    return Signature((features,), (label, probabilities, *member))


def named_classes(dataset: Dataset) -> tuple[int | str, ...] | None:
    """Labels that the ensemble's node maps to; none when they are 0 … k-1 already."""
    return None if dataset.classes == tuple(range(len(dataset.classes))) else dataset.classes


def graph_document(recipe: Recipe, dataset: Dataset, ensemble: Ensemble, refs: Mapping[str, str]) -> dict[str, Any]:
    """The sub-graph as a service writes it; ``refs``: model name → pinned version."""
    nodes: dict[str, Any] = {}
    for built in ensemble.models:
        source = f"$in.{recipe.input}"
        if built.transform:
            ref = refs[f"{recipe.recipe}-{built.transform}"]
            nodes[built.transform] = {"transform": ref, "inputs": {INPUT: source}}
            source = f"{built.transform}.y"
        nodes[node_name(recipe, built)] = {"model": refs[built.name], "inputs": {INPUT: source}}
    name, node = ensemble.node([f"{node_name(recipe, built)}.{PROBABILITIES}" for built in ensemble.models])
    classes = named_classes(dataset)
    if classes is not None:
        node["classes"] = list(classes)
    nodes[name] = node
    outputs = [item.name for item in signature_of(recipe, dataset).outputs]
    return {"nodes": nodes, "outputs": {output: f"{name}.{output}" for output in outputs}}


def node_name(recipe: Recipe, built: Built) -> str:
    return built.name.removeprefix(f"{recipe.recipe}-")


def measure(shop: Workshop, ensemble: Ensemble, transforms: Mapping[str, Built]) -> Profile:
    """The ensemble's profile, its members run one after the other in this process.

    Rows are those of the training split, other ones in every call: how far a row goes is what a cascade costs.
    """
    recipe, models, train = shop.recipe, ensemble.models, shop.train.rows
    steps = {model.transform for model in models if model.transform}
    memory = sum(model.profile.memory_bytes for model in models)
    memory += sum(transforms[name].profile.memory_bytes for name in steps)
    labels, calls = np.array(shop.dataset.classes), count()

    def run(batch: Batch) -> Batch:
        size = len(batch[recipe.input])
        rows = train[(next(calls) * size + np.arange(size)) % len(train)]
        answered = ensemble.answer(asking(models, transforms, rows))
        return {LABEL: labels[answered[PROBABILITIES].argmax(axis=1)], **answered}

    return profile_callable(run, signature_of(recipe, shop.dataset), memory)
