"""The client of the server's HTTP API, by which every other process reads. Query results are Arrow."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import httpx2

from collector import errors
from collector.errors import SpyhopError, Timeout, TooLarge, Unavailable

if TYPE_CHECKING:
    import polars as pl

TRUNCATED_HEADER = "X-Spyhop-Truncated"
ARROW_STREAM = "application/vnd.apache.arrow.stream"

# A server's error code → the same error here.
_ERRORS: dict[str, type[SpyhopError]] = {
    error.code: error
    for error in vars(errors).values()
    if isinstance(error, type) and issubclass(error, SpyhopError)
}


class Client:
    """A connection to `spyhop serve`. Not for use by two threads at once."""

    def __init__(self, base_url: str, *, timeout_s: float = 10.0) -> None:
        """Prepare; nothing is sent yet. `base_url` is e.g. `http://127.0.0.1:4320`."""
        self.base_url = base_url.rstrip("/")
        self._timeout_s = timeout_s
        # trust_env=False: a proxy of the environment must not see local telemetry.
        self._http = httpx2.Client(base_url=self.base_url, timeout=timeout_s, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def sql(
        self,
        query: str,
        params: Sequence[object] | Mapping[str, object] | None = None,
        *,
        limit: int | None = None,
    ) -> pl.DataFrame:
        """The rows of one read-only statement; VARIANT and JSON columns as JSON text, times as UTC.

        Args:
            params: values for `?`, `$1` or `$name` in the query.
            limit: most rows to return; all when None, but no more than the server's SPYHOP_SQL_LIMIT_ROWS.

        Raises:
            RefusedQuery: not one read-only statement, or DuckDB could not run it.
            Timeout: it took longer than the server allows, or than this client waits.
            TooLarge: no limit was given and there are more rows than the server sends at once.
            Unavailable: no server at the address.
        """
        frame, is_truncated = self.sql_page(query, params, limit=limit)
        if is_truncated and limit is None:
            raise TooLarge(
                f"the result has more than {frame.height} rows",
                hint="aggregate in the query, or give a limit and page",
                details={"rows": frame.height},
            )
        return frame

    def sql_page(
        self,
        query: str,
        params: Sequence[object] | Mapping[str, object] | None = None,
        *,
        limit: int | None = None,
    ) -> tuple[pl.DataFrame, bool]:
        """Like `sql`, but says whether rows were left out instead of refusing."""
        content, is_truncated = self.sql_arrow(query, params, limit=limit)
        import polars as pl  # noqa: PLC0415  # the server imports this module too: 0.4 s of CPU at its start

        frame = pl.read_ipc_stream(io.BytesIO(content))
        assert isinstance(frame, pl.DataFrame)
        return frame, is_truncated

    def sql_arrow(
        self,
        query: str,
        params: Sequence[object] | Mapping[str, object] | None = None,
        *,
        limit: int | None = None,
        as_text: bool = False,
    ) -> tuple[bytes, bool]:
        """The rows as an Arrow stream, and whether some were left out.

        Args:
            as_text: values without a form in JSON come as the text that JSON and CSV show.
        """
        body: dict[str, object] = {"query": query}
        if params is not None:
            body["params"] = params
        if limit is not None:
            body["limit"] = limit
        if as_text:
            body["as_text"] = True
        response = self._send("POST", "/api/sql", json=body, headers={"Accept": ARROW_STREAM})
        return response.content, response.headers.get(TRUNCATED_HEADER) == "true"

    def get(self, path: str, **params: Any) -> Any:
        """The JSON at `path`; parameters that are None are left out."""
        present = {name: value for name, value in params.items() if value is not None}
        return self._send("GET", path, params=present).json()

    def get_bytes(self, path: str) -> bytes:
        """The answer at `path` as it was sent."""
        return self._send("GET", path).content

    def post(self, path: str, body: object) -> Any:
        """The JSON answer to `body`, sent as JSON."""
        return self._send("POST", path, json=body).json()

    def _send(self, method: str, path: str, **arguments: Any) -> httpx2.Response:
        try:
            response = self._http.request(method, path, **arguments)
        except httpx2.ConnectError as error:
            raise Unavailable(
                f"no server answers at {self.base_url}",
                hint="start one with `spyhop serve`, or name its address with --api URL",
            ) from error
        except httpx2.TimeoutException as error:
            raise Timeout(f"{self.base_url} gave no answer within {self._timeout_s:g} s") from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise Unavailable(f"the request to {self.base_url} failed ({error})") from error
        if response.status_code >= 400:
            raise _error_of(response)
        return response


def _error_of(response: httpx2.Response) -> SpyhopError:
    try:
        body = response.json()["error"]
        kind = errors.Busy if body["code"] == Unavailable.code else _ERRORS.get(body["code"], SpyhopError)
        return kind(str(body["message"]), details=body.get("details") or {})
    except (ValueError, KeyError, TypeError):
        text = response.text.strip()[:200]
        return SpyhopError(f"{response.request.url} answered {response.status_code}: {text}")
