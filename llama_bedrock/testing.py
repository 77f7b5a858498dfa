"""What tests of code that uses this library need: a Bedrock endpoint that says what the test tells it to say.

    from llama_bedrock import ChatLlamaBedrock
    from llama_bedrock.local import LocalBedrock
    from llama_bedrock.testing import ScriptedEngine

    engine = ScriptedEngine(["Paris."])
    with LocalBedrock(engine=engine) as server:
        llm = ChatLlamaBedrock(
            model="meta.llama3-3-70b-instruct-v1:0",
            region_name="us-east-2",
            endpoint_url=server.endpoint_url,
            api_key="test",
        )
        assert llm.invoke("Capital of France?").text == "Paris."
    assert "Capital of France?" in engine.requests[0].prompt

Requests go over a real socket, signed and framed as for Bedrock.
"""

from __future__ import annotations

from llama_bedrock.local.engines.interface import Engine, EngineError, EngineRequest, StopReason
from llama_bedrock.local.engines.scripted import ScriptedEngine

__all__ = ["Engine", "EngineError", "EngineRequest", "ScriptedEngine", "StopReason"]
