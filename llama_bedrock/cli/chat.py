"""`llama-bedrock chat`: a conversation with a Llama, or about documents, that is remembered."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llama_bedrock.cli.model_options import (
    AnswerOptions,
    FollowLinks,
    MaxTokens,
    New,
    Plain,
    Thread,
    takes_options,
)

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

    from llama_bedrock import ChatLlamaBedrock
    from llama_bedrock.app.conversations.kept_thread import Graph
    from llama_bedrock.cli.backend import Backend
    from llama_bedrock.cli.session.loop import Session
    from llama_bedrock.cli.session.screen import Screen
    from llama_bedrock.cli.session.turns import TurnLoop
    from llama_bedrock.grounding import Verifier
    from llama_bedrock.retrievers import HybridRetriever

    GraphOf = Callable[[ChatLlamaBedrock], Graph]

DEFAULT_THREAD = "default"


@takes_options
def chat(
    docs: Annotated[
        Path | None, typer.Option("--docs", help="File or folder: answers come from it, with sources.")
    ] = None,
    *,
    options: AnswerOptions,
    system: Annotated[str | None, typer.Option("--system", "-s", help="System message.")] = None,
    thread: Thread = None,
    new: New = False,
    max_tokens: MaxTokens = 2048,
    k: Annotated[
        int, typer.Option("--k", "-k", min=1, max=100, help="Passages to retrieve, with --docs.")
    ] = 6,
    follow_links_outside: FollowLinks = None,
    plain: Plain = False,
) -> None:
    """Talk to a Llama. /help lists the commands; Ctrl-C stops an answer, Ctrl-D leaves.

    In a terminal the conversation is kept and goes on next time. In a pipe each line is a turn, and only a
    --thread is kept.
    """
    from llama_bedrock.app.conversations.kept_thread import CHAT_PREFIX, check_thread
    from llama_bedrock.cli.ask import open_retriever
    from llama_bedrock.cli.session.input_lines import is_interactive, read_lines
    from llama_bedrock.cli.session.screen import AgentScreen, DocumentsScreen
    from llama_bedrock.cli.session.threads import open_memory
    from llama_bedrock.cli.session.turns import TurnLoop

    if docs is not None and system is not None:
        raise ValueError(
            "--system and --docs exclude each other: answers from documents have rules of their own"
        )
    options.check_verifier()
    settings: dict[str, Any] = {"max_tokens": max_tokens} | ({} if docs is None else {"temperature": 0.0})
    name = check_thread(thread or DEFAULT_THREAD)
    with ExitStack() as stack:
        loop = stack.enter_context(TurnLoop())
        memory = loop.enter(stack, open_memory(saved=thread is not None or is_interactive()))
        backend = stack.enter_context(options.open_backend(**settings))
        make_graph: GraphOf = partial(_plain_graph, memory=memory, system=system)
        if docs is not None:
            retriever = open_retriever(
                docs,
                backend,
                k=k,
                embeddings=options.embeddings,
                region=options.region,
                follow_links_outside=follow_links_outside,
            )
            judge = options.open_verifier(backend)
            make_graph = _documents_graph(retriever, memory, judge)
        kind = DocumentsScreen if docs is not None else AgentScreen
        session = _session(backend, make_graph, f"{CHAT_PREFIX}{name}", loop, partial(kind, plain))
        begin(session, name, new=new)
        session.run(read_lines())


def begin(session: Session, name: str, *, new: bool, greet: bool = True) -> None:
    """Open the conversation: forget it if that was asked for, and tell a person what is remembered."""
    from llama_bedrock.cli.output import note
    from llama_bedrock.cli.session.input_lines import is_interactive

    if new:
        session.conversation.clear()
    if greet and is_interactive():
        remembered = len(session.conversation.messages())
        known = f", {remembered} messages so far" if remembered else ""
        note(f"{session.backend.name}. Conversation {name!r}{known}. /help lists the commands.")


def _session(
    backend: Backend, make_graph: GraphOf, thread: str, loop: TurnLoop, new_screen: Callable[[], Screen]
) -> Session:
    from llama_bedrock.cli.session.conversation_graph import KeptConversation
    from llama_bedrock.cli.session.loop import Session

    conversation = KeptConversation(make_graph(backend.llm), thread, loop, _nothing_to_decide)
    if conversation.unfinished() is not None:  # of a process that was killed
        conversation.close_turn()
    return Session(conversation, backend, make_graph, new_screen, _show_below)


def _plain_graph(llm: ChatLlamaBedrock, *, memory: BaseCheckpointSaver[str], system: str | None) -> Graph:
    """An agent without tools: a model, and what keeps the conversation within its window."""
    from langchain.agents import create_agent

    from llama_bedrock.agents import ContextGuard

    return create_agent(
        llm, [], system_prompt=system, middleware=[ContextGuard()], checkpointer=memory, name="Chat"
    )


def _documents_graph(
    retriever: HybridRetriever, memory: BaseCheckpointSaver[str], verifier: Verifier | None
) -> GraphOf:
    """A RAG chain with a memory: follow-up questions are asked in the light of the conversation."""
    from llama_bedrock.agents import create_rag_chain
    from llama_bedrock.app.conversations.documents_graph import documents_graph

    return lambda llm: documents_graph(create_rag_chain(llm, retriever, verifier=verifier), memory)


def _show_below(screen: Screen) -> None:
    from llama_bedrock.cli.ask import show_answer
    from llama_bedrock.cli.session.loop import show_cut
    from llama_bedrock.cli.session.screen import DocumentsScreen

    show_cut(screen)
    if isinstance(screen, DocumentsScreen):
        show_answer(screen.answer.to_answer())


def _nothing_to_decide(question: Any) -> dict[str, Any]:
    raise RuntimeError(f"a chat has nothing to approve, but was asked: {question!r}")
