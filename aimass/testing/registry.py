"""A small registry in a folder, for tests of what stands above it: real database, real store, a clock that stands."""

from collections.abc import Sequence
from pathlib import Path

from aimass.core.clock import ManualClock
from aimass.core.ids import DEFAULT_ACCOUNT, canonical_json
from aimass.core.signature import Datatype, Signature, TensorSpec
from aimass.database.engine import open_database
from aimass.database.migrate import migrate
from aimass.registry.manifest import GRAPH_FILE, Lineage, Manifest
from aimass.registry.versions import Version, register
from aimass.storage.local import LocalStore

SIGNATURE = Signature(
    inputs=(TensorSpec("x", Datatype.FP32, (-1, 4)),),
    outputs=(TensorSpec("label", Datatype.INT64, (-1,)), TensorSpec("probabilities", Datatype.FP32, (-1, 3))),
)


class SmallRegistry:
    """Models of any bytes, for whoever does not run them."""

    def __init__(self, folder: Path) -> None:
        self.database = open_database(f"sqlite:///{folder}/aimass.db")
        migrate(self.database)
        self.store = LocalStore(folder / "artifacts")
        self.clock = ManualClock()

    def manifest(self, data: bytes = b"weights", parents: Sequence[str] = ()) -> Manifest:
        """A model of one file, which is put into the store."""
        return Manifest(
            kind="model",
            runtime="onnx",
            files={"model.onnx": self.store.put(data)},
            signature=SIGNATURE,
            lineage=Lineage(parents=tuple(parents)),
        )

    def ensemble(self, *members: str) -> Manifest:
        """An ensemble of members named by reference, which is put into the store."""
        graph = {
            "nodes": {f"m{index}": {"model": ref, "inputs": {"x": "$in.x"}} for index, ref in enumerate(members)},
            "outputs": {"label": "m0.label", "probabilities": "m0.probabilities"},
        }
        return Manifest(
            kind="ensemble",
            runtime="",
            files={GRAPH_FILE: self.store.put(canonical_json(graph))},
            signature=SIGNATURE,
            lineage=Lineage(parents=members),
            graph=graph,
        )

    def register(self, name: str, manifest: Manifest | None = None) -> Version:
        """The next version of ``name``."""
        with self.database.session() as session:
            made = manifest or self.manifest()
            return register(session, self.store, name, made, DEFAULT_ACCOUNT, self.clock)

    def close(self) -> None:
        self.database.close()
