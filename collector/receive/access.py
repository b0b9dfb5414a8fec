"""Access control of both receivers: TLS, mutual TLS and a bearer token."""

from __future__ import annotations

import hmac
import ssl
from collections.abc import Mapping
from pathlib import Path

from collector.errors import StartupError, Unauthenticated

_SCHEME = "bearer "
_SETTINGS_HINT = "see SPYHOP_OTLP_TLS_CERT, SPYHOP_OTLP_TLS_KEY and SPYHOP_OTLP_TLS_CLIENT_CA"


def load_tls(cert: Path | None, key: Path | None, client_ca: Path | None) -> ssl.SSLContext | None:
    """The server's certificate chain and key, and the authority of its clients; None when TLS is off.

    Raises:
        StartupError: a file is missing, unreadable or does not fit the others.
    """
    if cert is None and key is None and client_ca is None:
        return None
    if cert is None or key is None:
        raise StartupError("TLS needs a certificate and its key, one of them is not set", hint=_SETTINGS_HINT)
    for path in (cert, key, *([] if client_ca is None else [client_ca])):
        _check_readable(path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # gRPC offers h2 alone; a client that offers both means OTLP/HTTP.
    context.set_alpn_protocols(["http/1.1", "h2"])
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
    return context


class TokenCheck:
    """Compares `Authorization: Bearer …` with the one token; accepts all requests when there is none."""

    def __init__(self, token: str = "") -> None:
        self._token = token.encode()

    def check(self, headers: Mapping[str, str]) -> None:
        """`headers` by lower-case name.

        Raises:
            Unauthenticated: the token is missing or wrong.
        """
        if not self._token:
            return
        sent = headers.get("authorization", "")
        is_bearer = sent[: len(_SCHEME)].lower() == _SCHEME
        # Constant time: the duration of the comparison must not show how much of a guess was right.
        if not is_bearer or not hmac.compare_digest(sent[len(_SCHEME) :].strip().encode(), self._token):
            raise Unauthenticated(
                "the bearer token is wrong" if is_bearer else "a bearer token is needed",
                hint="send the header 'authorization: Bearer …' with the server's SPYHOP_OTLP_TOKEN",
            )


def _check_readable(path: Path) -> None:
    try:
        path.expanduser().read_bytes()
    except OSError as error:
        raise StartupError(
            f"the TLS file {path} cannot be read ({error.strerror or error})", hint=_SETTINGS_HINT
        ) from error
