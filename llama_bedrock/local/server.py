"""A local endpoint that speaks Bedrock's wire: for any AWS SDK, on loopback, without an AWS account."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import re
import threading
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from email.utils import format_datetime
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from llama_bedrock.argument_kinds import ZeroOrMore, refuses_wrong_kinds
from llama_bedrock.catalog import PROMPT_FORMATS, PromptFormat
from llama_bedrock.local.control_plane.account import Account, utc_now
from llama_bedrock.local.control_plane.plane import LocalPlane
from llama_bedrock.local.control_plane.records import Store
from llama_bedrock.local.engines.interface import Engine
from llama_bedrock.local.faults import Fault, FaultPlan
from llama_bedrock.local.knowledge_base.vector_store import LocalKnowledgeBase
from llama_bedrock.local.quotas import QuotaMeter, Quotas
from llama_bedrock.local.runtime.authentication import Authenticator
from llama_bedrock.local.runtime.dispatch import MAX_BODY_BYTES
from llama_bedrock.local.runtime.pace import Ticker
from llama_bedrock.local.runtime.routes import add_routes
from llama_bedrock.local.runtime.state import EndpointState, Stats
from llama_bedrock.local.runtime.word_guardrail import Guardrail

if TYPE_CHECKING:
    from langchain_core.vectorstores import VectorStore

_BACKLOG = 4096
_ENGINE_THREADS = 32
_START_SECONDS = 30.0
_STOP_SECONDS = 0.01  # aiohttp takes 0 for "no limit"
_http_logger = logging.getLogger(f"{__name__}.http")
_http_logger.addFilter(
    # aiohttp logs the traceback of its parser for what is no request; whoever sent it is told.
    lambda record: not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))
)

HEADER_SECONDS = 20.0  # from the connection to the end of its first request's headers
_IDLE_SECONDS = 75.0  # between requests
_ACCEPT_STEPS = 3  # turns of the loop from an accepted socket to its protocol


@refuses_wrong_kinds
class LocalBedrock:
    """A Bedrock-compatible endpoint in this process, on its own thread and event loop.

    Use it as a context manager, synchronous or asynchronous, or with `start` and `stop`:

        with LocalBedrock() as server:
            llm = ChatLlamaBedrock(
                model="meta.llama3-3-70b-instruct-v1:0",
                region_name="us-east-2",
                endpoint_url=server.endpoint_url,
                api_key="any",
            )
            llm.invoke("Hello")

    It serves InvokeModel and Converse with their streams, ApplyGuardrail, and with `knowledge_bases`
    Retrieve, RetrieveAndGenerate, RetrieveAndGenerateStream and Rerank; and of Bedrock's control plane model
    lists, jobs, deployments, quotas and the caller's identity. Requests are refused with Bedrock's own texts.

    Args:
        engine: Writes the answers: an `Engine`, or the name of one: ``"extractive"`` (the default) or
            ``"openai:http://localhost:11434/v1"`` for an OpenAI-compatible server.
        host: Address to listen on. Only loopback is reachable from this machine alone: anything else lets
            everyone on the network use the engine.
        port: 0 takes a free one.
        faults: What goes wrong, and when; see `llama_bedrock.local.faults`.
        quotas: Requests and tokens a minute, as Bedrock counts them.
        guardrails: Word filters by guardrail id.
        knowledge_bases: LangChain vector stores by knowledge base id, or `LocalKnowledgeBase` for more.
        first_token_delay: Seconds before the first token of every answer.
        token_delay: Seconds between tokens.
        credentials: Secret access key by access key id. If given, signatures are verified; if not, it is
            enough that a request is signed or has a bearer key, as Bedrock's front end demands.
        api_keys: Bearer keys that are accepted; None accepts any, or, with credentials, none.
        allow_hosts: Host names under which it may be called besides loopback's; others are refused, so that
            no web page can reach it by a name of its own.
        chat_template: Prompt format for the ``messages`` body of imported models and for RetrieveAndGenerate.
        account: The AWS account behind it: what it may use, its quotas, the pace of its jobs.
        state: Folder where jobs, models, deployments and tags are kept over restarts; None keeps them in
            memory, from start to stop.

    Raises:
        ValueError: An argument is out of its range or names nothing known.
    """

    def __init__(
        self,
        engine: Engine | str | None = None,
        *,
        host: str = "127.0.0.1",
        port: ZeroOrMore = 0,
        faults: Iterable[Fault] | None = None,
        quotas: Quotas | None = None,
        guardrails: Mapping[str, Guardrail] | None = None,
        knowledge_bases: Mapping[str, VectorStore | LocalKnowledgeBase] | None = None,
        first_token_delay: float = 0.0,
        token_delay: float = 0.0,
        credentials: Mapping[str, str] | None = None,
        api_keys: Collection[str] | None = None,
        allow_hosts: Collection[str] = (),
        chat_template: PromptFormat = "llama3.3",
        account: Account | None = None,
        state: str | PathLike[str] | None = None,
    ) -> None:
        if first_token_delay < 0 or token_delay < 0:
            raise ValueError("first_token_delay and token_delay are seconds and cannot be negative")
        if chat_template not in PROMPT_FORMATS:
            raise ValueError(
                f"chat_template must be one of {', '.join(PROMPT_FORMATS)}, not {chat_template!r}"
            )
        for name, base in (knowledge_bases or {}).items():
            _check_knowledge_base(name, base)
        self.engine = _find_engine(engine)
        self._host = host
        self._wanted_port = port
        self._port: int | None = None
        self._faults = tuple(faults or ())
        self._quotas = quotas
        self._guardrails = dict(guardrails or {})
        self._knowledge_bases = dict(knowledge_bases or {})
        self._delays = (first_token_delay, token_delay)
        self._account = account or Account()
        self._authenticator = Authenticator(credentials, api_keys, self._account.clock)
        self._allowed_hosts = frozenset(name.lower() for name in allow_hosts)
        self._chat_template: PromptFormat = chat_template
        self._state_folder = None if state is None else Path(state)
        self._plan = FaultPlan(self._faults)
        self._state: EndpointState | None = None
        self._stats = Stats()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None

    @property
    def endpoint_url(self) -> str:
        """``http://127.0.0.1:…``: for ``endpoint_url=`` or ``AWS_ENDPOINT_URL_BEDROCK_RUNTIME``.

        Raises:
            RuntimeError: The server is not running.
        """
        if self._port is None:
            raise RuntimeError("LocalBedrock is not running: use it as a context manager, or call start()")
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{self._port}"

    @property
    def stats(self) -> Stats:
        """Counts since the start: requests, in progress, at most at once, cancelled."""
        return self._stats

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What goes wrong. Assigning replaces the faults, their counts begin anew, also while it runs."""
        return self._faults

    @faults.setter
    def faults(self, faults: Iterable[Fault]) -> None:
        self._faults = tuple(faults)
        self._plan = FaultPlan(self._faults)
        if self._state is not None:
            self._state.faults = self._plan

    def start(self) -> Self:
        """Start to listen; returns when requests are accepted.

        Raises:
            RuntimeError: It is running already.
            OSError: The address cannot be used.
        """
        if self._thread is not None:
            raise RuntimeError("LocalBedrock is already running")
        started: concurrent.futures.Future[int] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._run, args=(started,), name="local-bedrock", daemon=True)
        self._thread.start()
        try:
            self._port = started.result(_START_SECONDS)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Close all connections and end the thread; does nothing if it is not running."""
        thread, loop, stopping = self._thread, self._loop, self._stopping
        if thread is None:
            return
        if loop is not None and stopping is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself, as after a failed start
                loop.call_soon_threadsafe(stopping.set)
        thread.join()
        self._thread = self._loop = self._stopping = self._port = self._state = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.stop)

    def _run(self, started: concurrent.futures.Future[int]) -> None:
        """The thread: one event loop from start to stop."""
        try:
            asyncio.run(self._serve(started))
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    async def _serve(self, started: concurrent.futures.Future[int]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self._stats = Stats()
        with ThreadPoolExecutor(_ENGINE_THREADS, thread_name_prefix="local-bedrock-engine") as executor:
            plane = LocalPlane(self._account, Store(self._state_folder))
            self._state = self._make_state(executor, plane)
            app = web.Application(client_max_size=MAX_BODY_BYTES)
            add_routes(app, self._state)
            if self._account.clock is not utc_now:
                app.on_response_prepare.append(self._set_date)
            # A client that leaves cancels its handler, as Bedrock stops generating; a stop waits for nobody.
            runner = web.AppRunner(
                app,
                access_log=None,
                logger=_http_logger,
                handler_cancellation=True,
                shutdown_timeout=_STOP_SECONDS,
                keepalive_timeout=_IDLE_SECONDS,
                auto_decompress=False,  # packed, a body may be a thousand times larger than it looks
            )
            await runner.setup()
            try:
                connect = _bounded(runner.server, self._state.silent)
                async with _listening(connect, self._host, self._wanted_port) as port:
                    plane.start(self._state)
                    started.set_result(port)
                    await self._stopping.wait()
            finally:
                await runner.cleanup()
                await plane.stop()

    async def _set_date(self, request: web.Request, response: web.StreamResponse) -> None:
        """The account's time, by which clients find that theirs is wrong."""
        response.headers["Date"] = format_datetime(self._account.clock().astimezone(UTC), usegmt=True)

    def _make_state(self, executor: ThreadPoolExecutor, plane: LocalPlane) -> EndpointState:
        state = EndpointState(
            engine=self.engine,
            executor=executor,
            ticker=Ticker(),
            plane=plane,
            quotas=None if self._quotas is None else QuotaMeter(self._quotas),
            guardrails=self._guardrails,
            knowledge_bases=self._knowledge_bases,
            chat_template=self._chat_template,
            first_token_delay=self._delays[0],
            token_delay=self._delays[1],
            allowed_hosts=self._allowed_hosts,
            stats=self._stats,
        )
        state.authenticator, state.faults = self._authenticator, self._plan
        return state


