"""Texts as token ids, by the model's own ``tokenizer.json``. The tokenizer works in Rust and without the GIL."""

import os
from pathlib import Path
from typing import Any

from aimass.core.batch import Array
from aimass.core.errors import Invalid, NotFound
from aimass.runtimes.text.files import TEXT, TOKENIZER_FILE

MAX_CHARACTERS = 100_000
"""Of one text. All of it is split before the model's first tokens are taken: 100,000 take some 20 ms."""


class TextReader:
    """May be used from several threads at once."""

    def __init__(self, folder: Path, max_tokens: int) -> None:
        path = folder / TOKENIZER_FILE
        if not path.is_file():
            raise NotFound(f"{path} does not exist; a sentence version needs this file")
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # a replica's threads answer many callers already
        self._tokenizer = _open(path)
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length=max_tokens)

    def read(self, texts: Array) -> list[list[int]]:
        """The ids of each text, special ones included, cut at the model's length; ``Invalid`` for what is no text."""
        words = [_check(item, row) for row, item in enumerate(texts)]
        if len(words) == 1:
            return [self._tokenizer.encode(words[0]).ids]
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(words)]


def _open(path: Path) -> Any:
    try:
        from tokenizers import Tokenizer
    except ModuleNotFoundError as error:
        raise Invalid(
            "sentence models need the package 'tokenizers'; in the project's folder: "
            "pip install -c constraints.txt -e '.[text]'"
        ) from error
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises nothing narrower
        raise Invalid(f"{path} is no tokenizer: {error}") from error


def _check(item: Any, row: int) -> str:
    if isinstance(item, bytes):
        item = item.decode("utf-8", "replace")
    if not isinstance(item, str):
        raise Invalid(f"row {row} of {TEXT!r} is {type(item).__name__}; send text", field=TEXT)
    if not item.isascii():
        _check_unicode(item, row)
    if len(item) > MAX_CHARACTERS:
        raise Invalid(
            f"row {row} of {TEXT!r} has {len(item):,} characters; a text may have {MAX_CHARACTERS:,}", field=TEXT
        )
    return item


def _check_unicode(item: str, row: int) -> None:
    try:
        item.encode()
    except UnicodeEncodeError as error:
        raise Invalid(f"row {row} of {TEXT!r} holds half a character: {error.reason}", field=TEXT) from None
