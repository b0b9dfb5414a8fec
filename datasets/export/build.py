"""Judged examples → rows of one format: bounded, without duplicates, counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from datasets.export import judging
from datasets.export.gold import Reject
from datasets.export.labelled import Database, InMemory, Labelled, Source
from datasets.export.lesson import lesson_of
from datasets.export.rejects import Rejects
from datasets.export.row import Format, Judged, Row, Split
from datasets.export.select import Filters, Selection, select
from datasets.export.settings import Settings
from llm.narration.context import CHARS_PER_TOKEN

_ALL = Filters()
_ENCODER = msgspec.json.Encoder()
# Some readers take U+2028 and U+0085 for line ends; inside JSON strings they may be written as escapes.
_LINE_ENDS = ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"), (b"\xc2\x85", b"\\u0085"))


@dataclass
class Rows:
    """Makes the rows of one format, and keeps the needed facts about earlier rows."""

    format: Format
    settings: Settings
    rejects: Rejects = field(default_factory=Rejects)
    _first_of: dict[bytes, str] = field(default_factory=dict)

    def of(self, judged: Judged, split: Split) -> Iterator[Row]:
        """The rows of an example; why it makes none, or fewer, is kept in `rejects`."""
        example_id = judged.example.example_id
        if refusal := self.format.refusal(judged):
            self.rejects.append(Reject(example_id, refusal))
            return
        first = self._first_of.setdefault(judged.lesson.content_hash, example_id)
        if first != example_id:
            self.rejects.append(Reject(example_id, f"duplicate of {first}"))
            return
        for record in self.format.build(judged):
            text = _ENCODER.encode(record)
            for character, escape in _LINE_ENDS:
                text = text.replace(character, escape)
            tokens = len(text) // CHARS_PER_TOKEN
            if tokens > self.settings.export_max_row_tokens:
                reason = f"about {tokens} tokens, over {self.settings.export_max_row_tokens}"
                self.rejects.append(Reject(example_id, reason))
            else:
                yield Row(judged, split, text, tokens)


def judged_examples(
    source: Source, selection: Selection, rejects: Rejects, *, beside: bool = False
) -> Iterator[tuple[Judged, Split]]:
    """The selected examples, one at a time; what teaches nothing is added to `rejects`.

    Args:
        beside: whether a second process judges where many are chosen; not in a server, which has other work.
    """
    splits = {head.example_id: selection.split_of(head) for head in selection.chosen}
    if beside and isinstance(source, Database) and len(selection.chosen) >= judging.WORTH_A_PROCESS:
        judged = judging.judge_beside(source.pages(selection.chosen))
    else:
        judged = ((example, lesson_of(example)) for example in source.labelled(selection.chosen))
    for example, lesson in judged:
        if isinstance(lesson, Reject):
            rejects.append(lesson)
        else:
            yield Judged(example, lesson), splits[example.example_id]


@dataclass(frozen=True)
class Export:
    """Rows of one format in memory, and the verdicts that made none."""

    format: Format
    rows: list[Row]
    rejects: list[Reject]
    labelled_count: int

    def of(self, split: Split) -> list[Row]:
        return [row for row in self.rows if row.split == split]


def build_exports(
    source: Source, formats: Iterable[Format], settings: Settings, filters: Filters = _ALL
) -> Mapping[str, Export]:
    """All rows of few examples, by format. `write_folder` is for many: it keeps none."""
    selection = select(source, filters, settings)
    rejects = Rejects()
    makers = [Rows(format_, settings) for format_ in formats]
    rows: dict[str, list[Row]] = {maker.format.name: [] for maker in makers}
    for judged, split in judged_examples(source, selection, rejects):
        for maker in makers:
            rows[maker.format.name] += maker.of(judged, split)
    return {
        maker.format.name: Export(
            maker.format,
            rows[maker.format.name],
            selection.rejects.joined(rejects, maker.rejects).listed(),
            selection.labelled_count,
        )
        for maker in makers
    }


def build_export(
    examples: Iterable[Labelled], format_: Format, settings: Settings, filters: Filters = _ALL
) -> Export:
    """The same examples, settings and filters give the same export, byte for byte."""
    return build_exports(InMemory(examples), [format_], settings, filters)[format_.name]
