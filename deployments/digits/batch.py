"""Labels many rows by a handle in Ray Data, on a running platform: `python deployments/digits/batch.py 1000000`."""

import logging
import sys
import time
from typing import Any

import numpy as np

from aimass.core.errors import AimassError
from aimass.serving.handle import handle, join


def main(rows: int) -> None:
    """Prints how often each label was given."""
    join()
    import ray.data

    for chatter in ("ray.data", "ray.serve"):
        logging.getLogger(chatter).setLevel(logging.WARNING)
    from sklearn.datasets import load_digits

    images, digits = load_digits().data.astype("float32"), handle("digits")

    def label(batch: dict[str, Any]) -> dict[str, Any]:
        rows = images[batch["data"] % len(images)]
        return {"label": digits.predict(rows, patience_s=60)["label"]}  # others use the service too

    began = time.monotonic()
    blocks = ray.data.from_numpy(np.array_split(np.arange(rows), max(1, rows // 8192)))
    labelled = blocks.map_batches(label, batch_size=8192, num_cpus=0.5).iter_batches(batch_size=None)
    counts = np.bincount(np.concatenate([batch["label"] for batch in labelled]), minlength=10)
    print(f"{counts.sum():,} rows in {time.monotonic() - began:.1f} s; by label: {counts.tolist()}")


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
    except AimassError as error:
        sys.exit(f"error: {error}")
