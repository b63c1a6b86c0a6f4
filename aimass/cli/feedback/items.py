"""Feedback as people write it: a label on the command line, many items in a file."""

import json
from pathlib import Path
from typing import Any

from aimass.core.errors import Invalid


def read_label(text: str) -> int | str | bool:
    """A whole number or a truth value where it reads so, a text in quotes as it says, anything else as it is."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int | str) else text


def read_file(path: Path) -> list[dict[str, Any]]:
    """One item a line; empty lines count for nothing. ``Invalid`` names the line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"cannot read {path}: {error}", "file") from error
    items = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                item = json.loads(line)
            except ValueError as error:
                raise Invalid(f"{path}:{number} is not JSON: {error}", "file") from None
            if not isinstance(item, dict):
                raise Invalid(f"{path}:{number} is not an object with request_id, row, and label or reward", "file")
            items.append(item)
    if not items:
        raise Invalid(f"{path} holds no item of feedback", "file")
    return items
