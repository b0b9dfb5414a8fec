"""The model client against third-party endpoints that are made to misbehave: how each answer ends, and when.

uv run python tests/benchmarks/model_endpoints.py [--llmock PATH] [--aimock PATH] [--json]

`llmock` 0.2 is on PyPI (install it in an environment of its own), `@copilotkit/aimock` 1.43 on npm (its
command is `node_modules/.bin/llmock`). Every call has to end within its deadline, in an answer or a reason.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx2

from llm.errors import ModelFailed
from llm.narration.model import Model
from llm.settings import Settings

CALLS = 20
DEADLINE_S = 5.0
ANSWER = json.dumps({"summary": "SELECT carts took 152 ms [E1].", "root_causes": [], "recommendations": []})
LLMOCK_MODES = {
    "as it is": [],
    "half are 503": ["--error-rate-503", "0.5"],
    "half are 429": ["--error-rate-429", "0.5"],
    "streams are cut": ["--stream-fault", "truncate=1.0"],
    "streams stall": ["--stream-fault", "stall=1.0", "--stream-stall-seconds", "30"],
}
AIMOCK_MODES = {"a right answer": [], "drips": ["--latency", "400", "--chunk-size", "2"]}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class Heard:
    """A listener that counts what it hears."""

    def __init__(self) -> None:
        self.pieces = 0

    def begin(self) -> None:
        pass

    def piece(self, text: str) -> None:
        self.pieces += bool(text)


def play(url: str, *, streamed: bool) -> dict[str, Any]:
    settings = Settings(llm_base_url=f"{url}/v1", llm_model="gpt-4o", llm_deadline_s=DEADLINE_S)
    ends: Counter[str] = Counter()
    slowest_s, heard = 0.0, Heard()
    for _ in range(CALLS):
        began = time.perf_counter()
        try:
            Model(settings).ask([{"role": "user", "content": "Explain it."}], heard if streamed else None)
            ends["answered"] += 1
        except ModelFailed as error:
            ends[error.reason] += 1
        slowest_s = max(slowest_s, time.perf_counter() - began)
        if slowest_s > DEADLINE_S / 2:  # the deadline it is: two of these are enough
            break
    return {"ends": dict(ends), "slowest_s": round(slowest_s, 2), "pieces": heard.pieces}


def against(command: list[str], port: int) -> dict[str, Any]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                httpx2.get(f"{url}/v1/models", trust_env=False, timeout=2)
                break
            except httpx2.HTTPError:
                threading.Event().wait(0.1)
        else:
            raise SystemExit(f"{command[0]} did not start")
        return {"plain": play(url, streamed=False), "streamed": play(url, streamed=True)}
    finally:
        process.terminate()
        process.wait(timeout=30)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--llmock", help="command of the PyPI package")
    parser.add_argument("--aimock", help="command `llmock` of the npm package")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not (options.llmock or options.aimock):
        sys.exit("name at least one of --llmock and --aimock")
    found: dict[str, Any] = {}
    for mode, flags in LLMOCK_MODES.items() if options.llmock else ():
        port = free_port()
        command = [options.llmock, "serve", "--port", str(port), *flags]
        found[f"llmock, {mode}"] = against(command, port)
    with tempfile.TemporaryDirectory() as folder:
        fixture = Path(folder) / "answer.json"
        match = {"userMessage": "Explain"}
        fixture.write_text(json.dumps({"fixtures": [{"match": match, "response": {"content": ANSWER}}]}))
        for mode, flags in AIMOCK_MODES.items() if options.aimock else ():
            port = free_port()
            command = [options.aimock, "--port", str(port), "--fixtures", str(fixture), *flags]
            found[f"aimock, {mode}"] = against(command, port)
    print(json.dumps(found) if options.json else json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
