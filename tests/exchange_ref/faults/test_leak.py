"""Does a trace tell by its words that something was wrong? Where a fault is not meant to show in them, it
must not: then only times and values tell, as in production.

A naive Bayes classifier reads the set of (service, span name, attribute key) of each trace and nothing else.
"""

from __future__ import annotations

import asyncio
import json
import random

import numpy as np
import pytest
from numpy.typing import NDArray
from opentelemetry.sdk.trace import ReadableSpan
from scipy.stats import rankdata, t

from exchange_ref.faults.labels import LabelFile
from exchange_ref.faults.runner import FaultRunner
from exchange_ref.faults.schedule import Schedule, build_fault
from tests.pace import patience_s, slowness, until

# Faults that change times, values or sequence numbers, one after another. Those that repeat or fail something
# show in what spans there are, and are meant to; a slow price feed meets market orders alone, which have no
# `order.price`, fault or not.
SILENT = {
    "db_slow": {"delay_ms": 30},
    "db_lock": {"hold_ms": 40, "every_ms": 60},
    "broker_delay": {"delay_ms": 40},
    "consumer_lag": {"hold_ms": 40, "every_ms": 40},
    "hot_symbol_contention": {"hold_ms": 30, "every_ms": 30},
    "fsync_stall": {"stall_ms": 30, "share": 0.5},
    "cpu_hog": {"work_ms": 20, "share": 0.5},
    "gateway_delay": {"delay_ms": 40},
    "wallet_slow_client": {"delay_ms": 40},
    "stale_price": {},
    "pool_exhaustion": {"hold_ms": 40},
}
# Its load goes at the machine's pace, which another test beside it would change on its way.
pytestmark = [pytest.mark.timeout(900), pytest.mark.alone]
RATE_PER_S, LASTS_S, PAUSE_S = 60.0, 0.6, 0.4
FOLDS = 5
SHUFFLES = 1000
ALARM = float(t.isf(1e-4, SHUFFLES - 1))  # chance alone passes it once in 10,000 runs
BoolArray = NDArray[np.bool_]


def words_of(spans: list[ReadableSpan]) -> frozenset[str]:
    said = set()
    for span in spans:
        place = f"{span.resource.attributes['service.name']}/{span.name}"
        said.add(place)
        said.update(f"{place}/{key}" for key in span.attributes or {})
        said.update(f"resource/{key}" for key in span.resource.attributes)
        said.update(
            f"{place}/event/{event.name}/{key}" for event in span.events for key in event.attributes or {}
        )
    return frozenset(said)


def aucs(words: BoolArray, marked: BoolArray) -> NDArray[np.float64]:
    """Of each marking: how well the words tell its marked traces, as area under the ROC curve.

    The model is Bernoulli naive Bayes with Laplace smoothing; what scores a trace has not seen it.

    Args:
        words: (traces, words), whether a trace has a word.
        marked: (markings, traces).
    """
    scores = np.zeros(marked.shape)
    fold_of = np.arange(len(words)) % FOLDS
    present = words.astype(np.float64)
    for fold in range(FOLDS):
        train, test = fold_of != fold, fold_of == fold
        for side, sign in ((marked[:, train], 1), (~marked[:, train], -1)):
            chance = (side @ present[train] + 1) / (side.sum(axis=1, keepdims=True) + 2)
            absent = np.log(1 - chance)
            scores[:, test] += sign * (
                (np.log(chance) - absent) @ present[test].T + absent.sum(axis=1, keepdims=True)
            )
    # The chance that a marked one scores higher than another; equal scores count half (Mann-Whitney).
    ranks = rankdata(scores.round(9), axis=1)
    count = marked.sum(axis=1)
    above = np.where(marked, ranks, 0.0).sum(axis=1) - count * (count + 1) / 2
    return np.asarray(above / (count * (len(words) - count)), dtype=np.float64)


def deviation(traces: list[frozenset[str]], marked: list[bool]) -> float:
    """By how many standard errors the words tell the marked traces better than they tell as many others.

    What cross-validation gives without any information is not .5, and varies more than the rank sum of one
    fixed ranking: so both are read off the same classifier on shuffled marks (a permutation test).
    """
    vocabulary = sorted(frozenset.union(*traces))
    words = np.array([[word in trace for word in vocabulary] for trace in traces])
    rng = np.random.default_rng(3)
    shuffled = np.array([rng.permutation(marked) for _ in range(SHUFFLES)])
    by_chance = aucs(words, shuffled)
    (found,) = aucs(words, np.array([marked]))
    error = by_chance.std(ddof=1) * np.sqrt(1 + 1 / SHUFFLES)
    return float((found - by_chance.mean()) / error)


@pytest.fixture(scope="module")
def played(
    start_exchange, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, list[ReadableSpan]], list[dict[str, object]]]:
    """Traces, and the labels of the faults that they met, in about 13 s on the machine of `pace`."""
    folder = tmp_path_factory.mktemp("leak")
    times = slowness()  # an exchange that cannot keep up fails orders: as many of them, at its own pace

    async def main() -> dict[str, list[ReadableSpan]]:
        async with start_exchange(folder / "exchange") as running:
            load, labels, stop = running.load, LabelFile(folder / "labels.jsonl"), asyncio.Event()
            load.rate_per_s = RATE_PER_S / times
            runner = FaultRunner(Schedule(5, ()), running.target(), labels, stop)

            async def go_on(seconds: float) -> None:
                """So long, and until as many orders have come: behind a stall they come late."""
                due = load.counters.sent + round(seconds * RATE_PER_S * 0.8)
                await asyncio.sleep(seconds * times)
                await until(lambda: load.counters.sent >= due, 30)

            loading = asyncio.create_task(load.run(stop))
            await go_on(2.0)
            for number, (kind, params) in enumerate(SILENT.items(), start=1):
                fault_id = runner.launch(kind, build_fault(kind, 3_600, params))
                await go_on(LASTS_S)
                runner.end(fault_id)
                await until(lambda number=number: len(labels.labels) == number, 30)
                await go_on(PAUSE_S)
            stop.set()
            await loading
            await runner.finish()
            labels.close()
            await load.settle(patience_s(10.0))
            return running.traces()

    traces = asyncio.run(main())
    return traces, [json.loads(line) for line in (folder / "labels.jsonl").read_text().splitlines()]


def test_words_alone_do_not_tell_a_faulty_trace(played) -> None:
    """A classifier of span names and attribute keys is no better than chance, over all these faults."""
    traces, labels = played
    affected = {trace_id for label in labels for trace_id in label["trace_ids"]}
    assert len(affected) > 150
    assert {label["kind"] for label in labels} == set(SILENT)
    order = sorted(traces)
    random.Random(1).shuffle(order)
    found = deviation([words_of(traces[one]) for one in order], [one in affected for one in order])
    assert found <= ALARM, found


def test_the_classifier_would_find_a_word(played) -> None:
    """One attribute key on a third of the faulty traces is found, so silence above means something."""
    traces, labels = played
    affected = sorted({trace_id for label in labels for trace_id in label["trace_ids"]} & set(traces))
    telling = set(random.Random(2).sample(affected, len(affected) // 3))
    order = sorted(traces)
    random.Random(1).shuffle(order)
    words = [words_of(traces[one]) | ({"kx-exchange/retried"} if one in telling else set()) for one in order]
    marked = set(affected)
    assert deviation([frozenset(said) for said in words], [one in marked for one in order]) > ALARM
