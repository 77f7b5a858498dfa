"""Every state of the page that a person can come to, on one server, in a real browser."""

import re

import pytest

from llama_bedrock import ChatLlamaBedrock
from llama_bedrock.app import FolderIndex, create_app
from llama_bedrock.local import Guardrail, LocalBedrock
from tests.app.conftest import KEY, running
from tests.app.page.browser import IN_A_BROWSER, ink_under_the_mark, marked, opened, settled, until
from tests.app.page.library import BUSY, FACTS, PACED, PAGES, Scenes, fill

pytestmark = IN_A_BROWSER
SLEEP = "how do otters sleep?"


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """Address of the page over documents of each kind; its calls have a guardrail."""
    from llama_bedrock.cli.kept_index import open_index

    folder = tmp_path_factory.mktemp("library")
    fill(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        guardrails = {"gr1a2b3c4d5e": Guardrail(("xyzzy",), grounding_threshold=0.5)}
        with LocalBedrock(engine=Scenes(), faults=[BUSY], guardrails=guardrails) as bedrock:
            llm = ChatLlamaBedrock(
                model="meta.llama4-maverick-17b-instruct-v1:0",
                region_name="us-west-2",
                endpoint_url=bedrock.endpoint_url,
                api_key="test",
                max_retries=0,
                max_tokens=8192,
                guardrails={"id": "gr1a2b3c4d5e", "version": "1"},
            )
            index = FolderIndex([folder], lambda tell: open_index(folder, progress=tell))
            with running(create_app(llm, retriever=index, key=KEY)) as address:
                yield address


def begin(page):
    """A new conversation."""
    page.evaluate("location.hash = ''")
    until(page, "document.title === 'Documents' && !document.querySelector('.answer, .failed')")
    settled(page)


def test_marks_in_documents_of_each_kind(library, visit):
    seen = visit(library)
    page = seen.page
    until(page, "document.querySelectorAll('.entry').length === 10")
    lines = "all => all.map(m => m.closest('.line').querySelector('.number').textContent)"
    for name, (question, fact) in FACTS.items():
        begin(page)
        seen.ask(question)
        page.locator(f"button.mark[aria-label*='{name}']").first.click()
        page.wait_for_selector(f".source h2 >> text={name}")
        assert re.sub(r"\s+", "", fact) in marked(page)
        if name.endswith(".pdf"):
            assert 0.03 < ink_under_the_mark(page) < 0.6
            continue
        as_read = page.locator(".source .body.reading").count()
        assert as_read == (name not in ("code.py", "prices.xlsx"))
        if name == "code.py":
            assert set(page.eval_on_selector_all(".source mark", lines)) >= {"124"}
        elif name == "prices.xlsx":
            assert "Prices · row 3" in page.inner_text(".source section:has(mark) h3")
        else:
            assert page.locator(".source .reading :is(h1, h2)").count() >= 1
            page.click("text=As text")
            assert re.sub(r"\s+", "", fact) in marked(page)
    for name in ("scan.pdf", "japanese.pdf"):
        page.locator(".entry", has_text=name).click()
        opened(page)
        until(page, "document.querySelector('.sheet canvas')")
        if name == "scan.pdf":  # JPEG 2000, by WebAssembly, in the worker only
            assert "scanned" in page.inner_text(".unsure")
            colour = "[...document.querySelector('.sheet canvas').getContext('2d').getImageData(200, 120, 1, 1).data]"
            assert page.evaluate(colour) == [32, 64, 128, 255]
        else:  # its character map is the server's
            until(page, "document.querySelector('.sheet .layer').textContent.includes('灯台は毎晩')")
    assert page.evaluate(
        "(() => { try { new WebAssembly.Module(new Uint8Array(8)); } catch (e) { return e.name; } })()"
    )


def test_states_of_an_answer(library, visit):
    seen = visit(library)
    page = seen.page
    until(page, "document.querySelector('.questions button')")
    names = page.eval_on_selector_all(".head label:last-of-type option", "all => all.map(one => one.value)")
    assert names == ["words", "llama", "guardrail", "none"]
    for question, said in (
        (f"cut short {SLEEP}", "Cut at the most tokens"),
        (f"the secret of {SLEEP}", "A guardrail of this account stopped"),
        ("xylophone quotient", "Nothing was found for these words"),
    ):
        begin(page)
        seen.ask(question)
        assert said in page.inner_text(".note")
        assert seen.violations() == []
    begin(page)
    seen.ask(f"right to left, {SLEEP}")
    sides = page.eval_on_selector_all(".answer p", "all => all.map(p => getComputedStyle(p).direction)")
    assert sides == ["rtl", "rtl"]
    assert page.evaluate("document.documentElement.scrollWidth") == 1360
    begin(page)
    page.select_option(".head label:last-of-type select", "guardrail")
    seen.ask(FACTS["notes.md"][0])
    page.locator("button.mark").first.click()
    assert "judged by the guardrail" in page.inner_text(".verdict")
    page.keyboard.press("Escape")
    begin(page)
    seen.ask(f"busy, {SLEEP}")
    page.wait_for_selector(".failed >> text=Stop waiting")
    assert seen.violations() == []
    page.click(".failed >> text=Stop waiting")
    page.click(".failed >> text=Edit")
    until(page, f"document.querySelector('#question').value === 'busy, {SLEEP}'")


def work_of(page):
    """Function: names of Chromium's metrics → the seconds that they took of a processor, not of a clock."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})

    def spent(*names):
        known = {one["name"]: one["value"] for one in devtools.send("Performance.getMetrics")["metrics"]}
        return sum(known[name] for name in names)

    return spent


WATCH = """() => { window.shifts = 0; window.draws = 0;
  new MutationObserver((all) => { window.draws += all.some(({ target }) => target.closest?.('.answer')); })
    .observe(document.body, { subtree: true, childList: true });
  new PerformanceObserver((list) => { for (const e of list.getEntries()) if (!e.hadRecentInput) window.shifts += e.value; })
    .observe({ type: 'layout-shift' }); }"""


# What a browser of this machine takes for a known piece of work: ten times as long on another means nothing.
JOB = """() => { const host = document.body.appendChild(document.createElement('div'));
  for (let n = 0; n < 500; n += 1) {
    const line = host.appendChild(document.createElement('p'));
    line.innerHTML = `<b>${n}</b> ${Math.sqrt(n)}`;
    host.offsetHeight;
  }
  host.remove(); }"""


def test_a_long_answer_is_drawn_as_fast_as_a_short_one_and_nothing_jumps(open_page, tmp_path, visit):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "notes.md").write_text("Otters sleep for eleven hours a day in kelp.")
    settings = {"model": "meta.llama4-maverick-17b-instruct-v1:0", "max_tokens": 8192}
    seen = visit(open_page(tmp_path / "docs", Scenes(), settings=settings)[0])
    page = seen.page
    until(page, "document.querySelector('.entry') && document.querySelector('.model')")
    spent = work_of(page)
    page.evaluate(WATCH)
    page.fill("#question", f"paced, {SLEEP}")
    page.press("#question", "Enter")
    cost = []
    for _, after in PACED:
        until(page, f"document.querySelector('.answer')?.textContent.includes('Item {after - 25} ')")
        settled(page)
        work, draws = spent("TaskDuration"), page.evaluate("window.draws")
        Scenes.go_on.release()
        until(page, f"document.querySelector('.answer').textContent.includes('Item {after - 3} ')")
        cost.append((spent("TaskDuration") - work) / (page.evaluate("window.draws") - draws))
    Scenes.go_on.release()
    until(page, "!document.querySelector('.streaming')")
    assert len(page.inner_text(".answer")) > 15_000
    assert page.eval_on_selector_all(".answer li", "all => all.length") == PACED[-1][1]
    before = spent("TaskDuration")
    page.evaluate(JOB)
    a_job = spent("TaskDuration") - before
    # 6 and 10 ms on a busy machine where the job takes 300; a frame at 60 a second has 16. Drawn whole: 86.
    assert max(cost) < a_job / 7, (cost, a_job)
    # 0.1 is what the web's vitals call good; 0.0007 here, and 0.007 where frames come so late that what the question
    # itself moves counts. A jump with each of the pieces would add up to far more.
    assert page.evaluate("window.shifts") < 0.02
    begin(page)
    seen.ask(f"at length, {SLEEP}")
    assert len(page.inner_text(".answer")) > 20_000
    assert page.evaluate("window.shifts") < 0.02


def test_the_page_is_small_and_paints_at_once(library, visit):
    seen = visit(library)
    page = seen.page
    sizes = page.evaluate(
        "performance.getEntriesByType('resource').filter((one) => one.name.includes('/static/'))"
        ".map((one) => [one.name.split('/').pop(), one.decodedBodySize])"
    )
    assert [name for name, _ in sizes] == ["page.js"]
    assert sum(size for _, size in sizes) < 250_000
    # A busy machine paints late however small the page is: the best of five visits counts, and its processor's time is
    # held against that of a known job. By the clock: benchmarks/first_paint.py.
    spent = work_of(page)
    work, job = [], []
    for _ in range(5):
        page.goto("about:blank")
        before = spent("TaskDuration")
        page.goto(library)
        until(page, "performance.getEntriesByName('first-contentful-paint').length")
        work.append(spent("TaskDuration") - before)
        before = spent("TaskDuration")
        page.evaluate(JOB)
        job.append(spent("TaskDuration") - before)
    assert min(work) < 1.2 * min(job)


def test_words_that_a_page_does_not_show_are_not_marked(open_page, tmp_path, visit):
    from reportlab.pdfgen.canvas import Canvas

    def paint_over(paper, text):
        paper.drawString(60, 100, text)
        paper.setFillColorRGB(0.7, 0.85, 0.9)
        paper.rect(0, 0, 600, 400, stroke=0, fill=1)

    def cut_off(paper, text):
        clip = paper.beginPath()
        clip.rect(300, 300, 20, 20)
        paper.clipPath(clip, stroke=0)
        paper.drawString(60, 100, text)

    animals = {
        "penguin": lambda paper, text: paper.drawString(60, 100, text, mode=3),
        "pelican": lambda paper, text: (paper.setFillColorRGB(1, 1, 1), paper.drawString(60, 100, text)),
        "puffin": paint_over,
        "gannet": cut_off,
        "cormorant": lambda paper, text: paper.drawString(60, 100, text),
    }
    (tmp_path / "docs").mkdir()
    for animal, write in animals.items():
        paper = Canvas(str(tmp_path / "docs" / f"{animal}.pdf"), pagesize=(600, 400))
        write(paper, f"The {animal} nests in the north.")
        paper.save()
    seen = visit(open_page(tmp_path / "docs")[0])
    page = seen.page
    until(page, "document.querySelectorAll('.entry').length === 5")
    for animal in animals:
        begin(page)
        seen.ask(f"Where does the {animal} nest?")
        page.locator(f"button.mark[aria-label*='{animal}.pdf']").first.click()
        opened(page)
        if animal == "cormorant":
            assert marked(page) == "Thecormorantnestsinthenorth."
        else:
            page.wait_for_selector(".source >> text=The page shows no words at this place")
            assert page.locator(".source mark").count() == 0


def test_many_files_a_long_book_and_a_drop(open_page, tmp_path, visit):
    folder = tmp_path / "docs"
    folder.mkdir()
    fill(folder, many=200, pages=PAGES)
    seen = visit(open_page(folder)[0], viewport={"width": 1360, "height": 850})
    page = seen.page
    until(page, "document.querySelectorAll('.entry').length === 211")
    page.wait_for_selector("text=/210 files/")  # all but the scan
    seen.ask("When did the anchor chain of the Estrella break?")
    page.locator("button.mark[aria-label*='logbook.pdf']").first.click()
    assert "anchorchainoftheEstrella" in marked(page)
    assert page.input_value(".turn input") == str(PAGES - 13)
    page.fill(".turn input", "7")
    page.keyboard.press("Enter")
    until(page, "document.querySelector('.sheet .layer').textContent.includes('sheet 7.')")
    held = []  # the text of a long book takes its time
    page.route("**/api/documents/text*", lambda route: held.append(route))
    page.keyboard.press("Escape")
    page.locator(".entry", has_text="logbook.pdf").click()
    until(page, "document.querySelector('.sheet .layer')?.textContent.includes('sheet 1.')")
    assert page.locator(".source >> text=As text").count() == 0
    assert len(held) == 1
    held[0].continue_()
    page.wait_for_selector(".source >> text=As text")
    drop = """() => { const data = new DataTransfer();
      data.items.add(new File(['# Sextant\\n\\nA sextant measures angles.'], 'sextant.md'));
      const panes = document.querySelector('.panes');
      for (const name of ['dragover', 'drop']) {
        panes.dispatchEvent(new DragEvent(name, { bubbles: true, cancelable: true, dataTransfer: data }));
        window.wasShown ||= panes.classList.contains('dropping'); } }"""
    page.evaluate(drop)
    assert page.evaluate("window.wasShown")
    page.wait_for_selector(".entry >> text=sextant.md")
    assert (folder / "sextant.md").exists()
    paste = """() => { const data = new DataTransfer();
      data.items.add(new File(['\\x89PNG'], 'image.png', { type: 'image/png' }));
      document.querySelector('#question').dispatchEvent(
        new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true })); }"""
    page.evaluate(paste)
    page.wait_for_selector(".problems >> text=/image.png: .*need OCR/")


def test_a_tool_asks_and_its_server_is_shown(open_page, visit):
    from langchain_core.tools import tool

    from llama_bedrock.agents.mcp import McpSession

    ran = []

    @tool
    def ring_bell(times: int, place: str) -> str:
        """Ring the bell."""
        ran.append((times, place))
        return "It rang."

    async def ping():
        if ran:
            raise ConnectionError("the process ended")

    calls = ['[ring_bell(times=2, place="pier \\u202e<b>")]', "The bell rang."]
    session = McpSession("mcp1: bell-server --loud", (ring_bell,), ping)
    seen = visit(open_page(None, calls, mcp_sessions=[session])[0])
    page = seen.page
    page.wait_for_selector(".server >> text=bell-server --loud")
    assert "1 tool" in page.inner_text(".server")
    page.fill("#question", "Ring the bell")
    page.press("#question", "Enter")
    page.wait_for_selector(".approval")
    assert page.inner_text(".approval pre") == 'ring_bell(times=2, place="pier \\u202e<b>")'
    until(page, "document.activeElement.textContent === 'Allow once'")
    assert ran == []
    for _ in ("light", "dark"):
        assert seen.violations() == []
        page.locator(".approval pre").focus()
        page.keyboard.press("t")
    page.click("text=Allow once")
    page.wait_for_selector("text=The bell rang.")
    assert ran == [(2, "pier \u202e<b>")]
    page.wait_for_selector(".server >> text=does not answer")
    page.wait_for_selector(".server >> text=the process ended")
    assert seen.violations() == []
