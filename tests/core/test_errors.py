"""Errors cross processes whole, one class per kind, and the tree in the docstring is the tree."""

import pickle
import re

import pytest

from aimass.core import errors
from aimass.core.errors import AimassError, Bug, DocumentError, Invalid, Kind, NotFound, of_kind


def every_class() -> list[type[AimassError]]:
    found: list[type[AimassError]] = [AimassError]
    for cls in found:
        found += cls.__subclasses__()
    return [cls for cls in found if cls.__module__ == errors.__name__]


@pytest.mark.parametrize("cls", every_class(), ids=lambda cls: cls.__name__)
def test_survives_pickling(cls: type[AimassError]) -> None:
    error = cls("digits is wrong; mend it", "graph.nodes", 2.5)
    if isinstance(error, DocumentError):
        error = DocumentError("digits is wrong; mend it", "graph.nodes", 2.5, line=7)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is cls
    assert vars(again) == vars(error)
    assert str(again) == "digits is wrong; mend it"
    assert again.args == error.args


def test_every_kind_has_one_class_of_its_own() -> None:
    for kind in Kind:
        assert of_kind(kind).kind == kind
    assert {of_kind(kind) for kind in Kind} == set(AimassError.__subclasses__())
    assert of_kind("not_found") is NotFound
    assert of_kind("from the future") is Bug


def test_the_drawn_tree_is_the_tree() -> None:
    assert errors.__doc__ is not None
    drawn = re.findall(r"[├└]── (\w+) +(\w+)?", errors.__doc__)
    tree = [cls for parent in AimassError.__subclasses__() for cls in (parent, *parent.__subclasses__())]
    ours = [cls.__name__ for cls in tree if cls.__module__ == errors.__name__]  # a package may have one for itself
    assert [name for name, _ in drawn] == ours
    for name, kind in drawn:
        assert issubclass(getattr(errors, name), Invalid) or getattr(errors, name).kind == kind
