"""The errors of the observability side. They know nothing of HTTP, gRPC or exit codes.

SpyhopError
├── InvalidInput        the caller sent something that cannot be used
│   ├── MalformedBody   bytes that do not parse as what they claim to be
│   ├── TooLarge        a body beyond the limit, after decompression
│   ├── TooSlow         a body that does not come
│   └── RefusedQuery    SQL that is not one read-only statement
├── Unauthenticated     no bearer token, or not the right one
├── NotFound            an id that is not stored
├── Conflict            the request does not fit the present state
├── Unavailable         try again later: the spool is full, the server drains
├── Timeout             the work took longer than its limit
├── Tampered            a file is not what this process wrote
├── DatabaseStopped     DuckDB met a fatal error: only a new process can go on
└── StartupError        the process cannot start
    ├── PortInUse
    ├── DataFolderInUse
    ├── DataFolderUnusable
    └── UnknownSetting

`api.py` maps them to HTTP status codes, `receive/` to OTLP status codes and `spyhop.py` to exit codes.
"""

from __future__ import annotations

from collections.abc import Mapping


class SpyhopError(Exception):
    """Base of all expected errors.

    Args:
        message: what was wrong, one sentence without a trailing stop.
        hint: what to do about it, one sentence without a trailing stop.
        details: machine-readable facts for API clients.
    """

    code = "internal"

    def __init__(self, message: str, *, hint: str = "", details: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = dict(details or {})

    def __str__(self) -> str:
        return f"{self.message}: {self.hint}" if self.hint else self.message


class InvalidInput(SpyhopError):
    code = "invalid_input"


class MalformedBody(InvalidInput):
    code = "malformed_body"


class TooLarge(InvalidInput):
    code = "too_large"


class TooSlow(InvalidInput):
    code = "too_slow"


class RefusedQuery(InvalidInput):
    code = "refused_query"


class Unauthenticated(SpyhopError):
    code = "unauthenticated"


class NotFound(SpyhopError):
    code = "not_found"


class Conflict(SpyhopError):
    code = "conflict"


class Unavailable(SpyhopError):
    code = "unavailable"


class Busy(Unavailable):
    """What a client raises when a server has answered that it cannot do this now: it runs."""


class Timeout(SpyhopError):
    code = "timeout"


class Tampered(SpyhopError):
    code = "tampered"


class DatabaseStopped(SpyhopError):
    code = "database_stopped"


class StartupError(SpyhopError):
    code = "startup"


class PortInUse(StartupError):
    code = "port_in_use"


class DataFolderInUse(StartupError):
    code = "data_folder_in_use"


class DataFolderUnusable(StartupError):
    code = "data_folder_unusable"


class UnknownSetting(StartupError):
    code = "unknown_setting"
