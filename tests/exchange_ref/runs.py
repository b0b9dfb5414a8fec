"""Runs a whole exchange for as long as it takes to see something, however often the machine stalls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from exchange_ref.run import RunOptions, run_until
from exchange_ref.telemetry.outputs import Exporters
from tests.pace import until


def run_till(options: RunOptions, exporters: Exporters, seen: Callable[[], object]) -> dict[str, object]:
    """The report of a run that ends when `seen` is true."""

    async def main() -> dict[str, object]:
        stop = asyncio.Event()

        async def end() -> None:
            try:
                await until(seen, 30)
            finally:
                stop.set()

        report, _ = await asyncio.gather(run_until(options, exporters, lambda _: None, stop), end())
        return report

    return asyncio.run(main())


def accepted(options: RunOptions) -> int:
    """How many orders the run has accepted so far."""
    try:
        return (options.exchange.data / "accepted.jsonl").read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0
