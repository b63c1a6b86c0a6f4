"""The plan of a node's shadow: which of its outputs and of its nodes are the node's own, and which the shadow's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aimass.core.batch import Batch
from aimass.core.signature import TensorSpec
from aimass.serving.shadows.pairing import MARK, PRIMARY, SHADOW


@dataclass(frozen=True)
class Beside:
    """Of one node."""

    node: str

    def split(self, outputs: Batch) -> tuple[Batch, Batch]:
        """What the node gave, and what its shadow did, by the names that both have."""
        primary, shadow = (
            {name.removeprefix(f"{whose}."): array for name, array in outputs.items() if name.startswith(f"{whose}.")}
            for whose in (PRIMARY, SHADOW)
        )
        return primary, shadow

    def parts(self, node_s: Mapping[str, float]) -> dict[str, float]:
        """The seconds that each took, out of those of all the plan's nodes; by who."""
        shadow_s = sum(seconds for name, seconds in node_s.items() if name.startswith(MARK))
        return {PRIMARY: node_s.get(self.node, 0.0), SHADOW: shadow_s}


def specs_of(outputs: Sequence[TensorSpec], whose: str) -> list[TensorSpec]:
    """The outputs of ``PRIMARY`` or ``SHADOW``, under their own names."""
    return [
        TensorSpec(spec.name.removeprefix(f"{whose}."), spec.datatype, spec.shape)
        for spec in outputs
        if spec.name.startswith(f"{whose}.")
    ]
