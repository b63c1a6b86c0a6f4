"""YAML documents (recipes, services) read into pydantic models, with errors that name line and field."""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from aimass.core.errors import DocumentError, Invalid

M = TypeVar("M", bound=BaseModel)
Lines = dict[tuple[str | int, ...], int]


class Document:
    """A parsed YAML mapping that knows on which line each of its keys stands."""

    def __init__(self, text: str, name: str) -> None:
        self.text = text
        self.name = name
        self.lines: Lines = {}
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
            if not isinstance(root, yaml.MappingNode):
                raise DocumentError(f"{name}:1: expected a mapping of keys to values", line=1)
            self._index(root, (), set())
            self.data: dict[str, Any] = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date such as 2026-13-01
            mark = getattr(error, "problem_mark", None)
            line = mark.line + 1 if mark else 0
            problem = getattr(error, "problem", None) or str(error)
            raise DocumentError(f"{name}:{line}: not valid YAML: {problem}", line=line) from error

    @classmethod
    def read(cls, path: Path) -> "Document":
        """The file's document; a missing or unreadable file is ``Invalid``."""
        try:
            return cls(path.read_text(encoding="utf-8"), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise Invalid(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error

    def parse(self, model: type[M]) -> M:
        """The document as ``model``; the first thing wrong is a ``DocumentError`` with its line and field.

        An unknown key comes first: it is often the one that seems to be missing, misspelt.
        """
        try:
            return model.model_validate(self.data)
        except ValidationError as error:
            problems = error.errors()
            first = next((item for item in problems if item["type"] == "extra_forbidden"), problems[0])
            problem = first["msg"].removeprefix("Value error, ")
            if first["type"] == "extra_forbidden":
                problem = "unknown key; remove it or mind the spelling"
            raise self.error(problem, *(part for part in first["loc"] if part != "[key]")) from None

    def error(self, problem: str, *location: str | int) -> DocumentError:
        """An error at a place of this document, by the nearest key that stands in it."""
        present = location
        while present and present not in self.lines:
            present = present[:-1]
        line = self.lines.get(present, 1)
        field = ".".join(str(part) for part in location)
        return DocumentError(f"{self.name}:{line}: {field}: {problem}", field=field, line=line)

    def _index(self, node: yaml.Node, path: tuple[str | int, ...], met: set[int]) -> None:
        if isinstance(node, yaml.CollectionNode) and id(node) in met:  # a few lines of them can mean billions of values
            line = node.start_mark.line + 1
            raise DocumentError(f"{self.name}:{line}: aliases of mappings and lists are not read; repeat it", line=line)
        met.add(id(node))
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                self._index(value, self._place(key, path), met)
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                self.lines[(*path, index)] = value.start_mark.line + 1
                self._index(value, (*path, index), met)

    def _place(self, key: yaml.Node, path: tuple[str | int, ...]) -> tuple[str | int, ...]:
        line = key.start_mark.line + 1
        if key.tag != "tag:yaml.org,2002:str":
            raise DocumentError(f"{self.name}:{line}: a key must be a word; quote it if it looks otherwise", line=line)
        place = (*path, key.value)
        if place in self.lines:
            field = ".".join(map(str, place))
            raise DocumentError(f"{self.name}:{line}: {field}: given twice", line=line, field=key.value)
        self.lines[place] = line
        return place
