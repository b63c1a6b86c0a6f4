"""The files of a sentence model, and the little that its graph and tokenizer do not say themselves."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from aimass.core.errors import Invalid, NotFound
from aimass.core.signature import Datatype, Signature, TensorSpec
from aimass.runtimes.onnx import MODEL_FILE

TOKENIZER_FILE = "tokenizer.json"
SETTINGS_FILE = "sentence.json"
FILES = (MODEL_FILE, TOKENIZER_FILE, SETTINGS_FILE)

TEXT, EMBEDDING, TOKENS = "text", "embedding", "tokens"
IDS, MASK, VECTORS = "input_ids", "attention_mask", "sentence_embedding"
ENCODER_INPUTS = (TensorSpec(IDS, Datatype.INT64, (-1, -1)), TensorSpec(MASK, Datatype.INT64, (-1, -1)))
"""What the graph reads: token ids and which of them count, [rows, length]. It gives ``sentence_embedding``, FP32
[rows, size]: BERT's own graph has an ``embedding`` inside."""

MAX_TOKENS = 1 << 16


@dataclass(frozen=True)
class SentenceSettings:
    """``together``: rows may run in one call, because that changes no answer; found out when it was registered."""

    max_tokens: int  # of a text, special ones included; what is beyond them is not read
    together: bool = False


def sentence_signature(size: int) -> Signature:
    """Texts in; their vectors of ``size``, and how many tokens of each were read, out."""
    return Signature(
        inputs=(TensorSpec(TEXT, Datatype.BYTES, (-1,)),),
        outputs=(TensorSpec(EMBEDDING, Datatype.FP32, (-1, size)), TensorSpec(TOKENS, Datatype.INT64, (-1,))),
    )


def write_settings(folder: Path, settings: SentenceSettings) -> None:
    (folder / SETTINGS_FILE).write_text(json.dumps(asdict(settings), sort_keys=True), encoding="utf-8")


def read_settings(folder: Path) -> SentenceSettings:
    """``NotFound`` or ``Invalid`` names the file."""
    path = folder / SETTINGS_FILE
    if not path.is_file():
        raise NotFound(f"{path} does not exist; a sentence version needs this file")
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        settings = SentenceSettings(**said)
    except (ValueError, TypeError) as error:
        raise Invalid(f"{path} does not say how texts are read: {error}") from error
    if type(settings.max_tokens) is not int or not 1 <= settings.max_tokens <= MAX_TOKENS:
        raise Invalid(f"{path}: max_tokens must be a whole number from 1 to {MAX_TOKENS}")
    if type(settings.together) is not bool:
        raise Invalid(f"{path}: together must be true or false")
    return settings
