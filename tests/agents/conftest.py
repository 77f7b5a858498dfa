"""A Llama that says what the test told it to say, over a real socket."""

from __future__ import annotations

import warnings
from contextlib import ExitStack

import pytest

from llama_bedrock import ChatLlamaBedrock
from llama_bedrock.local import LocalBedrock
from llama_bedrock.testing import ScriptedEngine

MODEL = "meta.llama3-3-70b-instruct-v1:0"


@pytest.fixture
def scripted():
    """Function: answers (or an engine) → (chat model, engine)."""
    with ExitStack() as stack:

        def make(answers, *, model=MODEL, repeat=False, **settings):
            engine = ScriptedEngine(answers, repeat=repeat) if isinstance(answers, (list, tuple)) else answers
            server = stack.enter_context(LocalBedrock(engine=engine))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                llm = ChatLlamaBedrock(
                    model=model,
                    region_name="us-west-2",
                    endpoint_url=server.endpoint_url,
                    api_key="test",
                    max_retries=0,
                    **settings,
                )
            return llm, engine

        yield make
