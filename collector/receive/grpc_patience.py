"""Cancels gRPC calls that opened and send nothing, when other calls need their threads."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any, NamedTuple

import grpc

from collector.receive.memory import give_back, resident_bytes

# Calls whose message is incomplete. They may have half of the threads: the others are left to working calls.
SILENT_MAX = 256
# At most this many may take longer. Each may hold the largest message except its last byte.
LINGERING_MAX = 32
LINGERING_S = 3.0
# gRPC does not say how much of a message has arrived, and holds it three times: 60 calls that sent half of
# the largest message took 1.8 GB. So when memory has grown by this much while calls are silent, the older
# half of them is cancelled, repeatedly. A message sent at full speed arrives within the second.
GROWTH_MAX_BYTES = 768 * 1024 * 1024
SETTLED_S = 0.5
_INTERVAL_S = 0.25


class _Silence(NamedTuple):
    since_s: float
    connection: str


class Patience:
    """Cancels calls that do not send their message in time; earlier when there are many."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._guard = threading.Lock()
        self._silent: dict[grpc.ServicerContext, _Silence] = {}  # the longest silent first
        # Memory at the last looks at which no call had been silent for long. The first of them was before any
        # call began that is settled now.
        self._calm_bytes: deque[int] = deque(maxlen=int(SETTLED_S / _INTERVAL_S) + 1)
        self._was_pressed = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="grpc-patience", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()

    def first(self, messages: Iterator[Any], context: grpc.ServicerContext) -> Any:
        """The next message of a call; None when the client closed without one.

        Raises:
            grpc.RpcError: the call was cancelled, here or by the client.
        """
        silence = _Silence(monotonic(), context.peer())
        with self._guard:
            self._silent[context] = silence
            spare = self._costliest() if len(self._silent) > SILENT_MAX else None
        if spare is not None:
            spare.cancel()
        try:
            return next(messages, None)
        finally:
            with self._guard:
                self._silent.pop(context, None)

    def _costliest(self) -> grpc.ServicerContext:
        """Take out the longest silent call of the connection that has most of them."""
        counts = Counter(silence.connection for silence in self._silent.values())
        connection, _ = counts.most_common(1)[0]
        context = next(call for call, silence in self._silent.items() if silence.connection == connection)
        del self._silent[context]
        return context

    def _loop(self) -> None:
        self._calm_bytes.append(resident_bytes())
        while not self._stopping.wait(min(_INTERVAL_S, self._timeout_s / 4)):
            now_s = monotonic()
            for context in [*self._overdue(now_s), *self._pressed(now_s)]:
                context.cancel()

    def _overdue(self, now_s: float) -> list[grpc.ServicerContext]:
        with self._guard:
            calls = list(self._silent.items())
            lingering = [call for call, silence in calls if now_s - silence.since_s > LINGERING_S]
            late = [call for call, silence in calls if now_s - silence.since_s > self._timeout_s]
            overdue = dict.fromkeys([*late, *lingering[: max(0, len(lingering) - LINGERING_MAX)]])
            for call in overdue:
                del self._silent[call]
        return list(overdue)

    def _pressed(self, now_s: float) -> list[grpc.ServicerContext]:
        """The calls to cancel because memory has grown while they are silent."""
        with self._guard:
            settled = [call for call, silence in self._silent.items() if now_s - silence.since_s > SETTLED_S]
            if settled and resident_bytes() - self._calm_bytes[0] > GROWTH_MAX_BYTES:
                self._was_pressed = True
                older = settled[: (len(settled) + 1) // 2]
                for call in older:
                    del self._silent[call]
                return older
        if not settled:
            if self._was_pressed:
                give_back()
            self._was_pressed = False
            self._calm_bytes.append(resident_bytes())
        return []


class PatientServices(grpc.ServerInterceptor):
    """The same patience for health's checks and for reflection, which gRPC's own packages serve."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        handler = continuation(handler_call_details)
        if not handler_call_details.method.startswith("/grpc.") or handler is None:
            return handler
        if handler.unary_unary is not None:
            return grpc.stream_unary_rpc_method_handler(
                self._one_message(handler.unary_unary),
                handler.request_deserializer,
                handler.response_serializer,
            )
        if handler.stream_stream is not None:
            return grpc.stream_stream_rpc_method_handler(
                self._each_message(handler.stream_stream),
                handler.request_deserializer,
                handler.response_serializer,
            )
        return handler

    def _one_message(self, behaviour: Callable[[Any, Any], Any]) -> Callable[[Iterator[Any], Any], Any]:
        def handle(messages: Iterator[Any], context: grpc.ServicerContext) -> Any:
            message = self._patience.first(messages, context)
            if message is None:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the call has no message: send one request")
            return behaviour(message, context)

        return handle

    def _each_message(
        self, behaviour: Callable[[Iterator[Any], Any], Iterator[Any]]
    ) -> Callable[[Iterator[Any], Any], Iterator[Any]]:
        def handle(messages: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
            def patient() -> Iterator[Any]:
                while (message := self._patience.first(messages, context)) is not None:
                    yield message

            return behaviour(patient(), context)

        return handle
