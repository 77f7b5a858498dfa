"""A real browser on the page: Playwright with Chromium, and what every visit must hold."""

import os
import re
import shutil
from pathlib import Path

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
IN_A_BROWSER = [
    pytest.mark.slow,
    pytest.mark.enable_socket,
    pytest.mark.skipif(
        CHROMIUM is None, reason="needs Chromium: apt-get install chromium, or CHROMIUM=/path/to/it"
    ),
]
ROOT = Path(__file__).resolve().parents[3]
AXE = ROOT / "ui" / "node_modules" / "axe-core" / "axe.min.js"
KEY = "a-key-for-tests"


def until(page, expression):
    """Wait until an expression is true; the policy of the page forbids Playwright's own way, which is eval."""
    for _ in range(400):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(expression)


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

    def tab(self):
        page = self.context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on(
            "console",
            lambda message: (
                self.complaints.append(message.text)
                if message.type == "error" and "Failed to load resource" not in message.text
                else None
            ),
        )
        page.goto(f"{self.address}/?key={KEY}")
        page.wait_for_selector("#question")
        return page

    def ask(self, question, page=None):
        page = page or self.page
        page.fill("#question", question)
        page.press("#question", "Enter")
        until(page, "document.querySelector('.composer button').textContent === 'Ask'")

    def violations(self):
        """What axe-core finds, by rule and place."""
        if not AXE.exists():
            pytest.skip("needs axe-core: npm ci --ignore-scripts in ui/")
        self.page.evaluate(AXE.read_text())  # as a debugger: the policy of the page lets no script in
        return self.page.evaluate(
            "async () => (await axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', "
            "'best-practice']})).violations.map(v => [v.id, v.nodes.map(n => n.html.slice(0, 160))])"
        )


def marked(page):
    """The marked text in the source, without white space."""
    page.wait_for_selector(".source mark")
    return re.sub(
        r"\s+", "", "".join(page.eval_on_selector_all(".source mark", "all => all.map(m => m.textContent)"))
    )
