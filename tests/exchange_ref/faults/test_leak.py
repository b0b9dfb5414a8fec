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

from exchange_ref.faults.labels import LabelFile
from exchange_ref.faults.runner import FaultRunner
from exchange_ref.faults.schedule import parse_schedule

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
LASTS_S, PAUSE_S = 0.6, 0.4
FOLDS = 5


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


def auc(scores: NDArray[np.float64], marked: NDArray[np.bool_]) -> float:
    """The chance that a marked one scores higher than another one; equal scores count half (Mann–Whitney)."""
    above = scores[marked][:, None] - scores[~marked][None, :]
    return float(((above > 0) + 0.5 * (above == 0)).mean())


def cross_validated_auc(traces: list[frozenset[str]], marked: list[bool]) -> float:
    """Of Bernoulli naive Bayes with Laplace smoothing; the model that scores a trace has not seen it."""
    vocabulary = sorted(frozenset.union(*traces))
    present = np.array([[word in trace for word in vocabulary] for trace in traces])
    truth = np.array(marked)
    scores = np.zeros(len(traces))
    fold_of = np.arange(len(traces)) % FOLDS
    for fold in range(FOLDS):
        train, test = fold_of != fold, fold_of == fold
        odds = np.zeros(int(test.sum()))
        for side, sign in ((truth, 1), (~truth, -1)):
            chance = (present[train & side].sum(axis=0) + 1) / ((train & side).sum() + 2)
            odds += sign * np.where(present[test], np.log(chance), np.log(1 - chance)).sum(axis=1)
        scores[test] = odds
    return auc(scores, truth)


def chance_band(marked: int, others: int) -> float:
    """Three standard errors of the AUC of what knows nothing (Hanley and McNeil 1982, at .5)."""
    return 3 * float(np.sqrt((marked + others + 1) / (12 * marked * others)))


@pytest.fixture(scope="module")
def played(
    start_exchange, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, list[ReadableSpan]], list[dict[str, object]]]:
    """Traces, and the labels of the faults that they met, in about 13 s."""
    folder = tmp_path_factory.mktemp("leak")
    faults, at_s = [], 2.0
    for kind, params in SILENT.items():
        faults.append({"kind": kind, "at_s": round(at_s, 3), "for_s": LASTS_S, "params": params})
        at_s += LASTS_S + PAUSE_S
    schedule = parse_schedule(json.dumps({"seed": 5, "faults": faults}), "leak")

    async def main() -> dict[str, list[ReadableSpan]]:
        async with start_exchange(folder / "exchange") as running:
            labels, stop = LabelFile(folder / "labels.jsonl"), asyncio.Event()
            running.load.rate_per_s = 60.0
            runner = FaultRunner(schedule, running.target(), labels, stop)
            runner.start()
            asyncio.get_running_loop().call_later(at_s + 0.5, stop.set)
            await running.load.run(stop)
            await runner.finish()
            labels.close()
            await running.load.settle(5.0)
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
    found = cross_validated_auc([words_of(traces[one]) for one in order], [one in affected for one in order])
    assert abs(found - 0.5) <= chance_band(len(affected), len(traces) - len(affected)), found


def test_the_classifier_would_find_a_word(played) -> None:
    """One attribute key on a third of the faulty traces is found, so silence above means something."""
    traces, labels = played
    affected = sorted({trace_id for label in labels for trace_id in label["trace_ids"]} & set(traces))
    telling = set(random.Random(2).sample(affected, len(affected) // 3))
    order = sorted(traces)
    random.Random(1).shuffle(order)
    words = [words_of(traces[one]) | ({"kx-exchange/retried"} if one in telling else set()) for one in order]
    marked = set(affected)
    found = cross_validated_auc([frozenset(said) for said in words], [one in marked for one in order])
    assert found - 0.5 > chance_band(len(affected), len(traces) - len(affected))
