"""What the documentation writes, for type checkers: checked by test_type_checkers.py, never run."""

from collections.abc import AsyncIterator, Iterator

from langchain_core.documents import Document
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.tools import tool
from pydantic import BaseModel, SecretStr

from llama_bedrock import ChatLlamaBedrock, Guardrails, LlamaBedrock, Timeout
from llama_bedrock.agents import create_rag_chain
from llama_bedrock.retrievers import FAISSStore, HybridRetriever, KnowledgeBaseQA, KnowledgeBaseRetriever

MODEL = "meta.llama3-3-70b-instruct-v1:0"


class Person(BaseModel):
    """A person."""

    name: str


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return city


def chat() -> AIMessage:
    llm = ChatLlamaBedrock(
        model=MODEL,
        region_name="us-east-2",
        api_key="a plain string",
        temperature=0.2,
        max_tokens=200,
        stop=["END"],
        timeout=Timeout(first_token=5),
        guardrails={"id": "g", "version": "1"},
        latency="optimized",
        service_tier="default",
        request_metadata={"team": "search"},
        fallback_regions=["us-west-2"],
        max_response_mb=8,
    )
    return llm.invoke("Hello", temperature=0.5)


def other_names() -> list[ChatLlamaBedrock]:
    return [
        ChatLlamaBedrock(model_id=MODEL, max_gen_len=20, stop_sequences=["x"]),
        ChatLlamaBedrock(model=MODEL, api_key=SecretStr("wrapped"), timeout=3.5),
        ChatLlamaBedrock(model=MODEL, aws_access_key_id="AKID", aws_secret_access_key="s"),
        ChatLlamaBedrock(model=MODEL, guardrails=Guardrails("g", "1"), streaming=True, tool_dialect="json"),
    ]


def derived(llm: ChatLlamaBedrock) -> ChatLlamaBedrock:
    llm.temperature = 0.1
    return llm.model_copy(update={"api_key": "other"})


def stream(llm: ChatLlamaBedrock) -> Iterator[AIMessageChunk]:
    yield from llm.stream("Hello")


async def astream(llm: ChatLlamaBedrock) -> AsyncIterator[AIMessageChunk]:
    async with llm:
        async for chunk in llm.astream("Hello"):
            yield chunk


def tools(llm: ChatLlamaBedrock) -> AIMessage:
    return llm.bind_tools([weather], tool_choice="any").invoke("Weather in Lima?")


def structured(llm: ChatLlamaBedrock) -> object:
    return llm.with_structured_output(Person, method="json_schema", max_repairs=2).invoke("Who?")


def prompt(llm: ChatLlamaBedrock) -> str:
    return llm.render_prompt("Hello", tools=[weather]).text


def complete() -> str:
    return LlamaBedrock(model=MODEL, api_key="k").invoke("The llama is")


def search(documents: list[Document]) -> list[Document]:
    store = FAISSStore.from_documents(documents)
    return HybridRetriever(store=store, k=3, alpha=0.5).invoke("llama")


def knowledge_base() -> list[Document]:
    retriever = KnowledgeBaseRetriever(
        knowledge_base_id="ABCDEFGHIJ",
        region_name="us-east-2",
        aws_access_key_id="a",
        aws_secret_access_key="b",
    )
    return retriever.invoke("llama", k=10)


def answer(llm: ChatLlamaBedrock, retriever: HybridRetriever) -> str:
    qa = KnowledgeBaseQA(knowledge_base_id="ABCDEFGHIJ", model=MODEL)
    return create_rag_chain(llm, retriever).invoke("What?").text + qa.invoke("What?").text
