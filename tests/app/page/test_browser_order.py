"""What comes late, twice or in another order than it was asked for: the page acts on what is there now."""

import re
import threading
from itertools import pairwise

from langchain_core.tools import tool

from llama_bedrock.local.engines.interface import EngineError
from tests.app.page.browser import IN_A_BROWSER, LISTEN, settled, until
from tests.app.page.test_browser import Slow

pytestmark = IN_A_BROWSER
QUESTIONS = "[...document.querySelectorAll('.question p')].map(p => p.textContent).join()"


class Breaks:
    """Writes three words, then fails; the second time it writes an answer."""

    name = "breaks"
    blocking = True

    def __init__(self):
        self.asked = 0

    def generate(self, request):
        self.asked += 1
        yield from ("It ", "begins ", "well ")
        if self.asked == 1:
            raise EngineError("InternalServerException", "no")
        yield "and ends well."


def test_an_answer_that_is_left_stays_in_its_conversation(open_page, visit):
    engine = Slow(60)
    seen = visit(open_page(None, engine)[0])
    page = seen.page
    for question in ("نمی‌دانم چرا؟", "👩‍🔬 who is she?"):  # with joiners, which are in no name
        page.fill("#question", question)
        page.press("#question", "Enter")
        page.wait_for_selector(".answer >> text=word3")
        page.locator("main h1").click()
        page.keyboard.press("n")
        until(page, "document.title === 'Documents'")
        settled(page)
        assert page.locator(".answer, .question, .failed").count() == 0
    engine.may_go_on.set()
    until(page, "document.querySelectorAll('[aria-labelledby=threads-title] .entry').length === 2")
    page.locator(".entry", has_text="👩🔬 who").click()
    page.wait_for_selector("text=What was written is kept")
    assert page.inner_text(".question p") == "👩‍🔬 who is she?"
    assert seen.complaints == []


def test_an_error_in_the_middle_keeps_the_words_and_the_question_once(open_page, visit):
    engine = Breaks()
    seen = visit(open_page(None, engine)[0])
    page = seen.page
    seen.ask("Does it?")
    page.wait_for_selector(".failed")
    page.wait_for_selector(".answer >> text=It begins well")
    settled(page)
    assert page.evaluate(QUESTIONS) == "Does it?"
    page.click(".failed >> text=Ask again")
    page.wait_for_selector(".answer >> text=and ends well.")
    page.reload()
    page.wait_for_selector(".answer >> text=and ends well.")
    assert page.evaluate(QUESTIONS) == "Does it?"
    assert page.locator(".answer").count() == 1


def test_tries_become_rarer_and_end(open_page, visit):
    throttled = [EngineError("ThrottlingException", "no")] * 4
    seen = visit(open_page(None, [*throttled, "At last."])[0])
    page = seen.page
    page.clock.install()
    page.evaluate(LISTEN)
    seen.ask("Now?")
    for _ in range(120):
        page.clock.run_for(1000)
        if page.locator(".failed .main >> text=/^Ask again$/").count():
            break
    page.click(".failed .main >> text=/^Ask again$/")
    page.wait_for_selector(".answer >> text=At last.")
    left = [0, *map(int, re.findall(r"again in (\d+) s", page.evaluate("window.said")))]
    assert [now for before, now in pairwise(left) if now > before] == [2, 4, 8]


def test_a_decision_is_of_the_call_that_was_seen_and_is_made_once(open_page, visit):
    ran = []
    may_end = threading.Event()

    @tool
    def ring_bell(times: int) -> str:
        """Ring the bell."""
        ran.append(times)
        may_end.wait(60)
        return "It rang."

    answers = ["[ring_bell(times=2)]", "The bell rang twice.", "[ring_bell(times=3)]", "Another matter."]
    seen = visit(open_page(None, answers, tools=[ring_bell])[0])
    page = seen.page
    seen.ask("Ring the bell")
    page.wait_for_selector(".approval")
    # Two clicks before the page can draw the first.
    page.evaluate("(() => { const b = document.querySelector('.approval .main'); b.click(); b.click(); })()")
    until(page, "document.querySelector('.composer button').textContent === 'Stop'")
    assert page.evaluate(QUESTIONS) == "Ring the bell"
    may_end.set()
    page.wait_for_selector(".answer >> text=The bell rang twice.")
    seen.ask("Ring it thrice")
    page.wait_for_selector(".approval")
    seen.ask("Leave it")  # the call that waited is not made, and is not asked about any more
    page.wait_for_selector(".answer >> text=Another matter.")
    assert page.locator(".approval").count() == 0
    assert ran == [2]
