"""A real model behind the local endpoint: Ollama, or any server with OpenAI's ``/v1/completions``.

vLLM, llama.cpp's server and LM Studio have that. The raw Llama prompt goes through, so a Llama that runs on
this machine stands in for the one on Bedrock, with the same prompt tokens. For that, Ollama is asked on its
own wire; see `completions`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from llama_bedrock.local.engines.completions import OLLAMA, OPENAI, Wire, broken, parse_event, refusal
from llama_bedrock.local.engines.interface import EngineError, EngineRequest, StopReason
from llama_bedrock.prompts.formats import FORMATS, format_of

if TYPE_CHECKING:
    import aiohttp

_ALL_END_TOKENS = sorted({token for generation in FORMATS.values() for token in generation.end_tokens})
_ALL_BEGINS = sorted({generation.begin for generation in FORMATS.values()})
_LONGEST_LINE = 1 << 20
_USAGE_SECONDS = 2.0  # how long an answer that is whole is kept open for its usage


class OpenAIEngine:
    """Passes prompts on to a completion server.

    Args:
        base_url: Its address up to the version, such as ``"http://localhost:11434/v1"``.
        model: The model to ask for; None asks for the id of the Bedrock request, which servers with one model
            ignore.
        api_key: Sent as a bearer key, if the server wants one.
        connect_timeout: Seconds to reach the server.
        idle_timeout: Seconds without a byte after which an answer is given up.
        extra_body: Further fields of the request, such as ``{"seed": 1}``.

    Raises:
        ValueError: `base_url` is no HTTP address.
    """

    blocking = False
    limits_length = True

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
        self.base_url = checked_url(base_url)
        self._root = self.base_url.removesuffix("/v1")
        self._model = model
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._connect_timeout = connect_timeout
        self._idle_timeout = idle_timeout
        self._extra_body = dict(extra_body or {})
        self._wire: Wire | None = None
        self._tells_usage = True

    @property
    def name(self) -> str:
        """The model and the address."""
        return f"{self._model or 'the model'} at {self.base_url}"

    async def generate(self, request: EngineRequest) -> AsyncGenerator[str, None]:
        """Stream the server's answer.

        Raises:
            EngineError: The server refused, could not be reached, or broke off.
        """
        import aiohttp

        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=self._connect_timeout, sock_read=self._idle_timeout
        )
        try:
            async with aiohttp.ClientSession(
                timeout=timeout, headers=self._headers, trust_env=True
            ) as session:
                wire = self._wire = self._wire or await self._find_wire(session)
                async for piece in self._ask(session, wire, request):
                    yield piece
        except aiohttp.ClientConnectorError as error:
            message = f"The completion server at {self.base_url} cannot be reached ({error}). Is it running?"
            raise EngineError("ServiceUnavailableException", message) from error
        except TimeoutError as error:
            message = f"The completion server at {self.base_url} sent nothing for {self._idle_timeout:g} s."
            raise EngineError("ModelTimeoutException", message) from error
        except aiohttp.ClientError as error:
            raise broken(f"the connection to {self.base_url} broke: {error}") from error

    async def _find_wire(self, session: aiohttp.ClientSession) -> Wire:
        """Ollama tells its version under a path of its own."""
        async with session.get(f"{self._root}/api/version") as response:
            is_json = "application/json" in response.headers.get("Content-Type", "")
            return (
                OLLAMA
                if response.status == 200 and is_json and "version" in await response.text()
                else OPENAI
            )

    async def _ask(
        self, session: aiohttp.ClientSession, wire: Wire, request: EngineRequest
    ) -> AsyncGenerator[str, None]:
        stops = format_of(request.prompt_format).end_tokens if request.prompt_format else _ALL_END_TOKENS
        request = replace(request, prompt=_without_begin(request.prompt))
        body = {**wire.body(request, self._model or request.model_id, stops), **self._extra_body}
        url = f"{self.base_url}/completions" if wire is OPENAI else self._root + wire.path
        if not self._tells_usage:
            body.pop("stream_options", None)
        async with session.post(url, json=body) as response:
            if response.status == 200:
                async for piece in _answer(response, wire):
                    yield piece
                return
            message = await response.text()
            if "stream_options" not in message or "stream_options" not in body:
                raise refusal(response.status, message, url)
        self._tells_usage = False  # a server that is older than this option
        async for piece in self._ask(session, wire, request):
            yield piece


def _without_begin(prompt: str) -> str:
    """A prompt without the token that it begins with: these servers put it before every prompt themselves.

    (llama.cpp, and with it Ollama and LM Studio, and vLLM by its default ``add_special_tokens``.)
    """
    begin = next((token for token in _ALL_BEGINS if prompt.startswith(token)), "")
    return prompt.removeprefix(begin)


async def _answer(response: aiohttp.ClientResponse, wire: Wire) -> AsyncGenerator[str, None]:
    """The texts of an answer; the reason of its end comes last, with the tokens that the server counted.

    OpenAI's servers tell usage in an event of its own, behind that of the end.
    """
    import aiohttp

    end: StopReason | None = None
    usage: tuple[int | None, int | None] = (None, None)
    events = _events(response)
    async with aclosing(events):
        while end is None or None in usage:
            try:
                data = await asyncio.wait_for(anext(events), _USAGE_SECONDS if end is not None else None)
            except StopAsyncIteration:
                break
            except (TimeoutError, aiohttp.ClientError):
                if end is None:
                    raise
                break  # the answer is whole; only its usage did not come
            event = parse_event(data)
            told = wire.usage(event)
            usage = (usage[0] if told[0] is None else told[0], usage[1] if told[1] is None else told[1])
            for piece in wire.texts(event) if end is None else ():
                if isinstance(piece, StopReason):
                    end = piece
                else:
                    yield piece
    if end is None:
        raise broken("it ended its stream without saying so")
    yield StopReason(str(end), *usage)


def checked_url(url: str) -> str:
    """The address of a server up to its version, without a slash at the end.

    Raises:
        ValueError: It is no HTTP address, or does not lead to the API; the message says which one would.
    """
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"base_url must begin with http:// or https://, not {url!r}")
    url = url.rstrip("/")
    parts = urlsplit(url)
    if not parts.hostname:
        raise ValueError(f"{url!r} names no host, as http://localhost:11434/v1 does")
    if not parts.path:
        raise ValueError(f"{url} has no version at its end: give {url}/v1")
    for ending in ("/chat/completions", "/completions", "/models", "/responses"):
        if parts.path.endswith(ending):
            raise ValueError(f"{url} is too long: give {url.removesuffix(ending)}")
    return url


async def _events(response: aiohttp.ClientResponse) -> AsyncGenerator[str, None]:
    """The events of an answer: server-sent ones, lines of JSON, or the whole of a single JSON."""
    kind = response.headers.get("Content-Type", "")
    if "text/event-stream" not in kind and "ndjson" not in kind:
        yield await response.text()
        return
    async for line in _lines(response):
        data = line.removeprefix("data:").strip()
        if data and (line.startswith("data:") or "ndjson" in kind) and data != "[DONE]":
            yield data


async def _lines(response: aiohttp.ClientResponse) -> AsyncGenerator[str, None]:
    """Lines of any length up to a bound: aiohttp's own reader refuses those over 64 KiB."""
    held = b""
    async for block in response.content.iter_any():
        *whole, held = (held + block).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", "replace").rstrip("\r")
        if len(held) > _LONGEST_LINE:
            raise broken("it sent a line of more than 1 MiB")
    if held:
        yield held.decode("utf-8", "replace")
