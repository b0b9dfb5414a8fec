from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from pathlib import Path

import pytest

from tests.pace import patience_s, until

PAGE = Path(__file__).parents[2] / "docs" / "exchange.md"


@pytest.mark.skipif(not (shutil.which("bash") and shutil.which("curl")), reason="needs bash and curl")
def test_the_walk_of_the_documentation_works(open_exchange, tmp_path: Path) -> None:
    """Its commands, as they stand there, lead from registration to a filled stop order and out again."""
    (walk,) = re.findall(r"```bash\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)

    async def main() -> list[dict[str, object]]:
        async with open_exchange() as running:

            async def order(user: str, side: str, quantity: int, price: str) -> None:
                body = {
                    "client_order_id": f"{user}{side}{price}",
                    "pair": "SOL/USD",
                    "side": side,
                    "type": "LIMIT",
                }
                sent = json.dumps(body | {"quantity": quantity, "price": price}).encode()
                answer = await running.client.request("POST", "/api/orders", {"x-user-id": user}, sent)
                assert answer.status == 201, answer.body

            await order("trader-01", "SELL", 9, "95")
            await order("trader-02", "BUY", 9, "94.9")
            front = running.exchange.front
            env = {**os.environ, "GATEWAY": front.url, "FOLDER": str(tmp_path / "exchange"), "no_proxy": "*"}
            shell = await asyncio.create_subprocess_exec(
                "bash", "-euo", "pipefail", "-c", walk, env=env, stdout=asyncio.subprocess.PIPE
            )
            told = asyncio.create_task(shell.communicate())
            stops = running.exchange.engine.stops["SOL/USD"]
            await until(lambda: len(stops) or told.done(), 60)
            await order("trader-01", "SELL", 1, "94.9")
            output, _ = await asyncio.wait_for(told, patience_s(60))
            assert shell.returncode == 0, output
            found = []
            while text := output.lstrip().decode():
                answer, end = json.JSONDecoder().raw_decode(text)
                found.append(answer)
                output = text[end:].encode()
            return found

    *_, stop, withdrawal, logout = asyncio.run(main())
    assert (stop["status"], stop["fill_price"], stop["triggered"]) == ("FILLED", 94.9, True)
    assert withdrawal["status"] == "COMPLETED"
    assert logout == {"status": "LOGGED_OUT"}
