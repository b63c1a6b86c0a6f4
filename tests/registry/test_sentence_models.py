"""Archives of sentence models, proven and registered or refused; and their versions in 8 bits."""

import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from aimass.core.errors import Invalid
from aimass.core.ids import DEFAULT_ACCOUNT
from aimass.registry import catalog
from aimass.registry.artifacts import checkout
from aimass.registry.submit import Submission, submit_file
from aimass.registry.variants.int8 import quantize_version
from aimass.registry.versions import Version
from aimass.runtimes.text.agreement import TOLERANCE, cosines, embed
from aimass.runtimes.text.files import read_settings
from aimass.runtimes.text.phrases import PHRASES
from aimass.testing.registry import SmallRegistry
from tests.runtimes.sentence_models import SIZE, SentenceModel

Files = dict[str, bytes]


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[SmallRegistry]:
    small = SmallRegistry(tmp_path)
    yield small
    small.close()


def submit(registry: SmallRegistry, path: Path) -> Version:
    return submit_file(registry.database, registry.store, Submission("tiny", path), DEFAULT_ACCOUNT, registry.clock)


def quantize(registry: SmallRegistry, ref: tuple[str, int], min_cosine: float = 0.9) -> Version:
    owner = (DEFAULT_ACCOUNT, registry.clock)
    return quantize_version(registry.database, registry.store, ref, min_cosine, owner)


def test_an_archive_becomes_a_version(registry: SmallRegistry, tiny_bert: SentenceModel, tmp_path: Path) -> None:
    manifest = submit(registry, tiny_bert.archive).manifest
    assert manifest.signature == tiny_bert.signature
    assert (manifest.kind, manifest.runtime) == ("model", "sentence")
    assert set(manifest.files) == {"model.onnx", "tokenizer.json", "sentence.json"}
    assert 0 <= manifest.metrics["conversion_max_difference"] <= TOLERANCE
    assert manifest.metrics["conversion_rows"] == len(PHRASES)
    assert {"torch", "transformers"} <= set(manifest.lineage.packages)
    assert manifest.profile is not None
    assert manifest.profile.times_us[32] > manifest.profile.times_us[1] > 0
    assert read_settings(checkout(registry.store, manifest.files, tmp_path / "cache")).together


def test_eight_bits_are_a_version_of_their_own(
    registry: SmallRegistry, tiny_bert: SentenceModel, tmp_path: Path
) -> None:
    first = submit(registry, tiny_bert.archive)
    second = quantize(registry, ("tiny", 1))
    manifest = second.manifest
    assert (second.ref, manifest.lineage.parents, manifest.runtime) == ("tiny@2", ("tiny@1",), "sentence")
    assert manifest.signature == first.manifest.signature
    assert manifest.files["tokenizer.json"] == first.manifest.files["tokenizer.json"]
    plain, eight = (checkout(registry.store, item.manifest.files, tmp_path / "cache") for item in (first, second))
    found = embed(eight, tiny_bert.signature, PHRASES, together=True)
    np.testing.assert_array_equal(found, embed(eight, tiny_bert.signature, PHRASES, together=False))
    told = cosines(found, embed(plain, tiny_bert.signature, PHRASES, together=False))
    assert manifest.metrics["agreement_worst_cosine"] == pytest.approx(told.worst, abs=1e-6)
    assert manifest.metrics["agreement_mean_cosine"] == pytest.approx(told.mean, abs=1e-6)
    assert 0.9 < told.worst < told.mean < 1
    assert not read_settings(eight).together, "its activations are scaled by all that is in a call"
    with pytest.raises(Invalid, match="quantised already"):
        quantize(registry, ("tiny", 2))


