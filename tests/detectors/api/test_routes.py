from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from collector.api import create_app
from collector.settings import Settings as CollectorSettings
from detectors.api.routes import build_router

MS = 1_000_000


@pytest.fixture
def client(store, trained, system, clock, tmp_path: Path):
    """The API after a slow database for three seconds and one whale."""
    for _ in range(3):
        for _ in range(30):
            system.order(db_ns=150 * MS)
        trained.judge_landed(system.land())
        clock.now_s += 1
    system.order(btc=85.0)
    trained.judge_landed(system.land())
    now_ns = system.now_ns
    app = create_app(
        store,
        [build_router(store, trained, clock_ns=lambda: now_ns)],
        settings=CollectorSettings(data=tmp_path),
    )
    with TestClient(app, base_url="http://127.0.0.1") as opened:
        yield opened


def get(client, path: str, **params: object):
    answer = client.get(f"/api/monitor{path}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_anomalies_are_listed_filtered_and_counted(client):
    """Filters combine, `total` counts beyond the limit, and times keep their nanoseconds."""
    listed = get(client, "/anomalies", detector="latency", limit=5)
    assert listed["count"] == 5 < listed["total"]
    first = listed["anomalies"][0]
    assert first["span_start_time"].endswith("Z")
    assert len(first["span_start_time"]) == len("2026-01-31T12:00:00.123456789Z")
    assert first["details"] == {"direction": "slower"}
    by_service = get(client, "/anomalies", service="kx-wallet", detector="latency", limit=1000)["anomalies"]
    assert {row["service_name"] for row in by_service} == {"kx-wallet"}
    severities = {
        row["severity"] for row in get(client, "/anomalies", severity="1,2", limit=1000)["anomalies"]
    }
    assert severities <= {1, 2}
    ordered = get(client, "/anomalies", order="severity", limit=1000)["anomalies"]
    assert [row["severity"] for row in ordered] == sorted(row["severity"] for row in ordered)


def test_one_anomaly_comes_with_its_incident(client):
    """A single anomaly carries the summary of its incident."""
    row = get(client, "/anomalies", detector="latency", limit=1)["anomalies"][0]
    single = get(client, f"/anomalies/{row['anomaly_id']}")
    assert single["incident"]["incident_id"] == row["incident_id"]
    assert single["incident"]["root_causes"][0]["service"] == "kx-exchange"


def test_state_is_changed_and_kept(client):
    """An acknowledged anomaly stays acknowledged, and an unknown state is refused."""
    row = get(client, "/anomalies", limit=1)["anomalies"][0]
    path = f"/api/monitor/anomalies/{row['anomaly_id']}/state"
    assert client.post(path, json={"state": "acknowledged"}).json()["state"] == "acknowledged"
    assert get(client, "/anomalies", state="acknowledged")["total"] == 1
    refused = client.post(path, json={"state": "ignored"})
    assert refused.status_code == 400
    assert "open, acknowledged, snoozed, resolved" in refused.json()["error"]["message"]
    assert client.post(path, json=[1]).status_code == 400


def test_an_incident_takes_its_anomalies_along(client):
    """Acknowledged and reopened, it moves those in its own state; what was decided of one anomaly stands."""
    incident = next(row for row in get(client, "/incidents")["incidents"] if row["kind"] == "latency")
    path = f"/api/monitor/incidents/{incident['incident_id']}/state"
    members = get(client, f"/incidents/{incident['incident_id']}")["anomalies"]
    decided = members[0]["anomaly_id"]
    client.post(f"/api/monitor/anomalies/{decided}/state", json={"state": "snoozed"})

    moved = client.post(path, json={"state": "acknowledged"}).json()
    assert moved["state"] == "acknowledged"
    states = {row["anomaly_id"]: row["state"] for row in moved["anomalies"]}
    assert states.pop(decided) == "snoozed"
    assert set(states.values()) == {"acknowledged"}

    back = client.post(path, json={"state": "open"}).json()
    assert {row["state"] for row in back["anomalies"]} == {"open", "snoozed"}
    assert client.post(path, json={"state": "gone"}).status_code == 400
    assert client.post(path, json={"state": "open", "said_by": 7}).status_code == 400
    assert client.post("/api/monitor/incidents/none/state", json={"state": "open"}).status_code == 404


def test_whales_have_a_list_of_their_own(client):
    """Amount anomalies name asset, side and attribute."""
    (whale,) = get(client, "/amount-anomalies")["anomalies"]
    assert (whale["detector"], whale["unit"], whale["observed"]) == ("amount", "BTC", 85.0)
    assert whale["details"] == {
        "asset": "BTC",
        "side": "BUY",
        "attribute": "order.quantity",
        "kind": "order",
    }


def test_incidents_carry_their_anomalies_and_causes(client):
    """Two incidents, the whale's and the database's, each with ranked causes."""
    listed = get(client, "/incidents")
    assert sorted(row["kind"] for row in listed["incidents"]) == ["amount", "latency"]
    (slow,) = get(client, "/incidents", kind="latency")["incidents"]
    single = get(client, f"/incidents/{slow['incident_id']}")
    assert len(single["anomalies"]) == 100
    assert single["root_causes"][0]["operation"] == "SELECT wallets"
    assert single["anomaly_count"] == 270


def test_health_names_the_degraded_services(client):
    """While a latency incident is open, its services and the whole are degraded."""
    health = get(client, "/health")
    assert health["status"] == "degraded"
    assert {row["service_name"]: row["status"] for row in health["services"]} == {
        "kx-exchange": "degraded",
        "kx-wallet": "degraded",
    }
    wallet = health["services"][1]
    assert wallet["span_count"] == 691
    assert wallet["p50_ns"] > MS
    assert health["detection"]["lag_batches"] == 0


def test_topology_has_the_one_edge(client):
    """The wallet calls the exchange."""
    (edge,) = get(client, "/topology")["edges"]
    assert edge["observed_s"] >= 60
    assert (edge["caller"], edge["callee"], edge["count"], edge["errors"]) == (
        "kx-wallet",
        "kx-exchange",
        691,
        0,
    )


def test_trace_is_shown_against_its_baselines(client):
    """Spans come in tree order with self time, path, baseline, σ and their anomalies."""
    (slow,) = get(client, "/incidents", kind="latency")["incidents"]
    trace = get(client, f"/trace/{slow['exemplar_trace_id']}")
    assert [span["depth"] for span in trace["spans"]] == [0, 1, 2]
    assert trace["critical_path"] == [span["span_id"] for span in trace["spans"]]
    database = trace["spans"][2]
    assert database["self_time_ns"] == database["duration_ns"] == 150 * MS
    assert database["baseline"]["sample_count"] >= 500
    assert database["excess_ns"] == pytest.approx(149 * MS, rel=0.02)
    assert database["percentile"] > 99.9
    assert database["sigma"] > 3
    assert len(database["anomaly_ids"]) == 1
    assert trace["services"] == ["kx-exchange", "kx-wallet"]
    assert (trace["truncated"], trace["span_count"]) == (False, 3)


def test_baselines_are_listed_with_their_cells(client):
    """Operation and hour cells, with counts, quantiles and fitted tails."""
    listed = get(client, "/baselines", operation="SELECT wallets")
    assert [row["cell"].split(":")[0] for row in listed["baselines"]] == [
        "hour_of_day",
        "hour_of_week",
        "operation",
    ]
    assert {row["state"] for row in listed["baselines"]} == {"ready"}
    assert get(client, "/baselines")["amount_baselines"][0]["cell"] == "order|BTC"


def test_recalculation_answers_with_what_it_did(client):
    """`POST /recalculate` learns all stored spans again."""
    answer = client.post("/api/monitor/recalculate").json()
    assert answer["baselines"] > 0
    assert answer["sketch_rows"] > 0


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/anomalies?severity=9", 400, "use 1 (worst) to 5"),
        ("/anomalies?since=yesterday", 400, "use 15m"),
        ("/anomalies?state=gone", 400, "use one of open"),
        ("/anomalies?order=random", 400, "use one of newest"),
        ("/anomalies?limit=100000", 422, "limit"),
        ("/anomalies?severty=1", 422, "severty"),
        ("/anomalies/none", 404, "no anomaly 'none' is stored"),
        ("/incidents/none", 404, "no incident 'none' is stored"),
        ("/trace/none", 404, "no trace 'none' is stored"),
    ],
)
def test_bad_requests_say_what_to_do(client, path, status, says):
    """Each refusal names what was wrong."""
    answer = client.get(f"/api/monitor{path}")
    assert answer.status_code == status
    assert says in answer.text


