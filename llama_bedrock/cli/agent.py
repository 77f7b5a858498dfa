"""`llama-bedrock agent`: a Llama with tools, that asks before it runs one that may write."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llama_bedrock.cli.model_options import AnswerOptions, MaxTokens, New, Plain, Thread, takes_options

if TYPE_CHECKING:
    from langchain.agents.middleware.types import AgentMiddleware
    from langchain_core.tools import BaseTool
    from langgraph.checkpoint.base import BaseCheckpointSaver

    from llama_bedrock import ChatLlamaBedrock
    from llama_bedrock.app.conversations.kept_thread import Graph
    from llama_bedrock.cli.backend import Backend
    from llama_bedrock.cli.session.approval import Approver
    from llama_bedrock.cli.session.conversation_graph import KeptConversation
    from llama_bedrock.cli.session.loop import Session
    from llama_bedrock.cli.session.screen import Screen
    from llama_bedrock.cli.session.turns import TurnLoop
    from llama_bedrock.grounding import Verifier

_TOOL = re.compile(r"[\w./\\~-]+:[A-Za-z_]\w*")
REFUSED = 3
"""Exit code when a tool that may write was not run because nobody could be asked."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the options say about the agent."""

    docs: Path | None
    allowed: tuple[str, ...]
    yes: bool
    max_usd: float | None
    system: str | None
    k: int
    options: AnswerOptions


@takes_options
def agent(
    question: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="QUESTION", help="What to do. Without it: a conversation, or the lines of a pipe."
        ),
    ] = None,
    tools: Annotated[
        list[str] | None,
        typer.Option("--tools", "-T", help="module:function or file.py:function; one or more."),
    ] = None,
    mcp: Annotated[
        list[str] | None, typer.Option("--mcp", help='MCP server: "command args" or a URL; repeatable.')
    ] = None,
    docs: Annotated[
        Path | None, typer.Option("--docs", help="File or folder that the agent can search.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Run every tool without asking.")] = False,
    allow: Annotated[
        list[str] | None, typer.Option("--allow", help="Name of a tool to run without asking; repeatable.")
    ] = None,
    max_usd: Annotated[
        float | None, typer.Option("--max-usd", help="Most US dollars for a question, by list prices.")
    ] = None,
    *,
    options: AnswerOptions,
    system: Annotated[str | None, typer.Option("--system", "-s", help="System message.")] = None,
    thread: Thread = None,
    new: New = False,
    max_tokens: MaxTokens = 2048,
    k: Annotated[int, typer.Option("--k", "-k", min=1, max=100, help="Passages a search finds.")] = 6,
    plain: Plain = False,
) -> None:
    """Let a Llama work with tools. It asks before it runs one that is not marked as reading only.

    An MCP tool is marked by its annotation readOnlyHint, a Python function by its attribute read_only. A
    QUESTION, or a pipe, begins a conversation that is kept only with --thread.
    """
    from llama_bedrock.app.conversations.kept_thread import check_thread
    from llama_bedrock.cli.chat import DEFAULT_THREAD, begin
    from llama_bedrock.cli.session.approval import Approver
    from llama_bedrock.cli.session.input_lines import is_interactive, read_lines
    from llama_bedrock.cli.session.screen import AgentScreen

    specs, request = split_words(question or [], tools or [])
    options.check_verifier()
    if docs is None and options.verifier != "words":
        raise ValueError("--verifier judges citations of documents: give --docs too")
    name = check_thread(thread or DEFAULT_THREAD)
    plan = _Plan(docs, tuple(allow or ()), yes, max_usd, system, k, options)
    approver = Approver()
    with ExitStack() as stack:
        saved = thread is not None or (request is None and is_interactive())
        loop, memory, offered = _open(stack, specs, mcp or [], saved=saved)
        backend = stack.enter_context(options.open_backend(max_tokens=max_tokens, temperature=0.0))
        make_graph = _graph_maker(plan, backend, offered, memory)
        judge = options.open_verifier(backend)
        show = None if docs is None else partial(_show_sources, verifier=judge)
        screen = partial(AgentScreen, plain)
        session = _session(backend, make_graph, f"agent:{name}", loop, approver, show, screen)
        begin(session, name, new=new, greet=request is None)
        _finish_last_turn(session)
        session.run(read_lines() if request is None else [request], go_on=request is None)
    if approver.refused:
        raise typer.Exit(REFUSED)


def split_words(words: list[str], tools: list[str]) -> tuple[list[str], str | None]:
    """The tools and the question among the arguments: ``--tools`` takes the words behind its own that name
    tools, too.

    Raises:
        ValueError: The question is empty, or there are several.
    """
    named = [word for word in words if tools and _TOOL.fullmatch(word)]
    questions = [word for word in words if word not in named]
    if len(questions) > 1:
        raise ValueError(f"one question at a time, in quotes; these are {len(questions)}: {questions}")
    if questions and not questions[0].strip():
        raise ValueError("the question is empty")
    return [*tools, *named], questions[0] if questions else None


