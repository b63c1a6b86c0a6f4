"""An event loop whose time jumps to the next timer instead of passing: hours of traffic in milliseconds, exactly."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class VirtualLoop(asyncio.SelectorEventLoop):
    """Waits for nothing; a program that would wait for ever fails. Is a ``Clock`` as well."""

    def __init__(self) -> None:
        self._virtual = 1000.0
        super().__init__(_Jumping(self._jump))
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self._virtual

    def monotonic(self) -> float:
        return self._virtual

    def now(self) -> float:
        return self._virtual

    def work(self, seconds: float) -> None:
        """Its thread is busy for so long."""
        self._virtual += seconds

    def _jump(self, seconds: float) -> None:
        self._virtual += seconds


class _Jumping(selectors.DefaultSelector):
    def __init__(self, jump: Callable[[float], None]) -> None:
        super().__init__()
        self._jump = jump

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise AssertionError("everybody waits for ever")
        self._jump(max(0.0, timeout))
        return super().select(0)


def run(program: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    """What the program returns; it gets its loop, which is its clock."""
    loop = VirtualLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(program(loop))