def test_since_takes_ages_and_times(client):
    """`since` is an age or an ISO time."""
    everything = get(client, "/anomalies")["total"]
    assert get(client, "/anomalies", since="2020-01-01T00:00:00Z")["total"] == everything
    assert get(client, "/anomalies", since="2100-01-01")["total"] == 0


def test_an_expected_incident_is_adopted_and_listed(client):
    """One call makes its level normal; the versions say from what to what, when, why and who."""
    (incident,) = get(client, "/incidents", kind="latency")["incidents"]
    path = f"/api/monitor/incidents/{incident['incident_id']}/expected"
    assert client.post(path, json={"by": "kim"}).status_code == 400
    assert client.post("/api/monitor/incidents/unknown/expected").status_code == 404
    answer = client.post(path, json={"said_by": "kim"}).json()
    assert answer["incident"]["state"] == "resolved"
    listed = get(client, "/baseline-versions", operation="SELECT wallets")
    (version,) = listed["versions"]
    assert (version["reason"], version["measure"], version["evidence"]["said_by"]) == (
        "engineer",
        "duration",
        "kim",
    )
    assert version["from_value"] < 2 * MS < 100 * MS < version["to_value"]
    assert len(answer["adopted"]) == 3


def test_anomalies_of_one_operation_are_one_row_with_a_count(client):
    """Groups add up to all anomalies, the worst first; they are paged, filtered, and decided on together."""
    everything = get(client, "/anomalies", limit=1)["total"]
    listed = get(client, "/anomaly-groups")
    assert sum(group["anomaly_count"] for group in listed["groups"]) == listed["anomaly_total"] == everything
    assert listed["total"] == listed["count"] < everything
    severities = [group["severity"] for group in listed["groups"]]
    assert severities == sorted(severities)
    second = get(client, "/anomaly-groups", limit=1, offset=1)
    assert (second["count"], second["total"]) == (1, listed["total"])
    assert second["groups"][0]["group_id"] == listed["groups"][1]["group_id"]
    (slow,) = get(client, "/anomaly-groups", text="select wallets")["groups"]
    assert slow["anomaly_count"] == slow["open_count"] > 50
    assert slow["worst"]["observed"] >= slow["median_observed"] > 100 * MS

    path = f"/api/monitor/anomaly-groups/{slow['group_id']}/state"
    done = client.post(path, json={"state": "acknowledged"}).json()
    assert done["changed"] == slow["anomaly_count"]
    (after,) = get(client, "/anomaly-groups", text="select wallets")["groups"]
    assert (after["open_count"], after["states"]) == (0, ["acknowledged"])
    assert not get(client, "/anomaly-groups", text="select wallets", state="open")["groups"]
    assert client.post(path, json={"state": "acknowledged"}).status_code == 404
    assert client.post(path, json={"state": "lost"}).status_code == 400


