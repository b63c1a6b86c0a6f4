"""Private columns: hashed or encrypted before anything is written, by keys derived from one file of the home.

AES-256-GCM with a random nonce (NIST SP 800-38D, 8.2.2: at most 2^32 messages under one key, so every service and day
has a key of its own), and keyed BLAKE2b (RFC 7693). What is encrypted is bound to its request and column.
"""

import os
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from time import gmtime, strftime

from aimass.core.batch import Array
from aimass.core.errors import Unavailable
from aimass.core.home import write_whole
from aimass.core.signature import datatype_of
from aimass.monitoring.payloads.payload import Column, Form, Payload
from aimass.monitoring.payloads.tensors import row_bytes, to_bytes

KEY_BYTES = 32
MASK_BYTES = 16
NONCE_BYTES = 12


@dataclass(frozen=True)
class Private:
    """What a service keeps to itself, by column names."""

    mask: frozenset[str] = frozenset()
    encrypt: frozenset[str] = frozenset()

    @classmethod
    def of(cls, mask: Collection[str], encrypt: Collection[str]) -> "Private":
        return cls(frozenset(mask), frozenset(encrypt))


class Secrets:
    """The platform's key, read when it is first needed. Safe to use from several threads and processes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._key = b""

    def column(self, name: str, is_input: bool, array: Array, call: tuple[str, str, float], private: Private) -> Column:
        """A tensor as it may lie on disk. ``call``: request id, service, time. ``OSError`` where there is no key yet
        and none can be written, ``Unavailable`` where its file holds none."""
        datatype, shape = datatype_of(array.dtype), tuple(array.shape)
        if name in private.mask:
            return Column(name, is_input, datatype, shape, Form.MASKED, self._mask(name, array, call[1]))
        data = to_bytes(array)
        if name not in private.encrypt:
            return Column(name, is_input, datatype, shape, Form.PLAIN, data)
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._cipher(call[1], call[2]).encrypt(nonce, data, _about(call[0], name))
        return Column(name, is_input, datatype, shape, Form.SEALED, nonce + sealed)

    def open(self, payload: Payload) -> Payload:
        """With its encrypted columns as they were; ``Unavailable`` where the key is gone, or another."""
        return payload.with_columns(tuple(self._opened(payload, column) for column in payload.columns))

    def _opened(self, payload: Payload, column: Column) -> Column:
        if column.form != Form.SEALED:
            return column
        from cryptography.exceptions import InvalidTag

        if not self._path.exists():
            raise Unavailable(f"{self._path} is gone, so what was encrypted cannot be read; put its copy back")
        nonce, sealed = column.data[:NONCE_BYTES], column.data[NONCE_BYTES:]
        about = _about(payload.request_id, column.name)
        try:
            data = self._cipher(payload.service, payload.at).decrypt(nonce, sealed, about)
        except InvalidTag:
            what = f"column {column.name!r} of request {payload.request_id}"
            raise Unavailable(f"{self._path} does not open {what}: it is another key, or the file is damaged") from None
        return Column(column.name, column.is_input, column.datatype, column.shape, Form.PLAIN, data)

    def _mask(self, name: str, array: Array, service: str) -> bytes:
        key = self._derived(f"mask/{service}/{name}")
        return b"".join(blake2b(row, digest_size=MASK_BYTES, key=key).digest() for row in row_bytes(array))

    def _cipher(self, service: str, at: float) -> "_Cipher":
        return _cipher(self._derived(f"encrypt/{service}/{day_of(at)}"))

    def _derived(self, purpose: str) -> bytes:
        if not self._key:
            self._key = _read_key(self._path)
        return blake2b(purpose.encode(), digest_size=KEY_BYTES, key=self._key).digest()


def day_of(at: float) -> str:
    """The day in UTC, as 2026-11-21."""
    return strftime("%Y-%m-%d", gmtime(at))


class _Cipher:
    def __init__(self, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        cipher = AESGCM(key)
        self.encrypt, self.decrypt = cipher.encrypt, cipher.decrypt


@lru_cache(maxsize=64)
def _cipher(key: bytes) -> _Cipher:
    return _Cipher(key)


def _about(request_id: str, name: str) -> bytes:
    return f"{request_id}/{name}".encode()


def _read_key(path: Path) -> bytes:
    """The key; whoever comes first makes it, and all others take that one. ``Unavailable`` where the file holds none:
    under an empty one anybody could read what was encrypted."""
    if not path.exists():
        _make_key(path)
    try:
        key = bytes.fromhex(path.read_text())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise Unavailable(
            f"{path} holds no key of {KEY_BYTES} bytes in hex; put its copy back, or remove it for a new key, under "
            "which what was encrypted before cannot be read"
        )
    return key


def _make_key(path: Path) -> None:
    mine = path.with_name(f"{path.name}.{os.getpid()}.new")
    write_whole(mine, os.urandom(KEY_BYTES).hex().encode())
    try:
        _sync(mine)
        with suppress(FileExistsError):
            os.link(mine, path)
    finally:
        mine.unlink(missing_ok=True)
    _sync(path.parent)


def _sync(path: Path) -> None:
    """Once in a home's life: a power loss must not leave a name without its bytes."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
