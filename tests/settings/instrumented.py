"""Run in a process of its own by test_instrumentations.py: every kind of call under one instrumentation."""

import asyncio
import sys
import warnings

warnings.simplefilter("ignore")


def instrument(name):
    if name == "traceloop":
        from opentelemetry.instrumentation.bedrock import BedrockInstrumentor

        BedrockInstrumentor().instrument()
    elif name == "openinference":
        from openinference.instrumentation.bedrock import BedrockInstrumentor

        BedrockInstrumentor().instrument()
    elif name == "genai":
        from opentelemetry.instrumentation.genai.langchain import LangChainInstrumentor

        LangChainInstrumentor().instrument()
    else:
        import ddtrace

        ddtrace.patch(botocore=True, langchain=True, langgraph=True)


def main(name):
    instrument(name)
    from langchain.agents import create_agent

    from llama_bedrock import ChatLlamaBedrock
    from llama_bedrock.local import LocalBedrock
    from llama_bedrock.testing import ScriptedEngine

    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    answers = ["Ada wrote it."] * 4 + ["[add(a=1, b=2)]", "It is 3."] * 2
    with LocalBedrock(engine=ScriptedEngine(answers)) as server:
        llm = ChatLlamaBedrock(
            model="meta.llama3-3-70b-instruct-v1:0",
            region_name="us-east-2",
            endpoint_url=server.endpoint_url,
            aws_access_key_id="AKIDEXAMPLE",
            aws_secret_access_key="secret",
        )

        async def astream():
            return "".join([chunk.text async for chunk in llm.astream("Who?")])

        answers = [
            llm.invoke("Who?").text,
            "".join(chunk.text for chunk in llm.stream("Who?")),
            asyncio.run(llm.ainvoke("Who?")).text,
            asyncio.run(astream()),
        ]
        assert answers == ["Ada wrote it."] * 4, answers
        agent = create_agent(llm, [add])
        question = {"messages": [("user", "1 + 2?")]}
        assert agent.invoke(question)["messages"][-1].text == "It is 3."
        assert asyncio.run(agent.ainvoke(question))["messages"][-1].text == "It is 3."
    print("all answers came")


if __name__ == "__main__":
    main(sys.argv[1])
