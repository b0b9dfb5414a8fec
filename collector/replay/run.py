"""`spyhop replay`: files to an endpoint, counting what is refused on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from collector.errors import InvalidInput
from collector.receive.check import check_message
from collector.replay.reader import Found, Refused, read_file
from collector.replay.sender import REQUEST_BYTES_MAX, Sender, parts
from collector.signals import Signal

NAMES = {Signal.TRACES: "spans", Signal.LOGS: "log records", Signal.METRICS: "data points"}


@dataclass
class Report:
    """What became of the files."""

    sent: Counter[Signal] = field(default_factory=Counter)
    refused: list[Refused] = field(default_factory=list)

    def summary(self) -> str:
        """`12 spans, 3 log records sent, 1 record refused`."""
        counts = [f"{count:,} {NAMES[signal]}" for signal, count in sorted(self.sent.items()) if count]
        refused = f", {len(self.refused):,} refused" if self.refused else ""
        return f"{', '.join(counts) or 'nothing'} sent{refused}"


def expand(paths: Iterable[Path]) -> list[Path]:
    """Folders become the files in them, in the order of their names.

    Raises:
        InvalidInput: a path does not exist, or a folder holds nothing.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(found for found in path.rglob("*") if found.is_file())
            if not inside:
                raise InvalidInput(f"the folder {path} holds no files")
            files += inside
        elif path.exists():
            files.append(path)
        else:
            raise InvalidInput(f"{path} does not exist")
    return files


def replay(files: Iterable[Path], sender: Sender, advance: Callable[[int], None] = lambda _: None) -> Report:
    """Send what the files hold. Requests of one signal are joined, since small ones are slow.

    Args:
        advance: called with the number of bytes read since its last call.
    """
    report = Report()
    waiting: dict[Signal, list[tuple[str, bytes]]] = {signal: [] for signal in Signal}

    def flush(signal: Signal) -> None:
        if waiting[signal]:
            first, last = waiting[signal][0][0], waiting[signal][-1][0]
            place = first if first == last else f"{first} to {last}"
            # The encoding of repeated fields, joined, is the encoding of the joined fields.
            sender.send(place, signal, b"".join(payload for _, payload in waiting[signal]))
            waiting[signal] = []

    with sender:
        for path in files:
            read_bytes = 0
            try:
                for item, now_bytes in read_file(path):
                    for place, signal, payload in _checked(item, report):
                        waiting[signal].append((place, payload))
                        if sum(len(body) for _, body in waiting[signal]) >= REQUEST_BYTES_MAX:
                            flush(signal)
                    advance(now_bytes - read_bytes)
                    read_bytes = now_bytes
            except InvalidInput as error:
                report.refused.append(Refused(str(path), str(error)))
            with suppress(OSError):
                advance(path.stat().st_size - read_bytes)
        for signal in Signal:
            flush(signal)
    report.refused += [Refused(place, f"{count} × {reason}") for place, count, reason in sender.rejected]
    return report


def _checked(item: Found | Refused, report: Report) -> Iterable[tuple[str, Signal, bytes]]:
    """By the rules of our own receivers, so that what is refused is told with its place."""
    if isinstance(item, Refused):
        report.refused.append(item)
        return
    for payload in parts(item.request):
        request = type(item.request).FromString(payload)
        checked = check_message(item.signal, request, payload)
        if checked.rejected_count:
            report.refused.append(Refused(item.place, checked.reason))
        if checked.accepted_count:
            report.sent[item.signal] += checked.accepted_count
            yield item.place, item.signal, checked.payload
