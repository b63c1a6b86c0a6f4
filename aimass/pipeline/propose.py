"""The service that a run proposes: its ensemble, pinned, behind one node."""

from typing import Any

from aimass.core.signature import Signature
from aimass.pipeline.recipe import Recipe


def propose(recipe: Recipe, signature: Signature, ensemble: str) -> dict[str, Any]:
    """A service document as data, named as the recipe; ``ensemble`` is the pinned version."""
    name = recipe.recipe
    return {
        "service": name,
        "graph": {
            "inputs": {
                spec.name: {"datatype": spec.datatype.value, "shape": list(spec.shape)} for spec in signature.inputs
            },
            "nodes": {
                name: {"model": ensemble, "inputs": {spec.name: f"$in.{spec.name}" for spec in signature.inputs}}
            },
            "outputs": {spec.name: f"{name}.{spec.name}" for spec in signature.outputs},
        },
    }
