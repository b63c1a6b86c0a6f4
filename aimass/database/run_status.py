"""How a run stands."""

from enum import StrEnum


class RunStatus(StrEnum):
    """From queued to one of the last three, where it stays."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


ACTIVE = (RunStatus.QUEUED, RunStatus.RUNNING)
