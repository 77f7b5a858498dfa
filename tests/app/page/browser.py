"""A real browser on the page: Playwright with Chromium, and what every visit must hold."""

import os
import re
import shutil
import time
from pathlib import Path

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
IN_A_BROWSER = [
    pytest.mark.slow,
    pytest.mark.enable_socket,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        CHROMIUM is None, reason="needs Chromium: apt-get install chromium, or CHROMIUM=/path/to/it"
    ),
]
ROOT = Path(__file__).resolve().parents[3]
AXE = ROOT / "ui" / "node_modules" / "axe-core" / "axe.min.js"
KEY = "a-key-for-tests"
# `SLOWER=8 pytest -m slow tests/app/page` looks for reads that do not wait: a processor so many times slower, frames
# and answers of the server that come late and in another order.
SLOWER = float(os.environ.get("SLOWER", "1"))
LATE = """
const [frame, ask] = [requestAnimationFrame, fetch], later = (ms) => new Promise((done) => setTimeout(done, ms));
window.requestAnimationFrame = (draw) => setTimeout(() => frame(draw), 25 * SLOWER);
window.cancelAnimationFrame = clearTimeout;
window.fetch = async (...all) => { const got = await ask(...all); await later(Math.random() * 50 * SLOWER); return got; };
""".replace("SLOWER", str(SLOWER))


def until(page, expression, seconds=60):
    """Wait until an expression is true; the policy of the page forbids Playwright's own way, which is eval."""
    latest = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < latest, expression
        page.wait_for_timeout(50)


def settled(page):
    """Wait until what was clicked or typed is drawn: the page draws on the next frame, its effects run after it.

    Needed before whatever is read that was there before, too.
    """
    frames = "requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 40)))"
    page.evaluate(f"() => new Promise((done) => {frames})")


# `window.said` is whatever the page says of a question that failed: some of it stands for two seconds only.
LISTEN = """() => { window.said = ""; new MutationObserver(() => {
  window.said += document.querySelector(".failed p")?.textContent ?? ""; })
  .observe(document.body, { subtree: true, childList: true, characterData: true }); }"""


class Visit:
    """A browser window on the page; whatever it asks of another server, or complains of, is kept."""

    def __init__(self, chromium, address, **options):
        options.setdefault("viewport", {"width": 1360, "height": 850})
        options.setdefault("reduced_motion", "reduce")
        self.address = address
        self.elsewhere = []
        self.complaints = []
        self.context = chromium.new_context(**options)
        self.context.route("**/*", self._route)
        self.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address)
        self.page = self.tab()

    def _route(self, route):
        if route.request.url.startswith((self.address, "blob:", "data:")):
            route.continue_()
        else:
            self.elsewhere.append(route.request.url)
            route.abort()

    def tab(self, address=None):
        """A page of its own; of the address, once the key has been taken."""
        page = self.context.new_page()
        if SLOWER > 1:
            devtools = self.context.new_cdp_session(page)
            devtools.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
            page.add_init_script(LATE)
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on(
            "console",
            lambda message: (
                self.complaints.append(message.text)
                if message.type == "error" and "Failed to load resource" not in message.text
                else None
            ),
        )
        page.goto(address or f"{self.address}/?key={KEY}")
        page.wait_for_selector("#question")
        return page

    def ask(self, question, page=None):
        page = page or self.page
        page.fill("#question", question)
        page.press("#question", "Enter")
        settled(page)  # until then the button says Ask because nothing was asked
        until(page, "document.querySelector('.composer button').textContent === 'Ask'")

    def violations(self):
        """What axe-core finds, by rule and place."""
        if not AXE.exists():
            pytest.skip("needs axe-core: npm ci --ignore-scripts in ui/")
        settled(self.page)
        self.page.evaluate(AXE.read_text())  # as a debugger: the policy of the page lets no script in
        return self.page.evaluate(
            "async () => (await axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', "
            "'best-practice']})).violations.map(v => [v.id, v.nodes.map(n => n.html.slice(0, 160))])"
        )


def opened(page):
    """Wait for the text of the source that was clicked on."""
    settled(page)
    page.wait_for_selector(".source[aria-busy=false] .body *")


def marked(page):
    """The marked text in the source, without white space."""
    opened(page)
    page.wait_for_selector(".source mark")
    return re.sub(
        r"\s+", "", "".join(page.eval_on_selector_all(".source mark", "all => all.map(m => m.textContent)"))
    )


def ink_under_the_mark(page):
    """The share of dark pixels of a PDF's page under the mark: none where the mark lies beside the words."""
    return page.evaluate(
        """() => { const canvas = document.querySelector('.sheet canvas'), box = canvas.getBoundingClientRect();
        const mark = document.querySelector('.source mark').getBoundingClientRect();
        const [across, down] = [canvas.width / box.width, canvas.height / box.height];
        const data = canvas.getContext('2d').getImageData((mark.x - box.x) * across, (mark.y - box.y) * down,
            mark.width * across, mark.height * down).data;
        let n = 0; for (let i = 0; i < data.length; i += 4) n += data[i] < 128; return n / (data.length / 4); }"""
    )
