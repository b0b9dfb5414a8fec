"""Regular expressions that are only words are looked for without one."""

from __future__ import annotations

import duckdb
import pytest

from collector.search.conditions import regex_sql
from collector.search.syntax import Literal, Type
from collector.search.values import Params, Rows

TEXTS = [
    "",
    "refund",
    "a refund b",
    "Refund",
    "a\nrefund\nb",
    "re\nfund",
    "a.b",
    "axb",
    "a/b (c)",
    "ü refund",
    "x\\y",
]
PLAIN = [
    "(?s).*refund.*",
    ".*refund.*",
    r".*a\.b.*",
    r"(?s).*\(c\).*",
    "(?s).*re\nfund.*",
    ".*ü.*",
    r".*x\\y.*",
    ".* b.*",
]
OTHER = [
    ".*re\nfund.*",
    ".*",
    "refund",
    ".*refund",
    "refund.*",
    ".*a.b.*",
    ".*(refund|b).*",
    "(?i).*refund.*",
    r".*\w.*",
]


@pytest.mark.parametrize("pattern", [*PLAIN, *OTHER])
def test_the_same_texts_match(pattern: str) -> None:
    """What is found is what RE2 finds for the whole text, line breaks included; words need no RE2."""
    params = Params()
    sql = regex_sql("t", "=~", Literal(Type.TEXT, pattern, 0), Rows(params))
    assert ("regexp" not in sql) is (pattern in PLAIN)
    query = "SELECT list(t) FROM (SELECT unnest($texts) AS t) WHERE "
    with duckdb.connect() as con:
        found = con.execute(query + sql, {"texts": TEXTS, **params.values}).fetchall()
        expected = con.execute(
            query + "regexp_full_match(t, $pattern)", {"texts": TEXTS, "pattern": pattern}
        ).fetchall()
    assert found == expected
