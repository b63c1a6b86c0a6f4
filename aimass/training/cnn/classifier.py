"""The network as a classifier: scikit-learn's verbs in front, its own way to ONNX behind."""

import logging
import warnings
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch

from aimass.core.batch import Array
from aimass.core.errors import Bug
from aimass.training.cnn.learning import Lesson, learn, one_thread
from aimass.training.cnn.network import PictureNetwork, ServedNetwork

OPSET = 18
_ROWS = 1024  # predicted at a time


class PictureClassifier:
    """``options`` are a lesson's, by name. ``classes_`` are 0 … k-1, as trainers have it."""

    def __init__(self, options: Mapping[str, Any], seed: int) -> None:
        self.options, self.seed = dict(options), seed
        self.network: PictureNetwork | None = None

    def lesson(self, rows: Array, labels: Array) -> Lesson:
        """What fitting these rows means."""
        return Lesson(np.ascontiguousarray(rows), labels.astype(np.int64), seed=self.seed, **self.options)

    def fit(self, rows: Array, labels: Array) -> Self:
        """In this process."""
        return self.take(learn(self.lesson(rows, labels)), labels)

    def take(self, network: PictureNetwork, labels: Array) -> Self:
        """A network that has learnt these labels."""
        self.network = network.eval()
        self.classes_ = np.unique(labels)
        self.n_features_in_ = network.side**2
        return self

    def predict_proba(self, rows: Array) -> Array:
        """FP32 [rows, classes]."""
        served = ServedNetwork(self._fitted())
        with torch.inference_mode(), one_thread():
            parts = [
                served(torch.from_numpy(np.ascontiguousarray(rows[at : at + _ROWS], np.float32)))[1].numpy()
                for at in range(0, len(rows), _ROWS)
            ]
        return np.concatenate(parts)

    def predict(self, rows: Array) -> Array:
        labels: Array = self.classes_[self.predict_proba(rows).argmax(axis=1)]
        return labels

    def export_onnx(self, input_name: str) -> Any:
        """An ONNX ``ModelProto`` of operator set 18: label and probabilities, any number of rows; the same bytes for
        the same weights, and nothing in it of the machine that wrote it."""
        example = (torch.zeros(2, self.n_features_in_),)
        log = logging.getLogger("torch.onnx")
        before = log.level
        log.setLevel(logging.ERROR)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch's exporter reads what torch itself calls deprecated
                program = torch.onnx.export(
                    ServedNetwork(self._fitted()).eval(),
                    example,
                    dynamo=True,
                    verbose=False,
                    opset_version=OPSET,
                    input_names=[input_name],
                    output_names=["label", "probabilities"],
                    dynamic_shapes={"rows": {0: torch.export.Dim("rows")}},
                )
        finally:
            log.setLevel(before)
        if program is None:
            raise Bug("torch.onnx.export gave no program")
        return _strip(program.model_proto)

    def _fitted(self) -> PictureNetwork:
        if self.network is None:
            raise Bug("the classifier is used before it was fitted")
        return self.network


def _strip(model: Any) -> Any:
    """Without what the exporter notes for whoever debugs it, stack traces with file names among it."""
    opset = {item.domain: item.version for item in model.opset_import if item.domain in ("", "ai.onnx")}
    if list(opset.values()) != [OPSET] or model.functions:
        raise Bug(f"torch.onnx.export gave operator sets {opset} and {len(model.functions)} functions, not {OPSET}")
    del model.metadata_props[:], model.graph.metadata_props[:], model.graph.value_info[:]
    for item in (*model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output):
        del item.metadata_props[:]
        item.doc_string = ""
    return model
