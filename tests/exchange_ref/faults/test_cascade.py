from __future__ import annotations

import asyncio
import json
from pathlib import Path

from exchange_ref.faults.labels import LabelFile
from exchange_ref.faults.runner import FaultRunner
from exchange_ref.faults.schedule import parse_schedule
from exchange_ref.services.wallet import RetryPolicy
from tests.exchange_ref.faults.ending import stop_after


def test_a_strong_fault_brings_others_with_it_and_its_label_names_the_first(
    open_exchange, tmp_path: Path
) -> None:
    """A database slower than the clients' patience makes them ask again, and the repeats queue for
    connections until reads take several times the delay; the label names the database alone."""

    async def main():
        async with open_exchange() as running:
            running.exchange.wallet.retry = RetryPolicy(3, 0.25, 0.05)
            running.load.rate_per_s = 60.0
            labels, stop = LabelFile(tmp_path / "labels.jsonl"), asyncio.Event()
            text = "faults: [{kind: db_slow, at_s: 0.6, for_s: 3.0, params: {delay_ms: 450}}]"
            schedule = parse_schedule(text, "test")
            runner = FaultRunner(schedule, running.target(), labels, stop)
            runner.start()
            await asyncio.gather(running.load.run(stop), stop_after(3.6, schedule, runner, stop))
            await runner.finish()
            labels.close()
            await running.load.settle(10.0)
            return running.traces()

    traces = asyncio.run(main())
    (label,) = [json.loads(line) for line in (tmp_path / "labels.jsonl").read_text().splitlines()]
    assert (label["impact_verified"], label["root_operation"]) == (True, "SELECT wallets")
    met = [traces[trace_id] for trace_id in label["trace_ids"]]
    asked_again = sum(sum(span.name == "POST" for span in spans) > 1 for spans in met)
    assert asked_again > len(met) / 2
    reads_ms = [
        (span.end_time - span.start_time) / 1e6
        for spans in met
        for span in spans
        if span.name == "SELECT wallets"
    ]
    assert max(reads_ms) > 2 * 450
