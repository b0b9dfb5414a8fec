"""A shop's first Monday as one folder: normal life with its events, and three faults.

storefront (Node.js) asks catalog (Python, SQLite) and payments; a job runs each minute. Waves of load, four
times the load for a minute, an exporter that gives a batch up, one charge in 200 that the bank declines and
missing products are normal life. Faults: catalog is down for 13 s, its SQL is slow, three of ten charges
raise, half a minute after that.

    uv run python -m tests.datasets.evaluate.monday shop OUT [--seed N]
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.datasets.evaluate.call_plans import Call, Rng, arrivals, client, laid_out
from tests.datasets.evaluate.systems import START_NS, around, folder_parser, span_rows, write_folder

LEARNED_S, END_S = 600, 1_750
# what happens: (from, until), seconds
LOAD_TEST, GIVEN_UP = (900, 960), (1_500, 1_505)
FAULTS = {"catalog down": (1_050, 1_063), "slow SQL": (1_250, 1_310), "charges raise": (1_340, 1_400)}
ROOTS = {"catalog down": "catalog", "slow SQL": "catalog", "charges raise": "payments"}
_REFUSED = {"exception.type": "Error", "exception.message": "connect ECONNREFUSED 127.0.0.1:27002"}
_RAISED = {
    "exception.type": "RuntimeError",
    "exception.message": "card vault: permission denied for key 'k7'",
}


def _rate(at_s: float) -> float:
    return (6 + 3 * float(np.sin(at_s / 180 * 2 * np.pi))) * (4 if LOAD_TEST[0] <= at_s < LOAD_TEST[1] else 1)


class Shop:
    def __init__(self, rng: Rng, at_s: float) -> None:
        self.rng = rng
        self.fault = next((name for name, (since, until) in FAULTS.items() if since <= at_s < until), "")
        self.met = False

    def request(self) -> Call:
        pick = self.rng.random()
        if pick < 0.4:
            return self._page("GET /products", [self._catalog("GET /items", 4.0)])
        if pick < 0.75:
            return self._page("GET /products/:id", [self._item(missing=self.rng.random() < 0.03)])
        if pick < 0.97:
            item = self._item()
            calls = [item] if item.failed else [item, self._payments()]
            return self._page("POST /checkout", calls)
        return self._page("GET /", [])

    def job(self) -> Call:
        update = [self._sql(name, ms) for name, ms in (("SELECT", 3), ("UPDATE", 9), ("SELECT", 25))]
        reindex = Call("catalog", "POST /reindex", "SERVER", 3, update)
        return Call("cron", "nightly.reindex", "INTERNAL", 4, [self._call("cron", reindex, "POST")])

    def _page(self, name: str, calls: list[Call]) -> Call:
        failed = any(
            call.failed and call.attributes.get("http.response.status_code") != 404 for call in calls
        )
        handler = Call("storefront", f"request handler - {name.split()[1]}", "INTERNAL", 0.3, calls)
        parts = [Call("storefront", f"middleware - {part}", "INTERNAL", 0.1) for part in ("query", "json")]
        page = Call("storefront", name, "SERVER", around(self.rng, 1.5, 0.4), [*parts, handler])
        page.failed = failed
        page.attributes = {"http.response.status_code": 502 if failed else 200, "http.route": name.split()[1]}
        return page

    def _item(self, *, missing: bool = False) -> Call:
        call = self._catalog("GET /items/{id}", 2.5, slow=self.fault == "slow SQL")
        if missing and call.calls:
            call.failed = True
            for span in (call, call.calls[0]):
                span.attributes = {**span.attributes, "http.response.status_code": 404}
        return call

    def _catalog(self, name: str, ms: float, *, slow: bool = False) -> Call:
        select = self._sql("SELECT", ms + (300 * float(self.rng.uniform(0.66, 1.33)) if slow else 0))
        self.met |= slow
        sends = [Call("catalog", f"{name} http send", "INTERNAL", 0.1) for _ in range(2)]
        return self._call("storefront", Call("catalog", name, "SERVER", 2, [select, *sends]), "GET")

    def _payments(self) -> Call:
        charge = Call("payments", "POST /charge", "SERVER", around(self.rng, 12, 0.35))
        call = self._call("storefront", charge, "POST")
        raises = self.fault == "charges raise" and self.rng.random() < 0.3
        if raises or self.rng.random() < 0.005:
            charge.failed = call.failed = True
            charge.attributes = _RAISED if raises else {"http.response.status_code": 503}
            self.met |= raises
        else:
            charge.calls = [self._call("payments", self._catalog("GET /items/{id}", 2.5).calls[0], "GET")]
        return call

    def _sql(self, name: str, ms: float) -> Call:
        attributes: dict[str, object] = {"db.system": "sqlite", "db.statement": f"{name} items"}
        return Call("catalog", name, "CLIENT", around(self.rng, ms, 0.4), attributes=attributes)

    def _call(self, caller: str, server: Call, name: str) -> Call:
        call = client(server, caller, name, host="127.0.0.1")
        call.attributes["server.port"] = {"catalog": 27002, "payments": 27003}[server.service]
        if self.fault == "catalog down" and server.service == "catalog":
            call.calls, call.own_ms, call.failed, self.met = [], 0.8, True, True
            call.attributes |= _REFUSED
        return call


def write_monday(path: Path, *, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    rows: list[dict[str, object]] = []
    labels: list[dict[str, object]] = []
    jobs = [(at_s, True) for at_s in range(5, END_S, 60)]
    times = sorted([*((at, False) for at in arrivals(rng, _rate, END_S)), *jobs])
    for number, (at_s, is_job) in enumerate(times):
        shop = Shop(rng, at_s)
        call = shop.job() if is_job else shop.request()
        common = {
            "trace_id": f"{number:032x}",
            "split": "test" if at_s >= LEARNED_S else "baseline",
            "case_id": shop.fault if shop.met else None,
        }
        for row in span_rows(laid_out(call, 0.0), common, START_NS + int(at_s * 1e9)):
            given_up = row["service_name"] == "catalog" and GIVEN_UP[0] <= at_s < GIVEN_UP[1]
            if not given_up:
                rows.append(row)
        if at_s >= LEARNED_S:
            labels.append({"trace_id": common["trace_id"], "anomalous": shop.met})
    cases: list[dict[str, object]] = [
        {
            "case_id": name,
            "fault_kind": name,
            "root_services": [ROOTS[name]],
            "root_operation": None,
            "inject_time_unix_nano": START_NS + since * 10**9,
        }
        for name, (since, _) in FAULTS.items()
    ]
    write_folder(path, rows, labels, cases)
    return path


MONDAYS: dict[str, Callable[..., Path]] = {"shop": write_monday}


def main() -> None:
    given = folder_parser(__doc__, MONDAYS).parse_args()
    MONDAYS[given.name](given.out, seed=given.seed)


if __name__ == "__main__":
    main()
