"""A real model behind the local endpoint: any server with OpenAI's ``/v1/completions``.

Ollama, vLLM, llama.cpp's server and LM Studio have it. The raw Llama prompt goes through unchanged, so a
Llama that runs on this machine stands in for the one on Bedrock, with the same prompt bytes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Any

from llama_bedrock.local.engine import EngineError, EngineRequest, StopReason
from llama_bedrock.prompts.special_tokens import END_TOKENS

if TYPE_CHECKING:
    import aiohttp

_CODES = {
    400: "ValidationException",
    401: "AccessDeniedException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    413: "ValidationException",
    422: "ValidationException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
}
_ALL_END_TOKENS = sorted({token for tokens in END_TOKENS.values() for token in tokens})
_LONGEST_LINE = 1 << 20


class OpenAIEngine:
    """Passes prompts on to an OpenAI-compatible completion server.

    Args:
        base_url: Its address up to the version, such as ``"http://localhost:11434/v1"``.
        model: The model to ask for; None asks for the id of the Bedrock request, which servers with one model
            ignore.
        api_key: Sent as a bearer key, if the server wants one.
        connect_timeout: Seconds to reach the server.
        idle_timeout: Seconds without a byte after which an answer is given up.
        extra_body: Further fields of the request, such as ``{"raw": True}``.
    """

    blocking = False

    def __init__(
        self,
        base_url: str,
        *,
        model: str | None = None,
        api_key: str | None = None,
        connect_timeout: float = 5.0,
        idle_timeout: float = 300.0,
        extra_body: Mapping[str, Any] | None = None,
    ) -> None:
        if not base_url.startswith(("http://", "https://")):
            raise ValueError(f"base_url must begin with http:// or https://, not {base_url!r}")
        self.url = base_url.rstrip("/") + "/completions"
        self._model = model
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._connect_timeout = connect_timeout
        self._idle_timeout = idle_timeout
        self._extra_body = dict(extra_body or {})

    @property
    def name(self) -> str:
        """``openai (URL)``."""
        return f"openai ({self.url})"

    async def generate(self, request: EngineRequest) -> AsyncGenerator[str, None]:
        """Stream the server's answer.

        Raises:
            EngineError: The server refused, could not be reached, or broke off.
        """
        import aiohttp

        if request.images:
            raise EngineError(
                "ValidationException", "The completions API takes no images; the prompt has some."
            )
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=self._connect_timeout, sock_read=self._idle_timeout
        )
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, trust_env=True) as session,
                session.post(self.url, json=self._body(request), headers=self._headers) as response,
            ):
                if response.status != 200:
                    raise _refusal(response.status, await response.text(), self.url)
                async for piece in _events(response):
                    yield piece
        except aiohttp.ClientConnectorError as error:
            message = f"The completion server at {self.url} cannot be reached ({error}). Is it running?"
            raise EngineError("ServiceUnavailableException", message) from error
        except (asyncio.TimeoutError, TimeoutError) as error:
            message = f"The completion server at {self.url} sent nothing for {self._idle_timeout:g} s."
            raise EngineError("ModelTimeoutException", message) from error
        except aiohttp.ClientError as error:
            raise _broken(f"the connection to {self.url} broke: {error}") from error

    def _body(self, request: EngineRequest) -> dict[str, Any]:
        ends = END_TOKENS[request.prompt_format] if request.prompt_format else _ALL_END_TOKENS
        return {
            "model": self._model or request.model_id,
            "prompt": request.prompt,
            "max_tokens": request.max_gen_len,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "stop": list(ends)[:4],  # OpenAI's limit
            "stream": True,
            **self._extra_body,
        }


async def _events(response: aiohttp.ClientResponse) -> AsyncGenerator[str, None]:
    """The texts of a server-sent event stream; of a server that does not stream, the text of its one
    answer.
    """
    if "text/event-stream" not in response.headers.get("Content-Type", ""):
        for piece in _texts(_parsed(await response.text())):
            yield piece
        return
    async for line in _lines(response):
        if not line.startswith("data:"):
            continue
        data = line[5:].strip()
        if data == "[DONE]":
            return
        for piece in _texts(_parsed(data)):
            yield piece
            if isinstance(piece, StopReason):
                return
    raise _broken("it ended its stream without saying so")


async def _lines(response: aiohttp.ClientResponse) -> AsyncGenerator[str, None]:
    """Lines of any length up to a bound: aiohttp's own reader refuses those over 64 KiB."""
    held = b""
    async for block in response.content.iter_any():
        *whole, held = (held + block).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", "replace").rstrip("\r")
        if len(held) > _LONGEST_LINE:
            raise _broken("it sent a line of more than 1 MiB")
    if held:
        yield held.decode("utf-8", "replace")


def _parsed(data: str) -> Mapping[str, Any]:
    try:
        value = json.loads(data)
    except ValueError:
        value = None
    if not isinstance(value, Mapping):
        raise _broken(f"it sent no JSON object: {data[:200]!r}")
    return value


def _texts(event: Mapping[str, Any]) -> list[str]:
    """The text of an event, and the reason of its end as a `StopReason`."""
    if event.get("error"):
        raise _broken(_message(event))
    choices = event.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else {}
    found = [choice["text"]] if isinstance(choice.get("text"), str) and choice["text"] else []
    reason = choice.get("finish_reason")
    if reason:
        found.append(StopReason("length" if reason == "length" else "stop"))
    return found


def _refusal(status: int, body: str, url: str) -> EngineError:
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = None
    message = _message(parsed) if isinstance(parsed, Mapping) else body.strip()[:300]
    text = f"The completion server at {url} answered {status}: {message or 'no message'}"
    code = _CODES.get(status)
    if code:
        return EngineError(code, text)
    return EngineError("ModelErrorException", text, originalStatusCode=status, resourceName=url)


def _message(body: Mapping[str, Any]) -> str:
    error = body.get("error", body)
    if isinstance(error, Mapping):
        error = error.get("message") or error.get("detail") or error
    return str(error)[:300]


def _broken(what: str) -> EngineError:
    text = f"The completion server failed: {what}"
    return EngineError("ModelErrorException", text, originalStatusCode=500, resourceName="completions")
