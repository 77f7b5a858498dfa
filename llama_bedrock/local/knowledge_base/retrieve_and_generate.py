"""RetrieveAndGenerate and its stream: retrieval and the endpoint's engine, cited as the service cites."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document

from llama_bedrock.agents.rag.packing import pack
from llama_bedrock.agents.rag.rag_prompt import answer_messages
from llama_bedrock.local.engines.interface import EngineRequest
from llama_bedrock.local.knowledge_base.cited_parts import CitedPart, CitedText
from llama_bedrock.local.knowledge_base.retrieve import (
    SearchPlan,
    find_kb_guardrail,
    find_knowledge_base,
    read_configuration,
    rerank_page,
    search,
)
from llama_bedrock.local.knowledge_base.vector_store import to_result
from llama_bedrock.local.runtime.body_validation import Member, check_body
from llama_bedrock.local.runtime.frames import (
    ServiceError,
    constraint_error,
    event_frame,
    exception_frame,
    invalid,
    shapes_checked,
)
from llama_bedrock.local.runtime.generation import RunningGeneration
from llama_bedrock.local.runtime.pace import Pace
from llama_bedrock.local.runtime.response_writer import BodyEnded
from llama_bedrock.local.runtime.served_call import Call
from llama_bedrock.local.runtime.served_models import ModelTarget
from llama_bedrock.local.runtime.word_guardrail import Guardrail
from llama_bedrock.prompts.conversation import build_conversation
from llama_bedrock.prompts.passages import NO_ANSWER, boundary_for, format_passages
from llama_bedrock.prompts.render import render
from llama_bedrock.usage import estimate_tokens

if TYPE_CHECKING:
    from aiohttp import web

SESSION_HEADER = "x-amzn-bedrock-knowledge-base-session-id"
UNABLE = "Sorry, I am unable to assist you with this request."
"""What RetrieveAndGenerate says when it finds no answer."""

_MAX_INPUT_CHARS = 1000
_MAX_TEMPLATE_CHARS = 4000
_PASSAGE_TOKENS = 6000
_DEFAULT_MAX_TOKENS = 1024
_INFERENCE = {
    "maxTokens": Member("Integer", 1, 65_536),
    "temperature": Member("Number", 0, 1),
    "topP": Member("Number", 0, 1),
    "stopSequences": Member("JSONArray", maximum=4, items="String"),
}
_SESSION_ID = re.compile(r"[0-9a-zA-Z._:-]{2,100}")


@dataclass(slots=True)
class _Job:
    """One request, validated."""

    call: Call
    question: str
    base_id: str
    model: ModelTarget
    plan: SearchPlan
    template: str | None
    inference: Mapping[str, Any]
    guardrail: Guardrail | None
    session_id: str
    turns: list[tuple[str, str]]
    documents: list[Document] = field(default_factory=list)
    intervened: bool = False
    text: str = ""

    async def events(self) -> AsyncGenerator[str | CitedPart, None]:
        """The answer: text as it is written, and each part when it is complete."""
        if self.guardrail is not None and self.guardrail.matches(self.question):
            self.intervened = True
            self.text = self.guardrail.blocked_input_message
            yield self.text
            return
        prompt = await self._prompt()
        cited = CitedText(len(self.documents), NO_ANSWER)
        held: list[str | CitedPart] = []
        pace = Pace(self.call.state.ticker, self.call.state.first_token_delay, self.call.state.token_delay)
        async with aclosing(self._generation(prompt).pieces()) as pieces:
            async for piece in pieces:
                if pace.enabled:
                    await pace.next()
                events = cited.feed(piece)
                if self.guardrail is None and not NO_ANSWER.startswith(cited.text[: len(NO_ANSWER)]):
                    for event in [*held, *events]:
                        yield event
                    held = []
                else:  # it may still become a refusal, or be blocked
                    held.extend(events)
        held.extend(cited.close())
        for event in self._final(cited.text, held):
            yield event
        self.turns.append((self.question, self.text))

    def _final(self, text: str, held: list[str | CitedPart]) -> list[str | CitedPart]:
        """What is left to hand out when the whole text is known."""
        self.text = text
        if self.guardrail is not None and self.guardrail.matches(text):
            self.intervened = True
            self.text = self.guardrail.blocked_output_message
            return [self.text]
        if text.startswith(NO_ANSWER) or not text:
            self.text = UNABLE
            return [UNABLE, CitedPart(UNABLE, 0, ())]
        return held

    async def _prompt(self) -> str:
        base = find_knowledge_base(self.call.state, self.base_id)
        found = await search(self.call.state, base, self.question, self.plan, self.plan.size)
        if self.plan.rerank_to is not None:
            found = rerank_page(self.question, found, self.plan.rerank_to)
        packed = pack(
            [document for document, _ in found],
            question=self.question,
            budget=_PASSAGE_TOKENS,
            count_tokens=estimate_tokens,
        )
        self.documents = list(packed.documents)
        history = [
            turn for question, answer in self.turns for turn in (("user", question), ("assistant", answer))
        ]
        if self.template is None:
            system, user = answer_messages(self.question, packed, None)
            messages = [system, *_messages(history), user]
        else:
            blocks = format_passages(packed.passages, boundary_for(packed.passages))
            text = self.template.replace("$search_results$", blocks).replace(
                "$output_format_instructions$", ""
            )
            text = text.replace("$query$", self.question)
            if "$query$" not in self.template:
                text = f"{text}\nQuestion: {self.question}"
            messages = _messages([*history, ("user", text)])
        rendered = render(build_conversation(messages), self.call.state.chat_template)
        return rendered.text

    def _generation(self, prompt: str) -> RunningGeneration:
        state = self.call.state
        request = EngineRequest(
            model_id=self.model.model_id,
            prompt=prompt,
            max_gen_len=int(self.inference.get("maxTokens", _DEFAULT_MAX_TOKENS)),
            temperature=float(self.inference.get("temperature", 0)),
            top_p=float(self.inference.get("topP", 1)),
            body=self.call.body,
            prompt_format=state.chat_template,
        )
        return RunningGeneration(
            state.engine, request, tuple(self.inference.get("stopSequences", ())), state.executor
        )

    def citation(self, part: CitedPart) -> dict[str, Any]:
        """A part in the shape of the API."""
        references = [to_result(self.documents[n - 1], None) for n in part.numbers]
        members = ("content", "location", "metadata")
        return {
            "generatedResponsePart": {"textResponsePart": {"text": part.text, "span": part.span}},
            "retrievedReferences": [{name: reference[name] for name in members} for reference in references],
        }


async def retrieve_and_generate(call: Call) -> web.StreamResponse:
    """Serve ``RetrieveAndGenerate``."""
    with shapes_checked():
        job = read_job(call)
    async with aclosing(job.events()) as events:
        citations = [job.citation(event) async for event in events if isinstance(event, CitedPart)]
    answer: dict[str, Any] = {
        "sessionId": job.session_id,
        "output": {"text": job.text},
        "citations": citations,
    }
    if job.guardrail is not None:
        answer["guardrailAction"] = "INTERVENED" if job.intervened else "NONE"
    return await call.respond(json.dumps(answer).encode())


async def retrieve_and_generate_stream(call: Call) -> web.StreamResponse:
    """Serve ``RetrieveAndGenerateStream``."""
    with shapes_checked():
        job = read_job(call)
    response, writer = await call.open_stream({SESSION_HEADER: job.session_id})
    try:
        async with aclosing(job.events()) as events:
            async for event in events:
                if isinstance(event, str):
                    await writer.write(event_frame("output", {"text": event}))
                else:
                    citation = job.citation(event)
                    await writer.write(event_frame("citation", {"citation": citation, **citation}))
        if job.guardrail is not None:
            action = "INTERVENED" if job.intervened else "NONE"
            await writer.write(event_frame("guardrail", {"action": action}))
    except ServiceError as error:
        await writer.write(exception_frame(error))
        await writer.finish()
        raise BodyEnded(response) from error
    await writer.finish()
    return response


def read_job(call: Call) -> _Job:
    """Validate a request.

    Raises:
        ServiceError: As the API would refuse it.
    """
    question = (call.body.get("input") or {}).get("text")
    if not isinstance(question, str) or not question.strip():
        raise constraint_error("input.text", "", "Member must not be null")
    if len(question) > _MAX_INPUT_CHARS:
        raise constraint_error(
            "input.text", "", f"Member must have length less than or equal to {_MAX_INPUT_CHARS}"
        )
    whole = call.body.get("retrieveAndGenerateConfiguration") or {}
    if whole.get("type") != "KNOWLEDGE_BASE" or "knowledgeBaseConfiguration" not in whole:
        raise invalid("The local endpoint generates from knowledge bases (type KNOWLEDGE_BASE) only.")
    configuration = whole["knowledgeBaseConfiguration"]
    retrieval = configuration.get("retrievalConfiguration")
    if retrieval and "managedSearchConfiguration" in retrieval:
        raise invalid("This API cannot be used with managed knowledge bases.")
    base_id = str(configuration.get("knowledgeBaseId", ""))
    find_knowledge_base(call.state, base_id)
    generation = configuration.get("generationConfiguration") or {}
    template = _template(generation.get("promptTemplate"))
    session = call.body.get("sessionId")
    if session is not None and not _SESSION_ID.fullmatch(str(session)):
        raise constraint_error("sessionId", str(session), f"Member must match {_SESSION_ID.pattern}")
    model = call.state.plane.find_served(str(configuration.get("modelArn", "")), call.caller.region)
    guardrail = find_kb_guardrail(call.state, generation.get("guardrailConfiguration"))
    plan = read_configuration(retrieval)
    inference = {**((generation.get("inferenceConfig") or {}).get("textInferenceConfig") or {})}
    check_body(inference, _INFERENCE)
    session_id, turns = call.state.sessions.open(session)
    return _Job(call, question, base_id, model, plan, template, inference, guardrail, session_id, turns)


def _template(configuration: Mapping[str, Any] | None) -> str | None:
    template = (configuration or {}).get("textPromptTemplate")
    if template is None:
        return None
    if not isinstance(template, str) or len(template) > _MAX_TEMPLATE_CHARS:
        raise constraint_error(
            "textPromptTemplate", "", f"Member must have length less than or equal to {_MAX_TEMPLATE_CHARS}"
        )
    if "$search_results$" not in template:
        raise invalid("The prompt template must include the placeholder $search_results$.")
    return str(template)


def _messages(turns: list[tuple[str, str]]) -> list[Any]:
    from langchain_core.messages import convert_to_messages

    return list(convert_to_messages(turns))
