"""Health and settings: senders, spool, landing, detection, storage, versions, and this dashboard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import streamlit as st

from dashboard import data
from dashboard import format as fmt
from dashboard.data.sql import run
from dashboard.markup import Safe, page, table, tag
from dashboard.settings import Settings
from dashboard.triage import plural
from dashboard.views import frame

PARTS = {
    "spool": "Spool: what is acknowledged and not landed",
    "landing": "Landing in the database",
    "disk": "Disk",
    "folder": "Data folder",
    "senders": "Senders",
    "lake": "Storage: lake (sealed hours), hot files, database",
    "detection": "Detection",
    "explanations": "Explanations",
    "checks": "The checks themselves",
}
SIZES_SQL = (
    "SELECT (SELECT count(*) FROM spans) AS spans, (SELECT count(*) FROM logs) AS logs, "
    "(SELECT count(*) FROM metrics) AS metric_points, (SELECT count(*) FROM anomalies) AS anomalies, "
    "(SELECT count(*) FROM incidents) AS incidents, (SELECT count(*) FROM explanations) AS explanations, "
    "version() AS duckdb"
)


def render() -> None:
    frame.region(
        "readiness", "The server's checks", lambda: data.readiness(frame.api_url()), _draw_checks, 3.0
    )
    frame.region(
        "senders", "The senders", lambda: data.senders(frame.api_url()), _draw_senders, 5.0, show_age=False
    )
    frame.region(
        "stored",
        "What is stored",
        lambda: run(frame.api_url(), SIZES_SQL).frame.to_dicts()[0],
        _draw_sizes,
        30.0,
        show_age=False,
    )
    _own()


def _draw_checks(found: dict[str, Any]) -> None:
    st.html(checks_markup(found))


def checks_markup(found: Mapping[str, Any]) -> str:
    """Ready or not, then each check with its figures; what fails stands first and says why. Pure."""
    checks = found.get("checks") or {}
    ready = bool(found.get("ready"))
    head = tag(
        "div",
        "✓ The server is ready" if ready else "▲ The server is not ready",
        css="title",
        style="color:#3FB950" if ready else "color:#FF9F43",
    )
    names = sorted(
        checks,
        key=lambda name: (not _failure(checks[name]), list(PARTS).index(name) if name in PARTS else 99),
    )
    lines = [
        (_mark(checks[name]), PARTS.get(name, fmt.plain(name, 40)), _figures(name, checks[name]))
        for name in names
    ]
    return page(head, table([("State", "l"), ("Part", "l"), ("Figures", "l wrap")], lines), css="panel")


def _failure(check: object) -> str:
    if not isinstance(check, Mapping):
        return ""
    return fmt.plain(check.get("failure") or check.get("error") or "", 400)


def _mark(check: object) -> Safe:
    bad = bool(_failure(check))
    return tag("span", "▲" if bad else "✓", style=f"color:{'#FF9F43' if bad else '#3FB950'}")


def _figures(name: str, check: object) -> str:
    """The figures of a check in words; a check that is unknown here shows its figures by name."""
    if not isinstance(check, Mapping):
        return fmt.plain(check, 400)
    failure = _failure(check)
    told = {
        "spool": _spool,
        "landing": _landing,
        "disk": _disk,
        "lake": _lake,
        "detection": _detection,
        "senders": _sent,
        "explanations": _explained,
    }
    try:
        words = told[name](check) if name in told else _others(check)
    except (KeyError, TypeError, ValueError):
        words = _others(check)
    return ": ".join(part for part in (failure, words) if part) or "in order"


def _spool(check: Mapping[str, Any]) -> str:
    used, most = int(check["bytes"]), int(check["max_bytes"])
    waiting = plural(check["records"], "request")
    return f"{size(used)} of {size(most)} ({fmt.percent(used / most)}), {waiting} waiting"


def _landing(check: Mapping[str, Any]) -> str:
    return f"{float(check['lag_s']):.1f} s behind what was received, batch {int(check['batch_id']):,}"


def _disk(check: Mapping[str, Any]) -> str:
    return f"{size(int(check['free_bytes']))} free"


def _lake(check: Mapping[str, Any]) -> str:
    lake = f"{plural(check['files'], 'file')}, {plural(check['rows'], 'row')}, {size(int(check['bytes']))}"
    hot = f"{plural(check['hot_files'], 'hot file')}, {size(int(check['hot_bytes']))}"
    return f"{lake}; not sealed yet: {hot}; database {size(int(check['database_bytes']))}"


def _sent(check: Mapping[str, Any]) -> str:
    problems = check.get("problems") or []
    return f"{plural(check['count'], 'sender')}, {plural(len(problems), 'problem')}"


def _detection(check: Mapping[str, Any]) -> str:
    operations = check["operations"]
    return (
        f"{plural(check['lag_batches'], 'batch', 'batches')} behind, "
        f"{plural(operations['ready'], 'operation')} ready, "
        f"{operations['learning']} learning, last pass {check['last_pass_ms']:.0f} ms, "
        f"{plural(check['anomaly_count'], 'anomaly', 'anomalies')} since the start"
    )


def _explained(check: Mapping[str, Any]) -> str:
    return f"{int(check['explained_count']):,} written unasked, {int(check['waiting']):,} waiting"


def _others(check: Mapping[str, Any]) -> str:
    plain = {
        key: value
        for key, value in check.items()
        if key not in {"failure", "error"} and not isinstance(value, dict | list)
    }
    return fmt.plain(", ".join(f"{key} {value}" for key, value in plain.items()), 400)


def size(count: int) -> str:
    """
    >>> size(512), size(1_073_741_824), size(77_970_374_656)
    ('512 B', '1 GiB', '72.6 GiB')
    """
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{fmt.significant(value)} {unit}"


def _draw_senders(found: list[dict[str, Any]]) -> None:
    st.html(senders_markup(found))


def senders_markup(rows: Sequence[Mapping[str, Any]]) -> str:
    """Who sends, what was taken, and why something was not. Pure."""
    if not rows:
        return page(
            tag("div", "Nobody has sent anything since the server started.", css="title"), css="panel"
        )
    now = frame.now()
    lines = []
    for row in rows:
        taken = row.get("accepted") or {}
        problems = row.get("problems") or []
        said = "; ".join(_problem(problem) for problem in problems)
        lines.append(
            (
                fmt.plain(row.get("address") or "", 60),
                fmt.plain(row.get("agent") or "", 90),
                fmt.plain(row.get("transport") or "", 12),
                fmt.count(taken.get("traces", 0)),
                fmt.count(taken.get("logs", 0)),
                fmt.count(taken.get("metrics", 0)),
                fmt.age(row.get("last_accepted"), now),
                tag("span", fmt.plain(said or "none", 600), style="color:#FF9F43" if said else ""),
            )
        )
    head = [
        ("Sender", "l"), ("Agent", "l wrap"), ("Over", "l"), ("Spans", ""), ("Log lines", ""), ("Points", ""),
        ("Last taken", ""), ("Refused, and why", "l wrap"),
    ]  # fmt: skip
    return page(tag("strong", "Senders"), table(head, lines))


def _problem(problem: object) -> str:
    if not isinstance(problem, Mapping):
        return fmt.plain(problem, 300)
    return fmt.plain(", ".join(f"{key} {value}" for key, value in problem.items()), 300)


def _draw_sizes(row: dict[str, Any]) -> None:
    pairs = [
        (name.replace("_", " "), fmt.count(row[name]))
        for name in ("spans", "logs", "metric_points", "anomalies", "incidents", "explanations")
    ]
    told = tag(
        "div",
        *(
            tag("span", tag("span", f"{name} ", css="muted"), value, style="margin-right:20px")
            for name, value in pairs
        ),
    )
    st.html(page(tag("strong", "Stored"), told, css="panel"))
    st.session_state["duckdb_version"] = row["duckdb"]


def _own() -> None:
    """Versions, the server that is read, and this process's settings."""
    versions = [(name, _version(name)) for name in ("spyhop", "streamlit", "duckdb")]
    told = ", ".join(f"{name} {number}" for name, number in versions)
    server = st.session_state.get("duckdb_version")
    st.html(
        page(
            tag(
                "div",
                tag("strong", "Versions  "),
                told,
                f"; the server's DuckDB {fmt.plain(server, 20)}" if server else "",
            ),
            tag("div", tag("strong", "Reads  "), tag("code", frame.api_url())),
            css="panel",
        )
    )
    with st.expander("Settings of this dashboard"):
        st.html(page(settings_table(frame.settings())))
        st.caption("The server's own: `spyhop settings` lists each with its default and meaning.")


def settings_table(settings: Settings) -> Safe:
    """Each setting of the dashboard with its variable, value and meaning. Pure."""
    lines = [
        (
            tag("code", f"SPYHOP_{name.upper()}"),
            fmt.plain(getattr(settings, name), 120),
            fmt.plain(field.description or "", 200),
        )
        for name, field in type(settings).model_fields.items()
    ]
    return table([("Variable", "l"), ("Value", "l wrap"), ("Meaning", "l wrap")], lines)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"
