"""A folder with a document of each kind, made by the library of that kind, and a model with an answer for each state."""

import re
import threading
import time

from llama_bedrock.local import ErrorResponse
from llama_bedrock.local.engines.extractive import ExtractiveEngine
from llama_bedrock.local.engines.interface import StopReason

FACTS = {  # a question that only this file answers, and the sentence that does
    "notes.md": (
        "How many hours a day do otters sleep in kelp?",
        "Otters sleep for eleven hours a day in kelp.",
    ),
    "page.html": ("How many kilograms does a walrus weigh?", "A walrus weighs about one thousand kilograms."),
    "code.py": ("How far does the lighthouse shine?", "Return how far the lighthouse shines, in miles."),
    "report.docx": ("Where do puffins nest?", "Puffins nest in burrows on grassy cliffs."),
    "deck.pptx": ("How fast does a gannet dive?", "A gannet dives at one hundred kilometres an hour."),
    "prices.xlsx": ("What does a harbour permit cost?", "harbour permit"),
    "turned.pdf": ("How deep does a sperm whale hunt?", "A sperm whale hunts two kilometres deep."),
    "low.pdf": ("How wide is an albatross?", "An albatross is three metres wide."),
}
RTL = "الفقمة حيوان بحري يعيش في المياه الباردة ويتغذى على الأسماك.\n\nטקסט בעברית עם `code` ומספר 42."
PAGES = 400
LONG = (
    "".join(
        f"This **paragraph** number {n} has `code`, a [link](https://example.com) and considerable comfortable sentences throughout.\n\n"
        for n in range(240)
    )
    + "| a | b |\n|---|--:|\n| one | 1 |\n| two | 2 |\n\n```py\ndef wide():\n    return '"
    + "x" * 160
    + "'\n```\n"
)


PACED = (0, 40), (40, 420)  # items of a list that come at once, but for the last twenty of each part


def item(n):
    return f"- **Item {n}** has `code` and considerable text.\n"


BUSY = ErrorResponse("ThrottlingException", headers={"Retry-After": "50"}).when(
    lambda target: "busy, " in target.body.get("prompt", "")
)


class Scenes:
    """Answers by what the question asks for; else as the extractive engine does."""

    name = "scenes"
    blocking = True
    go_on = threading.Semaphore(0)
    """What `paced` waits for, before each part of its answer at a model's pace and before its end."""

    def __init__(self):
        self._other = ExtractiveEngine()

    def generate(self, request):
        question = request.prompt.rpartition("<|start_header_id|>user<|end_header_id|>")[2]
        if "at length" in question:
            for at in range(0, len(LONG), 40):
                yield LONG[at : at + 40]
        elif "paced" in question:
            for first, after in PACED:
                yield from map(item, range(first, after - 20))
                self.go_on.acquire(timeout=60)
                for n in range(after - 20, after):
                    for piece in re.findall("(?s).{1,20}", item(n)):
                        time.sleep(0.02)
                        yield piece
            self.go_on.acquire(timeout=60)  # the end draws the whole answer once more, which is no pace
        elif "cut short" in question:
            yield "There was much to say about the sea, and then"
            yield StopReason("length")
        elif "secret" in question:
            yield from ("The word is ", "xyzzy", ", and more.")
        elif "right to left" in question:
            yield RTL
        elif "slowly" in question:
            for word in [
                "One",
                "word",
                "after",
                "the",
                "other",
                "is",
                "written",
                "here,",
                "and",
                "nothing",
                "jumps",
                ".",
            ]:
                time.sleep(0.4)
                yield f"{word} "
        elif "wrong number" in question:
            yield "A walrus weighs about nine thousand kilograms [1]. It is a calm animal."
        else:
            yield from self._other.generate(request)


def fill(folder, *, many=0, pages=0):
    """Write the documents into a folder.

    Args:
        folder: Where to.
        many: How many small files more.
        pages: Of one long PDF more; 0 for none.
    """
    import docx
    import openpyxl
    import pptx
    from PIL import Image, ImageDraw
    from reportlab.pdfgen.canvas import Canvas

    facts = {name: fact for name, (_, fact) in FACTS.items()}
    (folder / "notes.md").write_text(
        f"# Otters\n\nThey live by the *sea*.\n\n## Sleep\n\n> **Note.** {facts['notes.md']}\n\n- one\n- two\n\n"
        "| tide | time |\n|---|---|\n| high | 6:10 |\n\n```sh\nls -l\n```\n"
    )
    (folder / "page.html").write_text(
        f"<title>Walruses</title><h1>Walruses</h1><p>They are <b>big</b>.</p><h2>Weight</h2><p>{facts['page.html']}</p>"
    )
    lines = "".join(f"# line {n}\nvalue_{n} = {n}\n" for n in range(60))
    (folder / "code.py").write_text(
        f'{lines}\n\ndef lighthouse():\n    """{facts["code.py"]}"""\n    return 12\n'
    )
    report = docx.Document()
    report.add_heading("Puffins", 1)
    report.add_paragraph("They are small sea birds.")
    report.add_heading("Nests", 2)
    report.add_paragraph(facts["report.docx"])
    report.save(folder / "report.docx")
    deck = pptx.Presentation()
    for title, text in (("Gannets", "White birds."), ("Diving", facts["deck.pptx"])):
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        slide.shapes.title.text, slide.placeholders[1].text = title, text
    deck.save(folder / "deck.pptx")
    book = openpyxl.Workbook()
    book.active.title = "Prices"
    for row in (("item", "price in pesos"), ("boat ride", 40), ("harbour permit", 912), ("ice cream", 3)):
        book.active.append(row)
    book.save(folder / "prices.xlsx")
    for name, size, turn in (("turned.pdf", (600, 600), 90), ("low.pdf", (900, 70), 0)):
        paper = Canvas(str(folder / name), pagesize=size)
        paper.setPageRotation(turn)
        paper.setFont("Helvetica", 18)
        paper.drawString(60, 40, facts[name])
        paper.save()
    picture = Image.new("RGBA", (800, 1000), "white")
    ImageDraw.Draw(picture).rectangle((100, 100, 700, 500), fill="#204080")
    picture.save(folder / "scan.pdf")  # of a picture with transparency Pillow makes JPEG 2000
    japanese(folder / "japanese.pdf")
    for n in range(many):
        (folder / f"tide table {n:03}.txt").write_text(f"High tide of day {n} is at {n % 24}:10.")
    if pages:
        long = Canvas(str(folder / "logbook.pdf"))
        for n in range(1, pages + 1):
            long.drawString(72, 720, f"Logbook, sheet {n}.")
            if n == pages - 13:
                long.drawString(72, 690, "The anchor chain of the Estrella broke on this day.")
            long.showPage()
        long.save()


def japanese(path):
    """A PDF in a font that is not in it, with a character map that is not in it."""
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.cidfonts import UnicodeCIDFont
    from reportlab.pdfgen.canvas import Canvas

    pdfmetrics.registerFont(UnicodeCIDFont("HeiseiMin-W3"))
    paper = Canvas(str(path))
    paper.setFont("HeiseiMin-W3", 18)
    paper.drawString(72, 700, "灯台は毎晩十二海里先まで照らします。")
    paper.save()
