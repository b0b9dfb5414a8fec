from __future__ import annotations

import asyncio

import pydantic
import pytest


def test_nothing_is_built_while_orders_wait(open_exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    """A warm exchange builds no validator for its first order, price or OpenAPI document, and warming leaves
    no trace."""
    built: list[object] = []
    build = pydantic.TypeAdapter.__init__

    def counted(self: object, *args: object, **options: object) -> None:
        built.append(args)
        build(self, *args, **options)

    async def main() -> None:
        async with open_exchange() as running:
            await running.exchange.warm()
            assert running.traces() == {}
            built.clear()
            assert (await running.exchange.wallet.submit(running.load.traders.next_order())).accepted
            for path in ("/openapi.json", "/api/price?pair=BTC/USD"):
                assert (await running.client.request("GET", path, {})).status == 200
            assert built == []

    monkeypatch.setattr(pydantic.TypeAdapter, "__init__", counted)
    asyncio.run(main())
