"""The platform's own store, by the table."""

from aimass.core import plugins
from aimass.core.home import Home
from aimass.storage import STORES
from aimass.storage.base import ArtifactStore

KIND = "local"  # all processes of a platform see one machine's files


def open_store(home: Home) -> ArtifactStore:
    """Where the platform of this home keeps its artifacts."""
    store: ArtifactStore = plugins.load(STORES, KIND)(home.artifacts)
    return store