def _open(
    stack: ExitStack, specs: list[str], servers: list[str], *, saved: bool
) -> tuple[TurnLoop, BaseCheckpointSaver[str], list[BaseTool]]:
    """The loop that the agent runs in, its memory and its tools, all closed with the stack."""
    from llama_bedrock.cli.session.agent_tools import load_python_tools, mcp_sessions
    from llama_bedrock.cli.session.threads import open_memory
    from llama_bedrock.cli.session.turns import TurnLoop
    from llama_bedrock.tools.spec import with_names_of_their_own

    offered = load_python_tools(specs)
    loop = stack.enter_context(TurnLoop())
    memory = loop.enter(stack, open_memory(saved=saved))
    sessions = loop.enter(stack, mcp_sessions(servers))
    offered += [tool for session in sessions for tool in session.tools]
    with_names_of_their_own(offered)
    return loop, memory, offered


def _graph_maker(
    plan: _Plan, backend: Backend, tools: list[BaseTool], memory: BaseCheckpointSaver[str]
) -> Callable[[ChatLlamaBedrock], Graph]:
    """Function from a chat model to the agent that the options describe."""
    from llama_bedrock.agents import create_rag_agent, create_tool_agent
    from llama_bedrock.cli.ask import open_retriever
    from llama_bedrock.grounding import NoVerifier

    middleware = _middleware(plan, tools)
    shared: dict[str, Any] = {"middleware": middleware, "checkpointer": memory}
    if plan.docs is None:
        return lambda llm: create_tool_agent(llm, tools, system_prompt=plan.system, **shared)
    retriever = open_retriever(
        plan.docs, backend, k=plan.k, embeddings=plan.options.embeddings, region=plan.options.region
    )
    shared["verifier"] = NoVerifier()  # the answer is verified when it is shown
    return lambda llm: create_rag_agent(llm, retriever, tools, instructions=plan.system, **shared)


def _middleware(plan: _Plan, tools: list[BaseTool]) -> list[AgentMiddleware[Any, Any, Any]]:
    from llama_bedrock.agents import BudgetGuard
    from llama_bedrock.app.conversations.tool_approval import approval_middleware, is_read_only
    from llama_bedrock.app.conversations.tool_failure import failure_middleware
    from llama_bedrock.cli.output import note

    names = [tool.name for tool in tools]
    for name in plan.allowed:
        if name not in names:
            raise ValueError(f"--allow {name}: there is no such tool; there are {', '.join(names) or 'none'}")
    asked = [t.name for t in tools if not (plan.yes or is_read_only(t) or t.name in plan.allowed)]
    if unasked := [name for name in names if name not in asked]:
        note(f"Run without asking: {', '.join(unasked)}")
    budget = [] if plan.max_usd is None else [BudgetGuard(max_usd=plan.max_usd)]
    return [*budget, *failure_middleware(tools), *approval_middleware(asked)]


def _session(
    backend: Backend,
    make_graph: Callable[[ChatLlamaBedrock], Graph],
    thread: str,
    loop: TurnLoop,
    approver: Approver,
    show_sources: Callable[[KeptConversation], None] | None,
    new_screen: Callable[[], Screen],
) -> Session:
    from llama_bedrock.cli.session.conversation_graph import KeptConversation
    from llama_bedrock.cli.session.loop import Session, show_cut

    conversation = KeptConversation(make_graph(backend.llm), thread, loop, approver.decide)

    def below(screen: Screen) -> None:
        show_cut(screen)
        if show_sources is not None:
            show_sources(conversation)

    return Session(conversation, backend, make_graph, new_screen, below)


def _show_sources(conversation: KeptConversation, verifier: Verifier | None) -> None:
    """Print the checked citations of the newest answer."""
    from llama_bedrock.agents import read_answer
    from llama_bedrock.cli.ask import show_answer

    answer = read_answer(conversation.messages(), verifier)
    if answer.citations or answer.removed_marks:
        show_answer(answer)


def _finish_last_turn(session: Session) -> None:
    """Where another process was killed in the middle of a turn: go on if the user wants that, else close it.

    A call that was running then would run again, so nothing goes on by itself.
    """
    from llama_bedrock.app.conversations.tool_approval import call_text
    from llama_bedrock.cli.output import note
    from llama_bedrock.cli.session.input_lines import choose, is_interactive

    waiting = session.conversation.unfinished()
    if waiting is None:
        return
    calls = ", ".join(call_text(call["name"], call["args"]) for call in waiting)
    what = (
        f"The last turn was cut off before the result of {calls}." if calls else "The last turn was cut off."
    )
    note(what)
    if is_interactive() and choose("Go on with it, and run what has no result?", "yn") == "y":
        session.resume()
    else:
        session.conversation.close_turn()
