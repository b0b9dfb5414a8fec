"""One battery over the users of the upper-tail judge: durations and amounts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest

from detectors.baseline.learn import learn_amounts, learn_times
from detectors.baseline.models import Baselines
from detectors.model.anomaly import Anomaly
from detectors.orders.amount import detect_amounts
from detectors.settings import Settings
from detectors.spans.latency import detect_latency
from detectors.stream.span_groups import group_spans

HOUR_NS = 3_600 * 10**9
START_NS = 1_790_000_000 * 10**9


def times(values: np.ndarray, service: str = "shop", start_ns: int = START_NS) -> pa.Table:
    """Root spans of one operation, with these durations in ms."""
    count = len(values)
    return pa.table(
        {
            "trace_id": [f"{i:032x}" for i in range(count)],
            "span_id": [f"{i:016x}" for i in range(count)],
            "parent_span_id": pa.nulls(count, pa.string()),
            "service_name": [service] * count,
            "operation": ["checkout"] * count,
            "span_kind": ["SERVER"] * count,
            "start_unix_nano": np.full(count, start_ns, dtype=np.int64),
            "duration_ns": (values * 1e6).astype(np.int64),
            "callee": pa.nulls(count, pa.string()),
            "operation_key": [f"{service}\x1fcheckout\x1fSERVER"] * count,
            "is_new": [True] * count,
            "flagged": [False] * count,
            "in_incident": [False] * count,
        }
    )


def amounts(values: np.ndarray, service: str = "shop", start_ns: int = START_NS) -> pa.Table:
    """Spans of one operation that carry these amounts of BTC."""
    count = len(values)
    return (
        times(np.ones(count), service, start_ns)
        .drop_columns(["is_new", "flagged", "in_incident"])
        .append_column("amount_kind", pa.array(["order"] * count))
        .append_column("account", pa.array([""] * count))
        .append_column("attribute", pa.array(["order.quantity"] * count))
        .append_column("asset", pa.array(["BTC"] * count))
        .append_column("side", pa.array(["BUY"] * count))
        .append_column("amount", pa.array(values))
    )


@dataclass(frozen=True)
class Case:
    """How to run one detector: values → table, table → what is learned, table → anomalies."""

    name: str
    table: Callable[..., pa.Table]
    learn: Callable[[pa.Table], pa.Table]
    detect: Callable[[pa.Table, Baselines, Settings], list[Anomaly]]

    def trained(self, values: np.ndarray, **where: object) -> Baselines:
        baselines = Baselines(Settings())
        baselines.add(self.learn(self.table(values, **where)))
        return baselines


def slow(table: pa.Table, baselines: Baselines, settings: Settings) -> list[Anomaly]:
    return detect_latency(table, group_spans(table, baselines.duration), settings)


NO_TRACES = pa.chunked_array([pa.array([], pa.string())])
CASES = [
    Case("latency", times, learn_times, slow),
    Case("amount", amounts, lambda table: learn_amounts(table, NO_TRACES), detect_amounts),
]
every_user = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def normal(count: int, seed: int = 1) -> np.ndarray:
    return 50 * np.exp(0.4 * np.random.default_rng(seed).standard_normal(count))


@every_user
def test_empty_batch_is_quiet(case):
    """No spans, no anomalies, no error."""
    assert case.detect(case.table(normal(0)), case.trained(normal(500)), Settings()) == []


@every_user
def test_few_samples_allow_no_strong_claim(case):
    """Twenty samples make nothing worse than SEV4, however large."""
    found = case.detect(case.table(np.array([1e6])), case.trained(normal(20)), Settings())
    assert [anomaly.severity for anomaly in found if anomaly.severity < 4] == []


def test_a_handful_of_samples_is_a_history():
    """A value of a hundred times all eight samples is an anomaly: no number of samples is too small."""
    case = next(case for case in CASES if case.name == "latency")
    found = case.detect(case.table(np.array([10_000.0])), case.trained(normal(8)), Settings())
    assert [anomaly.severity for anomaly in found] == [5]


@every_user
def test_outlier_is_found_and_the_rest_is_not(case):
    """One value far out among two thousand normal ones is found, with a handful of others at most."""
    values = normal(2_000, seed=2)
    values[700] = 50_000.0
    found = case.detect(case.table(values), case.trained(normal(5_000)), Settings())
    assert any(anomaly.span_id == f"{700:016x}" and anomaly.severity <= 3 for anomaly in found)
    assert len(found) <= 9


@every_user
def test_order_of_spans_does_not_matter(case):
    """A batch turned around gives the same anomalies."""
    values = normal(300, seed=3)
    values[::50] = 9_000.0
    baselines = case.trained(normal(2_000))
    table = case.table(values)
    turned = table.take(pa.array(range(299, -1, -1)))
    found = case.detect(table, baselines, Settings())
    assert sorted(found, key=lambda a: a.span_id) == sorted(
        case.detect(turned, baselines, Settings()), key=lambda a: a.span_id
    )


@every_user
def test_names_do_not_matter(case):
    """Another service name changes nothing but the name."""
    values = np.array([*normal(50, seed=4), 9_000.0])
    one = case.detect(case.table(values, "a"), case.trained(normal(1_000), service="a"), Settings())
    other = case.detect(
        case.table(values, "ünïcödé ☃"), case.trained(normal(1_000), service="ünïcödé ☃"), Settings()
    )
    assert [a.sigma for a in one] == [a.sigma for a in other] != []


@every_user
def test_larger_is_never_milder(case):
    """σ rises with the value, severity falls with it."""
    values = np.array([500.0, 2_000.0, 10_000.0, 100_000.0])
    found = case.detect(case.table(values), case.trained(normal(5_000)), Settings())
    sigmas = [anomaly.sigma for anomaly in found]
    assert len(found) >= 3
    assert sigmas == sorted(sigmas)
    assert [a.severity for a in found] == sorted((a.severity for a in found), reverse=True)


@every_user
def test_hour_without_history_falls_back(case):
    """In an hour that was never seen, the whole operation is what counts."""
    baselines = case.trained(normal(2_000))
    found = case.detect(
        case.table(np.array([9_000.0]), start_ns=START_NS + 30 * HOUR_NS), baselines, Settings()
    )
    assert [(a.cell, a.sample_count) for a in found] in ([("operation", 2_000)], [("order|BTC|BUY", 2_000)])


@every_user
def test_anomaly_states_what_it_rests_on(case):
    """Observed, expected, unit, cell and count are those of the data."""
    (found,) = case.detect(case.table(np.array([9_000.0])), case.trained(normal(2_000)), Settings())
    factor = 1e6 if found.unit == "ns" else 1.0
    assert found.observed == 9_000.0 * factor
    assert found.expected == pytest.approx(50 * factor, rel=0.05)
    assert found.sample_count == 2_000
    assert found.detector == case.name
