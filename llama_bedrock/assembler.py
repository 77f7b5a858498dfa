"""Service output to LangChain message chunks: stop strings, leaked control tokens, tool calls, usage.

One class serves invoke and stream, sync and async: the caller feeds whatever arrives and adds up the chunks
it gets, or has a whole answer read at once. No I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, AIMessageChunk

from llama_bedrock.text_chunks import text_chunk
from llama_bedrock.tools.events import Event, TextDelta, to_chunks, to_message
from llama_bedrock.usage import estimate_tokens, usage_metadata

if TYPE_CHECKING:
    from langchain_core.messages.ai import UsageMetadata

    from llama_bedrock.tools.json_answer import JsonContent
    from llama_bedrock.tools.parser.tool_call_parser import ToolCallParser
    from llama_bedrock.transport.response import GenerationChunk


class StopFilter:
    """Passes text on until a stop string is complete, also where it spans several pieces.

    Text that may begin a stop string is held back until the next piece decides; nothing else is.

    Args:
        stops: Strings that end the text; the one that begins first wins, and of two at one place the shorter.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops, self._first, self._reach = _beginnings(tuple(stops))
        self._held = ""
        self.matched: str | None = None

    def feed(self, text: str) -> str:
        """Return the part of the text so far that certainly belongs to the answer."""
        if self.matched is not None:
            return ""
        if not self._held and self._first.isdisjoint(text):
            return text
        text, self._held = self._held + text, ""
        at, stop = self._find(text)
        for start in range(max(0, len(text) - self._reach), at):
            if text[start] in self._first and self._may_begin(text[start:]):
                self._held = text[start:]
                return text[:start]
        self.matched = stop
        return text[:at]

    def close(self) -> str:
        """Return what belongs to the answer of the text held back, now that nothing follows."""
        text, self._held = self._held, ""
        at, self.matched = self._find(text) if text else (0, self.matched)
        return text[:at]

    def _find(self, text: str) -> tuple[int, str | None]:
        """Return where the first stop string begins, and which it is; else the end of the text."""
        found = [(at, len(stop), stop) for stop in self._stops if (at := text.find(stop)) >= 0]
        return min(found)[::2] if found else (len(text), None)

    def _may_begin(self, tail: str) -> bool:
        return any(stop.startswith(tail) for stop in self._stops)


@lru_cache(maxsize=256)
def _beginnings(stops: tuple[str, ...]) -> tuple[tuple[str, ...], frozenset[str], int]:
    """Return the stop strings, what they begin with, and how many characters may be held back for them."""
    distinct = tuple({s for s in stops if s})
    return distinct, frozenset(s[0] for s in distinct), max(map(len, distinct), default=1) - 1


class LeadFilter:
    """Drops what Llama writes before its first word: newlines, and the header of its turn once more.

    Args:
        headers: The forms of that header.
    """

    def __init__(self, headers: Sequence[str]) -> None:
        self._headers = tuple(headers)
        self._held = ""
        self._over = False

    def feed(self, text: str) -> str:
        """Return the part of the text so far that certainly belongs to the answer."""
        if self._over:
            return text
        self._held = (self._held + text).lstrip("\n")
        for header in self._headers:
            if self._held.startswith(header):
                self._held, self._headers = self._held.removeprefix(header).lstrip("\n"), ()
        if any(header.startswith(self._held) for header in self._headers):
            return ""
        return self.close()

    def close(self) -> str:
        """Return the text held back, now that nothing more of a header follows."""
        self._over = bool(self._held)
        text, self._held = self._held, ""
        return text


