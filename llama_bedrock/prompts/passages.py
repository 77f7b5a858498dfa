"""Retrieved documents as numbered, delimited passages of a prompt, and the way back.

One block per passage, the question last::

    <passage 7f3a9c21d4e8 number="1" source="guide.md, page 3">
    …text…
    </passage 7f3a9c21d4e8>
    Question: …

The hexadecimal word after ``passage`` is the boundary. Whoever builds the prompt chooses it so that no
document can know it; a document that holds ``</passage>``, or a whole forged block, therefore stays text
inside its passage. Answers cite a passage by its number, as in ``[1]``.
"""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from secrets import token_bytes

NO_ANSWER = "The documents do not answer this question."
"""What a model is told to answer, to the letter, when the passages hold no answer."""

STANDALONE_INSTRUCTION = "Rewrite the last question so that it can be understood without the conversation."
"""First line of the user turn that asks for a stand-alone question, see :func:`format_follow_up`."""

_BOUNDARY = re.compile(r"[0-9a-f]{8,64}")
_OPEN = re.compile(
    r'^<passage (?P<boundary>[0-9a-f]{8,64}) number="(?P<number>[1-9][0-9]{0,8})" '
    r'source="(?P<source>[^"\n]*)"(?: title="(?P<title>[^"\n]*)")?>\n',
    re.MULTILINE,
)
_ECHO = re.compile(r'</?passage [0-9a-f]{4,64}(?: [a-z]+="[^"\n]{0,2000}")*>')
_ATTRIBUTES = r'(?: [0-9a-f]{0,64}(?: [a-z]{0,20}(?:=(?:"[^"\n]{0,2000}"?)?)?)*)?'
_MAY_BECOME_ECHO = re.compile(rf"</?(?:p(?:a(?:s(?:s(?:a(?:g(?:e{_ATTRIBUTES})?)?)?)?)?)?)?\Z")
_QUESTION = "Question: "
_SECRET = token_bytes(32)


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document, as the model sees it.

    Attributes:
        number: What an answer cites it by, from 1.
        text: The text, unchanged.
        source: Where it comes from, for the reader: ``"guide.md, page 3"``. Shown on one line.
        title: Title or heading path of the piece, shown on one line.
    """

    number: int
    text: str
    source: str
    title: str | None = None


def format_passages(passages: Iterable[Passage], boundary: str) -> str:
    """Write passages as delimited blocks, one after the other.

    Args:
        passages: In the order in which the model is to read them.
        boundary: 8 to 64 lower-case hexadecimal digits that occur in none of the passages.

    Raises:
        ValueError: The boundary is malformed, or a passage holds it, so that it would not delimit.
    """
    if not _BOUNDARY.fullmatch(boundary):
        raise ValueError(f"a passage boundary is 8 to 64 lower-case hexadecimal digits, not {boundary!r}")
    blocks = []
    for passage in passages:
        title = "" if passage.title is None else f' title="{_attribute(passage.title)}"'
        head = f'number="{passage.number}" source="{_attribute(passage.source)}"{title}'
        if boundary in passage.text or boundary in head:
            raise ValueError(f"passage {passage.number} holds the boundary {boundary}; choose another one")
        blocks.append(f"<passage {boundary} {head}>\n{passage.text}\n</passage {boundary}>")
    return "\n".join(blocks)


def boundary_for(passages: Sequence[Passage]) -> str:
    """A delimiter that no document can know.

    It is a hash of the passages with a secret of this process: the same passages give the same prompt, so
    that LangChain's cache can answer, and nobody who writes a document can compute it.
    """
    digest = hashlib.blake2b(key=_SECRET, digest_size=8)
    for passage in passages:
        text = f"{passage.number}\0{passage.source}\0{passage.title}\0{passage.text}"
        digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()


def parse_passages(text: str) -> list[Passage]:
    """Read the passages of a user turn back; the inverse of :func:`format_passages`.

    The first opening tag of the text gives the boundary; blocks with any other boundary are text. Line breaks
    that were in a source or a title come back as spaces.
    """
    return _scan(text)[0]


def format_question(passages: Iterable[Passage], boundary: str, question: str) -> str:
    """The whole user turn of a question about documents: the passages, then ``Question: …``."""
    blocks = format_passages(passages, boundary)
    return f"{blocks}\n{_QUESTION}{question}" if blocks else _QUESTION + question


def parse_question(text: str) -> str | None:
    """The question of a turn written by :func:`format_question`; None for any other text.

    Only what follows the last passage is looked at, so a ``Question:`` line inside a document is never taken
    for it.
    """
    rest = text[_scan(text)[1] :].lstrip("\n")
    return rest[len(_QUESTION) :] if rest.startswith(_QUESTION) else None


def format_follow_up(history: Sequence[tuple[str, str]], question: str) -> str:
    """The user turn that asks a model for a stand-alone form of a follow-up question.

    Args:
        history: Earlier turns, oldest first, as (speaker, text); the speakers are ``"User"`` and
            ``"Assistant"``.
        question: The follow-up question.
    """
    lines = [f"{speaker}: {_one_line(text)}" for speaker, text in history]
    return "\n".join([STANDALONE_INSTRUCTION, "", *lines, "", f"Last question: {_one_line(question)}"])


def parse_follow_up(text: str) -> tuple[list[tuple[str, str]], str] | None:
    """(history, question) of a turn written by :func:`format_follow_up`; None for any other text."""
    lines = text.strip("\n").split("\n")
    if lines[0] != STANDALONE_INSTRUCTION or not lines[-1].startswith("Last question: "):
        return None
    turns = [line.partition(": ") for line in lines[1:-1] if line]
    history = [(speaker, said) for speaker, _, said in turns if speaker in ("User", "Assistant")]
    return history, lines[-1].removeprefix("Last question: ")


def _scan(text: str) -> tuple[list[Passage], int]:
    """The passages, and where the last one ends."""
    first = _OPEN.search(text)
    if first is None:
        return [], 0
    passages: list[Passage] = []
    boundary = first["boundary"]
    closing = f"\n</passage {boundary}>"
    opening: re.Match[str] | None = first
    end = 0
    while opening is not None:
        close = text.find(closing, opening.end() - 1)
        if close < 0:  # cut off: a passage without its end is no passage
            break
        body = text[opening.end() : max(close, opening.end())]
        title = None if opening["title"] is None else html.unescape(opening["title"])
        passages.append(Passage(int(opening["number"]), body, html.unescape(opening["source"]), title))
        end = close + len(closing)
        opening = _OPEN.search(text, end)
        while opening is not None and opening["boundary"] != boundary:
            opening = _OPEN.search(text, opening.end())
    return passages, end


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _attribute(value: str) -> str:
    """One line, quotes and ampersands written as entities: what is inside stays inside."""
    return _one_line(value).replace("&", "&amp;").replace('"', "&quot;")


class EchoFilter:
    """Takes the tags of passages out of a streamed answer: small models repeat them.

    Text that may be the beginning of a tag is held back until it is known.
    """

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> str:
        """The text that can be shown now."""
        text = _ECHO.sub("", self._held + text) if self._held or "<" in text else text
        found = _MAY_BECOME_ECHO.search(text) if "<" in text else None
        end = len(text) if found is None else found.start()
        self._held = text[end:]
        return text[:end]

    def close(self) -> str:
        """The rest of the text; one that is cut in the middle of a tag has none."""
        held, self._held = self._held, ""
        return "" if re.match(r"</?passage [0-9a-f]{4}", held) else held
