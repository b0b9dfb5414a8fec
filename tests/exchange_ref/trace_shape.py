"""The shape of a trace, to compare with the documented one."""

from __future__ import annotations

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
