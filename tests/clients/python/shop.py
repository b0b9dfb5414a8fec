"""A shop that README's line starts: `opentelemetry-instrument python shop.py`.

It serves two routes, calls itself over HTTP, logs, and adds a span and metrics of its own. Its last line is
what it recorded by itself, as JSON.
"""

import json
import logging
import socket
import threading
from time import sleep
from typing import Any

import requests
import uvicorn
from fastapi import FastAPI
from opentelemetry import metrics, trace

ORDERS = 6
UNLUCKY = 5
log = logging.getLogger("shop")
log.setLevel(logging.INFO)
tracer = trace.get_tracer("shop.lib", "1.2", schema_url="https://example.com/schema")
meter = metrics.get_meter("shop.lib", "1.2", schema_url="https://example.com/schema")
orders = meter.create_counter("shop.orders", unit="{order}", description="Orders taken.")
value = meter.create_histogram("shop.order.value", unit="EUR", explicit_bucket_boundaries_advisory=[10, 100])
meter.create_observable_gauge("shop.open", callbacks=[lambda _: [metrics.Observation(0.5, {"desk": "a"})]])
app = FastAPI()
listening = socket.create_server(("127.0.0.1", 0))
port = listening.getsockname()[1]
address = f"http://127.0.0.1:{port}"
recorded: list[dict[str, Any]] = []


@app.get("/pay/{order}")
def pay(order: int) -> dict[str, int]:
    with tracer.start_as_current_span(
        "reserve",
        kind=trace.SpanKind.PRODUCER,
        attributes={"order": order, "express": order % 2 == 0, "weight": 0.5, "tags": ["a", "b"], "note": ""},
        links=[trace.Link(trace.SpanContext(0xABC, 0xDEF, is_remote=True), {"why": "basket"})],
    ) as span:
        span.add_event("picked", {"shelf": 7})
        log.info("paying %s", order, extra={"order": order})
        orders.add(1, {"express": order % 2 == 0})
        value.record(order * 10.0)
        context = span.get_span_context()
        recorded.append(
            {"order": order, "trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
        )
        requests.get(f"{address}/stock/{order}", timeout=30)
        if order == UNLUCKY:
            log.error("no luck with %s", order)
            raise ValueError("unlucky")
    return {"order": order}


@app.get("/stock/{item}")
def stock(item: int) -> dict[str, int]:
    log.warning("stock of %s is low", item)
    return {"item": item}


server = uvicorn.Server(uvicorn.Config(app, log_config=None))
serving = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
serving.start()
while not server.started:
    sleep(0.01)
statuses = [requests.get(f"{address}/pay/{order}", timeout=30).status_code for order in range(1, ORDERS + 1)]
server.should_exit = True
serving.join()
print(json.dumps({"port": port, "recorded": recorded, "statuses": statuses}))
