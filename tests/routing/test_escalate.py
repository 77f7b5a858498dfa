"""`Escalate`: when the small model's answer stands, what both have used, and what a stream shows."""

import asyncio
import io
import json
import pickle

import pytest
from langchain_core.documents import Document
from langchain_core.load import dumpd
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableLambda

from llama_bedrock import EMFMetrics, Escalate, LlamaBedrock, Spread, track_usage
from llama_bedrock.agents import BudgetGuard, create_rag_agent, create_rag_chain, create_tool_agent
from llama_bedrock.errors import BedrockValidationError
from llama_bedrock.grounding import LlamaJudge, NoVerifier, Verdict
from llama_bedrock.local.faults import ErrorResponse
from llama_bedrock.prompts.passages import NO_ANSWER, Passage, boundary_for, format_question
from tests.routing.conftest import CALLS, LARGE, SMALL, llm_at

TEXT = "A llama may carry 25 percent of its weight. It rests at noon, and is fed twice a day."
GOOD = "A llama may carry 25 percent of its weight [1]."
OTHER = "It rests at noon, and is fed twice a day [1]."
QUESTION = "How much may a llama carry?"
ANSWERS = {
    "copied": (GOOD, None),
    "two statements": (f"{GOOD} {OTHER}", None),
    "no answer": (NO_ANSWER, "no answer"),
    "in its own words": ("The passages do not mention how much that is.", "no answer"),
    "empty": ("", "no answer"),
    "without a mark": ("A llama may carry 25 percent of its weight.", "cites nothing"),
    "a mark of nothing": ("A llama may carry 25 percent of its weight [7].", "cites nothing"),
    "invented": ("Camels were tamed by Berbers in 1350 [1].", "is not supported"),
    "one of two invented": (f"{GOOD} Camels were tamed by Berbers in 1350 [1].", "is not supported"),
    "another number": ("A llama may carry 30 percent of its weight [1].", "is not supported"),
    "doubtful": ("A llama hauls saddles to the summit [1].", "rather not"),
    "mostly without a mark": (
        f"{GOOD} Herders in the mountains feed their animals hay. Wool from the neck is sold at markets.",
        "rather not",
    ),
}


def asked(text=TEXT):
    passages = [Passage(1, text, "llamas.md")]
    return [HumanMessage(format_question(passages, boundary_for(passages), QUESTION))]


@pytest.fixture
def both(endpoint):
    """Function: the small model's answer, settings → (model, small's engine, large's engine)."""

    def made(small, large=GOOD, **settings):
        (one, engine), (other, large_engine) = endpoint([small]), endpoint([large])
        return Escalate(llm_at(one, SMALL), llm_at(other), **settings), engine, large_engine

    return made


@pytest.mark.parametrize("name", ANSWERS)
def test_when_an_answer_stands(both, name):
    answer, reason = ANSWERS[name]
    llm, _, large = both(answer)
    told = llm.invoke(asked())
    metadata = told.response_metadata
    assert metadata["escalated"] is (reason is not None)
    assert len(large.requests) == (reason is not None)
    assert told.text == (answer if reason is None else GOOD)
    assert metadata["model_name"] == (SMALL if reason is None else LARGE)
    if reason is None:
        assert "escalation_reason" not in metadata
    else:
        assert reason in metadata["escalation_reason"]


def test_both_models_are_asked_the_same_and_what_both_used_is_told(both, call):
    llm, small, large = both(NO_ANSWER)
    with track_usage() as ours:
        answer = call(llm, asked())
    assert answer.text == GOOD
    # The prompts of Llama 3.1 and 3.3 are the same but for nothing.
    assert small.requests[0].prompt == large.requests[0].prompt
    one, other = answer.response_metadata["attempts"]
    assert (one["model_name"], other["model_name"]) == (SMALL, LARGE)
    used = answer.usage_metadata
    for key in ("input_tokens", "output_tokens", "total_tokens"):
        assert used[key] == one["usage_metadata"][key] + other["usage_metadata"][key]
    cost = one["usage_metadata"]["total_tokens"] * 0.22e-6 + other["usage_metadata"]["total_tokens"] * 0.72e-6
    assert used["total_cost"] == pytest.approx(cost)
    assert ours.total_cost == pytest.approx(cost)
    assert ours.by_model[SMALL].total_tokens == one["usage_metadata"]["total_tokens"]
    assert ours.by_model[LARGE].total_tokens == other["usage_metadata"]["total_tokens"]


