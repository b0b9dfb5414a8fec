"""OTLP/gRPC: handlers that take the raw bytes; health and reflection beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from collector.errors import (
    InvalidInput,
    MalformedBody,
    SpyhopError,
    StartupError,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from collector.http.connections import descriptors_max
from collector.receive.access import TokenCheck
from collector.receive.compression import UnsupportedEncoding, decompress, encoding_of
from collector.receive.either_port import PEER_PREFIX
from collector.receive.grpc_encoding import TOLD_HEADER
from collector.receive.grpc_patience import Patience, PatientServices
from collector.receive.intake import Accepted, Intake
from collector.receive.senders import Sender
from collector.receive.turns import LARGE_BYTES_MIN, Export, GrpcTurns
from collector.signals import GRPC_METHODS, Signal

RETRY_PUSHBACK_MS = "1000"
# gRPC gives each call a thread as soon as it opens, before its message has come. These are for calls that
# wait; a thread is made only when all others are taken.
WAITING_CALLS_MAX = 512
_FIRST_TAG = b"\x0a"  # of every OTLP request that is not empty
_CODES: list[tuple[type[SpyhopError], grpc.StatusCode]] = [
    (MalformedBody, grpc.StatusCode.INVALID_ARGUMENT),
    (TooLarge, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (Unavailable, grpc.StatusCode.UNAVAILABLE),
    (Unauthenticated, grpc.StatusCode.UNAUTHENTICATED),
    (UnsupportedEncoding, grpc.StatusCode.UNIMPLEMENTED),  # with grpc-accept-encoding, which gRPC sends
]
_OTLP_SERVICES = [method.split("/")[1] for method in GRPC_METHODS.values()]
_GRPCS_OWN_PREFIX = "/grpc."  # health and reflection
_HEALTH_PREFIX = f"/{health.SERVICE_NAME}/"
# A peer that vanished without a word is noticed after 80 s; clients may ask for life every 10 s, also
# between two exports, where gRPC's default is to close on them with "too many pings" below 5 minutes.
_KEEP_ALIVE = [
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.server_handshake_timeout_ms", 15_000),  # a connection that never becomes HTTP/2
    (
        "grpc.max_connection_idle_ms",
        600_000,
    ),  # one without any call; its client opens another when it needs it
]
# More than the number of calls that may be silent: those are cancelled before a connection's next call must
# wait.
_STREAMS_PER_CONNECTION_MAX = 1000


class GrpcReceiver:
    """An OTLP/gRPC server for the three signals."""

    def __init__(
        self,
        intake: Intake,
        path: Path,
        *,
        max_body_bytes: int,
        threads: int,
        message_timeout_s: float,
        token: TokenCheck | None = None,
    ) -> None:
        """Bind at once; `start` begins to serve.

        Args:
            path: the Unix socket to listen on (`either_port.py` leads the senders there).
            threads: requests that are checked at the same time.
            message_timeout_s: time in which the message of an open call must have come as a whole.

        Raises:
            StartupError: the socket cannot be made.
        """
        self._patience = Patience(message_timeout_s)
        doorkeepers = [_Doorkeeper(intake, token)] if token is not None else []
        self._server = grpc.server(
            ThreadPoolExecutor(threads + WAITING_CALLS_MAX, thread_name_prefix="otlp-grpc"),
            interceptors=[*doorkeepers, PatientServices(self._patience)],
            options=[
                ("grpc.max_receive_message_length", max_body_bytes),
                ("grpc.per_message_decompression", 0),  # ours knows more encodings
                ("grpc.max_concurrent_streams", _STREAMS_PER_CONNECTION_MAX),
                # Beyond it gRPC refuses new ones, not idle ones: as many as leave room for all else.
                ("grpc.max_allowed_incoming_connections", max(1, descriptors_max() // 2)),
                *_KEEP_ALIVE,
            ],
        )
        self._server.add_generic_rpc_handlers((_Handlers(intake, threads, self._patience, max_body_bytes),))
        # Watchers keep a thread each for as long as they watch: not the threads that take requests.
        self._health = health.HealthServicer(
            experimental_non_blocking=True,
            experimental_thread_pool=ThreadPoolExecutor(2, thread_name_prefix="grpc-health"),
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (*_OTLP_SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        try:
            self._server.add_insecure_port(f"unix:{path}")  # TLS ended before
        except RuntimeError as error:
            raise StartupError(f"OTLP/gRPC cannot listen on {path}") from error

    def start(self) -> None:
        self._server.start()
        self._patience.start()
        for service in ("", *_OTLP_SERVICES):
            self._health.set(service, health_pb2.HealthCheckResponse.SERVING)

    def stop(self, grace_s: float) -> None:
        """Notify health watchers, accept no new requests, and give running ones `grace_s` seconds."""
        self._health.enter_graceful_shutdown()
        self._server.stop(grace_s).wait(grace_s + 1)
        self._patience.stop()


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, intake: Intake, threads: int, patience: Patience, max_body_bytes: int) -> None:
        # No (de)serialisers: bytes in, bytes out. On the wire a unary call is a stream of one message.
        # Handled as a stream, it is known to us, and can be cancelled, before that message has arrived.
        turns = GrpcTurns(threads, max_body_bytes)
        self._by_method: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            method: grpc.stream_unary_rpc_method_handler(
                _export(intake, signal, turns, patience, max_body_bytes)
            )
            for signal, method in GRPC_METHODS.items()
        }

        self._unknown: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_unary_rpc_method_handler(
            _refuse_unknown(intake)
        )

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        known = self._by_method.get(call.method)
        if known is None and not call.method.startswith(_GRPCS_OWN_PREFIX):
            return self._unknown  # as without it, but the sender is noted
        return known


class _Doorkeeper(grpc.ServerInterceptor):
    """Admits only calls with the token; health is open to everyone, since probes carry no token."""

    def __init__(self, intake: Intake, token: TokenCheck) -> None:
        self._intake = intake
        self._token = token
        self._signals = {method: signal for signal, method in GRPC_METHODS.items()}

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        call = handler_call_details
        if call.method.startswith(_HEALTH_PREFIX):
            return continuation(call)
        metadata = {key: str(value) for key, value in call.invocation_metadata or ()}
        try:
            self._token.check(metadata)
        except Unauthenticated as error:
            if call.method in self._signals:
                self._intake.refused(self._signals[call.method], error, _sender("unknown", metadata))
            message = str(error)

            def refuse(_: Any, context: grpc.ServicerContext) -> bytes:
                context.abort(grpc.StatusCode.UNAUTHENTICATED, message)

            # Taken as a stream it is refused before its message comes, if it ever does.
            return grpc.stream_unary_rpc_method_handler(refuse)
        return continuation(call)


def _peer(context: grpc.ServicerContext) -> Sender:
    return _sender(context.peer(), {key: str(value) for key, value in context.invocation_metadata()})


def _sender(peer: str, metadata: Mapping[str, str]) -> Sender:
    """`peer` as gRPC writes it: `unix-abstract:` and the name that the tunnel took."""
    address = unquote(peer).partition(PEER_PREFIX)[2].rpartition("/")[0]
    return Sender(address or "unknown", metadata.get("user-agent", ""), "grpc")


def _accept(intake: Intake, export: Export, turns: GrpcTurns, max_bytes: int) -> Accepted:
    """Decompress and take a message when it is its turn.

    Raises:
        SpyhopError: as `decompress` and `Intake.accept`; each is noted with its sender.
    """
    signal, message, encoding, _, sender = export
    with ExitStack() as turn:
        body = message
        if encoding:
            try:
                with turns.small():
                    unpacked = _unpacked_small(message, encoding, max_bytes)
                if unpacked is None:
                    turn.enter_context(turns.large(len(message)))
                    unpacked = decompress(message, encoding, max_bytes)
            except SpyhopError as error:
                intake.refused(signal, error, sender)
                raise
            body = unpacked
        if len(body) <= LARGE_BYTES_MIN or not encoding:
            turn.enter_context(turns.turn(body))
        return intake.accept(signal, body, sender=sender)


def _unpacked_small(message: bytes, encoding: str, max_bytes: int) -> bytes | None:
    """None: it costs too much to be unpacked beside others."""
    if max_bytes <= LARGE_BYTES_MIN:
        return decompress(message, encoding, max_bytes)
    try:
        return decompress(message, encoding, LARGE_BYTES_MIN)
    except TooLarge:
        return None


def _encoding(message: bytes, context: grpc.ServicerContext) -> str:
    """How the sender compressed it; empty when it did not."""
    encoding = encoding_of(message)
    if encoding or message[:1] == _FIRST_TAG:
        return encoding
    named = (str(value) for key, value in context.invocation_metadata() if key == TOLD_HEADER)
    return next(named, "")


def _refuse_unknown(intake: Intake) -> Callable[[Iterator[bytes], grpc.ServicerContext], bytes]:
    def handle(_: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        error = InvalidInput(
            "a gRPC method that is not OTLP's was called", hint=f"send to one of {', '.join(_OTLP_SERVICES)}"
        )
        intake.refused(None, error, _peer(context))
        context.abort(grpc.StatusCode.UNIMPLEMENTED, str(error))

    return handle


def _export(
    intake: Intake, signal: Signal, turns: GrpcTurns, patience: Patience, max_body_bytes: int
) -> Callable[[Iterator[bytes], grpc.ServicerContext], bytes]:
    incomplete = MalformedBody(
        f"a message did not come whole: it is larger than {max_body_bytes} bytes "
        "(SPYHOP_OTLP_MAX_BODY_BYTES), damaged, too slow, or the client went away"
    )

    def handle(messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        sender = _peer(context)  # a call that has ended names nobody
        try:
            body = patience.first(messages, context)
        except grpc.RpcError:  # gRPC itself has answered
            intake.refused(signal, incomplete, sender)
            raise
        if body is None:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the call has no message: send one request")
        try:
            encoding = _encoding(body, context)
            export = Export(signal, body, encoding, is_json=False, sender=sender)
            accepted = _accept(intake, export, turns, max_body_bytes)
            if accepted.durable is not None:
                accepted.durable.result()
        except SpyhopError as error:
            if isinstance(error, Unavailable):
                context.set_trailing_metadata((("grpc-retry-pushback-ms", RETRY_PUSHBACK_MS),))
            code = next((c for kind, c in _CODES if isinstance(error, kind)), grpc.StatusCode.INTERNAL)
            context.abort(code, str(error))
        return accepted.response.SerializeToString()

    return handle
