"""Requests that the OpenAPI document allows, and such that it does not, to every operation of an exchange."""

from __future__ import annotations

import asyncio
import json
import warnings
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

# What schemathesis does within its strategies.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module")

USER = "trader-01"
# Of each operation and each way; the document has some forty operations.
EXAMPLES = 3
SERVER_ERROR = 500

Answer = tuple[str, str, int, Any]


def ask_everything(document: dict[str, Any], url: str, token: str) -> list[Answer]:
    """(operation, mode, status, body) of each request."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own imports
        import schemathesis

    schema = schemathesis.openapi.from_dict(document)
    answers: list[Answer] = []

    def ask(operation: Any, mode: Any) -> None:
        @settings(
            max_examples=EXAMPLES,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def call(case: Any) -> None:
            headers = {"authorization": f"Bearer {token}", "x-user-id": USER}
            response = case.call(base_url=url, headers=headers)
            answers.append((operation.label, mode.value, response.status_code, response.content))

        call()

    for result in schema.get_all_operations():
        operation = result.ok()
        for mode in schemathesis.GenerationMode:
            if mode.is_positive or operation.body or any(operation.iter_parameters()):
                ask(operation, mode)
    return answers


@pytest.fixture(scope="module")
def asked(start_exchange, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[Answer]]:
    async def main() -> tuple[dict[str, Any], list[Answer]]:
        async with start_exchange(tmp_path_factory.mktemp("openapi")) as running:
            answer = await running.client.request("GET", "/openapi.json", {})
            document, exchange = json.loads(answer.body), running.exchange
            return document, await asyncio.to_thread(
                ask_everything, document, exchange.front.url, exchange.load_token
            )

    return asyncio.run(main())


def test_no_request_meets_an_error_that_is_not_told_of(asked) -> None:
    """Whatever is asked, the answer is no 5xx, but for those that the document names: a prediction without
    candles. All operations were asked, in both ways those that take anything."""
    document, answers = asked
    operations = {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert {label for label, *_ in answers} == set(operations)
    failed = {
        (label, status)
        for label, _, status, _ in answers
        if status >= SERVER_ERROR and str(status) not in operations[label]["responses"]
    }
    assert not failed
    assert 503 in {status for label, _, status, _ in answers if label == "POST /api/v1/predict"}


def test_what_the_document_does_not_allow_is_refused_in_the_usual_form(asked) -> None:
    """Every refusal has a code and a message."""
    refused = [json.loads(body)["error"] for _, _, status, body in asked[1] if status >= 400]
    assert len(refused) > len(asked[1]) / 4
    assert all(error["code"] and error["message"] for error in refused)
