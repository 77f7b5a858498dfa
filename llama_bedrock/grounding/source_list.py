"""The sources of an answer, each once, as people read them below it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from llama_bedrock.grounding.answers import Citation, RagAnswer

QUOTES_SHOWN = 2
"""Of each source."""
_QUOTE_LENGTH = 160
_URL_SIGNS = "%/:?#[]@!$&'()*+,;=~"
_ORDER = {True: 0, None: 1, False: 2}
_SAID = {False: "not supported by the document", None: "not decided"}
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#!|~&:@])")


def by_number(answer: RagAnswer) -> dict[int, list[Citation]]:
    """The citations of each number: supported ones, then undecided ones; of each the longest quote first."""
    groups: dict[int, list[Citation]] = {}
    for citation in answer.citations:
        groups.setdefault(citation.number, []).append(citation)
    for citations in groups.values():
        citations.sort(key=lambda citation: (_ORDER[citation.supported], -len(citation.quote)))
    return dict(sorted(groups.items()))


def shortened(text: str) -> str:
    """A quote as one line of a length that can be read at a glance."""
    line = " ".join(text.split())
    return line if len(line) <= _QUOTE_LENGTH else f"{line[:_QUOTE_LENGTH].rsplit(' ', 1)[0]} …"


def verdict_on(citations: Sequence[Citation]) -> tuple[bool | None, str]:
    """The gravest verdict on what cites one source, and how many have it; no text where all are supported.

    A statement that the source does not support is told, however many others it does.
    """
    counts, every = Counter(citation.supported for citation in citations), len(citations)
    held = [state for state in _SAID if counts[state]]
    if not held or counts[held[0]] == every:
        return (held[0], _SAID[held[0]]) if held else (True, "")
    told = ", ".join(f"{counts[state]} {_SAID[state]}" for state in held)
    return held[0], told.replace(" ", f" of {every} ", 1).replace(" by the document", "")


def file_link(citation: Citation) -> str | None:
    """The address of a cited page or file, with the page where it has pages; None where there is none."""
    if citation.source.startswith(("http://", "https://")):
        return quote(citation.source, safe=_URL_SIGNS)
    path = Path(citation.source)
    try:
        if not path.is_file():
            return None
    except (OSError, ValueError):  # a name that no file can have
        return None
    return path.absolute().as_uri() + (f"#page={citation.page}" if citation.page is not None else "")


def markdown_sources(answer: RagAnswer) -> str:
    """The sources as Markdown, to stand below the answer; empty where it cites none.

    Names and quotes are a stranger's text: all that Markdown, or a link finder, would make something of is
    escaped. A picture in a quote would otherwise be fetched by whoever shows the answer.
    """
    cited = by_number(answer)
    if not cited:
        return ""
    lines = ["", "", "**Sources**", ""]
    for number, citations in cited.items():
        first = citations[0]
        quote = f" — “{_escaped(shortened(first.quote))}”" if first.quote else ""
        _, verdict = verdict_on(citations)
        note = f" ({verdict})" if verdict else ""
        lines.append(f"{number}. {_escaped(first.location)}{note}{quote}")
    return "\n".join(lines)


def _escaped(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))
