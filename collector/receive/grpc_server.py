"""OTLP/gRPC: handlers that take the raw bytes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import grpc

from collector.errors import MalformedBody, PortInUse, SpyhopError, TooLarge, Unavailable
from collector.receive.intake import Intake
from collector.signals import GRPC_METHODS, Signal

RETRY_PUSHBACK_MS = "1000"
_CODES: list[tuple[type[SpyhopError], grpc.StatusCode]] = [
    (MalformedBody, grpc.StatusCode.INVALID_ARGUMENT),
    (TooLarge, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (Unavailable, grpc.StatusCode.UNAVAILABLE),
]


class GrpcReceiver:
    """An OTLP/gRPC server for the three signals."""

    def __init__(self, intake: Intake, host: str, port: int, *, max_body_bytes: int, threads: int) -> None:
        """Bind at once; `start` begins to serve. `port` 0 picks a free one, see `self.port`.

        Raises:
            PortInUse: the address is taken or cannot be bound.
        """
        self._intake = intake
        self._server = grpc.server(
            ThreadPoolExecutor(threads, thread_name_prefix="otlp-grpc"),
            options=[
                ("grpc.max_receive_message_length", max_body_bytes),  # of the decompressed message
                ("grpc.so_reuseport", 0),  # otherwise a second server shares the port in silence
            ],
        )
        self._server.add_generic_rpc_handlers((_Handlers(intake),))
        try:
            self.port = self._server.add_insecure_port(f"{host}:{port}")
        except RuntimeError as error:
            raise PortInUse(
                f"OTLP/gRPC cannot listen on {host}:{port}, the address is in use or not of this machine",
                hint="stop the other process, or choose another with --otlp-grpc H:P (port 0: a free one)",
            ) from error

    def start(self) -> None:
        self._server.start()

    def stop(self, grace_s: float) -> None:
        """Take no new requests; give those under way `grace_s` seconds."""
        self._server.stop(grace_s).wait(grace_s + 1)


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, intake: Intake) -> None:
        # No (de)serialisers: bytes in, bytes out.
        self._by_method: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            method: grpc.unary_unary_rpc_method_handler(_export(intake, signal))
            for signal, method in GRPC_METHODS.items()
        }

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        return self._by_method.get(call.method)


def _export(intake: Intake, signal: Signal) -> Callable[[bytes, grpc.ServicerContext], bytes]:
    def handle(body: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            accepted = intake.accept(signal, body)
            if accepted.durable is not None:
                accepted.durable.result()
        except SpyhopError as error:
            if isinstance(error, Unavailable):
                context.set_trailing_metadata((("grpc-retry-pushback-ms", RETRY_PUSHBACK_MS),))
            code = next((c for kind, c in _CODES if isinstance(error, kind)), grpc.StatusCode.INTERNAL)
            context.abort(code, str(error))
        return accepted.response.SerializeToString()

    return handle
