"""The one tree of errors; each has a kind, and each protocol has its own table from kind to status.

    AimassError
    ├── NotFound           not_found         the named thing does not exist
    ├── Conflict           conflict          it exists already, or changed meanwhile
    ├── Invalid            invalid           the input is wrong; `field` says where
    │   ├── DocumentError                    a YAML document is wrong; `line` says where
    │   └── WrongMethod                      the path is there, for other methods; `allowed` names them
    ├── Unauthenticated    unauthenticated   no key, or not a good one
    ├── Denied             denied            the key lacks a scope
    ├── PaymentRequired    payment_required  no money left
    ├── TooLarge           too_large         over a size limit
    │   └── TooLargeHead   too_large         that of a request's head
    ├── Limited            limited           over a rate; `retry_after_s`
    ├── Unavailable        unavailable       cannot serve now; `retry_after_s`
    ├── Timeout            timeout           the deadline passed
    │   ├── SlowBody       timeout           that of a body on its way here: the caller was late
    │   └── SlowHead       timeout           that of a head on its way here
    └── Bug                bug               ours; never the caller's fault

Errors cross process borders by pickling, so every argument goes to ``super().__init__``.
"""

from enum import StrEnum
from typing import ClassVar


class Kind(StrEnum):
    """What went wrong, in one word that every protocol can translate."""

    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    DENIED = "denied"
    PAYMENT_REQUIRED = "payment_required"
    TOO_LARGE = "too_large"
    LIMITED = "limited"
    UNAVAILABLE = "unavailable"
    TIMEOUT = "timeout"
    BUG = "bug"


class AimassError(Exception):
    """Base of all errors; ``str(error)`` names the thing, what is wrong and the next step."""

    kind: ClassVar[Kind] = Kind.BUG

    def __init__(self, message: str, field: str = "", retry_after_s: float = 0.0) -> None:
        super().__init__(message, field, retry_after_s)
        self.message = message
        self.field = field
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return self.message


class NotFound(AimassError):
    kind = Kind.NOT_FOUND


class Conflict(AimassError):
    kind = Kind.CONFLICT


class Invalid(AimassError):
    kind = Kind.INVALID


class DocumentError(Invalid):
    """A YAML document does not say what it must; ``line`` counts from 1 (0: unknown)."""

    def __init__(self, message: str, field: str = "", retry_after_s: float = 0.0, line: int = 0) -> None:
        super().__init__(message, field, retry_after_s)
        self.args = (message, field, retry_after_s, line)
        self.line = line


class WrongMethod(Invalid):
    """The path takes other methods than the one it was called by."""

    def __init__(
        self, message: str, field: str = "", retry_after_s: float = 0.0, allowed: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message, field, retry_after_s)
        self.args = (message, field, retry_after_s, allowed)
        self.allowed = allowed


class Unauthenticated(AimassError):
    kind = Kind.UNAUTHENTICATED


class Denied(AimassError):
    kind = Kind.DENIED


class PaymentRequired(AimassError):
    kind = Kind.PAYMENT_REQUIRED


class TooLarge(AimassError):
    kind = Kind.TOO_LARGE


class TooLargeHead(TooLarge):
    """The head of a request is over its limit."""


class Limited(AimassError):
    kind = Kind.LIMITED


class Unavailable(AimassError):
    kind = Kind.UNAVAILABLE


class Timeout(AimassError):
    kind = Kind.TIMEOUT


class SlowBody(Timeout):
    """The caller did not send its body in time."""


class SlowHead(Timeout):
    """The caller did not send the head of its request in time."""


class Bug(AimassError):
    kind = Kind.BUG


def of_kind(kind: str) -> type[AimassError]:
    """The plain class for a kind that came over a wire; an unknown one is ``Bug``."""
    for cls in AimassError.__subclasses__():
        if cls.kind == kind:
            return cls
    return Bug
