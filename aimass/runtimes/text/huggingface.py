"""A Hugging Face folder of a sentence-embedding model, packed for a platform: one ONNX graph, and vectors to check it.

Runs where the folder is, in its owner's process: PyTorch and transformers are needed here and nowhere on the platform.
No code out of the folder runs, and no pickle is read.
"""

import logging
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from aimass.core.batch import Array
from aimass.core.errors import Invalid
from aimass.runtimes.onnx import MODEL_FILE
from aimass.runtimes.text.archive import Check, write_archive
from aimass.runtimes.text.files import IDS, MASK, TOKENIZER_FILE, VECTORS, SentenceSettings, write_settings
from aimass.runtimes.text.phrases import PHRASES
from aimass.runtimes.text.recipe import SentenceRecipe, read_recipe

OPSET = 18
PACKAGES = ("onnx", "torch", "transformers")


def pack_folder(folder: Path, archive: Path) -> None:
    """Write the archive that ``Control.add_model`` takes. ``Invalid`` says what is wrong with the folder."""
    recipe = read_recipe(folder)
    _check_packages()
    with TemporaryDirectory() as made, _quiet():
        model, tokenizer = _load(folder)
        _export(model, recipe, Path(made) / MODEL_FILE)
        shutil.copyfile(folder / TOKENIZER_FILE, Path(made) / TOKENIZER_FILE)
        write_settings(Path(made), SentenceSettings(recipe.max_tokens))
        vectors = reference_vectors(model, tokenizer, recipe, PHRASES)
        packages = {name: version(name) for name in PACKAGES}
        write_archive(archive, Path(made), Check(list(PHRASES), vectors, packages))


def reference_vectors(model: Any, tokenizer: Any, recipe: SentenceRecipe, texts: Sequence[str]) -> Array:
    """What transformers and PyTorch say, each text alone: FP32 [texts, size]. Nothing of ours but the pooling."""
    import torch

    vectors = []
    with torch.no_grad():
        for text in texts:
            read = tokenizer(text, truncation=True, max_length=recipe.max_tokens, return_tensors="pt")
            states = model(**read).last_hidden_state[0]
            pooled = states[0] if recipe.pooling == "cls" else states.mean(dim=0)
            vectors.append((pooled / pooled.norm() if recipe.normalise else pooled).numpy())
    return np.stack(vectors)


def _check_packages() -> None:
    try:
        import onnxscript  # noqa: F401  what the export needs beside PyTorch
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ModuleNotFoundError as error:
        raise Invalid(
            f"converting a Hugging Face folder needs the package {error.name!r}; in the project's folder: "
            "pip install -c constraints.txt -e '.[text]'"
        ) from error


def _load(folder: Path) -> tuple[Any, Any]:
    from transformers import AutoModel, AutoTokenizer

    try:
        own = {"local_files_only": True, "trust_remote_code": False}
        model = AutoModel.from_pretrained(folder, use_safetensors=True, attn_implementation="eager", **own)
        return model.float().eval(), AutoTokenizer.from_pretrained(folder, use_fast=True, **own)
    except Exception as error:  # whatever transformers makes of a stranger's folder
        raise Invalid(f"transformers cannot load {folder}: {_first_line(error)}") from error


def _export(model: Any, recipe: SentenceRecipe, path: Path) -> None:
    import torch

    class Sentence(torch.nn.Module):  # type: ignore[misc]
        """Encoder, pooling over the tokens that the mask keeps, normalisation."""

        def __init__(self) -> None:
            super().__init__()
            self.encoder = model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            if recipe.pooling == "cls":
                pooled = states[:, 0]
            else:
                kept = attention_mask.unsqueeze(-1).to(states.dtype)
                pooled = (states * kept).sum(dim=1) / kept.sum(dim=1).clamp(min=1e-9)
            return torch.nn.functional.normalize(pooled, dim=1) if recipe.normalise else pooled

    ids, mask = torch.ones((2, 7), dtype=torch.int64), torch.ones((2, 7), dtype=torch.int64)
    mask[1, 5:] = 0
    free = {0: torch.export.Dim("rows"), 1: torch.export.Dim("length", max=recipe.max_tokens)}
    try:
        program = torch.onnx.export(
            Sentence().eval(),
            (ids, mask),
            dynamo=True,
            input_names=[IDS, MASK],
            output_names=[VECTORS],
            dynamic_shapes=(free, free),
            opset_version=OPSET,
            verbose=False,
        )
        program.save(path, external_data=False)
    except Exception as error:  # whatever the exporter makes of a stranger's model
        raise Invalid(
            f"PyTorch cannot export this {type(model).__name__} to ONNX: {_first_line(error)}; export it yourself and "
            "add the .onnx file"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter and transformers tell of their inner life."""
    from transformers.utils import logging as told

    bars = told.is_progress_bar_enabled()
    told.disable_progress_bar()
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
        if bars:
            told.enable_progress_bar()


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
