"""BudgetGuard ends a run with the call that reaches the budget."""

from __future__ import annotations

import asyncio

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from llama_bedrock import track_usage
from llama_bedrock.agents import BudgetExceededError, BudgetGuard, ContextGuard, create_tool_agent
from llama_bedrock.catalog import resolve_model

QUESTION = {"messages": [("user", "Count the llamas.")]}
MODES = {
    "sync": lambda agent, value, config=None: agent.invoke(value, config),
    "async": lambda agent, value, config=None: asyncio.run(agent.ainvoke(value, config)),
}
both = pytest.mark.parametrize("run", MODES.values(), ids=MODES)


def count(where: str) -> str:
    """Count llamas somewhere."""
    return "many llamas " * 200


def endless(request):
    """A model that always has a new call to make."""
    return f'[count(where="field {len(request.prompt)}")]'


def costs(result) -> list[float]:
    price = resolve_model("us.meta.llama3-3-70b-instruct-v1:0").info.price_in("us-west-2")
    return [
        (m.usage_metadata["input_tokens"] * price.input + m.usage_metadata["output_tokens"] * price.output)
        / 1e6
        for m in result["messages"]
        if m.type == "ai" and m.usage_metadata
    ]


@both
def test_a_cent_is_never_exceeded_by_more_than_one_call(scripted, run):
    llm, engine = scripted([endless], repeat=True)
    result = run(create_tool_agent(llm, [count], middleware=[BudgetGuard(max_usd=0.01)]), QUESTION)
    spent = costs(result)
    assert sum(spent[:-1]) < 0.01 <= sum(spent)
    assert len(engine.requests) == len(spent) > 3
    assert result["messages"][-1].text.startswith(
        "I stopped because the budget of this run is used up: $0.01"
    )
    assert "Not run: the budget" in result["messages"][-2].text  # the call that waits is answered
    assert "budget_spent" not in result


@both
def test_calls_tokens_and_time(scripted, run):
    for guard, most in (
        (BudgetGuard(max_calls=3), 3),
        (BudgetGuard(max_tokens=1), 1),
        (BudgetGuard(max_seconds=1e-9), 0),
    ):
        llm, engine = scripted([endless], repeat=True)
        result = run(create_tool_agent(llm, [count], middleware=[guard]), QUESTION)
        assert len(engine.requests) == most
        assert "budget of this run is used up" in result["messages"][-1].text


def test_a_finished_answer_is_not_replaced(scripted):
    llm, _ = scripted(["There are 2."])
    result = create_tool_agent(llm, [count], middleware=[BudgetGuard(max_calls=1)]).invoke(QUESTION)
    assert result["messages"][-1].text == "There are 2."


@both
def test_an_error_can_be_asked_for(scripted, run):
    llm, _ = scripted([endless], repeat=True)
    agent = create_tool_agent(llm, [count], middleware=[BudgetGuard(max_calls=2, exit_behavior="error")])
    with pytest.raises(BudgetExceededError, match="2 model calls of 2 model calls") as caught:
        run(agent, QUESTION)
    assert caught.value.spent["calls"] == 2


def test_each_message_of_the_user_has_its_own_budget_unless_the_thread_is_meant(scripted):
    for scope, calls in (("run", 4), ("thread", 2)):
        llm, engine = scripted([endless], repeat=True)
        guard = BudgetGuard(max_calls=2, scope=scope)
        agent = create_tool_agent(llm, [count], middleware=[guard], checkpointer=InMemorySaver())
        for _ in range(2):
            agent.invoke(QUESTION, {"configurable": {"thread_id": "a"}})
        assert len(engine.requests) == calls


def test_repeats_told_by_loop_guard_are_counted(scripted):
    llm, engine = scripted(['[count(where="barn")]'], repeat=True)
    agent = create_tool_agent(llm, [count], middleware=[BudgetGuard(max_calls=3)])
    agent.invoke(QUESTION)
    assert len(engine.requests) == 3


