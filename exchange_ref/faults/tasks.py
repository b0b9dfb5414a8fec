"""Work beside the load that ends with its fault."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager


@asynccontextmanager
async def cancelled_at_end(*works: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run `works` in the background of the block and cancel them behind it.

    Raises:
        Exception: what one of them failed with; a fault that does not happen must not be labelled.
    """
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception):
            raise end
