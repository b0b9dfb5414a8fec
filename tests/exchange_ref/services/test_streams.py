from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from exchange_ref.accounts.tokens import Identity
from exchange_ref.engine.orders import Deposit, Order, OrderType, Side
from exchange_ref.services.streams import MAX_BEHIND, MAX_SOCKETS
from tests.pace import patience_s, until

ALL = "depth@SOL/USD,trade@SOL/USD,ticker@SOL/USD"


async def hear(socket: ClientConnection, kind: str) -> dict[str, Any]:
    """The next message of one kind of stream."""
    while True:
        message = json.loads(await asyncio.wait_for(socket.recv(), patience_s(20)))
        if message.get("stream", "error").startswith(kind):
            return dict(message)


def apply(book: dict[str, dict[float, float]], data: dict[str, Any]) -> None:
    for side in ("bids", "asks"):
        for price, quantity in data[side]:
            if quantity:
                book[side][price] = quantity
            else:
                book[side].pop(price, None)


@pytest.fixture(scope="module")
def heard(start_exchange, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What two readers of one exchange heard while 150 orders came, and what the book was at the end."""

    async def main() -> dict[str, Any]:
        async with start_exchange(tmp_path_factory.mktemp("streams")) as running:
            url = f"ws://{running.exchange.front.host}:{running.exchange.front.port}/ws"
            found: dict[str, Any] = {"messages": []}
            async with connect(f"{url}?streams={ALL}") as socket, connect(url) as other:
                found["messages"] += [await hear(socket, kind) for kind in ("depth", "ticker")]
                await other.send("nonsense")
                found["nonsense"] = await hear(other, "error")
                await other.send(json.dumps({"op": "subscribe", "streams": ["depth@DOGE"]}))
                found["no such stream"] = await hear(other, "error")
                for number in range(150):
                    side = "BUY" if number % 2 else "SELL"
                    order = {
                        **{"client_order_id": f"{number}", "pair": "SOL/USD", "side": side, "type": "LIMIT"},
                        **{"quantity": 1 + number % 3, "price": str(95 + (number * 7) % 11 - 5)},
                    }
                    body, user = json.dumps(order).encode(), {"x-user-id": f"trader-0{1 + number % 3}"}
                    await running.client.request("POST", "/api/orders", user, body)
                    if number % 10 == 0:  # a look by HTTP takes nothing from the stream
                        await running.stranger.request("GET", "/api/depth?pair=SOL/USD", {})
                answer = await running.stranger.request("GET", "/api/depth?pair=SOL/USD&limit=1000", {})
                found["book"] = json.loads(answer.body)
                trades = running.exchange.engine.tapes["SOL/USD"].count
                last = found["book"]["last_update_id"]
                seen = [0, 0]
                while seen != [last, trades]:
                    message = await hear(socket, "")
                    found["messages"].append(message)
                    data = message["data"]
                    if message["stream"].startswith("depth"):
                        seen[0] = data["last_update_id"]
                    elif message["stream"].startswith("trade"):
                        seen[1] = data["id"]
                found["messages"].append(await hear(socket, "ticker"))
                found["trades"] = trades
                await other.send(json.dumps({"op": "subscribe", "streams": ["depth@SOL/USD"]}))
                found["late snapshot"] = await hear(other, "depth")
            token = running.exchange.accounts.tokens.issue(Identity("user-1", "s"))
            sockets = [await connect(f"{url}?token={token}") for _ in range(MAX_SOCKETS)]
            found["refused"] = []
            for query in (f"?token={token}", "?token=wrong", "?streams=depth@DOGE"):
                with pytest.raises(ConnectionClosed) as closed:
                    async with connect(url + query) as one_more:
                        await one_more.recv()
                found["refused"].append((closed.value.rcvd.code, closed.value.rcvd.reason))
            await sockets.pop().close()
            async with connect(f"{url}?token={token}&streams=ticker@BTC/USD") as again:
                found["after one closed"] = await hear(again, "ticker")
            for socket in sockets:
                await socket.close()
            found["names"] = {span.name for trace in running.traces().values() for span in trace}
            return found

    return asyncio.run(main())


def of(heard: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [message["data"] for message in heard["messages"] if message["stream"] == f"{kind}@SOL/USD"]


def test_a_book_rebuilt_from_diffs_is_the_book(heard) -> None:
    """Snapshot and diffs have no gap and give the depth that HTTP and a later snapshot tell."""
    snapshot, *diffs = of(heard, "depth")
    assert (snapshot["type"], {diff["type"] for diff in diffs}) == ("snapshot", {"diff"})
    book: dict[str, dict[float, float]] = {"bids": {}, "asks": {}}
    last = snapshot["last_update_id"]
    apply(book, snapshot)
    for diff in diffs:
        assert diff["first_update_id"] == last + 1
        last = diff["last_update_id"]
        apply(book, diff)
    for told in (heard["book"], heard["late snapshot"]["data"]):
        assert told["last_update_id"] == last
        assert {side: dict(map(tuple, told[side])) for side in ("bids", "asks")} == book
    assert len(diffs) > 1


def test_every_trade_is_told_once(heard) -> None:
    """Trade ids count from 1 to the last one without a gap, and the ticker agrees with the last of them."""
    trades = of(heard, "trade")
    assert [trade["id"] for trade in trades] == list(range(1, heard["trades"] + 1))
    assert of(heard, "ticker")[-1]["last_price"] == trades[-1]["price"]


def test_wrong_words_are_explained(heard) -> None:
    """What is no message or no stream is answered, and the socket goes on."""
    assert '"op": "subscribe"' in heard["nonsense"]["error"]["message"]
    assert "take depth, trade, ticker @ BTC/USD" in heard["no such stream"]["error"]["message"]


def test_a_user_has_five_sockets(heard) -> None:
    """The sixth, a wrong token and an unknown stream are closed with the reason; an end frees a place."""
    (five, five_why), (token, token_why), (stream, stream_why) = heard["refused"]
    assert (five, token, stream) == (1008, 1008, 1008)
    assert "5 sockets are open already" in five_why
    assert "the access token is not valid" in token_why
    assert "there is no stream 'depth@DOGE'" in stream_why
    assert heard["after one closed"]["data"]["pair"] == "BTC/USD"
    assert "GET /ws" in heard["names"]


def test_a_slow_reader_is_dropped_with_a_reason(open_exchange) -> None:
    """Who does not take messages is closed once too many wait, and nobody else is held up."""

    async def main() -> list[dict[str, Any]]:
        async with open_exchange() as running:
            streams, engine = running.exchange.streams, running.exchange.engine
            closed: list[dict[str, Any]] = []
            stuck = asyncio.Event()

            async def receive() -> dict[str, Any]:
                if not stuck.is_set():
                    stuck.set()
                    return {"type": "websocket.connect"}
                await asyncio.Event().wait()
                raise AssertionError

            async def send(message: dict[str, Any]) -> None:
                if message["type"] == "websocket.send":
                    await asyncio.Event().wait()
                closed.append(message)

            scope = {"type": "websocket", "path": "/ws", "scheme": "ws", "http_version": "1.1", "headers": [],
                     "query_string": b"streams=trade@BTC/USD", "client": ("slow", 1)}  # fmt: skip
            task = asyncio.create_task(streams.serve(scope, receive, send))
            await until(lambda: streams.readers)
            for user, asset in (("cat", "USD"), ("dan", "BTC")):
                engine.deposit(Deposit(user, asset, 10**15))
            for number in range(MAX_BEHIND + 2):
                for user, side in (("dan", Side.SELL), ("cat", Side.BUY)):
                    name = f"{user}{number}"
                    engine.submit(Order(name, user, name, "BTC/USD", side, OrderType.LIMIT, 4_200_000, 1, 0))
            await asyncio.wait_for(task, patience_s(20))
            assert not streams.readers
            return closed

    accepted, closed = asyncio.run(main())
    assert accepted["type"] == "websocket.accept"
    assert (closed["type"], closed["code"]) == ("websocket.close", 1013)
    assert closed["reason"].startswith("too slow: 256 messages behind")
