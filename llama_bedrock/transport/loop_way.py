"""What the ways of an event loop share: where requests go, and an exchange with its deadlines."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from typing import Generic

from llama_bedrock.errors import LlamaBedrockError
from llama_bedrock.transport.clients import policy_of
from llama_bedrock.transport.connection import Timeout, TransportSettings
from llama_bedrock.transport.error_mapping import CallContext
from llama_bedrock.transport.exchange import Exchange, HttpForm, Outgoing, Way
from llama_bedrock.transport.loop_pools import LoopPools, PoolT
from llama_bedrock.transport.signing import SigningClient
from llama_bedrock.transport.watchdog import DeadlinePassedError, Watchdog


class LoopWay(Way, Generic[PoolT]):
    """Requests that botocore signs, and a loop's connections send.

    Args:
        pools: The connections.
        signing: Where to send and how to sign.
        settings: How to reach the service.
        timeout: The deadlines of a call.
    """

    def __init__(
        self,
        pools: LoopPools[PoolT],
        signing: SigningClient,
        settings: TransportSettings,
        timeout: Timeout,
    ) -> None:
        self.client = signing.client
        self.region, self.endpoint_url = signing.region, signing.client.meta.endpoint_url
        self.policy = policy_of(settings, signing.client)
        self.pools = pools
        self.signing = signing
        self._bounds = (settings, timeout)

    def form(self, outgoing: Outgoing) -> HttpForm:
        return outgoing.as_http()


class LoopExchange(Exchange):
    """An exchange that the running loop carries out."""

    def __init__(
        self, context: CallContext, settings: TransportSettings, timeout: Timeout, ends_at: float | None
    ) -> None:
        self._loop = asyncio.get_running_loop()
        # Loops may count their time from elsewhere than time.monotonic does.
        ends_at = None if ends_at is None else self._loop.time() + ends_at - time.monotonic()
        super().__init__(context, settings, timeout, ends_at)
        self._watchdog: Watchdog | None = None

    async def read(self) -> bytes:
        watchdog = self._watchdog
        assert watchdog is not None
        try:
            piece = await self._piece()
        except DeadlinePassedError as passed:
            raise self._passed(passed.name) from None
        except Exception as error:
            raise self.context.broken_off(error) from error
        watchdog.heard = self._loop.time()
        return self._count(piece)

    @abstractmethod
    async def _piece(self) -> bytes:
        """Return what has come of the body, empty at its end."""

    async def _freshen(self, signing: SigningClient) -> None:
        """Have credentials that have not expired."""
        try:
            await signing.fresh_credentials()
        except Exception as error:
            raise self.context.no_credentials(error) from error

    def _passed(self, name: str) -> LlamaBedrockError:
        return self.context.timed_out(name, getattr(self._timeout, name))
