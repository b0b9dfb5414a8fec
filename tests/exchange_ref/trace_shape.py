"""The shape of a trace, to compare with the documented one."""

from __future__ import annotations

from collections import defaultdict

from opentelemetry.sdk.trace import ReadableSpan


def shape(spans: list[ReadableSpan]) -> set[tuple[object, ...]]:
    """Service, name, kind, parent and links of each span; parents and links by name."""
    names = {span.context.span_id: span.name for span in spans}
    return {
        (
            str(span.resource.attributes["service.name"]),
            span.name,
            span.kind.name,
            names[span.parent.span_id] if span.parent else None,
            tuple(names[link.context.span_id] for link in span.links),
        )
        for span in spans
    }


def drawn(spans: list[ReadableSpan]) -> str:
    """A trace as the documented texts."""
    names = {span.context.span_id: span.name for span in spans}
    children: dict[int, list[ReadableSpan]] = defaultdict(list)
    for span in spans:
        children[span.parent.span_id if span.parent else 0].append(span)
    lines: list[str] = []

    def walk(parent_id: int, depth: int) -> None:
        for span in sorted(
            children[parent_id], key=lambda one: (one.resource.attributes["service.name"], one.name)
        ):
            links = "".join(f" < {names[link.context.span_id]}" for link in span.links)
            service = span.resource.attributes["service.name"]
            lines.append(f"{'  ' * depth}{service} {span.name} {span.kind.name}{links}\n")
            walk(span.context.span_id, depth + 1)

    # A caller outside has no span here: the gateway's is the first.
    known = {span.context.span_id for span in spans}
    for span in spans:
        if span.parent is not None and span.parent.span_id not in known:
            children[0].append(span)
    walk(0, 0)
    assert len(lines) == len(spans), "not all spans hang together"
    return "".join(lines)
