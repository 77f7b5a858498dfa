"""Open WebUI itself, where it is installed: `OPEN_WEBUI=/venv/bin/open-webui pytest -m slow tests/app/test_open_webui.py`.

It is 250 packages and 1 to 5 GB, so CI does not install it; docs/app.md tells how, and what it showed.
"""

import os
import subprocess
import time

import httpx
import pytest
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda

from tests.app.conftest import KEY
from tests.app.page.browser import CHROMIUM, playwright

pytestmark = [
    pytest.mark.slow,
    pytest.mark.enable_socket,
    pytest.mark.timeout(300),
    pytest.mark.skipif("OPEN_WEBUI" not in os.environ, reason="needs OPEN_WEBUI=/path/to/open-webui"),
]
HERDS = [Document("The herd of Oruro has 412 llamas.", metadata={"source": "herds.md", "line": 3})]
PORT = 8733


@pytest.fixture
def open_webui(serve, tmp_path):
    """Its address, with our server as its only provider."""
    address, _ = serve("extractive", retriever=RunnableLambda(lambda question: HERDS))
    settings = {
        "DATA_DIR": str(tmp_path),
        "WEBUI_AUTH": "False",
        "WEBUI_SECRET_KEY": "for tests",
        "OFFLINE_MODE": "true",
        "ENABLE_OLLAMA_API": "False",
        "RAG_EMBEDDING_ENGINE": "openai",
        "AUDIO_STT_ENGINE": "openai",
        "OPENAI_API_BASE_URL": f"{address}/v1",
        "OPENAI_API_KEY": KEY,
    }
    command = [os.environ["OPEN_WEBUI"], "serve", "--host", "127.0.0.1", "--port", str(PORT)]
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(
            command, env={**os.environ, **settings}, cwd=tmp_path, stdout=log, stderr=log
        )
        try:
            for _ in range(240):
                try:
                    httpx.get(f"http://127.0.0.1:{PORT}/health", trust_env=False).raise_for_status()
                    break
                except httpx.HTTPError:
                    time.sleep(0.5)
            yield f"http://127.0.0.1:{PORT}"
        finally:
            process.terminate()
            process.wait(30)


def test_a_chat_with_sources(open_webui):
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.set_default_timeout(60_000)
        page.goto(open_webui)
        page.click("text=Okay, Let's Go!")  # what is new in this version, told at the first visit
        page.click("#chat-input")
        page.keyboard.type("How many llamas are in the herd of Oruro?")
        page.keyboard.press("Enter")
        page.wait_for_selector("text=The herd of Oruro has 412 llamas.")
        page.wait_for_selector("text=/herds.md, line 3 — /")  # the list below the answer
        page.wait_for_selector("text=1 Source")  # Open WebUI's own, of the annotations
        browser.close()
