"""One demo: start, watch, judge, stop."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from collector.client import Client
from collector.errors import DataFolderUnusable, SpyhopError, StartupError
from dashboard.demo import parts, processes, review, schedule
from dashboard.demo.counts import Observer
from dashboard.demo.judge import Verdict, judge, read_labels
from dashboard.demo.progress import Progress
from dashboard.demo.report import Report
from datasets.export.run import write_export

READY_TIMEOUT_S = 60.0
WATCH_INTERVAL_S = 1.0
# The exchange finishes its orders in flight and flushes its exporters.
EXCHANGE_STOP_S = 3.0
CATCH_UP_S = 10.0
# Ctrl-C is answered within 5 s, so what is still on its way gets less time.
CATCH_UP_INTERRUPTED_S = 1.0
PART_STOP_S = 4.0


class Demo:
    """Runs everything once.

    Args:
        folder: data, logs, labels and export of this run.
        run_s: how long to send load after all parts are ready; None until Ctrl-C.
        headless: do not open a browser.
        progress: where to say what happens.
    """

    def __init__(
        self,
        folder: Path,
        *,
        run_s: float | None,
        headless: bool,
        progress: Progress,
        rate_per_s: float = 50.0,
        seed: int = 7,
    ) -> None:
        self._files = parts.Files(folder)
        self._run_s = run_s
        self._headless = headless
        self._progress = progress
        self._rate_per_s = rate_per_s
        self._seed = seed
        self._stop = threading.Event()
        self._explained: dict[str, int] = {}  # incident id → anomalies when it was explained
        self._announced: set[str] = set()

    def run(self) -> Report:
        """Start, watch until the time is over or a signal comes, judge, stop.

        Raises:
            InvalidInput: the run is too short.
            StartupError: a part did not start, or ended early.
        """
        plan = schedule.plan(self._run_s, self._seed)
        self._make_folders()
        schedule.write(self._files.faults, plan)
        addresses = parts.Addresses.choose()
        server, exchange, dashboard = parts.build(addresses, self._files, self._rate_per_s, self._seed)
        running = [server, exchange, dashboard]
        with _stop_on_signal(self._stop):
            try:
                server.start(self._files.logs)
                dashboard.start(self._files.logs)
                processes.wait_until_ready([server], READY_TIMEOUT_S, self._say_ready)
                # Its faults are timed from its start: what is usual must be heard from then on.
                exchange.start(self._files.logs)
                processes.wait_until_ready([exchange, dashboard], READY_TIMEOUT_S, self._say_ready)
                if not self._headless and _has_screen():
                    webbrowser.open(dashboard.address)
                with Client(addresses.url(addresses.api)) as client:
                    observer = Observer(client, exchange.address)
                    self._watch(client, observer, running)
                    exchange.stop(EXCHANGE_STOP_S)
                    if exchange.exit_code() != 0:
                        raise _ended(exchange, "did not stop in order")
                    observer.take_final_orders(self._files.exchange_report)
                    report = self._conclude(client, observer)
                    observer.close()
            finally:
                _stop_all(running)
        return report

    def _make_folders(self) -> None:
        try:
            self._files.logs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataFolderUnusable(
                f"cannot write to {self._files.folder} ({error.strerror})",
                hint="pass another folder with --data",
            ) from error

    def _say_ready(self, part: processes.Part, seconds: float) -> None:
        self._progress.event(f"{part.name:<10} {part.address}   ready after {seconds:.1f} s")

    def _watch(self, client: Client, observer: Observer, running: list[processes.Part]) -> None:
        started = time.monotonic()
        until = "Ctrl-C" if self._run_s is None else f"{self._run_s:g} s"
        self._progress.event(f"{'data':<10} {self._files.folder}   running until {until}")
        while not self._stop.is_set():
            elapsed_s = time.monotonic() - started
            if self._run_s is not None and elapsed_s >= self._run_s:
                return
            for part in running:
                if part.exit_code() is not None:
                    raise _ended(part, "ended early")
            self._progress.show(elapsed_s, observer.counts())
            self._explain_new(client, observer)
            self._stop.wait(WATCH_INTERVAL_S)

    def _explain_new(self, client: Client, observer: Observer) -> None:
        """Explain incidents as they appear, and again each time they have doubled.

        Not at every change: with a language model configured each explanation costs money.
        """
        for incident in observer.incidents():
            identity, size = incident["incident_id"], incident["anomaly_count"]
            if size < 2 * self._explained.get(identity, 0):
                continue
            explanation = review.explain(client, identity)
            self._explained[identity] = size
            if identity not in self._announced:
                self._announced.add(identity)
                self._progress.event(f"incident   SEV{incident['severity']} {incident['title']}")
                self._progress.event(f"           {explanation['summary']}")

    def _conclude(self, client: Client, observer: Observer) -> Report:
        self._wait_for_catch_up(observer)
        self._explained.clear()  # the final explanations rest on all of the data
        self._explain_new(client, observer)
        verdicts = self._judge(observer)
        self._review(client, verdicts)
        report = Report(counts=observer.counts(), verdicts=verdicts, data_dir=self._files.folder)
        self._export(client)
        return report

    def _wait_for_catch_up(self, observer: Observer) -> None:
        limit_s = CATCH_UP_INTERRUPTED_S if self._stop.is_set() else CATCH_UP_S
        deadline = time.monotonic() + limit_s
        while not observer.caught_up() and time.monotonic() < deadline:
            time.sleep(0.1)

    def _judge(self, observer: Observer) -> list[Verdict]:
        return judge(read_labels(self._files.labels), observer.flagged(), observer.first_causes())

    def _review(self, client: Client, verdicts: list[Verdict]) -> None:
        labels = read_labels(self._files.labels)
        for verdict, label in zip(verdicts, labels, strict=True):
            if verdict.incident_id is None:
                continue
            explanation = review.explain(client, verdict.incident_id)
            feedback = review.feedback_for(explanation, verdict, label)
            client.post("/api/monitor/feedback", feedback)
            mark = "thumbs-up" if feedback["rating"] == "up" else "thumbs-down with a correction"
            self._progress.event(f"feedback   {mark} for the explanation of {verdict.kind}")

    def _export(self, client: Client) -> None:
        try:
            manifest = write_export(client, "trl-sft", self._files.export)
        except SpyhopError as error:
            self._progress.event(f"export     none: {error}")
            return
        self._progress.event(f"export     {manifest.rows} rows for fine-tuning in {self._files.export}")


def _has_screen() -> bool:
    """Without one, `webbrowser` would start a text browser in this very terminal."""
    if sys.platform in {"darwin", "win32"}:
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _ended(part: processes.Part, how: str) -> StartupError:
    return StartupError(f"{part.name} {how}", hint=f"{part.last_words()} (log: {part.log})")


def _stop_all(running: list[processes.Part]) -> None:
    """All at once, since each takes its own time."""
    threads = [threading.Thread(target=part.stop, args=(PART_STOP_S,)) for part in running]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@contextmanager
def _stop_on_signal(stop: threading.Event) -> Iterator[None]:
    """SIGINT and SIGTERM set `stop`; the previous handlers return afterwards."""

    def ask(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    previous = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
