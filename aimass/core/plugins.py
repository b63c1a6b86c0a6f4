"""The one extension mechanism: a key of a table, or any ``module:attribute``, to the thing it names."""

import importlib
from collections.abc import Mapping
from typing import Any

from aimass.core.errors import Invalid

Table = Mapping[str, str]


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
