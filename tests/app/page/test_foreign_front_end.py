"""A chat with sources in a front end that other people wrote: deep-chat, from npm, in a real browser."""

import re

import pytest
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda

from tests.app.conftest import KEY
from tests.app.page.browser import IN_A_BROWSER, ROOT

pytestmark = IN_A_BROWSER
BUNDLE = ROOT / "ui" / "node_modules" / "deep-chat" / "dist" / "deepChat.bundle.js"
HERDS = [Document("The herd of Oruro has 412 llamas.", metadata={"source": "herds.md", "line": 3})]
[SETTINGS] = re.findall(r"```js\n(.*?)```", (ROOT / "docs" / "app.md").read_text(), re.S)
CHAT = f"""<!doctype html><deep-chat id="chat"></deep-chat>
<script type="module" src="/deep-chat.js"></script>
<script type="module">const key = "{KEY}";
{SETTINGS}</script>"""


@pytest.mark.skipif(not BUNDLE.exists(), reason="needs deep-chat: npm ci --ignore-scripts in ui/")
def test_a_chat_with_sources_in_deep_chat(serve, chromium):
    address, _ = serve("extractive", retriever=RunnableLambda(lambda question: HERDS))
    page = chromium.new_page()
    page.route("https://**/*", lambda route: route.abort())  # the fonts that it fetches
    page.route(f"{address}/chat", lambda route: route.fulfill(body=CHAT, content_type="text/html"))
    page.route(f"{address}/deep-chat.js", lambda route: route.fulfill(path=BUNDLE))
    page.set_default_timeout(60_000)
    page.goto(f"{address}/chat")
    page.click("#text-input")
    for count, question in enumerate(
        ("How many llamas has the herd of Oruro?", "How many llamas are in the herd of Oruro?"), 1
    ):
        page.keyboard.type(question)
        page.keyboard.press("Enter")
        # Its list of sources, drawn of our Markdown, under each answer.
        listed = ".ai-message-text li >> text=/herds.md, line 3 — “The herd of Oruro has 412 llamas/"
        page.wait_for_selector(f"{listed} >> nth={count - 1}")
    page.close()
