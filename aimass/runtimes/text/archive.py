"""A sentence model on its way to a platform: one zip of its files, and of vectors that the platform can check it by."""

import json
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from aimass.core.batch import Array
from aimass.core.errors import Invalid
from aimass.runtimes.text.files import FILES

CHECK_FILE = "check.json"
NAMES = (*FILES, CHECK_FILE)
MAX_TEXTS = 1000


@dataclass(frozen=True)
class Check:
    """Texts and what the model that the graph was made from says of them, FP32 [texts, size]; ``packages`` did so."""

    texts: list[str]
    vectors: Array
    packages: Mapping[str, str] = field(default_factory=dict)


def write_archive(path: Path, folder: Path, check: Check) -> None:
    """The folder's files and the check, stored as they are: weights do not compress."""
    said = {"texts": check.texts, "vectors": check.vectors.tolist(), "packages": dict(check.packages)}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name in FILES:
            archive.write(folder / name, name)
        archive.writestr(CHECK_FILE, json.dumps(said))


def read_archive(path: Path, folder: Path) -> Check:
    """Write the archive's files into ``folder``; ``Invalid`` says what is missing or too much.

    Nothing is inflated, so that all of it is no larger than the archive; no name but the four is opened.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found = {item.filename: item for item in archive.infolist()}
            if set(found) != set(NAMES):
                raise Invalid(
                    f"{path.name} holds {', '.join(sorted(found)) or 'nothing'}; a sentence model is "
                    f"{', '.join(NAMES)}: give `aimass models add` the Hugging Face folder, which makes them"
                )
            if any(item.compress_type != zipfile.ZIP_STORED for item in found.values()):
                raise Invalid(f"{path.name} is compressed; store its files as they are (zip -0)")
            for name in FILES:
                with archive.open(name) as source, (folder / name).open("wb") as target:
                    shutil.copyfileobj(source, target)
            return _check(path, json.loads(archive.read(CHECK_FILE)))
    except (zipfile.BadZipFile, ValueError, RuntimeError, NotImplementedError, EOFError) as error:
        raise Invalid(f"{path.name} is not an archive of a sentence model: {error}") from error


def _check(path: Path, said: Any) -> Check:
    texts, vectors = (said.get("texts"), said.get("vectors")) if isinstance(said, dict) else (None, None)
    packages = said.get("packages", {}) if isinstance(said, dict) else {}
    if not isinstance(texts, list) or not 1 < len(texts) <= MAX_TEXTS or not all(type(text) is str for text in texts):
        raise Invalid(f"{path.name}: {CHECK_FILE} needs 2 to {MAX_TEXTS} texts")
    if not isinstance(packages, dict) or not all(type(item) is str for pair in packages.items() for item in pair):
        raise Invalid(f"{path.name}: packages in {CHECK_FILE} are names and versions")
    try:
        array = np.array(vectors, np.float32)
    except (ValueError, TypeError) as error:
        raise Invalid(f"{path.name}: vectors in {CHECK_FILE} are no table of numbers: {error}") from error
    if array.ndim != 2 or len(array) != len(texts):
        raise Invalid(f"{path.name}: {CHECK_FILE} has {len(texts)} texts and vectors of shape {list(array.shape)}")
    return Check(texts, array, packages)
