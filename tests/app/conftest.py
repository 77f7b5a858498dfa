"""The application behind a real uvicorn, and a Llama that says what the test told it to say."""

import asyncio
import threading
from contextlib import ExitStack, contextmanager

import httpx
import pytest

from llama_bedrock.app import create_app
from llama_bedrock.app.serving import AppServer, listen

KEY = "a-key-for-tests"


@contextmanager
def running(app):
    """Serve an application in a thread while the block lasts; gives its address."""
    ready = threading.Event()
    server = AppServer(app, ready.set)
    with listen("127.0.0.1", 0) as listening:
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])), daemon=True)
        thread.start()
        try:
            assert ready.wait(30)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()


@pytest.fixture
def serve(scripted):
    """Function: answers (or an engine) and arguments of `create_app` → (address, engine)."""
    with ExitStack() as stack:

        def start(answers, *, settings=None, **arguments):
            llm, engine = scripted(answers, **(settings or {}))
            app = create_app(llm, key=KEY, **{"page": False, **arguments})
            return stack.enter_context(running(app)), engine

        yield start


@pytest.fixture
def browse():
    """Function: address → an HTTP client with the key."""
    with ExitStack() as stack:

        def connect(address, **options):
            options.setdefault("headers", {"Authorization": f"Bearer {KEY}"})
            return stack.enter_context(httpx.Client(base_url=address, trust_env=False, timeout=30, **options))

        yield connect
