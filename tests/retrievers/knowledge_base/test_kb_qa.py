"""KnowledgeBaseQA: RetrieveAndGenerate and its stream, sync and async."""

import asyncio

import pytest
from langchain_core.exceptions import ModelInvalidRequestError

from llama_bedrock.errors import BedrockThrottlingError, BedrockValidationError
from llama_bedrock.grounding import verify_answer
from llama_bedrock.local import ErrorResponse, ExceptionFrame, Guardrail, LocalBedrock, Truncate
from llama_bedrock.retrievers import KnowledgeBaseQA
from llama_bedrock.retrievers.knowledge_base.kb_citations import GeneratedAnswer
from llama_bedrock.retrievers.knowledge_base.search_options import ImplicitFilter, MetadataAttribute
from llama_bedrock.testing import ScriptedEngine

MODEL = "us.meta.llama3-3-70b-instruct-v1:0"
QUESTION = "What is the context window of Llama 3.3?"


@pytest.fixture(params=["invoke", "ainvoke", "stream", "astream"])
def ask(request):
    """Asks in one of the four ways; the answer must be the same."""

    def run(qa, question, **options):
        if request.param == "invoke":
            return qa.invoke(question, **options)
        if request.param == "stream":
            return add(list(qa.stream(question, **options)))

        async def call():
            try:
                if request.param == "ainvoke":
                    return await qa.ainvoke(question, **options)
                return add([chunk async for chunk in qa.astream(question, **options)])
            finally:
                await qa.aclose()

        return asyncio.run(call())

    return run


def add(chunks):
    total = chunks[0]
    for chunk in chunks[1:]:
        total = total + chunk
    return total.to_answer()


def test_an_answer_has_text_citations_documents_and_a_session(settings, ask):
    answer = ask(KnowledgeBaseQA(model=MODEL, **settings), QUESTION)
    assert answer.text == "The context window of Llama 3.3 is 128,000 tokens."
    (citation,) = answer.citations
    assert answer.text[slice(*citation.span)] == answer.text
    assert citation.quote == "The context window of Llama 3.3 is 128,000 tokens."
    assert (citation.number, citation.source, citation.page) == (1, "guide.md", 3)
    assert citation.supported
    assert citation.score == 1.0
    assert answer.documents[0].page_content == citation.quote
    assert (answer.question, answer.grounded_fraction, answer.no_answer) == (QUESTION, 1.0, False)
    assert len(answer.session_id) == 36
    assert answer.timings["total"] >= answer.timings["first_token"] >= 0


def test_streamed_text_comes_before_its_citation(settings):
    chunks = list(KnowledgeBaseQA(model=MODEL, **settings).stream(QUESTION))
    kinds = ["text" if c.text else "citation" if c.citations else "end" for c in chunks]
    assert kinds.count("text") > 3
    assert kinds[-2:] == ["citation", "end"]


def test_several_statements_cite_their_own_documents(store, ask):
    marked = (
        "Llamas eat grass and hay [2]. They are herbivores [2][9]. Bedrock streams answers [1][2]. So be it."
    )
    engine = ScriptedEngine([marked])
    with LocalBedrock(engine, knowledge_bases={"LOCALKB001": store}) as server:
        answer = ask(qa_for(server), "What do llamas eat, and how does Bedrock stream?")
    assert answer.text == "Llamas eat grass and hay. They are herbivores. Bedrock streams answers. So be it."
    statements = [answer.text[slice(*c.span)] for c in answer.citations]
    assert statements == [
        "Llamas eat grass and hay.",
        "They are herbivores.",
        "Bedrock streams answers.",
        "Bedrock streams answers.",
    ]
    assert [c.number for c in answer.citations] == [1, 1, 2, 1]
    assert len(answer.documents) == 2
    assert answer.grounded_fraction == 0.75


