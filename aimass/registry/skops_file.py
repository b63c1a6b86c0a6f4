"""A ``.skops`` file as a verified ONNX model, converted in a child process that loads explicitly trusted types only.

skops builds objects from a description instead of running code; the compiled types below it does not trust by itself,
because a forged one can crash the process, which here is a child.
"""

import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aimass.core.batch import Array
from aimass.core.errors import AimassError, Invalid
from aimass.registry.child import run_child
from aimass.runtimes.conversion import CLASSIFIER_OUTPUTS, check_conversion, to_onnx
from aimass.runtimes.plausible import plausible_rows

INPUT = "x"
CHECKED_ROWS = 512
TRUSTED = (
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
)


@dataclass(frozen=True)
class Converted:
    """The ONNX model, what it was, and how well both agreed."""

    model: bytes
    kind: str  # model | transform
    max_difference: float
    rows: int


def convert_skops(path: Path, rows: Array | None = None) -> Converted:
    """Load, convert, compare on ``rows`` (made-up ones without); ``Invalid`` says what is not trusted or not equal."""
    with tempfile.TemporaryDirectory() as folder:
        checked = Path(folder) / "rows.npy"
        if rows is not None:
            np.save(checked, np.asarray(rows, dtype=np.float64))
        out = Path(folder) / "model.onnx"
        told = json.loads(run_child("aimass.registry.skops_file", str(path), str(checked), str(out)))
        return Converted(out.read_bytes(), **told)


def load_trusted(path: Path) -> Any:
    """The estimator in the file, if it is made of trusted types only."""
    import skops.io

    try:
        unknown = sorted(set(skops.io.get_untrusted_types(file=path)) - set(TRUSTED))
    except Exception as error:
        raise Invalid(f"{path.name} is not a skops file: {error}; save it with skops.io.dump") from error
    if unknown:
        raise Invalid(
            f"{path.name} holds untrusted types: {', '.join(unknown)}; convert it to ONNX where you trust it "
            "and add the .onnx file"
        )
    return skops.io.load(path, trusted=list(TRUSTED))


def _main(source: str, checked: str, out: str) -> None:
    path = Path(source)
    estimator = load_trusted(path)
    n_features = getattr(estimator, "n_features_in_", None)
    if n_features is None:
        raise Invalid(f"{path.name} holds a {type(estimator).__name__} that was not fitted on a table of numbers")
    is_model = hasattr(estimator, "predict")
    outputs = CLASSIFIER_OUTPUTS if hasattr(estimator, "classes_") else ("value",) if is_model else ("y",)
    model = to_onnx(estimator, INPUT, n_features, outputs)
    agreement = check_conversion(estimator, model, _rows(Path(checked), estimator, n_features))
    Path(out).write_bytes(model)
    kind = "model" if is_model else "transform"
    print(json.dumps({"kind": kind, "max_difference": agreement.max_difference, "rows": agreement.rows}))


def _rows(checked: Path, estimator: Any, n_features: int) -> Array:
    if not checked.exists():
        return plausible_rows(estimator, n_features, CHECKED_ROWS, np.random.default_rng(0))
    rows: Array = np.load(checked, allow_pickle=False)
    if rows.ndim != 2 or rows.shape[1] != n_features or not len(rows):
        raise Invalid(f"rows to check on have shape {list(rows.shape)}, expected [rows, {n_features}]", field="rows")
    return rows


if __name__ == "__main__":
    try:
        _main(*sys.argv[1:])
    except AimassError as failure:
        raise SystemExit(" ".join(str(failure).split())) from failure
