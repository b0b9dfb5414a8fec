"""A server that starts on a spool whose bytes are not what it wrote."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from collector.server import Server
from collector.settings import Settings
from collector.signals import Signal
from collector.wal.segment import Position
from collector.wal.spool import Spool
from tests.collector.receive.otlp_calls import batch, landed_count, send, wire

REQUESTS = 5


def flip_a_bit(segment: Path, record_bytes: int) -> None:
    content = bytearray(segment.read_bytes())
    content[2 * record_bytes + record_bytes // 2] ^= 4
    segment.write_bytes(content)


def cut_the_tail(segment: Path, record_bytes: int) -> None:
    with segment.open("r+b") as file:
        file.truncate(segment.stat().st_size - record_bytes // 2)


@pytest.mark.parametrize("damage", [flip_a_bit, cut_the_tail])
@pytest.mark.parametrize("signal", list(Signal), ids=lambda signal: signal.label)
def test_damaged_spool(
    settings: Settings,
    make_running: Callable[[Server], Any],
    signal: Signal,
    damage: Callable[[Path, int], None],
) -> None:
    """Only the damaged request is missing, its bytes are kept aside, and the server goes on to receive."""
    quarantine = settings.data / "quarantine"
    spool = Spool(
        settings.data / "spool",
        landed=Position(0, 0),
        max_bytes=10_000_000,
        segment_bytes=1_000_000,
        torn_folder=quarantine,
    )
    for _ in range(REQUESTS):
        spool.append(signal, wire(batch(signal, "before", 4), "grpc")).result(5)
    spool.close()
    (segment,) = (settings.data / "spool").iterdir()
    damage(segment, segment.stat().st_size // REQUESTS)

    # The spool stands alone, as after the loss of its database.
    running = make_running(Server(settings.model_copy(update={"new_database": True})))
    try:
        for transport in ("grpc", "json"):
            body = wire(batch(signal, "after", 1), transport)
            assert send(running, signal, transport, body).code == "ok"
        assert landed_count(running, signal, "before") == 4 * (REQUESTS - 1)
        assert landed_count(running, signal, "after") == 2
        assert len(list(quarantine.iterdir())) == 1
        assert running.api.get("/readyz").status_code == 200
    finally:
        running.stop()
