"""Files as they come: compressed, in other encodings, several documents in one."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from collector.replay.found import Found, Refused
from collector.replay.reader import read_file
from tests.collector.replay.foreign_files import (
    RESOURCE,
    SCOPED,
    documents,
    spans_in,
    write,
)


def encodings(text: bytes) -> dict[str, bytes]:
    lines = text.splitlines()
    return {
        "BOM": b"\xef\xbb\xbf" + text,
        "UTF-16": b"\xff\xfe" + text.decode().encode("utf-16-le"),
        "CRLF": b"\r\n".join(lines) + b"\r\n",
        "blank lines between": b"\n\n".join(lines),
        "blank lines before": b"\n" * 100 + text,
        "gzip of a BOM": gzip.compress(b"\xef\xbb\xbf" + text),
    }


@pytest.mark.parametrize("name", encodings(b""))
def test_encodings(tmp_path: Path, name: str) -> None:
    """Byte order marks and line ends of editors and shells change nothing."""
    line = json.dumps({"resourceSpans": [{"resource": RESOURCE, "scopeSpans": SCOPED}]})
    content = encodings(f"{line}\n{line}\n".encode())[name]
    assert len(spans_in(write(tmp_path / "file", content))) == 4


def test_protobuf_that_looks_like_json(tmp_path: Path, make_request: Any) -> None:
    """A message whose length is the code of a brace is still protobuf."""
    for length in range(40):
        request = make_request(1, name="x" * length, service="")
        wire = request.SerializeToString()
        if wire[1] in b"{[":
            assert len(spans_in(write(tmp_path / "file", wire))) == 1
            return
    pytest.fail("no message of that length")


@pytest.mark.parametrize(("between", "indent"), [("\n", 2), ("\n\n", 1), ("", None), (" ", None)])
def test_documents_one_behind_the_other(tmp_path: Path, between: str, indent: int | None) -> None:
    """Documents that follow each other are all read, as `jq` writes them or without anything between."""
    path = tmp_path / "several.json"
    texts = [json.dumps(document, indent=indent) for document in documents("1" * 16, "2" * 16, "3" * 16)]
    path.write_text(between.join(texts) + "\n")
    found = [item for item, _ in read_file(path)]
    assert [type(item) for item in found] == [Found] * 3
    path.write_text(between.join(texts)[:-9])
    *before, cut = [item for item, _ in read_file(path)]
    assert [type(item) for item in before] == [Found] * 2
    assert isinstance(cut, Refused)
    assert "document 3" in cut.place
