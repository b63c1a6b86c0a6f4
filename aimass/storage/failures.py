"""What goes wrong with an artifact, in words that name it and the next step."""

from collections.abc import Iterator
from contextlib import contextmanager

from aimass.core.errors import Invalid, NotFound, Unavailable
from aimass.core.ids import Digest


@contextmanager
def said_plainly(digest: Digest) -> Iterator[None]:
    """Turn a store's ``OSError`` into ours."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound(
            f"artifact {digest} is missing from the store; restore it from a backup or register its version again"
        ) from error
    except OSError as error:
        raise Unavailable(
            f"artifact {digest}: {error.strerror or error}; `aimass doctor` looks at disk and permissions"
        ) from error


def check_hash(digest: Digest, found: str) -> None:
    """``Invalid`` when the bytes under ``digest`` hash to something else."""
    if found != digest:
        raise Invalid(
            f"artifact {digest} is corrupted: its bytes hash to {found}; restore it from a backup or register its "
            "version again"
        )
