"""Telemetry and findings of which every text is hostile, and what a page must not make of them."""

from __future__ import annotations

import json

from collector.store.store import Store
from tests.dashboard.shop_rows import HOSTILE, anomaly_row, incident_row

# What Markdown of any kind would make something of; at the end what no reader sees or what turns text around.
DIRECTIVES = ":red[zz] $x^2$ :bomb: :material/skull: **bb** [l](javascript:alert(1)) \x1b[31m\u202e\u200b"
# What only an injection could have made, in the page and in the components' own trees.
INJECTED = """() => {
  const roots = [document, ...[...document.querySelectorAll('*')].map((e) => e.shadowRoot).filter(Boolean)]
  const made = 'img[src=x], img[src*="example.invalid"], a[href^="javascript:"], [onerror], ' +
    '.katex, .stMarkdownColoredText, .stMarkdownBadge, a[href*="//example.invalid"]'
  const found = roots.flatMap((root) => [...root.querySelectorAll(made)].map((e) => e.outerHTML))
  for (const root of roots) for (const e of root.querySelectorAll('strong, [data-testid=stIconMaterial]'))
    if (['bb', 'skull'].includes(e.textContent)) found.push(e.outerHTML)
  const shown = roots.map((root) => (root.body ?? root).innerText ?? root.textContent).join(' ')
  const odd = /.{0,80}[\\u{1F4A3}\\u001b\\u202e\\u200b]/su.exec(shown)
  return found.concat(odd ?? [])
}"""
SHOWN = """() => [document, ...[...document.querySelectorAll('*')].map((e) => e.shadowRoot).filter(Boolean)]
  .map((root) => (root.body ?? root).textContent).join(' ')"""
ODD_TRACE, ODD_SPAN = "0d" * 16, "ab" * 8
ODD_INCIDENT, ODD_WHALE = "0dd1" * 6, "0dd2" * 6
LONG = 1_000_000


def text(key: str, value: str) -> dict[str, object]:
    return {"key": key, "value": {"stringValue": value}}


def store_oddities(store: Store) -> None:
    """An incident and a whale of which every text is hostile."""
    odd = {"service_name": DIRECTIVES, "operation": HOSTILE, "trace_id": ODD_TRACE, "span_id": ODD_SPAN}
    hidden = {"asset": DIRECTIVES, "side": HOSTILE, "attribute": DIRECTIVES, "kind": "order"}
    whale = {"detector": "amount", "unit": DIRECTIVES, "details": hidden, "incident_id": None}
    cause = {
        "rank": 1,
        "service": DIRECTIVES,
        "operation": HOSTILE,
        "score": 0.9,
        "share": 0.9,
        "evidence": [],
    }
    incident = incident_row(
        ODD_INCIDENT, "latency", DIRECTIVES, exemplar_trace_id=ODD_TRACE, services=[HOSTILE, DIRECTIVES],
        root_causes=[{**cause, "share": 0.9, "kind": "slow", "confidence": DIRECTIVES}],
    )  # fmt: skip
    rows = {
        "incidents": [incident],
        "anomalies": [
            anomaly_row("0dd0" * 6, **odd, incident_id=ODD_INCIDENT, severity=2),
            anomaly_row(ODD_WHALE, **odd | whale, cell=f"order|{DIRECTIVES}|BUY", severity=2),
        ],
    }
    with store.transaction() as con:
        for table, given in rows.items():
            for row in given:
                values = [json.dumps(v) if k in {"details", "root_causes"} else v for k, v in row.items()]
                marks = ", ".join("?" * len(row))
                con.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", values)


def hostile_span(now_ns: int, span_id: str, name: str, said: str) -> dict[str, object]:
    """A span of which every text is hostile; one is long too."""
    attributes = [text(said, name), text("long", said + "A" * LONG), text(name, said)]
    failure = [
        text("exception.type", said),
        text("exception.message", said),
        text("exception.stacktrace", said),
    ]
    return {
        "traceId": ODD_TRACE,
        "spanId": span_id,
        "name": name,
        "kind": 2,
        "traceState": f"odd={said}",
        "startTimeUnixNano": str(now_ns - 10**9),
        "endTimeUnixNano": str(now_ns),
        "status": {"code": 2, "message": said},
        "attributes": attributes,
        "events": [
            {"timeUnixNano": str(now_ns), "name": said, "attributes": attributes[::2]},
            {"timeUnixNano": str(now_ns), "name": "exception", "attributes": failure},
        ],
        "links": [{"traceId": f"{6:032x}", "spanId": f"{12:016x}", "attributes": attributes[::2]}],
    }


def odd_spans(now_ns: int) -> list[dict[str, object]]:
    """Two services that are hostile in all they send, resource and scope too."""
    pairs = [(ODD_SPAN, HOSTILE, DIRECTIVES), ("ac" * 8, DIRECTIVES, HOSTILE)]
    return [
        {
            "resource": {"attributes": [text("service.name", name), text(said, said)]},
            "scopeSpans": [
                {
                    "scope": {"name": said, "version": said, "attributes": [text(said, said)]},
                    "spans": [hostile_span(now_ns, span_id, name, said)],
                }
            ],
        }
        for span_id, name, said in pairs
    ]


def odd_lines(now_ns: int) -> list[dict[str, object]]:
    """Lines whose body, level, event name and attributes are hostile; one is long."""
    return [
        {
            "timeUnixNano": str(now_ns),
            "traceId": ODD_TRACE,
            "spanId": ODD_SPAN,
            "severityNumber": 17,
            "severityText": said,
            "eventName": said,
            "body": {"stringValue": body},
            "attributes": [text(said, said)],
        }
        for said, body in ((HOSTILE, HOSTILE), (DIRECTIVES, DIRECTIVES), (HOSTILE, DIRECTIVES + "A" * LONG))
    ]


def hostile_gauge(now_ns: int, name: str, said: str) -> dict[str, object]:
    points = [{"timeUnixNano": str(now_ns), "asDouble": 1.0, "attributes": [text(said, said)]}]
    return {"name": name, "unit": said, "description": said, "gauge": {"dataPoints": points}}
