"""Hugging Face folders: what they say is done, and what cannot be served is refused with its reason."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aimass.core.errors import Invalid
from aimass.runtimes.text.agreement import embed
from aimass.runtimes.text.archive import read_archive
from aimass.runtimes.text.huggingface import pack_folder
from aimass.runtimes.text.phrases import PHRASES
from aimass.runtimes.text.recipe import SentenceRecipe, read_recipe
from tests.runtimes.sentence_models import MAX_TOKENS, SentenceModel

MODULES = [
    {"path": "", "type": "sentence_transformers.models.Transformer"},
    {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    {"path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
]


@pytest.fixture
def folder(tiny_bert: SentenceModel, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bert.folder, tmp_path / "model"))


def write(folder: Path, name: str, said: Any) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(said))


def pooled_by(folder: Path, key: str, normalise: bool = True) -> None:
    write(folder, "modules.json", MODULES if normalise else MODULES[:2])
    write(
        folder, "1_Pooling/config.json", {"word_embedding_dimension": 32, key: True, "pooling_mode_max_tokens": False}
    )


def test_the_archive_is_what_transformers_says(tiny_bert: SentenceModel, tmp_path: Path) -> None:
    check = read_archive(tiny_bert.archive, tmp_path)
    vectors, _ = tiny_bert.expected(check.texts)
    np.testing.assert_allclose(check.vectors, vectors, atol=1e-5)
    assert set(check.packages) == {"onnx", "torch", "transformers"}


def test_a_bare_folder_is_pooled_by_the_mean_and_normalised(folder: Path) -> None:
    assert read_recipe(folder) == SentenceRecipe(MAX_TOKENS, "mean", True)
    write(folder, "sentence_bert_config.json", {"max_seq_length": 16})
    assert read_recipe(folder).max_tokens == 16


def test_pooling_by_the_first_token_without_normalisation(
    folder: Path, tiny_bert: SentenceModel, tmp_path: Path
) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    pooled_by(folder, "pooling_mode_cls_token", normalise=False)
    pack_folder(folder, tmp_path / "cls.zip")
    (tmp_path / "files").mkdir()
    check = read_archive(tmp_path / "cls.zip", tmp_path / "files")
    read = AutoTokenizer.from_pretrained(folder)(PHRASES[2], return_tensors="pt")
    with torch.no_grad():
        wanted = AutoModel.from_pretrained(folder).eval()(**read).last_hidden_state[0, 0].numpy()
    np.testing.assert_allclose(check.vectors[2], wanted, atol=1e-5)
    found = embed(tmp_path / "files", tiny_bert.signature, PHRASES, together=False)
    np.testing.assert_allclose(found, check.vectors, atol=1e-5)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_folder_without_one_of_its_files_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(Invalid, match=f"lacks {name}"):
        pack_folder(folder, tmp_path / "x.zip")


def test_what_is_no_sentence_model_is_refused(folder: Path) -> None:
    pooled_by(folder, "pooling_mode_weightedmean_tokens")
    with pytest.raises(Invalid, match="pools by pooling_mode_weightedmean_tokens; served are"):
        read_recipe(folder)
    write(folder, "modules.json", [*MODULES, {"path": "3_Dense", "type": "sentence_transformers.models.Dense"}])
    with pytest.raises(Invalid, match="a step Dense behind its encoder"):
        read_recipe(folder)
    write(folder, "config.json", {"architectures": ["BertForSequenceClassification"]})
    with pytest.raises(Invalid, match="holds a BertForSequenceClassification"):
        read_recipe(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(Invalid, match=r"config\.json cannot be read as JSON"):
        read_recipe(folder)


def test_weights_that_cannot_be_read_are_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(Invalid, match="transformers cannot load"):
        pack_folder(folder, tmp_path / "x.zip")
    assert not (tmp_path / "x.zip").exists()


@pytest.mark.parametrize("package", ["onnxscript", "torch", "transformers"])
def test_a_package_that_is_missing_is_named_with_the_way_to_get_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(Invalid, match=rf"needs the package '{package}'; in the project's folder: pip install"):
        pack_folder(folder, tmp_path / "x.zip")