def test_the_same_statement_over_the_same_passage_gets_the_same_verdict(store, ask):
    """As by `verify_answer`, which the tests of grounding hold to what chain and agent say."""
    marked = "Llamas eat grass and hay [1]. Llamas eat straw [1]. Penguins live on ice floes near Chile [1]."
    with LocalBedrock(ScriptedEngine([marked]), knowledge_bases={"LOCALKB001": store}) as server:
        answer = ask(qa_for(server), "What do llamas eat?")
    assert len(answer.citations) == 3
    for citation in answer.citations:
        document = answer.documents[citation.number - 1]
        statement = answer.text[slice(*citation.span)]
        (other,) = verify_answer(f"{statement} [1]", [document]).citations
        assert (citation.supported, citation.score, citation.quote) == (
            other.supported,
            other.score,
            other.quote,
        )
    assert len({citation.supported for citation in answer.citations}) > 1


def qa_for(server, **options):
    return KnowledgeBaseQA(
        knowledge_base_id="LOCALKB001",
        model=MODEL,
        region_name="us-east-2",
        endpoint_url=server.endpoint_url,
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="secret",
        **{"max_retries": 0, **options},
    )


def test_a_question_without_an_answer_is_told_as_such(settings, ask):
    answer = ask(KnowledgeBaseQA(model=MODEL, **settings), "Who won the chess olympiad of 1927?")
    assert answer.no_answer
    assert answer.citations == ()
    assert answer.text == "Sorry, I am unable to assist you with this request."


def test_a_session_carries_the_conversation(store, ask):
    engine = ScriptedEngine(["Grass [1].", "Yes, hay too [1]."])
    with LocalBedrock(engine, knowledge_bases={"LOCALKB001": store}) as server:
        qa = qa_for(server)
        first = ask(qa, "What do llamas eat?")
        second = ask(qa_for(server), {"question": "Hay too?", "session_id": first.session_id})
    assert second.session_id == first.session_id
    assert "What do llamas eat?" in engine.requests[1].prompt
    assert "Grass." in engine.requests[1].prompt


def test_an_unknown_session_is_refused(settings, ask):
    with pytest.raises(BedrockValidationError, match="Session with Id abc is not valid"):
        ask(KnowledgeBaseQA(model=MODEL, **settings), QUESTION, session_id="abc")


def test_search_options_of_a_call_reach_the_search(settings, ask):
    answer = ask(
        KnowledgeBaseQA(model=MODEL, **settings),
        QUESTION,
        filter={"year": {"$lt": 2020}},
        k=1,
        search_type="hybrid",
    )
    assert answer.no_answer  # the document with the answer is filtered out


def test_a_prompt_template_takes_the_place_of_the_endpoints_own(store, ask):
    engine = ScriptedEngine(["ok [1]"])
    template = "Be terse. Context:\n$search_results$\nAsked: $query$"
    with LocalBedrock(engine, knowledge_bases={"LOCALKB001": store}) as server:
        ask(qa_for(server, prompt_template=template, temperature=0.3, max_tokens=77), QUESTION)
    (request,) = engine.requests
    assert "Be terse. Context:\n<passage " in request.prompt
    assert f"Asked: {QUESTION}" in request.prompt
    assert (request.max_gen_len, request.temperature) == (77, 0.3)


@pytest.mark.parametrize("prompt", ["the secret plan", QUESTION])
def test_guardrails_block_questions_and_answers(store, ask, prompt):
    guardrails = {"gr1": Guardrail(("secret", "tokens"), "blocked question", "blocked answer")}
    with LocalBedrock(knowledge_bases={"LOCALKB001": store}, guardrails=guardrails) as server:
        answer = ask(qa_for(server, guardrail_id="gr1"), prompt)
    assert answer.text == ("blocked question" if "secret" in prompt else "blocked answer")
    assert (answer.guardrail_action, answer.stop_reason) == ("INTERVENED", "guardrail")
    assert answer.citations == ()


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("x" * 1001, "1,001 characters; RetrieveAndGenerate takes 1,000"),
        ("", "the input is a question"),
        ({"text": "x"}, "the input is a question"),
        ({"question": "x", "chat_history": []}, "takes no 'chat_history'"),
    ],
)
def test_questions_that_cannot_be_asked_are_refused_before_anything_is_sent(
    service, canned, ask, question, text
):
    with pytest.raises(ValueError, match=text):
        ask(KnowledgeBaseQA(model=MODEL, **canned), question)
    assert service.requests == []