def test_an_answer_that_stands_is_streamed_too(both, call):
    llm, _, large = both(GOOD)
    answer = call(llm, asked())
    assert (answer.text, large.requests) == (GOOD, [])
    assert answer.usage_metadata["total_cost"] == pytest.approx(
        answer.usage_metadata["total_tokens"] * 0.22e-6
    )


def test_a_stream_shows_nothing_of_an_answer_that_does_not_stand(both):
    llm, *_ = both("Camels were tamed in 1350 [1].")
    pieces = [chunk.text for chunk in llm.stream(asked())]
    assert "".join(pieces) == GOOD
    assert len([piece for piece in pieces if piece]) > 5  # as the large model writes it


def test_without_documents_the_small_answer_stands(both, call):
    llm, _, large = both("Camels were tamed by Berbers in 1350.")
    assert call(llm, "Hi").response_metadata["escalated"] is False
    assert large.requests == []


@pytest.mark.parametrize(("answer", "escalated"), [(NO_ANSWER, True), ("", True), ("Camels [1].", False)])
def test_no_answer_alone(both, answer, escalated):
    llm, _, large = both(answer, when="no-answer")
    for question in (asked(), [HumanMessage("Hi")]):
        assert llm.invoke(question).response_metadata["escalated"] is escalated
    assert len(large.requests) == 2 * escalated


def test_a_function_decides(both, call):
    seen = []

    def long(answer, messages):
        seen.append((answer.text, messages[-1].text))
        return len(answer.text) > 10

    llm, _, large = both("short", when=long)
    call(llm, "Hi")
    assert seen == [("short", "Hi")]
    assert large.requests == []
    llm, _, large = both("longer than ten", when=long)
    answer = call(llm, "Hi")
    assert answer.text == GOOD
    assert "function" in answer.response_metadata["escalation_reason"]


def test_a_verifier_decides(both, call):
    claims = []

    def judge(given):
        claims.extend(given)
        return [Verdict(False, 0.1, reason="the judge says no", by="judge") for _ in given]

    llm, *_ = both(GOOD, OTHER, when=RunnableLambda(judge))
    answer = call(llm, asked())
    assert answer.text == OTHER
    assert "the judge says no" in answer.response_metadata["escalation_reason"]
    assert [(claim.statement, claim.question) for claim in claims] == [
        ("A llama may carry 25 percent of its weight", QUESTION)
    ]


def test_what_is_not_decided_is_no_no(both):
    llm, _, large = both("Camels [1].", when=NoVerifier())
    llm.invoke(asked())
    assert len(large.requests) == 1  # its words alone say that it is rather not supported
    llm, _, large = both(GOOD, when=NoVerifier())
    llm.invoke(asked())
    assert large.requests == []


def test_a_judges_calls_are_runs_of_their_own(both, endpoint):
    server, _ = endpoint(["1. yes"])
    llm, *_ = both("Llamas lie down when the sun is highest [1].", when=LlamaJudge(llm_at(server, SMALL)))
    with track_usage() as ours:
        answer = llm.invoke(asked())
    assert answer.response_metadata["escalated"] is False
    assert ours.calls == 2
    assert ours.total_tokens > answer.usage_metadata["total_tokens"]


@pytest.mark.parametrize("way", CALLS)
def test_in_a_rag_chain(both, way):
    llm, small, large = both("Camels were tamed by Berbers in 1350 [1].")
    chain = create_rag_chain(llm, RunnableLambda(lambda _: [Document(TEXT, metadata={"source": "l.md"})]))
    if way == "invoke":
        answer = chain.invoke(QUESTION)
    elif way == "ainvoke":
        answer = asyncio.run(chain.ainvoke(QUESTION))
    else:
        answer = CALLS[way](chain, QUESTION).to_answer()
    assert (answer.text, answer.grounded_fraction) == (GOOD, 1.0)
    assert (len(small.requests), len(large.requests)) == (1, 1)
    assert answer.usage["total_cost"] > 0