def test_a_model_without_a_price_is_refused_before_the_first_call(scripted):
    arn = "arn:aws:bedrock:us-west-2:123456789012:imported-model/abcdefghijkl"
    llm, engine = scripted([endless], repeat=True, model=arn, prompt_format="llama3.3")
    agent = create_tool_agent(llm, [count], middleware=[BudgetGuard(max_usd=1)])
    with pytest.raises(ValueError, match=r"no price for arn:.*give BudgetGuard\(price="):
        agent.invoke(QUESTION)
    assert engine.requests == []
    priced = create_tool_agent(llm, [count], middleware=[BudgetGuard(max_usd=0.5, price=(1_000.0, 1_000.0))])
    assert "$0.5" in priced.invoke(QUESTION)["messages"][-1].text


@pytest.mark.parametrize("settings", [{}, {"max_calls": 0}, {"max_usd": -1}, {"max_calls": 1, "scope": "x"}])
def test_bad_settings_are_refused(settings):
    with pytest.raises(ValueError):
        BudgetGuard(**settings)


def long_question(i):
    return {"messages": [("user", f"Question {i}: " + "I like llamas very much. " * 25)]}


@both
@pytest.mark.parametrize("order", [1, -1], ids=["context first", "budget first"])
def test_summaries_of_the_conversation_count(scripted, run, order):
    llm, engine = scripted(["An answer."], repeat=True)
    summariser, summaries = scripted(["The user likes llamas."], repeat=True)
    guards = [
        ContextGuard(max_tokens=900, summary_model=summariser),
        BudgetGuard(max_calls=9, scope="thread"),
    ]
    agent = create_tool_agent(llm, [], middleware=guards[::order], checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}
    for i in range(9):
        result = run(agent, long_question(i), config)
        if "budget" in result["messages"][-1].text:
            break
    assert summaries.requests
    assert len(engine.requests) + len(summaries.requests) in (9, 10)  # a call may bring its summary with it
    assert f"{len(engine.requests) + len(summaries.requests)} model calls" in result["messages"][-1].text
    assert "summary_usage" not in result


@both
def test_summaries_of_earlier_runs_are_of_those_runs(scripted, run):
    llm, engine = scripted(["An answer."], repeat=True)
    summariser, summaries = scripted(["The user likes llamas."], repeat=True)
    guards = [ContextGuard(max_tokens=900, summary_model=summariser), BudgetGuard(max_calls=3)]
    agent = create_tool_agent(llm, [], middleware=guards, checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}
    for i in range(24):
        assert run(agent, long_question(i), config)["messages"][-1].text == "An answer."
    assert len(engine.requests) == 24
    assert len(summaries.requests) >= 3


def test_summaries_cost_what_their_model_does_or_the_price_that_is_given(scripted):
    llm, _ = scripted(["An answer."], repeat=True)
    dear, _ = scripted(["Llamas."], repeat=True, model="meta.llama3-70b-instruct-v1:0")
    unknown, _ = scripted(
        ["Llamas."],
        repeat=True,
        model="arn:aws:bedrock:us-west-2:123456789012:imported-model/abcdefghijkl",
        prompt_format="llama3.3",
    )

    def spent(summariser, **guard):
        llm_budget = BudgetGuard(max_usd=1.0, scope="thread", **guard)
        context = ContextGuard(max_tokens=900, summary_model=summariser)
        agent = create_tool_agent(llm, [], middleware=[llm_budget, context], checkpointer=InMemorySaver())
        config = {"configurable": {"thread_id": "t"}}
        with track_usage(prices={str(unknown.model): (0.0, 1000.0)}) as usage:
            for i in range(6):
                agent.invoke(long_question(i), config)
        state = agent.get_state(config).values
        return llm_budget._with_summaries(state)["usd"], usage

    by_list, usage = spent(dear)
    assert by_list == pytest.approx(usage.total_cost)
    assert len(usage.by_model) == 2
    by_price, usage = spent(unknown, price=(1.0, 2.0))
    assert by_price == pytest.approx((usage.input_tokens + 2 * usage.output_tokens) / 1e6)
    with pytest.raises(ValueError, match="model that summarises does not tell what it costs"):
        spent(unknown)
