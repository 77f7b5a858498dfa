"""The synchronous transport: one socket for each call in flight, in the thread that calls."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from llama_bedrock.transport import clients
from llama_bedrock.transport.calls import AnswerStream, Calls, run
from llama_bedrock.transport.exchange import OwnClient, Way
from llama_bedrock.transport.limiter import FREE, Slot
from llama_bedrock.transport.request import InvokeRequest
from llama_bedrock.transport.response import GenerationChunk

if TYPE_CHECKING:
    from llama_bedrock.transport.boto_way import BotoWay
    from llama_bedrock.transport.sync_http import DirectWay


class SyncTransport(Calls):
    """Calls Bedrock from threads. Safe to share between them; equal settings share one pool of connections.

    A call is signed by botocore and sent by this package, unless botocore itself has to send it: with a
    `client` or a `config` of the caller's own, or where something watches botocore's calls, such as an
    instrumentation (`boto_way` says which).

    Args:
        settings: How to reach Bedrock. Nothing is read or opened before the first call.
    """

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self._direct: dict[str, DirectWay] = {}
        self._boto: dict[str, BotoWay] = {}

    @property
    def region(self) -> str:
        """The region calls go to.

        Raises:
            ValueError: None is set.
        """
        return clients.region_of(self._settings)

    def invoke(self, request: InvokeRequest) -> GenerationChunk:
        """Send a request and return the whole answer.

        Raises:
            LlamaBedrockError: The call failed, after retries where they make sense.
            ValueError: The settings or the request cannot be sent.
        """
        return run(self._invoke(request))

    def stream(self, request: InvokeRequest) -> Generator[GenerationChunk, None, None]:
        """Send a request and yield the answer as it comes; the last chunk has `last` set and no text.

        Nothing is sent before the first `next`. Closing the generator closes the connection.

        Raises:
            LlamaBedrockError: The call failed; once text has been yielded, without another attempt and with
                the text so far in `partial_text`.
            ValueError: The settings or the request cannot be sent.
        """
        yield from _pieces(run(self._stream(request)))

    def call(self, service: str, operation: str, **arguments: Any) -> dict[str, Any]:
        """Call an operation of another service, such as `retrieve` of `bedrock-agent-runtime`.

        Args:
            service: boto3's name of the service.
            operation: boto3's name of the method.
            arguments: Its keyword arguments.

        Returns:
            boto3's response.

        Raises:
            LlamaBedrockError: The call failed, after retries where they make sense.
            ValueError: The settings or the arguments cannot be sent.
        """
        return run(self._call(service, operation, arguments))

    def call_stream(
        self, service: str, operation: str, **arguments: Any
    ) -> Generator[dict[str, Any], None, None]:
        """Call an operation that answers with events, such as `retrieve_and_generate_stream`.

        Args:
            service: boto3's name of the service.
            operation: boto3's name of the method.
            arguments: Its keyword arguments.

        Yields:
            First boto3's response without its stream, then each event as a dict with one key.

        Raises:
            LlamaBedrockError: The call failed, before or inside the stream.
            ValueError: The settings or the arguments cannot be sent.
        """
        yield from _pieces(run(self._call_stream(service, operation, arguments)))

    async def _way(self, service: str) -> Way:
        if isinstance(self._settings.client, OwnClient):
            return self._settings.client.way(self._settings, self._timeout, in_loop=False)
        from llama_bedrock.transport.boto_way import BotoWay
        from llama_bedrock.transport.sync_http import DirectWay

        if service not in self._boto:
            client = clients.boto_client(self._settings, service)
            self._boto[service] = BotoWay(client, self._settings, self._timeout)
        boto = self._boto[service]
        if boto.is_needed():
            return boto
        if service not in self._direct:
            self._direct[service] = DirectWay(boto.client, self._settings, self._timeout)
        return self._direct[service]

    async def _slot(self) -> Slot:
        limiter = self._settings.limiter
        return limiter.acquire() if limiter is not None else FREE

    async def _sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251  # no loop runs this


def _pieces(stream: AnswerStream) -> Generator[Any, None, None]:
    try:
        yield from stream.first
        while not stream.done:
            yield from run(stream.more())
    finally:
        stream.close()
