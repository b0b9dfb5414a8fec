"""`spyhop replay`: files to an endpoint, counting what is refused on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from collector.errors import InvalidInput
from collector.receive.check import check_message
from collector.replay.found import Found, Refused
from collector.replay.reader import read_file
from collector.replay.sender import REQUEST_BYTES_MAX, Sender, parts
from collector.signals import Signal

NAMES = {Signal.TRACES: "spans", Signal.LOGS: "log records", Signal.METRICS: "data points"}


@dataclass
class Report:
    """What became of the files."""

    sent: Counter[Signal] = field(default_factory=Counter)
    refused: list[Refused] = field(default_factory=list)
    cut_count: int = 0  # values that were too long

    def summary(self) -> str:
        """`12 spans, 3 log records sent, 1 record refused`."""
        counts = [
            f"{count:,} {NAMES[signal].removesuffix('s' if count == 1 else '')}"
            for signal, count in sorted(self.sent.items())
            if count
        ]
        refused = f", {len(self.refused):,} refused" if self.refused else ""
        cut = f", {self.cut_count:,} values cut" if self.cut_count else ""
        return f"{', '.join(counts) or 'nothing'} sent{refused}{cut}"


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
    waiting: dict[Signal, list[_Checked]] = {signal: [] for signal in Signal}

    def flush(signal: Signal) -> None:
        if waiting[signal]:
            first, last = waiting[signal][0].place, waiting[signal][-1].place
            place = first if first == last else f"{first} to {last}"
            # The encoding of repeated fields, joined, is the encoding of the joined fields.
            payload = b"".join(part.payload for part in waiting[signal])
            sender.send(place, signal, payload, sum(part.item_count for part in waiting[signal]))
            waiting[signal] = []

    with sender:
        for path in files:
            read_bytes = 0
            for part, now_bytes in _read(path, report):
                if part is not None:
                    waiting[part.signal].append(part)
                    if sum(len(each.payload) for each in waiting[part.signal]) >= REQUEST_BYTES_MAX:
                        flush(part.signal)
                advance(now_bytes - read_bytes)
                read_bytes = now_bytes
            with suppress(OSError):
                advance(path.stat().st_size - read_bytes)
        for signal in Signal:
            flush(signal)
    report.sent = sender.accepted
    report.refused += [
        Refused(place, f"{count} rejected: {reason}") for place, count, reason in sender.rejected
    ]
    return report


class _Checked(NamedTuple):
    """A request that our own receivers would take."""

    place: str
    signal: Signal
    payload: bytes
    item_count: int


def _read(path: Path, report: Report) -> Iterator[tuple[_Checked | None, int]]:
    """What can be sent of one file, each with the bytes read by then; why not goes into `report`.

    A file never stops those after it, whatever is wrong with it.
    """
    sound_count, refused_count = 0, len(report.refused)
    try:
        for item, now_bytes in read_file(path):
            for part in _checked(item, report):
                sound_count += part.item_count
                yield part, now_bytes
            yield None, now_bytes
    except InvalidInput as error:
        report.refused.append(Refused(str(path), str(error)))
    except Exception as error:  # a fault of ours costs this file, not the others
        report.refused.append(Refused(str(path), f"cannot be read ({type(error).__name__}: {error})"))
    if sound_count == 0 and len(report.refused) == refused_count:
        report.refused.append(Refused(str(path), "holds no spans, log records or data points"))


def _checked(item: Found | Refused, report: Report) -> Iterable[_Checked]:
    """Checks by the rules of our own receivers, so that a refusal is reported with its place."""
    if isinstance(item, Refused):
        report.refused.append(item)
        return
    for payload in parts(item.request):
        request = type(item.request).FromString(payload)
        checked = check_message(item.signal, request, payload)
        report.cut_count += sum(checked.cut.values())
        if checked.rejected:
            report.refused.append(Refused(item.place, checked.reason))
        if checked.accepted_count:
            yield _Checked(item.place, item.signal, checked.payload, checked.accepted_count)
