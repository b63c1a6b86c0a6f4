"""The one extension mechanism: a key of a table, or any ``module:attribute``, to the thing it names."""

import importlib
import inspect
from collections.abc import Mapping
from typing import Any, TypeVar

from aimass.core.errors import Invalid

Table = Mapping[str, str]
T = TypeVar("T")


def load(table: Table, key: str, field: str = "") -> Any:
    """What ``key`` names: an entry of ``table`` (values are ``module:attribute``), or an outside target itself."""
    target = table.get(key, key)
    module_name, colon, attribute = target.partition(":")
    if not colon:
        raise Invalid(f"unknown {key!r}; known: {', '.join(sorted(table))}, or module:attribute", field=field)
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except ModuleNotFoundError as error:
        raise Invalid(f"{key!r} needs the package {error.name!r}; install it and try again", field=field) from error
    except AttributeError as error:
        raise Invalid(f"{key!r}: module {module_name} has no {attribute}", field=field) from error
    except (Exception, SystemExit) as error:  # whatever the text of a stranger's document makes a module do
        raise Invalid(f"{key!r} cannot be imported: {type(error).__name__}: {error}", field=field) from error


def load_class(table: Table, key: str, base: type[T], field: str = "") -> type[T]:
    """The class that ``key`` names; nothing is called that is not made of ``base``."""
    found = load(table, key, field)
    if not isinstance(found, type) or not issubclass(found, base) or inspect.isabstract(found):
        raise Invalid(f"{key!r} is no {base.__name__} that can be used; known: {', '.join(sorted(table))}", field=field)
    return found
