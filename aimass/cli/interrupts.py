"""Ctrl-C, ``kill`` and a closed terminal all mean the same: one KeyboardInterrupt, then an undisturbed stop."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_BY = {
    signal.SIGINT: "Ctrl-C",
    signal.SIGTERM: "aimass down or kill",
    signal.SIGHUP: "the end of its terminal",
}


class Interrupts:
    """Whether the stop was asked for, and by what; asked again, nothing changes."""

    def __init__(self) -> None:
        self.by = ""

    def install(self) -> None:
        """Takes the signals over; again after a library may have taken some.

        A stop that was asked for and was lost on the way up is asked for again: what is raised in the middle of a fork,
        where only hooks run, is lost.
        """
        for number in _BY:
            signal.signal(number, self._on_signal)
        if self.by:
            raise KeyboardInterrupt

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self.by:
            self.by = _BY[signal.Signals(number)]
            raise KeyboardInterrupt


@contextmanager
def interrupts() -> Iterator[Interrupts]:
    """Signals become one KeyboardInterrupt inside; afterwards they mean what they meant before."""
    before = {number: signal.getsignal(number) for number in _BY}
    taken = Interrupts()
    taken.install()
    try:
        yield taken
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
