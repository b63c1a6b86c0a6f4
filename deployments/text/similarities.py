"""Asks a running service for vectors by OpenAI's client, and draws how alike the texts are.

    python deployments/text/similarities.py similarities.png [MODEL]

MODEL is a service, or SERVICE/versions/2 for one of its revisions.
"""

import sys
from pathlib import Path

import numpy as np
import openai

from aimass.client.connection import find_calls
from aimass.core.errors import AimassError

TEXTS = (
    "A cat is sitting on a rug.",
    "The kitten naps on the carpet.",
    "Share prices fell on Monday.",
    "The stock market dropped at the start of the week.",
    "How do I reset my password?",
    "I cannot log in to my account.",
    "It will rain in the mountains tomorrow.",
    "Expect showers on high ground.",
    "Bake the bread for forty minutes.",
    "Knead the dough until it is smooth.",
)


def ask(model: str) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    """The texts' vectors, from the platform that `aimass` finds too."""
    found = find_calls(None, None)
    client = openai.OpenAI(base_url=f"{found.url}/v1", api_key=found.key)
    answer = client.embeddings.create(model=model, input=list(TEXTS))
    print(f"{len(answer.data)} vectors of {len(answer.data[0].embedding)}, {answer.usage.total_tokens} tokens")
    return np.array([item.embedding for item in answer.data])


def draw(vectors: "np.ndarray[tuple[int, int], np.dtype[np.float64]]", path: Path) -> None:
    """Cosines of all pairs; the vectors have length 1."""
    from matplotlib.figure import Figure

    alike = vectors @ vectors.T
    figure = Figure(figsize=(9, 6.2), layout="constrained")
    axes = figure.subplots()
    shown = axes.imshow(alike, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(TEXTS)), [str(index + 1) for index in range(len(TEXTS))])
    axes.set_yticks(range(len(TEXTS)), [f"{text}  {index + 1}" for index, text in enumerate(TEXTS)])
    for row, column in np.ndindex(alike.shape):
        ink = "white" if alike[row, column] > 0.6 else "black"
        axes.text(column, row, f"{alike[row, column]:.2f}", ha="center", va="center", color=ink, fontsize=8)
    axes.set_title("How alike ten texts are: cosines of their vectors")
    figure.colorbar(shown, shrink=0.8)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    try:
        draw(ask(sys.argv[2] if len(sys.argv) > 2 else "minilm"), Path(sys.argv[1]))
    except AimassError as error:
        sys.exit(f"error: {error}")
