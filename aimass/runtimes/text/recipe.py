"""How a Hugging Face folder makes one vector of a text's tokens: how many it reads, how it pools, whether it
normalises. Read from the files that sentence-transformers writes; without them, mean pooling and normalisation."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aimass.core.errors import Invalid
from aimass.runtimes.text.files import MAX_TOKENS, TOKENIZER_FILE

CONFIG, WEIGHTS = "config.json", "model.safetensors"
NEEDED = (CONFIG, WEIGHTS, TOKENIZER_FILE)
MODULES = "modules.json"
POOLINGS = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
_LIMITS = (("sentence_bert_config.json", "max_seq_length"), ("tokenizer_config.json", "model_max_length"))


@dataclass(frozen=True)
class SentenceRecipe:
    """``pooling``: mean or cls."""

    max_tokens: int
    pooling: str = "mean"
    normalise: bool = True


def read_recipe(folder: Path) -> SentenceRecipe:
    """``Invalid`` says what keeps the folder from being served."""
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if missing:
        raise Invalid(f"{folder} lacks {', '.join(missing)}; the folder of a sentence model has {', '.join(NEEDED)}")
    config = _read(folder / CONFIG)
    heads = [name for name in config.get("architectures") or [] if "For" in name and not name.endswith("ForMaskedLM")]
    if heads:
        raise Invalid(f"{folder} holds a {', '.join(heads)}; only encoders are served as sentence models")
    max_tokens = _max_tokens(folder, config)
    if not (folder / MODULES).is_file():
        return SentenceRecipe(max_tokens)
    kinds = {str(item["type"]).rpartition(".")[2]: folder / item.get("path", "") for item in _read(folder / MODULES)}
    unknown = sorted(set(kinds) - {"Transformer", "Pooling", "Normalize"})
    if unknown:
        raise Invalid(f"{folder / MODULES} has a step {', '.join(unknown)} behind its encoder, which is not served")
    pooling = _pooling(kinds["Pooling"]) if "Pooling" in kinds else "mean"
    return SentenceRecipe(max_tokens, pooling, "Normalize" in kinds)


def _max_tokens(folder: Path, config: dict[str, Any]) -> int:
    """The smallest of what the files say: tokenizers without a limit write one of thirty digits."""
    said = [config.get("max_position_embeddings")]
    said += [_read(folder / name).get(key) for name, key in _LIMITS if (folder / name).is_file()]
    return int(min([size for size in said if isinstance(size, int) and size > 0], default=MAX_TOKENS))


def _pooling(folder: Path) -> str:
    said = _read(folder / CONFIG)
    found = [key for key, value in said.items() if key.startswith("pooling_mode") and value is True]
    if len(found) != 1 or found[0] not in POOLINGS:
        raise Invalid(f"{folder / CONFIG} pools by {', '.join(found)}; served are {', '.join(POOLINGS)}")
    return POOLINGS[found[0]]


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Invalid(f"{path} cannot be read as JSON: {error}") from error
