"""Waits until a load has come at its rate: a machine that stalls sends late orders at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.pace import until

_LEAST_S = 1.0
_SHARES = 0.6, 1.45  # in a second at 100/s chance alone leaves this once in ten thousand


async def at_its_rate(count: Callable[[], int], rate_per_s: float) -> None:
    """Wait until as many have come in all the time since now as the rate says, and a second is over."""
    loop = asyncio.get_running_loop()
    begun_s, begun = loop.time(), count()

    def has_come() -> bool:
        elapsed_s = loop.time() - begun_s
        share = (count() - begun) / (elapsed_s * rate_per_s) if elapsed_s >= _LEAST_S else 0.0
        return _SHARES[0] <= share <= _SHARES[1]

    await until(has_come)
