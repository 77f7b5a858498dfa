"""LangChain's own unit tests, for one chat model of each generation."""

from __future__ import annotations

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_tests.unit_tests import ChatModelUnitTests

from llama_bedrock import ChatLlamaBedrock


@pytest.fixture(autouse=True)
def _credentials(aws_credentials):
    """Credentials and a region: a model is made, nothing is sent."""


class LlamaUnitTests(ChatModelUnitTests):
    """What all generations share; each class below names its model and what it can do."""

    __test__ = False
    model_id: str
    region = "us-east-2"
    can_call = True
    can_see = False

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatLlamaBedrock

    @property
    def chat_model_params(self) -> dict:
        return {"model": self.model_id, "region_name": self.region}

    @property
    def init_from_env_params(self):
        return (
            {"AWS_BEARER_TOKEN_BEDROCK": "key"},
            {"model": "meta.llama3-1-8b-instruct-v1:0"},
            {"api_key": "key"},
        )

    @property
    def has_tool_calling(self) -> bool:
        return self.can_call

    @property
    def has_tool_choice(self) -> bool:
        return self.can_call

    @property
    def has_structured_output(self) -> bool:
        return self.can_call

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_image_inputs(self) -> bool:
        return self.can_see

    @property
    def supports_image_tool_message(self) -> bool:
        return self.can_see


class TestLlama2(LlamaUnitTests):
    __test__ = True
    model_id, region, can_call = "meta.llama2-70b-chat-v1", "us-east-1", False


class TestLlama3(LlamaUnitTests):
    __test__ = True
    model_id, region = "meta.llama3-70b-instruct-v1:0", "us-east-1"


class TestLlama31(LlamaUnitTests):
    __test__ = True
    model_id, region = "meta.llama3-1-70b-instruct-v1:0", "us-west-2"


class TestLlama32Text(LlamaUnitTests):
    __test__ = True
    model_id = "us.meta.llama3-2-3b-instruct-v1:0"


class TestLlama32Vision(LlamaUnitTests):
    __test__ = True
    model_id, can_see = "us.meta.llama3-2-90b-instruct-v1:0", True


class TestLlama33(LlamaUnitTests):
    __test__ = True
    model_id = "meta.llama3-3-70b-instruct-v1:0"


class TestLlama4(LlamaUnitTests):
    __test__ = True
    model_id, can_see = "us.meta.llama4-maverick-17b-instruct-v1:0", True
