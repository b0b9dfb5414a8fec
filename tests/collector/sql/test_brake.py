from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from collector.sql.brake import Brake

MIB = 1024 * 1024
MAY_TAKE = 100 * MIB
# In a process of its own: while the limit is reached, an allocation of any thread may fail.
SCRIPT = """
import json, resource, sys, threading
from contextlib import suppress
from pathlib import Path
from time import sleep
from collector.errors import TooLarge
from collector.sql.query import Bounds, QueryRunner
from collector.sql.watch import read_resident_bytes
from collector.store.store import Store

class Trusting:  # lets every query run in the server
    def warm_up(self): ...
    def close(self): ...
    def ask(self, request, timeout_s, is_gone=None):
        return {"sql": request["query"], "names": ["x"], "types": ["BIGINT"]}, None

before, highest, usual = read_resident_bytes(), 0, resource.getrlimit(resource.RLIMIT_DATA)

def look():
    global highest
    while True:
        with suppress(MemoryError):
            highest = max(highest, read_resident_bytes() - before)
        sleep(0.01)

threading.Thread(target=look, daemon=True).start()
store = Store.open(Path(sys.argv[1]))
with QueryRunner(store, Bounds(timeout_s=60, memory_bytes=int(sys.argv[2])), checker=Trusting()) as queries:
    error = ""
    try:
        queries.run(f"SELECT max({sys.argv[3]}) AS x FROM range(512)", limit_rows=1)
    except TooLarge as caught:
        error = str(caught)
    while resource.getrlimit(resource.RLIMIT_DATA) != usual:
        sleep(0.01)
    rows = queries.run("SELECT 1::BIGINT AS x", limit_rows=1).table.num_rows
store.close()
print(json.dumps({"highest_bytes": highest, "error": error, "rows": rows}))
"""


@pytest.mark.parametrize(
    "value",
    ["length(repeat('abcdefgh' || range, 1_000_000))", "len(range(1_000_000 + range))"],
    ids=["of many texts", "of one list that doubles"],
)
def test_a_step_that_takes_all_memory(tmp_path: Path, value: str) -> None:
    """4 GB within one step, which no interrupt ends, are refused to it; the process goes on as before."""
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "data"), str(MAY_TAKE), value]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=True)
    told = json.loads(done.stdout.splitlines()[-1])
    assert "memory" in told["error"]
    assert told["highest_bytes"] < 20 * MAY_TAKE
    assert told["rows"] == 1


def test_limits_come_back() -> None:
    """The brake gives back the limits that it found, and a brake without a limit changes none."""
    usual = resource.getrlimit(resource.RLIMIT_DATA)
    brake = Brake(1024 * MIB)
    brake.loosen()
    loose, _ = resource.getrlimit(resource.RLIMIT_DATA)
    brake.hold()
    assert resource.getrlimit(resource.RLIMIT_DATA)[0] == loose > 0
    for _ in range(100):
        brake.allow_more()
    more, _ = resource.getrlimit(resource.RLIMIT_DATA)
    assert loose < more <= loose + 1024 * MIB
    brake.release()
    assert resource.getrlimit(resource.RLIMIT_DATA) == usual
    Brake(0).loosen()
    assert resource.getrlimit(resource.RLIMIT_DATA) == usual