def test_a_long_question_is_told_the_way_out(canned):
    with pytest.raises(ValueError, match="create_rag_chain"):
        KnowledgeBaseQA(model=MODEL, **canned).invoke("x" * 1001)


@pytest.mark.parametrize(
    ("refusal", "advice"),
    [
        (
            "The model arn provided is not supported. Please check your configuration and retry the request.",
            "do not generate with this model",
        ),
        ("This API cannot be used with managed knowledge bases.", "can be searched, not asked"),
    ],
)
def test_the_services_refusals_become_advice(server, settings, ask, refusal, advice):
    server.faults = [ErrorResponse("ValidationException", refusal)]
    with pytest.raises(ModelInvalidRequestError) as caught:
        ask(KnowledgeBaseQA(model=MODEL, **settings), QUESTION)
    assert refusal in str(caught.value)
    assert advice in caught.value.hint
    assert "KnowledgeBaseRetriever" in caught.value.hint


def test_other_refusals_keep_their_words_and_get_no_false_advice(server, settings):
    server.faults = [ErrorResponse("ValidationException", "The numberOfResults is odd.")]
    with pytest.raises(BedrockValidationError) as caught:
        KnowledgeBaseQA(model=MODEL, **settings).invoke(QUESTION)
    assert "create_rag_chain" not in str(caught.value)


@pytest.mark.parametrize(
    "fault", [ExceptionFrame("throttlingException", after_chunks=2), Truncate(after_bytes=150)]
)
def test_a_broken_stream_is_an_error_and_no_short_answer(server, settings, fault):
    from llama_bedrock.errors import LlamaBedrockError

    server.faults = [fault]
    texts = []
    with pytest.raises(LlamaBedrockError):
        texts.extend(chunk.text for chunk in KnowledgeBaseQA(model=MODEL, **settings).stream(QUESTION))


def test_throttling_is_retried_and_then_typed(server, settings, ask):
    server.faults = [ErrorResponse("ThrottlingException").first(1)]
    assert ask(KnowledgeBaseQA(model=MODEL, max_retries=1, **settings), QUESTION).citations
    server.faults = [ErrorResponse("ThrottlingException")]
    with pytest.raises(BedrockThrottlingError):
        ask(KnowledgeBaseQA(model=MODEL, max_retries=0, **settings), QUESTION)


