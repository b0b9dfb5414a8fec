"""Who may send: TLS, mutual TLS and a bearer token, the same for both receivers."""

from __future__ import annotations

import hmac
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from collector.errors import StartupError, Unauthenticated

_SCHEME = "bearer "
_SETTINGS_HINT = "see SPYHOP_OTLP_TLS_CERT, SPYHOP_OTLP_TLS_KEY and SPYHOP_OTLP_TLS_CLIENT_CA"


class Tls(NamedTuple):
    """PEM texts for gRPC, and the same as a context for HTTP."""

    certificate: bytes
    key: bytes
    client_ca: bytes | None  # set: a client must show a certificate that this authority signed
    context: ssl.SSLContext


def load_tls(cert: Path | None, key: Path | None, client_ca: Path | None) -> Tls | None:
    """The server's certificate chain and key, and the authority of its clients; None when TLS is off.

    Raises:
        StartupError: a file is missing, unreadable or does not fit the others.
    """
    if cert is None and key is None and client_ca is None:
        return None
    if cert is None or key is None:
        raise StartupError("TLS needs a certificate and its key, one of them is not set", hint=_SETTINGS_HINT)
    texts = [_read(path) for path in (cert, key)]
    authority = None if client_ca is None else _read(client_ca)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key)
        if client_ca is not None:
            context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except ssl.SSLError as error:
        raise StartupError(
            f"the TLS files cannot be used ({error.reason or error})",
            hint="give PEM files, an unencrypted key, and the certificate that belongs to it",
        ) from error
    return Tls(texts[0], texts[1], authority, context)


class TokenCheck:
    """Compares `Authorization: Bearer …` with the one token; lets all pass when there is none."""

    def __init__(self, token: str = "") -> None:
        self._token = token.encode()

    def check(self, headers: Mapping[str, str]) -> None:
        """`headers` by lower-case name.

        Raises:
            Unauthenticated: the token is missing or another one.
        """
        if not self._token:
            return
        sent = headers.get("authorization", "")
        is_bearer = sent[: len(_SCHEME)].lower() == _SCHEME
        # Constant time: how long the comparison takes must not tell how much of a guess was right.
        if not is_bearer or not hmac.compare_digest(sent[len(_SCHEME) :].strip().encode(), self._token):
            raise Unauthenticated(
                "the bearer token is wrong" if is_bearer else "a bearer token is needed",
                hint="send the header 'authorization: Bearer …' with the server's SPYHOP_OTLP_TOKEN",
            )


def _read(path: Path) -> bytes:
    try:
        return path.expanduser().read_bytes()
    except OSError as error:
        raise StartupError(
            f"the TLS file {path} cannot be read ({error.strerror or error})", hint=_SETTINGS_HINT
        ) from error