def test_an_incident_follows_the_group_that_is_all_of_it(client):
    """The whale's incident holds one group: what is decided of that is decided of the incident."""
    (whale,) = get(client, "/anomaly-groups", detector="amount")["groups"]
    path = f"/api/monitor/anomaly-groups/{whale['group_id']}/state"
    assert client.post(path, json={"state": "resolved"}).json()["incident_id"] == whale["incident_id"]
    assert get(client, f"/incidents/{whale['incident_id']}")["state"] == "resolved"


def test_who_decided_is_kept_and_shown(client):
    """Each decision stays with its name and time, newest first; the list shows the last one; an incident that
    follows its anomalies has it too; whoever gives no name is anonymous."""
    (incident,) = [row for row in get(client, "/incidents")["incidents"] if row["kind"] == "latency"]
    assert incident["decided"] is None
    path = f"/api/monitor/incidents/{incident['incident_id']}"
    client.post(f"{path}/state", json={"state": "acknowledged", "said_by": " anna "})
    client.post(f"{path}/state", json={"state": "open"})
    client.post(f"{path}/state", json={"state": "acknowledged", "said_by": "bo"})
    (row,) = [row for row in get(client, "/incidents")["incidents"] if row["kind"] == "latency"]
    assert (row["decided"]["state"], row["decided"]["said_by"]) == ("acknowledged", "bo")
    assert row["decided"]["said_at"].endswith("Z")
    said = get(client, f"/incidents/{incident['incident_id']}")["decisions"]
    assert [(each["state"], each["said_by"]) for each in said] == [
        ("acknowledged", "bo"),
        ("open", "anonymous"),
        ("acknowledged", "anna"),
    ]
    whale = get(client, "/amount-anomalies")["anomalies"][0]
    client.post(
        f"/api/monitor/anomalies/{whale['anomaly_id']}/state", json={"state": "snoozed", "said_by": "cy"}
    )
    followed = get(client, f"/incidents/{whale['incident_id']}")
    assert (followed["state"], followed["decided"]["said_by"]) == ("snoozed", "cy")
    assert len(followed["decisions"]) == 1
