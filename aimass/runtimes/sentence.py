"""Sentence models: texts in, vectors out, in one process. A tokenizer, then an ONNX graph that pools and normalises.

Rows run together by length, where that changes no answer. It would with 8-bit models that scale their activations by
all that is in a call: their rows run one by one, which costs them next to nothing (deployments/text/README.md).
"""

from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np

from aimass.core.batch import Array, Batch
from aimass.core.errors import Invalid, Unavailable
from aimass.core.signature import Signature, TensorSpec
from aimass.runtimes.base import Runtime
from aimass.runtimes.onnx import OnnxRuntime
from aimass.runtimes.text.files import EMBEDDING, ENCODER_INPUTS, VECTORS, read_settings, sentence_signature
from aimass.runtimes.text.lengths import run_by_length
from aimass.runtimes.text.tokens import TextReader


class SentenceRuntime(Runtime):
    """The folder's ``model.onnx``, ``tokenizer.json`` and ``sentence.json``."""

    def __init__(self, encoder: OnnxRuntime, reader: TextReader, signature: Signature, together: bool) -> None:
        super().__init__(signature, encoder.device)
        self._encoder = encoder
        self._reader = reader
        self._together = together
        self._outputs = [spec.name for spec in signature.outputs]
        self._size = next((spec.shape[1] for spec in signature.outputs if spec.name == EMBEDDING), 0)
        self._closed = False

    @classmethod
    def _load(cls, folder: Path, signature: Signature, gpus: float) -> Self:
        _check(signature, folder)
        settings = read_settings(folder)
        reader = TextReader(folder, settings.max_tokens)
        vectors = tuple(replace(spec, name=VECTORS) for spec in signature.outputs if spec.name == EMBEDDING)
        encoder = OnnxRuntime.load(folder, Signature(ENCODER_INPUTS, vectors), gpus)
        return cls(encoder, reader, signature, settings.together)

    def _predict(self, batch: Batch) -> Batch:
        if self._closed:
            raise Unavailable("this model was unloaded; ask again for the revision that serves now")
        rows = self._reader.read(batch[self.signature.inputs[0].name])
        found: Batch = {}
        for name in self._outputs:
            if name == EMBEDDING:
                found[name] = run_by_length(self._encode, rows, self._size, self._together)
            else:
                found[name] = np.array([len(row) for row in rows], np.int64)
        return found

    def _encode(self, batch: Batch) -> Array:
        return self._encoder.predict(batch)[VECTORS]

    def _close(self) -> None:
        self._closed = True
        self._encoder.close()


def _check(signature: Signature, folder: Path) -> None:
    """The signature is that of a sentence model, or leaves outputs out."""
    known = sentence_signature(-1)
    if len(signature.inputs) != 1:
        raise Invalid(f"{folder}: a sentence model has one input, {known.inputs[0].name}", field="inputs")
    _compare(folder, "input", signature.inputs, known.inputs)
    _compare(folder, "output", signature.outputs, known.outputs)


def _compare(folder: Path, what: str, wanted: tuple[TensorSpec, ...], known: tuple[TensorSpec, ...]) -> None:
    there = {spec.name: spec for spec in known}
    for spec in wanted:
        if spec.name not in there:
            raise Invalid(
                f"{folder}: a sentence model has no {what} {spec.name!r}; it has {', '.join(there)}", spec.name
            )
        problem = there[spec.name].accepts(spec)
        if problem:
            raise Invalid(f"{folder}: {what} {spec.name!r} is declared with {problem}", field=spec.name)