class ResponseAssembler:
    """Turns what the service sends into `AIMessageChunk`s that add up to the answer.

    Args:
        prompt: The prompt that was sent, to estimate its tokens where the service did not count them.
        stops: The caller's stop strings.
        end_tokens: Control tokens of the generation; a model that writes one has ended its turn.
        parser: Reads tool calls out of the text; None where no tools are offered.
        json_content: Reads the JSON out of the answer's text; None where words were asked for.
        strip_leading: Drop the newlines that Llama writes before its first word, and a repeated header.
        headers: The forms of that header; the parser knows them by itself.
        metadata: Entries of `response_metadata` that are known before the call.
        counted: Is told the tokens of the prompt, where the service says them.
    """

    def __init__(
        self,
        *,
        prompt: str = "",
        stops: Sequence[str] = (),
        end_tokens: Sequence[str] = (),
        parser: ToolCallParser | None = None,
        json_content: JsonContent | None = None,
        strip_leading: bool = True,
        headers: Sequence[str] = (),
        metadata: dict[str, Any] | None = None,
        counted: Callable[[int], None] | None = None,
    ) -> None:
        self.prompt = prompt
        self._user_stops = frozenset(stops)
        self._filter = StopFilter([*stops, *end_tokens])
        self._parser = parser
        self._json = json_content
        self._lead = LeadFilter(headers) if strip_leading else None
        self._texts: list[str] = []
        self._latest: GenerationChunk | None = None
        self._metadata = metadata or {}
        self._tried: Mapping[str, int] = {}
        self._final: tuple[Mapping[str, Any], UsageMetadata] | None = None
        self._counted = counted

    @property
    def done(self) -> bool:
        """True once a stop string is complete or the turn has ended: what follows changes nothing."""
        return self._filter.matched is not None or (self._parser is not None and self._parser.done)

    @property
    def text(self) -> str:
        """The raw text the model has written so far."""
        return "".join(self._texts)

    def feed(self, chunk: GenerationChunk) -> list[AIMessageChunk]:
        """Take one chunk from the transport; return what it adds to the answer."""
        return list(self.feed_all((chunk,)))

    def feed_all(self, chunks: Iterable[GenerationChunk]) -> Iterator[AIMessageChunk]:
        """Take chunks from the transport up to the end of the answer; yield what each adds to it."""
        take, is_text = self._take, self._parser is None and self._json is None
        for chunk in chunks:
            text = take(chunk)
            if text:
                if is_text:
                    yield text_chunk(text)
                else:
                    yield from to_chunks(self._read(text))
            if self.done:
                return

    def finish(self) -> list[AIMessageChunk]:
        """Return the text held back, and last the chunk with usage, stop reason and metadata."""
        events, metadata, usage = self._finish()
        last = AIMessageChunk(
            content="", usage_metadata=usage, response_metadata=metadata, chunk_position="last"
        )
        return [*to_chunks(events), last]

    def answer(self, chunk: GenerationChunk) -> AIMessage:
        """Take the whole answer; return the message that its chunks would add up to."""
        text = self._take(chunk)
        events = self._read(text) if text else []
        rest, metadata, usage = self._finish()
        message = to_message([*events, *rest])
        message.response_metadata, message.usage_metadata = metadata, usage
        return message

    def _take(self, chunk: GenerationChunk) -> str:
        """Note what a chunk says; return what of its text certainly belongs to the answer."""
        self._latest = chunk
        text = chunk.text
        if not text:
            return ""
        self._texts.append(text)
        return self._filter.feed(text if self._lead is None else self._lead.feed(text))

    def _finish(self) -> tuple[list[Event], dict[str, Any], UsageMetadata]:
        """Return what was held back, and the metadata and usage that are `known` from now on."""
        said = self._latest
        held = "" if self._lead is None else self._lead.close()
        rest = self._filter.feed(held) + self._filter.close()
        stop_reason = self._stop_reason()
        cut = "stop_sequence" if self._filter.matched in self._user_stops else stop_reason
        events = [*self._read(rest), *self._close(cut)]
        if said is not None and said.prompt_tokens is not None and self._counted is not None:
            self._counted(said.prompt_tokens)
        usage = usage_metadata(
            _counted(said.prompt_tokens if said else None, self.prompt),
            _counted(said.output_tokens if said else None, self.text),
        )
        metadata = {**self._said_so_far(), "stop_reason": stop_reason}
        if self._filter.matched in self._user_stops:
            metadata["stop_sequence"] = self._filter.matched
        self._final = metadata, usage
        return events, dict(metadata), {**usage}

    def add_attempts(self, tried: Mapping[str, int]) -> None:
        """Count what failed before this call: ``retries``, ``throttles``, ``fallbacks``."""
        self._tried = tried

    def known(self) -> tuple[Mapping[str, Any], UsageMetadata | None]:
        """Return what is known of the call, and its usage: of an answer that was not finished, None."""
        return self._final or (self._said_so_far(), None)

    def _said_so_far(self) -> dict[str, Any]:
        said = self._latest.metadata if self._latest else {}
        metadata = {**self._metadata, **said}
        for name, count in self._tried.items():
            if total := count + said.get(name, 0):
                metadata[name] = total
        return metadata

    def _read(self, text: str) -> list[Event]:
        events: list[Event] = [TextDelta(text)] if self._parser is None else self._parser.feed(text)
        return self._as_json(events)

    def _close(self, stop_reason: str | None) -> list[Event]:
        events = [] if self._parser is None else self._as_json(self._parser.close(stop_reason))
        rest = "" if self._json is None else self._json.close(stop_reason)
        return [*events, TextDelta(rest)] if rest else events

    def _as_json(self, events: list[Event]) -> list[Event]:
        """Pass the words among the events through the reader of JSON; leave out empty ones."""
        found: list[Event] = []
        for event in events:
            if isinstance(event, TextDelta):
                text = event.text if self._json is None else self._json.feed(event.text)
                if text:
                    found.append(TextDelta(text))
            else:
                found.append(event)
        return found

    def _stop_reason(self) -> str | None:
        said = self._latest
        if said is not None and said.metadata.get("guardrail_action") == "INTERVENED":
            return "guardrail_intervened"
        return "stop" if self.done or said is None else said.stop_reason


def _counted(count: int | None, text: str) -> int:
    """Return the service's count, or an estimate where an answer was left before it gave one."""
    return estimate_tokens(text) if count is None else count
