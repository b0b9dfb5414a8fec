"""What is watched: an operation is a service, a span name and a span kind."""

from __future__ import annotations

OperationKey = tuple[str, str, str]  # service name, span name, span kind