def test_the_request_on_the_wire_is_the_apis(service, canned):
    service.answers = [{"output": {"text": "yes"}, "sessionId": "s-1"}]
    qa = KnowledgeBaseQA(
        **{**canned, "knowledge_base_id": "arn:aws:bedrock:us-east-2:123456789012:knowledge-base/LOCALKB001"},
        model_id="meta.llama3-1-70b-instruct-v1:0",
        k=3,
        filter={"a": 1},
        prompt_template="$search_results$",
        temperature=0.5,
        top_p=0.9,
        max_tokens=100,
        stop=["END"],
        additional_model_fields={"x": 1},
        latency="optimized",
        decompose_query=True,
        orchestration_template="$conversation_history$ $output_format_instructions$",
        guardrail_id="gr1",
        guardrail_version="1",
        kms_key_arn="arn:aws:kms:us-east-2:123456789012:key/12345678-1234-1234-1234-123456789012",
        user_id="ann",
        implicit_filter=ImplicitFilter("m", [MetadataAttribute("k", "string_list", "d")]),
    )
    answer = qa.invoke("x")
    assert (answer.text, answer.session_id, answer.grounded_fraction) == ("yes", "s-1", 0.0)
    assert service.requests[0] == {
        "input": {"text": "x"},
        "sessionConfiguration": {"kmsKeyArn": qa.kms_key_arn},
        "userContext": {"userId": "ann"},
        "retrieveAndGenerateConfiguration": {
            "type": "KNOWLEDGE_BASE",
            "knowledgeBaseConfiguration": {
                "knowledgeBaseId": "LOCALKB001",
                "modelArn": "us.meta.llama3-1-70b-instruct-v1:0",
                "retrievalConfiguration": {
                    "vectorSearchConfiguration": {
                        "numberOfResults": 3,
                        "filter": {"equals": {"key": "a", "value": 1}},
                        "implicitFilterConfiguration": {
                            "modelArn": "m",
                            "metadataAttributes": [{"key": "k", "type": "STRING_LIST", "description": "d"}],
                        },
                    }
                },
                "generationConfiguration": {
                    "inferenceConfig": {
                        "textInferenceConfig": {
                            "temperature": 0.5,
                            "topP": 0.9,
                            "maxTokens": 100,
                            "stopSequences": ["END"],
                        }
                    },
                    "promptTemplate": {"textPromptTemplate": "$search_results$"},
                    "guardrailConfiguration": {"guardrailId": "gr1", "guardrailVersion": "1"},
                    "additionalModelRequestFields": {"x": 1},
                    "performanceConfig": {"latency": "optimized"},
                },
                "orchestrationConfiguration": {
                    "queryTransformationConfiguration": {"type": "QUERY_DECOMPOSITION"},
                    "promptTemplate": {
                        "textPromptTemplate": "$conversation_history$ $output_format_instructions$"
                    },
                },
            },
        },
    }


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"prompt_template": "no placeholder"}, "search_results"),
        ({"k": 101}, "less than or equal to 100"),
        ({"temperature": 2}, "less than or equal to 1"),
        ({"stop": list("abcde")}, "at most 4"),
        ({"filter": {"a": {"$x": 1}}}, "unknown filter operator"),
    ],
)
def test_wrong_settings_are_refused_when_it_is_made(canned, options, text):
    with pytest.raises(ValueError, match=text):
        KnowledgeBaseQA(model=MODEL, **canned, **options)


def test_models_of_other_makers_go_through_as_they_are(service, canned):
    service.answers = [{"output": {"text": "yes"}, "sessionId": "s-1"}]
    KnowledgeBaseQA(model="anthropic.claude-3-haiku-20240307-v1:0", **canned).invoke("x")
    configuration = service.requests[0]["retrieveAndGenerateConfiguration"]["knowledgeBaseConfiguration"]
    assert configuration["modelArn"] == "anthropic.claude-3-haiku-20240307-v1:0"


@pytest.mark.parametrize("end", [22, 23, 999], ids=["inclusive", "exclusive", "wrong"])
def test_spans_are_those_of_the_statement_whichever_way_the_service_counts(end):
    reader = GeneratedAnswer("q")
    text = "Llamas eat grass & hay. They hum."
    part = {"text": "Llamas eat grass & hay.", "span": {"start": 0, "end": end}}
    reference = {
        "content": {"text": "Llamas eat grass."},
        "location": {"type": "S3", "s3Location": {"uri": "s3://b/k"}},
    }
    citation = {
        "generatedResponsePart": {"textResponsePart": part},
        "retrievedReferences": [reference, reference],
    }
    answer = add(reader.response({"output": {"text": text}, "citations": [citation]}))
    assert {text[slice(*c.span)] for c in answer.citations} == {"Llamas eat grass & hay."}
    assert [c.number for c in answer.citations] == [1]  # the same passage twice is one
    assert len(answer.documents) == 1
    assert 0 < answer.citations[0].score < 1


def test_runs_are_traced_as_one_chain(settings):
    from langchain_core.tracers.run_collector import RunCollectorCallbackHandler

    collector = RunCollectorCallbackHandler()
    KnowledgeBaseQA(model=MODEL, **settings).invoke(QUESTION, {"callbacks": [collector]})
    assert [run.name for run in collector.traced_runs] == ["KnowledgeBaseQA"]
