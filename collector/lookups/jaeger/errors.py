"""Errors in the forms of Jaeger's two query APIs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from collector.errors import SpyhopError
from collector.http.answers import status_of


def _answer(is_v3: bool, status: int, message: str) -> Response:
    if is_v3:
        return JSONResponse({"error": {"httpCode": status, "message": message}}, status)
    error = {"code": status, "msg": message}
    return JSONResponse({"data": None, "total": 0, "limit": 0, "offset": 0, "errors": [error]}, status)


class JaegerRoute(APIRoute):
    """Errors have the form of Jaeger's."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            is_v3 = "/api/v3/" in request.url.path
            try:
                return await handler(request)
            except SpyhopError as error:
                return _answer(is_v3, status_of(error), str(error))
            except RequestValidationError as error:
                problem = error.errors()[0]
                return _answer(is_v3, 400, f"parameter {problem['loc'][-1]!r}: {problem['msg']}")

        return handle
