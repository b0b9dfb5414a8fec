from __future__ import annotations

import json

from detectors.incidents.rows import get_incident

MS = 1_000_000
TENANTS = ("acme", "bolt", "core", "dune")


def orders(system, count: int, tenant: str | None = None, **options: int) -> None:
    """So many orders of a tenant, or of all in turn."""
    for number in range(count):
        system.order(**options)
        name = tenant or TENANTS[number % len(TENANTS)]
        for row in system.rows[-3:]:
            held = {**json.loads(row["attributes"]), "tenant.id": name, "a'b~/\"": 1}
            row["attributes"] = json.dumps(held)


def test_incident_says_which_tenant_is_slow(system, pipeline, clock, store):
    """Only one tenant's statements are slow: the live incident names it, with shares, lift and a span."""
    for _ in range(6):
        orders(system, 100)
        pipeline.judge_landed(system.land())
        clock.now_s += 2
    clock.now_s += 10
    pipeline.learn_settled()
    for _ in range(3):
        orders(system, 40)
        orders(system, 20, "bolt", db_ns=150 * MS)
        pipeline.judge_landed(system.land())
        clock.now_s += 2
    pipeline.judge_landed(system.batch_id)
    (row,) = store.read("SELECT incident_id FROM incidents").to_pylist()
    incident = get_incident(store, row["incident_id"])
    (first,) = incident["differences"]
    assert (first["rank"], first["key"], first["value"], first["share"]) == (1, "tenant.id", "bolt", 1.0)
    assert 0.2 < first["usual_share"] < 0.3
    assert first["lift"] > 3
    known = "SELECT count(*) AS n FROM spans WHERE trace_id = ? AND span_id = ?"
    assert store.read(known, [first["trace_id"], first["span_id"]])["n"][0].as_py() == 1
    cause = incident["root_causes"][0]
    assert (cause["service"], cause["operation"]) == ("kx-exchange", "SELECT wallets")
    said = [item["text"] for item in cause["evidence"] if item["kind"] == "attribute"]
    assert said == ["tenant.id = bolt in 100% of the affected traces, usually in 25%"]
