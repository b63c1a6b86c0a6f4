"""Ctrl-C, ``kill`` and a closed terminal all mean the same: one KeyboardInterrupt, then an undisturbed stop."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Whether the stop was asked for; asked again, nothing changes."""

    def __init__(self) -> None:
        self.asked = False

    def install(self) -> None:
        """Takes the signals over; again after a library took them itself, as Ray does with SIGTERM."""
        for number in _NUMBERS:
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self.asked:
            self.asked = True
            raise KeyboardInterrupt


@contextmanager
def interrupts() -> Iterator[Interrupts]:
    """Signals become one KeyboardInterrupt inside; afterwards they mean what they meant before."""
    before = {number: signal.getsignal(number) for number in _NUMBERS}
    taken = Interrupts()
    taken.install()
    try:
        yield taken
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
