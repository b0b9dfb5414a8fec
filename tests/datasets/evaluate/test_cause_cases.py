"""Kinds of faults whose cause is easily taken for another's: small folders, and who must be named first."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datasets.evaluate.evaluation import evaluate
from datasets.evaluate.incidents import IncidentFolder

MS = 1_000_000
START_NS = 1_790_000_000 * 10**9
CASES = 12
# service, operation, kind, begin ms, length ms, {status_code, attributes}, children
Tree = tuple[str, str, str, float, float, dict[str, Any], list[Any]]
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("trace_id", "span_id", "parent_span_id", "service_name")),
        *((name, pa.string()) for name in ("span_name", "span_kind", "status_code", "attributes")),
        *((name, pa.int64()) for name in ("start_time_unix_nano", "end_time_unix_nano")),
        *((name, pa.string()) for name in ("split", "case_id")),
    ]
)


class Folder:
    """Traces of a baseline, and cases of some traces each."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path = path
        self.rng = np.random.default_rng(seed)
        self.rows: list[dict[str, Any]] = []
        self.cases: list[dict[str, Any]] = []
        self.count = 0

    def ms(self, usual_ms: float) -> float:
        return float(usual_ms * np.exp(0.15 * self.rng.standard_normal()))

    def trace(self, tree: Tree, case_id: str | None = None) -> None:
        self.count += 1
        trace_id, begun = f"t{self.count}", START_NS + self.count * 10**9

        def walk(node: Tree, parent: str) -> None:
            service, operation, kind, begin_ms, length_ms, more, children = node
            span_id = f"s{len(self.rows)}"
            start = begun + int(begin_ms * MS)
            self.rows.append(
                {
                    "trace_id": trace_id,
                    "span_id": span_id,
                    "parent_span_id": parent,
                    "service_name": service,
                    "span_name": operation,
                    "span_kind": kind,
                    "status_code": more.get("status_code", "STATUS_CODE_UNSET"),
                    "attributes": json.dumps(more.get("attributes", {})),
                    "start_time_unix_nano": start,
                    "end_time_unix_nano": start + int(length_ms * MS),
                    "split": "test" if case_id else "baseline",
                    "case_id": case_id,
                }
            )
            for child in children:
                walk(child, span_id)

        walk(tree, "")

    def case(self, case_id: str, root_service: str) -> None:
        self.cases.append(
            {
                "case_id": case_id,
                "fault_kind": "fault",
                "root_services": [root_service],
                "root_operation": None,
                "inject_time_unix_nano": START_NS + self.count * 10**9,
            }
        )

    def write(self) -> Path:
        self.path.mkdir()
        pq.write_table(pa.Table.from_pylist(self.rows, SCHEMA), self.path / "spans.parquet")
        (self.path / "cases.json").write_text(json.dumps(self.cases))
        return self.path


def held_call(folder: Folder) -> None:
    """One trace a case; the caller sends its call 200 ms late, after twenty usual traces."""

    def tree(hold_ms: float) -> Tree:
        before, way, work, back = (folder.ms(x) for x in (2, 0.5, 3, 0.5))
        way += hold_ms
        answer = ("callee", "do", "SERVER", before + way, work, {}, [])
        call = ("caller", "GET", "CLIENT", before, way + work + back, {}, [answer])
        return "caller", "page", "SERVER", 0, before + way + work + back + 1, {}, [call]

    for _ in range(20):
        folder.trace(tree(0))
    for number in range(CASES):
        folder.case(f"c{number}", "caller")
        folder.trace(tree(200), f"c{number}")


def known_slowness(folder: Folder) -> None:
    """A quarter of the baseline was as slow: nothing is unusual, and `work` holds the time."""

    def tree(*, slow: bool) -> Tree:
        length = folder.ms(3) + (200 if slow else 0)
        return "front", "page", "SERVER", 0, length + 2, {}, [("work", "do", "SERVER", 1, length, {}, [])]

    for number in range(200):
        folder.trace(tree(slow=number % 4 == 0))
    for number in range(CASES):
        folder.case(f"c{number}", "work")
        folder.trace(tree(slow=True), f"c{number}")


def paused_caller(folder: Folder) -> None:
    """In each of eight traces of a case one call of three waits 300 ms until its caller goes on."""

    def tree(paused: int | None) -> Tree:
        calls: list[Any] = []
        at = 1.0
        for number, (name, usual_ms) in enumerate((("a", 2), ("b", 3), ("c", 4))):
            way, work = folder.ms(0.5), folder.ms(usual_ms)
            length = way + work + folder.ms(0.5) + (300 if number == paused else 0)
            answer = (name, f"do {name}", "SERVER", at + way, work, {}, [])
            calls.append(("front", f"call {name}", "CLIENT", at, length, {}, [answer]))
            at += length + 1
        return "front", "page", "SERVER", 0, at, {}, calls

    for _ in range(200):
        folder.trace(tree(None))
    for number in range(CASES):
        folder.case(f"c{number}", "front")
        for each in range(8):
            folder.trace(tree((each + number) % 3), f"c{number}")


def dead_service(folder: Folder) -> None:
    """Both peers are called `GET`; one of them refuses all connections and has no spans any more."""

    def tree(*, dead: bool) -> Tree:
        def call(peer: str, at: float, *, lost: bool) -> Any:
            place = {"attributes": {"server.address": peer, "server.port": 8080}}
            if lost:
                return "front", "GET", "CLIENT", at, 1, {**place, "status_code": "STATUS_CODE_ERROR"}, []
            work = folder.ms(3)
            answer = (peer, f"GET /{peer}", "SERVER", at + 0.5, work, {}, [])
            return "front", "GET", "CLIENT", at, work + 1, place, [answer]

        status = {"status_code": "STATUS_CODE_ERROR"} if dead else {}
        calls = [call("stock", 1, lost=dead), call("price", 9, lost=False)]
        return "front", "page", "SERVER", 0, 18, status, calls

    for _ in range(100):
        folder.trace(tree(dead=False))
    for number in range(CASES):
        folder.case(f"c{number}", "stock")
        for _ in range(5):
            folder.trace(tree(dead=True), f"c{number}")


def refused_request(folder: Folder) -> None:
    """A service answers 404: its server span has no status ERROR, and its caller's client span has."""

    def tree(*, refused: bool) -> Tree:
        code = {"attributes": {"http.response.status_code": 404 if refused else 200}}
        work = folder.ms(3)
        answer = ("stock", "GET /stock", "SERVER", 1.5, work, code, [])
        error = {"status_code": "STATUS_CODE_ERROR"} if refused else {}
        call = ("front", "GET", "CLIENT", 1, work + 1, {**code, **error}, [answer])
        return "front", "page", "SERVER", 0, work + 3, {}, [call]

    for _ in range(100):
        folder.trace(tree(refused=False))
    for number in range(CASES):
        folder.case(f"c{number}", "stock")
        for _ in range(5):
            folder.trace(tree(refused=True), f"c{number}")


KINDS = [held_call, known_slowness, paused_caller, dead_service, refused_request]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    "kind",
    KINDS,
    ids=lambda k: k.__name__,
)
def test_the_cause_is_named_first(tmp_path: Path, kind: Callable[[Folder], None], seed: int) -> None:
    """Every case of each kind names its root service in the first place."""
    folder = Folder(tmp_path / "folder", seed)
    kind(folder)
    with IncidentFolder.open(folder.write()) as opened:
        found = evaluate(opened).localisation
    assert (found["hit@1"], found["n"]) == (1.0, CASES)
