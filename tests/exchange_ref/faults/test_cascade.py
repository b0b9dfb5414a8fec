from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path

from exchange_ref.faults.labels import LabelFile
from exchange_ref.faults.runner import FaultRunner
from exchange_ref.faults.schedule import parse_schedule
from exchange_ref.services.wallet import RetryPolicy
from tests.pace import patience_s, until

DELAY_MS = 450


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
            text = f"faults: [{{kind: db_slow, at_s: 0, for_s: 600, params: {{delay_ms: {DELAY_MS}}}}}]"
            runner = FaultRunner(parse_schedule(text, "test"), running.target(), labels, stop)
            loading = asyncio.create_task(running.load.run(stop))
            await until(lambda: len(running.load.answered) >= 30)
            began_ns = running.target().now_ns()

            def has_spread() -> bool:
                witness = running.exchange.witness
                slow = [
                    run
                    for run in witness.runs("kx-exchange", "SELECT wallets")
                    if run.start_unix_nano > began_ns
                ]
                ids = {run.trace_id for run in slow}
                posts = Counter(run.trace_id for run in witness.runs("kx-wallet", "POST"))
                took_ms = max(((run.end_unix_nano - run.start_unix_nano) / 1e6 for run in slow), default=0)
                again = sum(posts[trace_id] > 1 for trace_id in ids)
                return took_ms > 2 * DELAY_MS and len(ids) >= 40 and again > 0.6 * len(ids)

            runner.start()
            await until(has_spread, 30)
            runner.end("db_slow-1")
            await until(runner.labels, 30)
            stop.set()
            await loading
            await runner.finish()
            labels.close()
            await running.load.settle(patience_s(10.0))
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
    assert max(reads_ms) > 2 * DELAY_MS