def test_in_a_rag_agent_by_what_its_searches_found(endpoint):
    server, small = endpoint(
        ['[search_documents(query="load")]', "Camels were tamed by Berbers in 1350 [1]."]
    )
    other, large = endpoint([GOOD])
    llm = Escalate(llm_at(server, SMALL), llm_at(other))
    agent = create_rag_agent(llm, RunnableLambda(lambda _: [Document(TEXT, metadata={"source": "l.md"})]))
    answer = agent.invoke({"messages": [HumanMessage(QUESTION)]})["answer"]
    assert (answer.text, answer.grounded_fraction) == (GOOD, 1.0)
    assert (len(small.requests), len(large.requests)) == (2, 1)


def test_a_budget_counts_what_both_have_cost(both):
    llm, *_ = both("no", when=lambda *_: True)
    agent = create_tool_agent(llm, [], middleware=[BudgetGuard(max_usd=1.0)])
    state = agent.invoke({"messages": [HumanMessage("Hi")]})
    answer = state["messages"][-1]
    assert len(answer.response_metadata["attempts"]) == 2
    assert answer.usage_metadata["total_cost"] > answer.usage_metadata["total_tokens"] * 0.22e-6


def fails(*_):
    raise LookupError("the verifier is down")


@pytest.mark.parametrize("who", ["large", "verifier", "function"])
def test_what_the_small_model_has_used_is_counted_where_the_call_fails_after_it(both, call, who):
    when = {"large": lambda *_: True, "verifier": RunnableLambda(fails), "function": fails}[who]
    llm, *_ = both(GOOD, BedrockValidationError("no"), when=when)
    lines, wanted = io.StringIO(), BedrockValidationError if who == "large" else LookupError
    with track_usage() as usage, pytest.raises(wanted) as failed:
        call(llm, asked(), config={"callbacks": [EMFMetrics("Herd", stream=lines)]})
    (attempt,) = failed.value.attempts
    assert attempt["model_name"] == SMALL
    assert (usage.failed_calls, usage.calls) == (1, 1)
    assert usage.by_model[SMALL].output_tokens == attempt["usage_metadata"]["output_tokens"] > 0
    (line,) = map(json.loads, lines.getvalue().splitlines())
    assert line["ModelId"] == (LARGE if who == "large" else SMALL)
    assert line["Cost"] == pytest.approx(usage.total_cost)
    assert line["InputTokens"] == usage.input_tokens


def test_members_may_spread(endpoint, call):
    servers = [endpoint([answer])[0] for answer in ("Camels.", "Camels.", GOOD)]
    servers[0].faults = [ErrorResponse("ServiceUnavailableException")]
    spread = Spread([llm_at(servers[0], SMALL), llm_at(servers[1], SMALL, region="us-west-2")])
    answer = call(Escalate(spread, llm_at(servers[2])), asked())
    assert answer.text == GOOD
    told = [(one["model_name"], one.get("error")) for one in answer.response_metadata["attempts"]]
    assert told == [(SMALL, "BedrockUnavailableError"), (SMALL, None), (LARGE, None)]
    assert answer.usage_metadata["total_cost"] > 0


async def later(*_):
    return False


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"when": "never"}, 'give "verdict", "no-answer", a verifier'),
        ({"when": 1}, "a verifier, or a function"),
        ({"when": later}, "async function"),
        ({"region_name": "us-east-1"}, "takes no 'region_name'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(both, settings, match):
    with pytest.raises(ValueError, match=match):
        both("x", **settings)


def test_members_are_chat_models_and_the_model_is_not_the_callers_to_choose(both):
    llm, *_ = both("x")
    with pytest.raises(ValueError, match="small of Escalate must be a ChatLlamaBedrock or RoutedChatModel"):
        Escalate(LlamaBedrock(model=SMALL, region_name="us-east-1"), llm.large)
    with pytest.raises(ValueError, match="large of Escalate must be a ChatLlamaBedrock"):
        llm.large = SMALL
    with pytest.raises(ValueError, match="a verifier, or a function"):
        llm.when = 1
    llm.when = lambda *_: later()
    with pytest.raises(ValueError, match="gave an awaitable"):
        llm.invoke("Hi")
    with pytest.raises(ValueError, match="says itself which model"):
        llm.invoke("Hi", model=LARGE)
    with pytest.raises(TypeError, match="not 3 models"):
        Escalate(llm.small, llm.large, llm.large)


def test_it_pickles_and_shows_no_key(both):
    llm, *_ = both(NO_ANSWER)
    assert pickle.loads(pickle.dumps(llm)).invoke(asked()).text == GOOD
    for text in (repr(llm), str(dumpd(llm)), str(llm._get_llm_string())):
        assert "geheim" not in text