def test_too_little_agreement_is_refused_with_the_figures(registry: SmallRegistry, tiny_bert: SentenceModel) -> None:
    submit(registry, tiny_bert.archive)
    with pytest.raises(Invalid, match=r"the worst cosine is 0\.\d+, the mean 0\.\d+, wanted is 1;") as caught:
        quantize(registry, ("tiny", 1), 1.0)
    assert caught.value.field == "min_cosine"
    with pytest.raises(Invalid, match="lies between"):
        quantize(registry, ("tiny", 1), 1.5)
    with registry.database.reading() as session:
        assert [entry.versions for entry in catalog.list_models(session)] == [1]


def test_only_sentence_models_are_quantised(registry: SmallRegistry) -> None:
    registry.register("plain")
    with pytest.raises(Invalid, match="plain@1 runs as onnx; only sentence models are quantised"):
        quantize(registry, ("plain", 1))


def rewritten(source: Path, target: Path, change: Callable[[Files], object], how: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(source) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    with zipfile.ZipFile(target, "w", how) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return target


def _moved(files: Files) -> None:
    check = json.loads(files["check.json"])
    check["vectors"][3][0] += 0.01
    files["check.json"] = json.dumps(check).encode()


def _said(**more: object) -> Callable[[Files], None]:
    def change(files: Files) -> None:
        files["check.json"] = json.dumps({**json.loads(files["check.json"]), **more}).encode()

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_moved, r"disagrees .* on 1 of 35 texts: worst difference 0\.01, tolerance 1e-05"),
        (lambda files: files.pop("tokenizer.json"), "a sentence model is model.onnx, tokenizer.json, sentence.json"),
        (lambda files: files.update({"../evil": b""}), r"holds \.\./evil"),
        (lambda files: files.update({"model.onnx": b"\xff" * 50}), "model.onnx is not a valid ONNX model"),
        (lambda files: files.update({"tokenizer.json": b"{}"}), "tokenizer.json is no tokenizer"),
        (lambda files: files.update({"sentence.json": b"{}"}), "sentence.json does not say"),
        (lambda files: files.update({"check.json": b"[]"}), "needs 2 to 1000 texts"),
        (_said(texts=["one"]), "needs 2 to 1000 texts"),
        (_said(texts=["one", 2]), "needs 2 to 1000 texts"),
        (_said(vectors=[[1.0], ["x"]]), "no table of numbers"),
        (_said(vectors=[[1.0] * SIZE]), "35 texts and vectors of shape"),
        (_said(vectors=[[1.0]] * 35), r"vectors of shape \[35, 32\], expected \[35, 1\]"),
        (_said(packages={"torch": 2}), "names and versions"),
    ],
)
def test_an_archive_that_is_not_right_is_refused(
    registry: SmallRegistry, tiny_bert: SentenceModel, tmp_path: Path, change: Callable[[Files], object], words: str
) -> None:
    with pytest.raises(Invalid, match=words):
        submit(registry, rewritten(tiny_bert.archive, tmp_path / "x.zip", change))
    with registry.database.reading() as session:
        assert not catalog.list_models(session)
    assert not list(registry.store.digests())


def test_what_would_inflate_is_not_opened(registry: SmallRegistry, tiny_bert: SentenceModel, tmp_path: Path) -> None:
    packed = rewritten(tiny_bert.archive, tmp_path / "x.zip", lambda files: None, zipfile.ZIP_DEFLATED)
    with pytest.raises(Invalid, match="is compressed; store its files as they are"):
        submit(registry, packed)
    (tmp_path / "noise.zip").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(Invalid, match=r"noise\.zip is not an archive"):
        submit(registry, tmp_path / "noise.zip")


def test_a_graph_that_is_no_encoder_is_refused(
    registry: SmallRegistry, tiny_bert: SentenceModel, tmp_path: Path
) -> None:
    from aimass.testing.desk import times

    shutil.copyfile(tiny_bert.archive, tmp_path / "a.zip")
    wrong = rewritten(tmp_path / "a.zip", tmp_path / "x.zip", lambda files: files.update({"model.onnx": times(2.0)}))
    with pytest.raises(Invalid, match=r"must read input_ids INT64 \[rows, length\], attention_mask INT64"):
        submit(registry, wrong)
