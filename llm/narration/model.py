"""Messages → a structured answer from any OpenAI-compatible endpoint, or `ModelFailed` with a reason."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from time import monotonic
from types import SimpleNamespace
from typing import Any, Literal, Protocol

import httpx2
import openai

from llm.errors import BROKEN, FallbackReason, ModelFailed
from llm.narration.answer import Answer, parse_answer, strict_schema
from llm.narration.budget import Budget
from llm.narration.context import CHARS_PER_TOKEN, estimate_tokens
from llm.settings import Settings

Format = Literal["json_schema", "json_object", "prompt"]
LimitName = Literal["max_completion_tokens", "max_tokens"]
_FORMATS: tuple[Format, ...] = ("json_schema", "json_object", "prompt")
_NO_KEY = "none"  # the client insists on a key; local endpoints ignore it
_RETRIES = 1  # after refused connections and 5xx; the deadline bounds all tries together
_UNDERSTOOD_WITHIN_TRIES = 5  # three formats and one change of the limit's name; after that it gives up


class Listener(Protocol):
    """Is notified while an answer is written."""

    def begin(self) -> None:
        """An answer begins: the first one, or one that corrects the form of the one before."""

    def piece(self, text: str) -> None: ...


class _Bounded(httpx2.AsyncByteStream):
    """A body that fails with ModelFailed beyond `limit_bytes`, before the rest is read."""

    def __init__(self, body: httpx2.AsyncByteStream, limit_bytes: int) -> None:
        self._body = body
        self._limit_bytes = limit_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read_bytes = 0
        async for chunk in self._body:
            read_bytes += len(chunk)
            if read_bytes > self._limit_bytes:
                raise ModelFailed(
                    f"the model's answer is longer than {self._limit_bytes:,} bytes",
                    reason="answer_too_long",
                )
            yield chunk

    async def aclose(self) -> None:
        await self._body.aclose()


class Model:
    """One endpoint. Remembers which response format it accepts. Thread-safe."""

    def __init__(self, settings: Settings, clock_s: Callable[[], float] = monotonic) -> None:
        assert settings.llm_base_url
        assert settings.llm_model
        self._settings = settings
        self.name = settings.llm_model
        self._base_url = settings.llm_base_url
        self._budget = Budget(settings, clock_s)
        self._slots = threading.BoundedSemaphore(settings.llm_max_concurrent)
        self._format: Format = "json_schema"
        self._limit_name: LimitName = "max_completion_tokens"
        self._streams = True

    def ask(self, messages: list[dict[str, str]], listener: Listener | None = None) -> Answer:
        """One answer within the total deadline, after at most one request to correct its form.

        Args:
            listener: gets the pieces of the answer while it is written, if the endpoint streams.

        Raises:
            ModelFailed: for every failure, in words for the notice.
        """
        deadline_s = monotonic() + self._settings.llm_deadline_s
        if not self._slots.acquire(timeout=self._settings.llm_deadline_s):
            raise ModelFailed("all model requests were busy until the deadline", reason="busy")
        try:
            # An event loop of its own: only a cancelled task ends an answer that arrives endlessly slowly.
            answer = asyncio.run(self._within(deadline_s - monotonic(), messages, listener))
        except ModelFailed as error:
            if error.reason in BROKEN:
                self._budget.failed()
            elif error.reason != "circuit_open":
                self._budget.came()
            raise
        else:
            self._budget.came()
            return answer
        finally:
            self._slots.release()

    async def _within(
        self, remaining_s: float, messages: list[dict[str, str]], listener: Listener | None
    ) -> Answer:
        try:
            async with asyncio.timeout(remaining_s), self._client() as client:
                return await self._ask(client, messages, listener)
        except TimeoutError as error:
            raise ModelFailed(
                f"the model gave no answer within {self._settings.llm_deadline_s:g} s", reason="timeout"
            ) from error
        except openai.APITimeoutError as error:
            raise ModelFailed(
                f"the model endpoint gave no answer within {self._settings.llm_request_timeout_s:g} s",
                reason="timeout",
            ) from error
        except openai.APIConnectionError as error:
            raise ModelFailed("the model endpoint could not be reached", reason="unreachable") from error
        except openai.APIStatusError as error:
            message, reason = _status_reason(error)
            raise ModelFailed(message, reason=reason) from error
        except (
            openai.OpenAIError, httpx2.HTTPError, httpx2.InvalidURL, ValueError, RecursionError
        ) as error:  # fmt: skip
            raise ModelFailed(
                f"the model endpoint answered unusably ({type(error).__name__})", reason="unusable_answer"
            ) from error

    def _client(self) -> openai.AsyncOpenAI:
        key = self._settings.llm_api_key
        return openai.AsyncOpenAI(
            api_key=key.get_secret_value() if key else _NO_KEY,
            base_url=self._base_url,
            timeout=self._settings.llm_request_timeout_s,
            max_retries=_RETRIES,
            http_client=openai.DefaultAsyncHttpxClient(
                # A redirect would send telemetry to a host that nobody configured.
                follow_redirects=False,
                # An uncompressed body cannot become a thousand times larger when unpacked.
                headers={"Accept-Encoding": "identity"},
                event_hooks={"response": [self._bound_body]},
            ),
        )

    async def _bound_body(self, response: httpx2.Response) -> None:
        """Stops the reading of a body at the limit, whatever its status, type and speed."""
        if response.headers.get("content-encoding", "identity") != "identity":
            raise ModelFailed(
                "the model endpoint sent a compressed answer, which was not asked for",
                reason="unusable_answer",
            )
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Bounded(response.stream, self._settings.llm_max_answer_bytes)

    async def _ask(
        self, client: openai.AsyncOpenAI, messages: list[dict[str, str]], listener: Listener | None
    ) -> Answer:
        text = await self._complete(client, messages, listener)
        try:
            return parse_answer(text)
        except ValueError as error:
            mend = (
                f"That did not fit ({str(error)[:300]}). Send only the JSON object that was asked for:"
                f" {json.dumps(strict_schema())}"
            )
        repaired = [
            *messages,
            {"role": "assistant", "content": text[:8000]},
            {"role": "user", "content": mend},
        ]
        text = await self._complete(client, repaired, listener)
        try:
            return parse_answer(text)
        except ValueError as error:
            raise ModelFailed(
                "the model's answer did not have the form asked for, twice", reason="wrong_form"
            ) from error

    async def _complete(
        self, client: openai.AsyncOpenAI, messages: list[dict[str, str]], listener: Listener | None
    ) -> str:
        for _ in range(_UNDERSTOOD_WITHIN_TRIES):
            try:
                if listener is not None and self._streams:
                    streamed = await self._streamed(client, messages, listener)
                    if streamed is not None:
                        return _text_of(streamed)
                    self._streams = False  # asked for a stream, the endpoint answered otherwise
                return _text_of(await self._request(client, messages))
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                if not self._step_down(error):
                    raise
        raise ModelFailed(
            "the model endpoint takes none of the request forms that Spyhop knows", reason="request_refused"
        )

    async def _request(self, client: openai.AsyncOpenAI, messages: list[dict[str, str]]) -> object:
        self._budget.take()
        completion = await client.chat.completions.create(**self._form(messages))
        self._budget.spent(*_usage(completion, messages))
        return completion

    async def _streamed(
        self, client: openai.AsyncOpenAI, messages: list[dict[str, str]], listener: Listener
    ) -> object | None:
        """The completion joined from its pieces; None if there were none."""
        self._budget.take()
        pieces: list[str] = []
        refusal, reason, came = "", None, False
        stream = await client.chat.completions.create(**self._form(messages), stream=True)
        listener.begin()
        async for chunk in stream:
            for choice in (getattr(chunk, "choices", None) or ())[:1]:
                came = True
                piece = getattr(choice.delta, "content", None)
                refusal += getattr(choice.delta, "refusal", None) or ""
                reason = choice.finish_reason or reason
                if isinstance(piece, str):
                    pieces.append(piece)
                    listener.piece(piece)
        if not came:
            return None
        message = SimpleNamespace(content="".join(pieces), refusal=refusal)
        completion = SimpleNamespace(choices=[SimpleNamespace(message=message, finish_reason=reason)])
        self._budget.spent(estimate_tokens(messages), len(message.content) // CHARS_PER_TOKEN)
        return completion

    def _form(self, messages: list[dict[str, str]]) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": self.name,
            "messages": messages,
            self._limit_name: self._settings.llm_max_output_tokens,
        }
        if self._format == "json_schema":
            schema = {"name": "explanation", "strict": True, "schema": strict_schema()}
            request["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif self._format == "json_object":
            request["response_format"] = {"type": "json_object"}
        return request

    def _step_down(self, error: openai.APIStatusError) -> bool:
        """Choose the next simpler form of request; False when the refusal is not about the form."""
        if error.code == "context_length_exceeded":
            return False
        if "max_completion_tokens" in str(error) and self._limit_name == "max_completion_tokens":
            self._limit_name = "max_tokens"
            return True
        following = _FORMATS.index(self._format) + 1
        if following == len(_FORMATS):
            return False
        self._format = _FORMATS[following]
        return True


def _usage(completion: object, messages: list[dict[str, str]]) -> tuple[int, int]:
    """Tokens of prompt and answer: as counted by the endpoint, else estimated."""
    usage = getattr(completion, "usage", None)
    told = [getattr(usage, name, None) for name in ("prompt_tokens", "completion_tokens")]
    if all(isinstance(count, int) and count >= 0 for count in told):
        return told[0] or 0, told[1] or 0
    return estimate_tokens(messages), len(str(completion)) // CHARS_PER_TOKEN


def _text_of(completion: object) -> str:
    """The text of the first choice. An endpoint may answer 200 with any content: trust no attribute."""
    choices = getattr(completion, "choices", None)
    if not isinstance(choices, list) or not choices:
        raise ModelFailed(
            "the model endpoint answered with something that is not a chat completion",
            reason="unusable_answer",
        )
    message = getattr(choices[0], "message", None)
    if getattr(message, "refusal", None):
        raise ModelFailed("the model refused to answer", reason="refused")
    reason = getattr(choices[0], "finish_reason", None)
    if reason == "length":
        raise ModelFailed("the model's answer was cut off at its length limit", reason="answer_cut_off")
    if reason == "content_filter":
        raise ModelFailed("the endpoint's content filter withheld the answer", reason="filtered")
    content = getattr(message, "content", None)
    if not isinstance(content, str) or not content.strip():
        raise ModelFailed("the model's answer was empty", reason="unusable_answer")
    return content


def _status_reason(error: openai.APIStatusError) -> tuple[str, FallbackReason]:
    if error.code == "context_length_exceeded":
        return "the prompt is too long for the model: lower SPYHOP_LLM_CONTEXT_TOKENS", "context_too_long"
    no_key = "the model endpoint refused the key: check SPYHOP_LLM_API_KEY"
    no_model = (
        "the model endpoint knows no such model or path: check SPYHOP_LLM_MODEL and SPYHOP_LLM_BASE_URL"
    )
    known: Mapping[int, tuple[str, FallbackReason]] = {
        401: (no_key, "key_refused"),
        403: (no_key, "key_refused"),
        404: (no_model, "unknown_model"),
        429: ("the model endpoint's rate limit is reached", "rate_limited"),
    }
    other: FallbackReason = "http_error" if error.status_code >= 500 else "request_refused"
    return known.get(error.status_code, (f"the model endpoint answered with HTTP {error.status_code}", other))
