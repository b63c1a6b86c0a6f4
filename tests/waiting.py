"""What tests wait by."""

import asyncio
from collections.abc import Callable
from typing import Any


async def until(is_so: Callable[[], Any]) -> None:
    """Wait for what is sure to come and no event tells of."""
    async with asyncio.timeout(30):
        while not is_so():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.002)
