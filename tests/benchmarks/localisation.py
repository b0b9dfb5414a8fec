"""How long it takes to localise an incident of many traces.

    uv run python tests/benchmarks/localisation.py FOLDER [--traces 1000] [--json]

FOLDER holds labelled incidents, such as `spyhop exchange scenario smoke --out FOLDER` writes. The traces of
its cases, one after the other, stand for one incident; spans, logs and attributes are in memory, as they are
once they have been read. Prints the least of some calls, by the clock and in CPU of the process.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from datasets.evaluate.evaluation import Reference
from datasets.evaluate.incidents import IncidentFolder
from detectors.baseline.learn import learn_times
from detectors.baseline.models import Baselines
from detectors.localise import localise
from detectors.settings import Settings

REPEATS = 5


def measure(path: Path, trace_count: int) -> dict[str, Any]:
    """Times of `localise` on the first traces of the folder's cases, in seconds."""
    with IncidentFolder.open(path) as folder:
        baselines, learned = Baselines(Settings()), folder.baseline_spans()
        baselines.add(learn_times(learned))
        usual = Reference(folder, learned, baselines).usual(folder.case_spans(folder.case_ids()[0]))
        spans, logs, count = [], [], 0
        for case_id in folder.case_ids():
            if count >= trace_count:
                break
            spans.append(folder.case_spans(case_id))
            logs.append(folder.case_logs(case_id))
            count += len(pc.unique(spans[-1]["trace_id"]))
        every = pa.concat_tables(spans)
        chosen = pc.unique(every["trace_id"])[:trace_count]
        incident, said = (_of(table, chosen) for table in (every, pa.concat_tables(logs)))
        attributes = folder.attributes(incident)
    clock_s, cpu_s = [], []
    for _ in range(REPEATS):
        clock, cpu = time.perf_counter(), time.process_time()
        assert localise(incident, usual, said, attributes)
        clock_s.append(time.perf_counter() - clock)
        cpu_s.append(time.process_time() - cpu)
    return {
        "traces": len(chosen),
        "spans": incident.num_rows,
        "attributes": attributes.num_rows,
        "logs": said.num_rows,
        "clock_s": round(min(clock_s), 3),
        "cpu_s": round(min(cpu_s), 3),
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "load": os.getloadavg()[0]},
        "versions": {name: version(name) for name in ("pyarrow", "numpy")},
    }


def _of(table: pa.Table, trace_ids: pa.Array) -> pa.Table:
    return table.filter(pc.is_in(table["trace_id"], value_set=trace_ids))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--traces", type=int, default=1_000)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    found = measure(options.folder, options.traces)
    if options.json:
        json.dump(found, sys.stdout, indent=2)
    else:
        for name, value in found.items():
            print(f"{name:>12}  {value}")


if __name__ == "__main__":
    main()
