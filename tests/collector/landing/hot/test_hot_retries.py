"""Spans in hot files that come again."""

from __future__ import annotations

from typing import Any

import pytest

from tests.collector.landing.hot.line import Line


def test_retry(line: Line) -> None:
    """A retry of a span in a hot file is not stored again, whichever way it comes, in the same landing, the
    next, or after a start."""
    once = line.request(6)
    line.land(once, once)
    line.land(once)
    line.land(once, fast=False)
    line.reopen()
    line.land(once)
    line.land(once, fast=False)
    assert line.places() == {"hot": 6}
    assert line.lander.totals.duplicate_spans == 30


def test_retry_of_a_row_in_the_table(line: Line) -> None:
    """A retry that comes fast of spans that came slowly is known too."""
    line.land(line.request(6), fast=False)
    line.land(line.request(8))
    assert line.places() == {"table": 6, "hot": 2}


def test_later_version(line: Line) -> None:
    """A span that comes again with a later end takes the place of the one in a hot file."""
    line.land(line.request(4))
    later = line.request(1, first=2)
    later.resource_spans[0].scope_spans[0].spans[0].end_time_unix_nano += 1000
    line.land(later, fast=False)
    assert line.places() == {"hot": 3, "table": 1}
    even_later = line.request(1, first=3)
    even_later.resource_spans[0].scope_spans[0].spans[0].end_time_unix_nano += 1000
    line.land(even_later, line.request(2, first=8))
    assert line.places() == {"hot": 5, "table": 1}
    assert line.value("SELECT count(DISTINCT span_id) FROM spans WHERE duration_ns > 1000") == 2
    assert line.lander.replaced_spans == 2


def land_later_version(line: Line) -> None:
    """The second span of the first request again, as slow traffic."""
    later = line.request(1, first=2)
    later.resource_spans[0].scope_spans[0].spans[0].end_time_unix_nano += 1000
    line.land(later, fast=False)


def test_later_version_while_sealing(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is written anew while it is merged stays hot, as it is then."""
    from collector.lake import moving

    line.land(line.request(4))
    merge = moving.merge_files

    def merge_slowly(*arguments: Any) -> int:
        rows = merge(*arguments)
        land_later_version(line)
        return rows

    with monkeypatch.context() as patch:
        patch.setattr(moving, "merge_files", merge_slowly)
        with pytest.raises(RuntimeError, match="nothing was moved"):
            line.sealer.run_once()
    assert line.places() == {"hot": 3, "table": 1}
    assert line.sealer.run_once() == 4
    assert line.value("SELECT count(DISTINCT span_id) FROM spans") == 4


def test_later_version_while_joining(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is written anew while it is joined stays as it is then, and no file is left over."""
    from collector.lake import joining

    monkeypatch.setattr(joining, "FILES_MIN", 2)
    line.land(line.request(4))
    line.land(line.request(4, first=11))
    join = joining.join_files

    def join_slowly(*arguments: Any) -> int:
        rows = join(*arguments)
        land_later_version(line)
        return rows

    with monkeypatch.context() as patch:
        patch.setattr(joining, "join_files", join_slowly)
        line.sealer.join_hot_files()
    assert line.places() == {"hot": 7, "table": 1}
    files = {f"hot/spans/{path.name}" for path in (line.store.folder / "hot" / "spans").iterdir()}
    assert files == set(line.store.read("SELECT path FROM hot_files")["path"].to_pylist())
    line.sealer.join_hot_files()
    assert line.value("SELECT count(*) FROM hot_files WHERE expired_at IS NULL") == 1
    assert line.places() == {"hot": 7, "table": 1}
