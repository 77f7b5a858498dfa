"""Run in a process of its own by test_recipes.py: every kind of call, under the recipe that is its argument."""

import asyncio
import sys
import warnings
from contextlib import suppress
from pathlib import Path

SECRETS = ["AKIDOBSERVED", "observed-secret-key", "observed-session-token"]
MODEL = "meta.llama3-3-70b-instruct-v1:0"


def app(callbacks):
    from langchain_core.documents import Document

    from llama_bedrock import ChatLlamaBedrock
    from llama_bedrock.agents import create_rag_agent, create_rag_chain
    from llama_bedrock.errors import BedrockThrottlingError, BedrockValidationError
    from llama_bedrock.grounding import LlamaJudge
    from llama_bedrock.local import LocalBedrock
    from llama_bedrock.retrievers import FAISSStore, HybridRetriever
    from llama_bedrock.testing import ScriptedEngine

    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    documents = [
        Document("Llamas eat hay and grass.", metadata={"source": "a.md"}, id="a"),
        Document("Alpacas give wool.", metadata={"source": "b.md"}, id="b"),
    ]
    retriever = HybridRetriever(store=FAISSStore.from_documents(documents, None), k=2)
    rag = ["What else do llamas eat?", "Llamas eat hay [1].", "1: yes"]
    answers = [
        BedrockThrottlingError("slow down"), "Ada wrote it.",  # a call that is tried again
        *["Ada wrote it in London."] * 3,
        BedrockValidationError("refused"),
        "[add(a=1, b=2)]",
        *rag, *rag,
        '[search_documents(query="llama food")]', "Llamas eat hay [1].",
    ]  # fmt: skip
    follow_up = {
        "question": "and what else?",
        "chat_history": [("human", "What do llamas eat?"), ("ai", "Hay.")],
    }
    config = {"callbacks": callbacks}
    with LocalBedrock(engine=ScriptedEngine(answers)) as server:
        llm = ChatLlamaBedrock(
            model=MODEL,
            region_name="us-east-2",
            endpoint_url=server.endpoint_url,
            aws_access_key_id=SECRETS[0],
            aws_secret_access_key=SECRETS[1],
            aws_session_token=SECRETS[2],
            temperature=0.2,
            max_retries=1,
        )

        async def astream():
            return [chunk async for chunk in llm.astream("Who?", config=config)]

        llm.invoke("Who?", config=config)
        list(llm.stream("Who?", config=config))
        asyncio.run(llm.ainvoke("Who?", config=config))
        asyncio.run(astream())
        with suppress(BedrockValidationError):
            llm.invoke("Who?", config=config)
        assert llm.bind_tools([add]).invoke("1 + 2?", config=config).tool_calls
        retriever.invoke("llama food", config=config)
        chain = create_rag_chain(llm, retriever, verifier=LlamaJudge(llm))
        assert chain.invoke(follow_up, config=config).grounded_fraction == 1
        assert asyncio.run(chain.ainvoke(follow_up, config=config)).grounded_fraction == 1
        agent = create_rag_agent(llm, retriever)
        agent.invoke({"messages": [("user", "What do llamas eat?")]}, config=config)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    scope = {}
    exec(compile(Path(sys.argv[1]).read_text(), "recipe", "exec"), scope)
    app([scope["handler"]] if "handler" in scope else [])
    print("all answers came")
