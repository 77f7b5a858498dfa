"""One endpoint and one model for all tests of this folder; each test gives it the answers it wants."""

import warnings
from contextlib import contextmanager

import pytest

from llama_bedrock import ChatLlamaBedrock
from llama_bedrock.local import LocalBedrock
from llama_bedrock.testing import ScriptedEngine


class CurrentEngine:
    """Hands requests to the engine of the test that runs."""

    name = "current"
    blocking = False

    def __init__(self):
        self.engine = ScriptedEngine([])

    def generate(self, request):
        return self.engine.generate(request)


@pytest.fixture(scope="session")
def _endpoint():
    current = CurrentEngine()
    with LocalBedrock(engine=current) as server, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        llm = ChatLlamaBedrock(
            model="meta.llama3-3-70b-instruct-v1:0",
            region_name="us-east-2",
            endpoint_url=server.endpoint_url,
            aws_access_key_id="AKIDEXAMPLE",
            aws_secret_access_key="secret",
        )
        yield current, llm


@pytest.fixture
def model_that_answers(_endpoint):
    """Give the model its answers, in order; yields the model and the engine that has the requests."""
    current, llm = _endpoint

    @contextmanager
    def give(*answers):
        current.engine = ScriptedEngine(list(answers))
        yield llm, current.engine

    return give
