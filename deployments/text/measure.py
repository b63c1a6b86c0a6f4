"""What versions of a sentence model cost on this machine, in one thread, and how well the later ones agree with the
first: `python deployments/text/measure.py minilm 1 2`, where the platform that registered them runs."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from aimass.client import Control
from aimass.core.home import find_home
from aimass.core.signature import Signature
from aimass.registry.artifacts import checkout
from aimass.runtimes.sentence import SentenceRuntime
from aimass.runtimes.text.agreement import cosines
from aimass.runtimes.text.phrases import PHRASES
from aimass.storage.opening import open_store

SENTENCE = "My parcel was meant to arrive on Tuesday, but the tracking page has not changed for four days."
REPEATS = 60


def main(name: str, numbers: Sequence[int]) -> None:
    """Prints a table, one version a row."""
    with Control() as control:
        versions = {item["number"]: item for item in control.model(name)["versions"]}
    store = open_store(find_home())
    first = None
    print("version   MB on disk   ms, 1 text   ms, 16 texts   cosine to the first: worst, mean")
    for number in numbers:
        files = versions[number]["files"]
        with TemporaryDirectory() as cache:
            folder = checkout(store, files, Path(cache))
            runtime = SentenceRuntime.load(folder, Signature.from_json(versions[number]["signature"]))
            size = sum((folder / file).stat().st_size for file in files) / 1e6
            one, many = (median_ms(runtime, [SENTENCE] * rows) for rows in (1, 16))
            vectors = embed(runtime, PHRASES)
        first = vectors if first is None else first
        agree = cosines(vectors, first)
        print(f"{name}@{number:<3} {size:10.1f} {one:12.2f} {many:14.2f} {agree.worst:15.4f}, {agree.mean:.4f}")


def embed(runtime: SentenceRuntime, texts: Sequence[str]) -> Any:
    """FP32 [texts, size]."""
    return runtime.predict({"text": np.array(texts, dtype=object)})["embedding"]


def median_ms(runtime: SentenceRuntime, texts: Sequence[str]) -> float:
    """Of a call with these texts."""
    taken = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        embed(runtime, texts)
        taken.append(time.perf_counter() - began)
    return float(np.median(taken)) * 1e3


if __name__ == "__main__":
    main(sys.argv[1], [int(number) for number in sys.argv[2:]])
