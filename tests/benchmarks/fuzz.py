"""Coverage-guided fuzzing of what an OTLP body passes through: decompression, check at the door, decoding.

    uv run --with atheris python tests/benchmarks/fuzz.py --seconds 300 [--json] [--corpus FOLDER]

The first byte of an input chooses signal, form (protobuf or JSON), encoding and limits. Anything but a clear
refusal, a body that is accepted but does not decode or decodes to another number of rows, and JSON that the
two readers understand differently are findings: the run fails and prints the stack and the input. atheris
instruments the Python code, so what guides it are our own branches, not those inside upb, ptars or DuckDB.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

try:
    import atheris
except ImportError:
    sys.exit("atheris is missing: uv run --with atheris python tests/benchmarks/fuzz.py")

with atheris.instrument_imports(include=["collector.receive", "collector.decode"]):
    from collector.decode.records import decode_records
    from collector.errors import InvalidInput
    from collector.receive.check import check_bytes, check_message
    from collector.receive.compression import decompress
    from collector.receive.json_wire import TraceTranslator
    from collector.receive.limits import Limits
    from collector.receive.otlp_json import parse_json
    from collector.receive.parts import refuse_too_many_parts

from collector.signals import Signal
from collector.wal.segment import Position, Record

ENCODINGS = ("", "gzip", "deflate", "zstd")
BODY_MAX_BYTES = 64 * 1024
SMALL = Limits(value_bytes=48, name_chars=16)  # within reach of small inputs
SIGNALS = list(Signal)
TRANSLATOR = TraceTranslator()


def try_one(data: bytes) -> None:
    """One input through all that an acknowledged body goes through, up to the store."""
    if not data:
        return
    choice, body = data[0], data[1:]
    signal = SIGNALS[choice % 3]
    is_json = bool(choice & 16)
    limits = SMALL if choice & 32 else Limits()
    try:
        body = decompress(body, ENCODINGS[choice >> 2 & 3], BODY_MAX_BYTES)
        refuse_too_many_parts(body, is_json=is_json)
        if is_json:
            wire = TRANSLATOR.translate(body) if signal is Signal.TRACES else None
            try:
                request = parse_json(signal, body)
            except InvalidInput:
                assert wire is None, "one JSON reader accepts what the other refuses"
                raise
            assert wire in (None, request.SerializeToString()), "the two JSON readers differ"
            checked = check_message(signal, request, limits=limits)
        else:
            checked = check_bytes(signal, body, limits)
    except InvalidInput:
        return
    record = Record(Position(0, 0), signal, checked.payload)
    tables = decode_records([record]).get(signal, [])
    count = sum(part.table.num_rows for part in tables)
    assert count == checked.accepted_count, f"{checked.accepted_count} accepted, {count} decoded"
    for part in tables:
        part.table.validate(full=True)


def write_seeds(folder: Path) -> None:
    """A sound body of each signal in each form and encoding, to start from."""
    sys.path.insert(0, str(Path(__file__).parents[2]))
    import gzip
    import zlib

    import zstandard

    from tests.collector.receive.mangle import make_seed

    packers = (bytes, gzip.compress, zlib.compress, zstandard.compress)
    for number in range(256):
        seed = make_seed(SIGNALS[number % 3], "fuzz")
        plain = seed.text.encode() if number & 16 else seed.body
        (folder / f"seed-{number:03d}").write_bytes(bytes([number]) + packers[number >> 2 & 3](plain))


def run_child(corpus: str, seconds: int) -> None:
    """libFuzzer ends the process itself, so the parent reads its figures from the output."""
    libfuzzer = [f"-max_total_time={seconds}", "-max_len=4096", "-timeout=10", "-rss_limit_mb=2048"]
    libfuzzer.append(f"-artifact_prefix={corpus}/")
    atheris.Setup([sys.argv[0], corpus, *libfuzzer, "-print_final_stats=1"], try_one)
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--corpus", default="", help="folder of inputs to start from and to grow")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        run_child(options.corpus, options.seconds)
        return
    with tempfile.TemporaryDirectory() as folder:
        corpus = options.corpus or folder
        write_seeds(Path(corpus))
        command = [sys.executable, __file__, "--child", "--seconds", str(options.seconds), "--corpus", corpus]
        started_s = perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        result = {
            "executions": stat(done.stderr, "number_of_executed_units"),
            "seconds": round(perf_counter() - started_s, 1),
            "corpus": len(list(Path(corpus).iterdir())),
            "peak_rss_mb": stat(done.stderr, "peak_rss_mb"),
            "finding": "" if done.returncode == 0 else (done.stdout + done.stderr)[:4000],
            "machine": {
                "cpus": os.cpu_count(),
                "python": platform.python_version(),
                "load_1m": os.getloadavg()[0],
            },
        }
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        for name, value in result.items():
            print(f"{name:14} {value}")
    sys.exit(bool(result["finding"]))


def stat(output: str, name: str) -> int:
    """A figure of libFuzzer's final statistics; 0 when it did not come so far."""
    found = [line.rsplit(":", 1)[1] for line in output.splitlines() if f"stat::{name}:" in line]
    return int(found[-1]) if found else 0


if __name__ == "__main__":
    main()
