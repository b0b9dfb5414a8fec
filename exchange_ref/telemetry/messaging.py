"""The attributes of messaging spans, one place for both ends of a queue."""

from __future__ import annotations

from exchange_ref.broker.message import Message


def messaging_attributes(system: str, operation: str, queue: str, message: Message) -> dict[str, str | int]:
    """OpenTelemetry's messaging conventions; `operation` is `send` or `process`."""
    return {
        "messaging.system": system,
        "messaging.operation.name": "publish" if operation == "send" else operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": queue,
        "messaging.message.conversation_id": message.correlation_id,
        "messaging.message.body.size": len(message.body),
    }
