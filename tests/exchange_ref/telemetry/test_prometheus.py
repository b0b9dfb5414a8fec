from __future__ import annotations

import asyncio
import json

from prometheus_client.parser import text_string_to_metric_families

from exchange_ref.services.http_client import HttpClient

USER = {"x-user-id": "trader-01"}
ORDER = {"pair": "SOL/USD", "type": "LIMIT", "price": "94.5"}


def test_each_service_is_scraped(open_exchange) -> None:
    """`/metrics` of gateway, API and matcher is Prometheus text with the figures of what was traded."""

    async def main() -> dict[str, float]:
        async with open_exchange() as running:
            for number, (side, quantity) in enumerate((("BUY", 2), ("SELL", 3))):
                body = {**ORDER, "client_order_id": str(number), "side": side, "quantity": quantity}
                await running.client.request("POST", "/api/orders", USER, json.dumps(body).encode())
            api = HttpClient(running.exchange.api.host, running.exchange.api.port)
            answers = [
                await running.stranger.request("GET", "/metrics", {}),
                await api.request("GET", "/metrics", {}),
                await api.request("GET", "/metrics/matcher", {}),
            ]
            await api.close()
            assert {answer.headers["content-type"].split(";")[0] for answer in answers} == {"text/plain"}
            return {
                f"{sample.name}{sorted(sample.labels.items()) if sample.name.endswith('_info') else ''}": (
                    sample.value
                )
                for answer in answers
                for family in text_string_to_metric_families(answer.body.decode())
                for sample in family.samples
                if sample.labels.get("order_pair") in (None, "SOL/USD")
            }

    found = asyncio.run(main())
    services = [name for name in found if name.startswith("target_info")]
    assert all(
        any(service in name for name in services) for service in ("api-gateway", "kx-exchange", "kx-matcher")
    )
    assert found["http_server_request_duration_seconds_count"] == 2
    assert found["kx_orders_quantity_total"] == 5
    assert found["kx_orders_filled_total"] == 2
    assert found["kx_volume_total"] == 189
    assert found["kx_matches_total"] == 1
    assert found["kx_orders_resting"] == 1
    assert found["kx_match_duration_seconds_count"] >= 2
    assert "kx_queue_depth" in found
