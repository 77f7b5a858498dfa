"""The engine that needs nothing: it answers from what stands in the prompt, and says that it is no Llama.

It does from the prompt what an instruct model does: it answers from passages and cites them, calls the tools
that the prompt offers, in the dialect it asks for, reads their results, fills in a JSON schema, makes a
follow-up question stand alone, and continues a turn that was begun for it. It never invents: what it says
stands in the prompt.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from llama_bedrock.choices import Dialect
from llama_bedrock.local.engines import replies
from llama_bedrock.local.engines.calling import Call, closest_tool, make_calls, plan_calls
from llama_bedrock.local.engines.filling import fill
from llama_bedrock.local.engines.interface import EngineRequest
from llama_bedrock.local.engines.offered import Offer, read_offer, read_schema, wants_json
from llama_bedrock.local.engines.pieces import pieces
from llama_bedrock.prompts.parse_back import ParsedTurn, parse_prompt
from llama_bedrock.prompts.passages import parse_follow_up, parse_passages, parse_question
from llama_bedrock.tools.events import CallDelta
from llama_bedrock.tools.parser.tool_call_parser import ToolCallParser
from llama_bedrock.tools.rendering import render_calls
from llama_bedrock.tools.spec import ToolSpec

_BEGUN_PYTHONIC = re.compile(r"\s*\[\s*(?:([^\s\[\](){}\"',=]+)\()?\s*\Z")
_BEGUN_JSON = re.compile(
    r"\s*\{\s*\"(?:name|type)\"\s*:\s*\"(?:([^\"]+)\"\s*,\s*\"(?:parameters|arguments)\"\s*:\s*\{?)?\s*\Z"
)


_VERB = re.compile(r"^(?:get|fetch|find|search|look up|lookup|read|compute|calculate|current)\s+")


@dataclass(frozen=True, slots=True)
class _Scene:
    """A prompt, read.

    Attributes:
        turns: What was said, without the turn to write.
        opening: What the turn to write begins with.
        request: What the user said last.
        results: What tools returned since.
        calls: The calls that were made since the user spoke.
        earlier_calls: Names of tools called before that.
        earlier: What the user said before.
    """

    turns: list[ParsedTurn]
    opening: str
    request: str
    results: list[str]
    calls: list[Call]
    earlier_calls: list[str]
    earlier: list[str]


class ExtractiveEngine:
    """Answers from the words of the prompt, offline and always the same."""

    name = "local extractive engine"

    def generate(self, request: EngineRequest) -> Iterator[str]:
        """Write the answer, in pieces of about a token."""
        return iter(pieces(reply(parse_prompt(request.prompt, request.prompt_format))))


def reply(turns: Sequence[ParsedTurn]) -> str:
    """The text that continues a prompt."""
    said = [turn for turn in turns if not (turn.is_open and turn.role == "assistant")]
    opening = turns[-1].text if turns and turns[-1].is_open and turns[-1].role == "assistant" else ""
    # what stands in a document offers no tools and asks for no JSON
    asking = [turn for turn in said if turn.role == "system" or not parse_passages(turn.text)]
    offer = read_offer(asking)
    scene = _scene(said, opening, offer)
    if offer is not None:
        calls = _calls(scene, offer)
        if calls:
            return _written(calls, scene.opening, offer.dialect)
    schema = read_schema(asking)
    if schema is not None and (_is_json_begun(opening) or _wants_object(scene)):
        return _continued(json.dumps(_filled(schema, scene), ensure_ascii=False), opening)
    return _in_words(scene, offer)


def _scene(said: list[ParsedTurn], opening: str, offer: Offer | None) -> _Scene:
    users = [at for at, turn in enumerate(said) if turn.role in ("user", "text")]
    # an image that a tool returned comes in a user turn of its own; the request is the turn before the
    # results
    tools = [at for at, turn in enumerate(said) if turn.role == "tool"]
    if len(users) > 1 and tools and users[-1] == tools[-1] + 1 and said[users[-1]].images:
        users.pop()
    last = users[-1] if users else -1
    after = said[last + 1 :]
    before = said[: max(last, 0)]
    specs = offer.tools if offer else ()
    return _Scene(
        said,
        opening,
        said[last].text if users else "",
        [turn.text for turn in after if turn.role == "tool"],
        [call for turn in after if turn.role == "assistant" for call in _read_calls(turn.text, specs)],
        [call.name for turn in before if turn.role == "assistant" for call in _read_calls(turn.text, specs)],
        [turn.text for turn in before if turn.role == "user"],
    )


def _read_calls(text: str, tools: Sequence[ToolSpec]) -> list[Call]:
    """The calls in a past turn of the assistant."""
    parser = ToolCallParser(tools)
    names: dict[int, str] = {}
    arguments: dict[int, str] = {}
    for event in [*parser.feed(text), *parser.close("stop")]:
        if isinstance(event, CallDelta):
            names.setdefault(event.index, event.name or "")
            arguments[event.index] = arguments.get(event.index, "") + event.args
    return [Call(name, json.loads(arguments[index] or "{}")) for index, name in names.items()]


def _calls(scene: _Scene, offer: Offer) -> list[Call]:
    """The calls to make now; none where an answer in words is due."""
    forced, name = _forced(scene.opening)
    if scene.opening.strip() and not forced:
        return []  # the turn was begun in words
    planned = plan_calls(scene.request, offer.tools, scene.earlier_calls)
    left = [call for call in planned if all((call.name, call.args) != (c.name, c.args) for c in scene.calls)]
    if not forced and not offer.must_call:
        ready = [] if any(result.startswith("Error") for result in scene.results) else left
        ready = [call for call in ready if not call.missing]
        return ready if offer.parallel else ready[:1]
    if name is not None:
        tool = next((tool for tool in offer.tools if tool.name == name), None)
        mine = [call for call in left if call.name == name]
        left = mine or (_with_results(tool, scene) if tool else [Call(name, {})])
    elif not left:
        left = _with_results(_next_tool(scene, offer), scene)
    return left if offer.parallel else left[:1]


def _forced(opening: str) -> tuple[bool, str | None]:
    """Whether a turn was begun with a call, and the name of the tool where that stands there."""
    for pattern in (_BEGUN_PYTHONIC, _BEGUN_JSON):
        match = pattern.match(opening)
        if match:
            return True, match[1]
    return False, None


def _next_tool(scene: _Scene, offer: Offer) -> ToolSpec:
    """The tool to call where one must be called and the request asks for none that was not called yet."""
    called = {call.name for call in scene.calls}
    fresh = [tool for tool in offer.tools if tool.name not in called]
    if not scene.results or not fresh:
        return closest_tool(scene.request, offer.tools)
    text = "\n".join([scene.request, *scene.results])
    return min(fresh, key=lambda tool: len(fill(tool.parameters, text).missing))


def _with_results(tool: ToolSpec, scene: _Scene) -> list[Call]:
    """The call of a tool, its arguments out of the request and what other tools returned."""
    if not scene.results:
        return make_calls(tool, scene.request, scene.request)
    filling = fill(tool.parameters, "\n".join([scene.request, *_named_results(scene)]))
    return [Call(tool.name, filling.value)]


def _written(calls: Sequence[Call], opening: str, dialect: Dialect) -> str:
    if opening.strip():
        dialect = "json" if opening.lstrip().startswith("{") else "pythonic"
    text = render_calls([{"name": call.name, "args": call.args, "id": None} for call in calls], dialect)
    return _continued(text, opening)


def _continued(text: str, opening: str) -> str:
    """What is left of a text when its beginning stands there already."""
    begun = opening.strip()
    if text.startswith(begun):
        return text[len(begun) :]
    squeezed = "".join(begun.split())
    for end in range(1, len(text) + 1):  # the same but for white space
        if "".join(text[:end].split()) == squeezed:
            return text[end:].lstrip() if opening[-1:].isspace() else text[end:]
    return f"{text}\n```" if begun.startswith("```") else text


def _is_json_begun(opening: str) -> bool:
    return opening.strip().startswith(("{", "[", "```"))


def _wants_object(scene: _Scene) -> bool:
    """Whether JSON is asked for though the turn was not begun with it: in the system message, or in the
    request.
    """
    if scene.opening.strip():
        return False
    in_system = any(turn.role == "system" and "json" in turn.text.lower() for turn in scene.turns)
    return in_system or wants_json(scene.turns)


def _filled(schema: dict[str, Any], scene: _Scene) -> Any:
    """The schema filled from the request, or, for what it lacks, from the whole conversation."""
    filling = fill(schema, "\n".join([_without_json(scene.request), *_named_results(scene)]))
    if filling.missing and scene.earlier:
        whole = fill(
            schema, "\n".join([_without_json(t) for t in scene.earlier] + [_without_json(scene.request)])
        )
        if len(whole.missing) < len(filling.missing):
            return whole.value
    return filling.value


def _named_results(scene: _Scene) -> list[str]:
    """What tools returned, each after what its tool is named for: "weather: sunny"."""
    if len(scene.calls) != len(scene.results):
        return scene.results
    names = [_VERB.sub("", call.name.replace("_", " ")) for call in scene.calls]
    return [f"{name}: {result}" for name, result in zip(names, scene.results, strict=True)]


def _without_json(text: str) -> str:
    """A request without the sentences that only say how to write the answer, and without schemas."""
    lines = [line for line in text.split("\n") if "{" not in line]
    sentences = re.split(r"(?<=[.!?])\s+", " ".join(lines))
    kept = [s for s in sentences if not re.search(r"\bjson\b", s, re.IGNORECASE)]
    return " ".join(kept) or text


def _in_words(scene: _Scene, offer: Offer | None) -> str:
    follow_up = parse_follow_up(scene.request)
    if follow_up is not None:
        return replies.stand_alone(follow_up[1], follow_up[0])
    passages = parse_passages(scene.request)
    if passages:
        return replies.from_passages(parse_question(scene.request) or scene.request, passages)
    if scene.results:
        return replies.from_results(scene.request, scene.calls, scene.results)
    if offer is not None:
        planned = plan_calls(scene.request, offer.tools, scene.earlier_calls)
        if planned and not scene.calls:
            return replies.ask_for(planned)
    images = sum(turn.images for turn in scene.turns)
    return replies.from_conversation(scene.request, scene.earlier, images)
