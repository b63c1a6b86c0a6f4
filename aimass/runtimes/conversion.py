"""scikit-learn estimators as ONNX graphs, and the proof that both say the same."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aimass.core.batch import Array
from aimass.core.errors import Invalid
from aimass.runtimes.onnx import open_session
from aimass.runtimes.thresholds import round_down, split_steps, threshold_rows

OPSETS = {"": 18, "ai.onnx.ml": 3}  # every graph states just these, so that graphs can be merged
TOLERANCE = 1e-4
CLASSIFIER_OUTPUTS = ("label", "probabilities")


@dataclass(frozen=True)
class Agreement:
    """How far a converted graph is from the estimator on the rows they were compared on."""

    max_difference: float  # between probabilities, or between values relative to their range
    label_mismatches: int
    rows_beyond: int  # rows with a difference above the tolerance
    rows: int


def to_onnx(estimator: Any, input_name: str, n_features: int, outputs: Sequence[str] = CLASSIFIER_OUTPUTS) -> bytes:
    """The fitted estimator as an ONNX model of one FP32 input [-1, n_features].

    Classifiers give two outputs, the label [-1] (INT64, or BYTES for names) and FP32 probabilities [-1, classes];
    others give one, FP32 [-1, columns]. ``outputs`` are their names. ``Invalid`` when it cannot be converted.
    """
    name = type(estimator).__name__
    is_classifier = hasattr(estimator, "classes_")
    if is_classifier and not hasattr(estimator, "predict_proba"):
        raise Invalid(f"{name} gives no probabilities; put a CalibratedClassifierCV around it, behind any other steps")
    if len(outputs) != (2 if is_classifier else 1):
        raise Invalid(
            f"{name} has {2 if is_classifier else 1} output(s), {len(outputs)} were named: {', '.join(outputs)}"
        )
    if hasattr(estimator, "export_onnx"):  # it knows better than any converter
        model = estimator.export_onnx(input_name)
    else:
        model = _convert(estimator, name, input_name, n_features, is_classifier)
    _normalise(model, outputs)
    return bytes(model.SerializeToString())


def check_conversion(
    estimator: Any, model: bytes, rows: Array, tolerance: float = TOLERANCE, *, seed: int = 0
) -> Agreement:
    """Compare both on ``rows`` (held out from training) and on rows that hit the thresholds of its trees.

    The estimator answers the rows in the precision that they come in, the graph in FP32, as it does when it serves.
    ``Invalid``, with the figures, when probabilities (or values, relative to their range) differ by more than
    ``tolerance``, or labels differ where the two best classes are further apart than that.
    """
    hitting = threshold_rows(estimator, rows.astype(np.float32), np.random.default_rng(seed))
    everything = np.concatenate([rows, hitting])
    session = open_session(model)
    answers = session.run(None, {session.get_inputs()[0].name: everything.astype(np.float32)})
    agreement = _compare(estimator, everything, answers, tolerance)
    if agreement.rows_beyond or agreement.label_mismatches:
        raise Invalid(
            f"{type(estimator).__name__}: the ONNX conversion disagrees with scikit-learn on {agreement.rows_beyond} "
            f"of {agreement.rows} rows ({len(hitting)} of them made to hit thresholds of its trees): worst difference "
            f"{agreement.max_difference:.3g}, tolerance {tolerance:.3g}, {agreement.label_mismatches} labels differ; "
            + _advice(rows, len(hitting) > 0)
        )
    return agreement


def _advice(rows: Array, has_trees: bool) -> str:
    if has_trees:
        return "train the trees on raw features, without a step before them"
    rounded = rows.astype(np.float32)
    if np.abs(rows - rounded).max(initial=0) > 0 and len(np.unique(rounded)) < len(np.unique(rows)):
        return (
            "FP32 cannot tell some of these values apart: centre or scale them before the model, or export it yourself"
        )
    return "export it yourself"


def _convert(estimator: Any, name: str, input_name: str, n_features: int, is_classifier: bool) -> Any:
    from skl2onnx import to_onnx as convert
    from skl2onnx.common.data_types import FloatTensorType
    from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator

    rounded = round_down(estimator)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # skl2onnx reads what scikit-learn and protobuf call deprecated
            return convert(
                rounded,
                initial_types=[(input_name, FloatTensorType([None, n_features]))],
                # For the last step alone: members that give no probabilities do not know the option.
                options={id(split_steps(rounded)[1]): {"zipmap": False}} if is_classifier else None,
                target_opset=OPSETS,
            )
    except (
        MissingConverter,
        MissingShapeCalculator,
        NotImplementedError,
        RuntimeError,
        ValueError,
        TypeError,
        NameError,
    ) as error:
        reason = str(error).strip().splitlines()[0]
        raise Invalid(
            f"{name} cannot be converted to ONNX: {reason}; export it yourself and add the .onnx file"
        ) from error


def _normalise(model: Any, outputs: Sequence[str]) -> None:
    """Our output names, one free first dimension, and one entry per operator set (skl2onnx writes some twice)."""
    import onnx

    names = dict(zip((output.name for output in model.graph.output), outputs, strict=True))
    for node in model.graph.node:
        node.input[:] = [names.get(item, item) for item in node.input]
        node.output[:] = [names.get(item, item) for item in node.output]
    for output in model.graph.output:
        output.name = names[output.name]
    for tensor in (*model.graph.input, *model.graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_param = "rows"
    del model.opset_import[:]
    model.opset_import.extend(onnx.helper.make_opsetid(domain, version) for domain, version in OPSETS.items())
    onnx.checker.check_model(model)


def _compare(estimator: Any, rows: Array, answers: list[Array], tolerance: float) -> Agreement:
    if not hasattr(estimator, "classes_"):
        wanted = np.asarray(estimator.predict(rows) if hasattr(estimator, "predict") else estimator.transform(rows))
        wanted = wanted.reshape(len(rows), -1)
        scale = max(1.0, float(np.abs(wanted).max()))
        difference = np.abs(answers[0].reshape(wanted.shape) - wanted).max(axis=1) / scale
        return _agreement(difference, 0, tolerance)
    labels, probabilities = answers
    wanted = estimator.predict_proba(rows)
    difference = np.abs(probabilities - wanted).max(axis=1)
    best = np.sort(wanted, axis=1)
    clear = best[:, -1] - best[:, -2] > tolerance
    mismatches = int(np.count_nonzero((labels != estimator.predict(rows)) & clear))
    return _agreement(difference, mismatches, tolerance)


def _agreement(difference: Array, mismatches: int, tolerance: float) -> Agreement:
    beyond = int(np.count_nonzero(~(difference <= tolerance)))  # NaN counts as beyond
    return Agreement(float(np.max(difference, initial=0.0)), mismatches, beyond, len(difference))