def _bounded(connect: Any, silent: set[Any]) -> Callable[[], Any]:
    """Connections that are closed if no whole request header arrives on them in time.

    aiohttp bounds idle time between requests only.
    """

    def make() -> Any:
        protocol = connect()
        silent.add(protocol)

        def close_silent() -> None:
            if protocol in silent:
                silent.discard(protocol)
                if protocol.transport is not None:
                    protocol.transport.close()

        asyncio.get_running_loop().call_later(HEADER_SECONDS, close_silent)
        return protocol

    return make


@contextlib.asynccontextmanager
async def _listening(protocol_factory: Any, host: str, port: int) -> AsyncIterator[int]:
    """Accept connections; gives the port.

    At the end what was accepted reaches its protocol before the socket is closed: asyncio (Python 3.11) loses
    a connection that is made after that.
    """
    loop = asyncio.get_running_loop()
    server = await loop.create_server(protocol_factory, host, port, backlog=_BACKLOG)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        for listening in server.sockets:
            loop.remove_reader(listening.fileno())
        for _ in range(_ACCEPT_STEPS):
            await asyncio.sleep(0)
        server.close()


def _check_knowledge_base(name: str, base: object) -> None:
    if not re.fullmatch("[0-9a-zA-Z]{10}", name):
        raise ValueError(f"the id of a knowledge base has 10 letters and digits, not {name!r}")
    store = base.store if isinstance(base, LocalKnowledgeBase) else base
    if not hasattr(store, "similarity_search"):
        raise TypeError(f"knowledge base {name} must be a LangChain vector store, not {type(base).__name__}")


def _find_engine(engine: Engine | str | None) -> Engine:
    if engine is None or isinstance(engine, str):
        from llama_bedrock.local.engines import load_engine

        return load_engine(engine or "extractive")
    if not isinstance(engine, Engine):
        raise TypeError(f"engine must have a name and a generate method, see Engine; got {engine!r}")
    return engine
