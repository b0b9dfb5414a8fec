from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

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


LIMITS = """
import json, resource, sys
kind, usual = resource.RLIMIT_DATA, int(sys.argv[1])
resource.setrlimit(kind, (usual, resource.getrlimit(kind)[1]))
from collector.sql.brake import Brake
one, other, none = Brake(1 << 20), Brake(1 << 30), Brake(0)
seen = []
steps = one.loosen, other.loosen, other.hold, one.release, none.loosen, none.hold, other.release, other.hold
for step in steps:
    step()
    seen.append(resource.getrlimit(kind)[0])
print(json.dumps(seen))
"""


@pytest.mark.parametrize("usual", [resource.RLIM_INFINITY, 2 << 30], ids=["without limit", "of 2 GiB"])
def test_limits_come_back(usual: int) -> None:
    """Of two brakes the more generous counts, none goes beyond the limit of before, and that comes back."""
    command = [sys.executable, "-c", LIMITS, str(usual)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    small, large, *rest = json.loads(done.stdout)
    assert 1 << 30 < small < large if usual < 0 else 1 << 30 < small <= large == usual
    assert rest == [large] * 4 + [usual] * 2
