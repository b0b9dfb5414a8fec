from __future__ import annotations

import doctest
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard import condition
from dashboard import format as fmt
from dashboard.data import services
from dashboard.views import bar
from dashboard.views.health import checks_markup


def test_examples_in_the_docstrings_hold() -> None:
    """Every example in a docstring of these modules is true."""
    for module, least in ((fmt, 8), (services, 2), (condition, 2), (bar, 2)):
        failed, tried = doctest.testmod(module)
        assert (failed, tried >= least) == (0, True), module


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0 ns"),
        (999, "999 ns"),
        (999_499, "999 µs"),
        (999_600, "1 ms"),
        (1_234_567, "1.23 ms"),
        (59_999_000_000, "60 s"),
        (60_000_000_000, "1 min 00 s"),
        (3_599_000_000_000, "59 min 59 s"),
        (3_600_000_000_000, "1 h 00 min"),
        (-5_000_000, "-5 ms"),
        (float("nan"), "–"),
    ],
)
def test_duration_at_its_unit_borders(ns: float, text: str) -> None:
    """A duration takes the unit it fills, with three significant figures."""
    assert fmt.duration(ns) == text


@given(st.floats(min_value=1, max_value=5e10))
def test_duration_is_within_half_a_per_cent(ns: float) -> None:
    """Shown durations differ from measured ones by at most 0.5% above a nanosecond."""
    number, unit = fmt.duration(ns).split(" ")
    shown_ns = float(number) * {"ns": 1, "µs": 1e3, "ms": 1e6, "s": 1e9}[unit]
    assert shown_ns == pytest.approx(ns, rel=0.0051)


def test_time_of_the_api_keeps_its_microseconds_and_zone() -> None:
    """Nanosecond times parse as UTC, whatever the number of digits; nonsense is None."""
    moment = datetime(2026, 11, 20, 22, 45, 17, 123456, UTC)
    assert fmt.parse_time("2026-11-20T22:45:17.123456789Z") == moment
    assert fmt.parse_time("2026-11-20T23:45:17.123456+01:00") == moment
    assert fmt.parse_time("2026-11-20T22:45:17Z") == moment.replace(microsecond=0)
    assert fmt.parse_time("yesterday") is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(-5, "0 s"), (12, "12 s"), (100, "1 min"), (7200, "2 h"), (400_000, "4 d")]
)
def test_ages_are_coarse(seconds: int, text: str) -> None:
    """An age has one unit; a clock ahead of ours is now."""
    now = datetime(2026, 11, 20, tzinfo=UTC)
    assert fmt.span_of(now - timedelta(seconds=seconds), now) == text


def test_plain_text_has_no_control_or_direction_characters() -> None:
    """Escape sequences, invisible characters and direction overrides are gone; the text is one line."""
    assert fmt.plain("a\x1b[31m\u202eb\u200b\U000e0041\nc") == "a[31mb c"
    assert fmt.plain("x" * 500, 10) == "x" * 9 + "…"


def test_label_leaves_no_markdown() -> None:
    """A label from telemetry cannot become an image, a link, an icon or a colour."""
    escaped = fmt.label("![x](http://h/a.png) :red[b] :material/bolt: <b> `c` $d$")
    assert "![" not in escaped
    assert all(escaped[place - 1] == "\\" for place, char in enumerate(escaped) if char in "![]()<>`$:")


def test_storage_is_told_in_full() -> None:
    """The health page says what the lake, hot files and the database hold, not the lake alone."""
    sizes = {"bytes": 2048, "hot_bytes": 3 * 1024**2, "database_bytes": 5 * 1024**3}
    lake = {"files": 2, "rows": 9, "hot_files": 1, "hot_rows": 4, "failure": "", **sizes}
    told = str(checks_markup({"ready": True, "checks": {"lake": lake}}))
    assert "2 files, 9 rows, 2 KiB; not sealed yet: 1 hot file, 3 MiB; database 5 GiB" in told


def test_explanations_are_told_in_words() -> None:
    """What wrote explanations unasked says how many, not the name of a field."""
    told = str(
        checks_markup(
            {
                "ready": True,
                "checks": {"explanations": {"ok": True, "explained_count": 12, "waiting": 3, "error": None}},
            }
        )
    )
    assert "12 written unasked, 3 waiting" in told
