"""The paths of the API that the gateway serves, and which of them are public."""

from __future__ import annotations

from exchange_ref.accounts.routes import AUTH_PATH
from exchange_ref.cfd.engine_route import ENGINE_PATH
from exchange_ref.cfd.routes import TRADES_PATH
from exchange_ref.services.api.orderbook import ORDERBOOK_PATH
from exchange_ref.services.api.predict_routes import PREDICT_PATH
from exchange_ref.services.gateway import ORDERS_PATH, Route
from exchange_ref.services.http_client import HttpClient


def api_routes(upstream: HttpClient) -> list[Route]:
    """What the gateway sends on to the API."""
    return [
        Route("orders", ORDERS_PATH, frozenset({"DELETE", "GET", "POST"}), upstream),
        *(
            Route(name, f"/api/v1/{name}", frozenset({"GET", "POST"}), upstream)
            for name in ("transfers", "deposits", "withdrawals")
        ),
        Route("cfd", TRADES_PATH, frozenset({"DELETE", "GET", "POST"}), upstream),
        Route("engine", ENGINE_PATH, frozenset({"POST"}), upstream),
        Route("orderbook", ORDERBOOK_PATH, frozenset({"GET", "POST"}), upstream, is_public=True),
        Route("predict", PREDICT_PATH, frozenset({"POST"}), upstream),
        Route("address", "/api/v1/address", frozenset({"GET"}), upstream),
        Route("wallets", "/api/v1/wallets", frozenset({"GET"}), upstream),
        Route("openapi", "/openapi.json", frozenset({"GET"}), upstream, is_public=True),
        Route("auth", AUTH_PATH, frozenset({"GET", "POST"}), upstream, is_public=True),
        Route("open-orders", "/api/v1/open-orders", frozenset({"GET"}), upstream),
        *(
            Route(name, f"/api/v1/{name}", frozenset({"GET"}), upstream, is_public=True)
            for name in ("price", "depth", "trades", "klines", "ticker")
        ),
    ]
