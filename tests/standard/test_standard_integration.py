"""LangChain's own integration tests, for a model of each generation, over a socket: ChatLlamaBedrock signs
and frames as for AWS, the local endpoint answers with the extractive engine, which knows nothing but the
prompt it gets.
"""

from __future__ import annotations

import io
from types import SimpleNamespace

import httpx
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests
from PIL import Image

from llama_bedrock import ChatLlamaBedrock
from llama_bedrock.local import LocalBedrock


@pytest.fixture(scope="session")
def local_bedrock():
    with LocalBedrock() as server:
        yield server


@pytest.fixture(autouse=True)
def _pictures_without_network(monkeypatch):
    """The tests download one diagram; here it is drawn, at the size of the original."""
    picture = io.BytesIO()
    Image.new("RGB", (1600, 900), "white").save(picture, "PNG")
    monkeypatch.setattr(httpx, "get", lambda url, **_: SimpleNamespace(content=picture.getvalue()))


class LlamaIntegrationTests(ChatModelIntegrationTests):
    """What all generations share; each class below names its models and what they can do."""

    __test__ = False
    model_id: str
    other_id: str
    region = "us-east-2"
    can_call = True
    can_see = False
    endpoint_url: str

    @pytest.fixture(autouse=True)
    def _endpoint(self, local_bedrock, aws_credentials):
        type(self).endpoint_url = local_bedrock.endpoint_url

    @pytest.fixture
    def model(self, request, _endpoint):
        extra = getattr(request, "param", None) or {}
        return self.chat_model_class(**self.standard_chat_model_params, **self.chat_model_params, **extra)

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatLlamaBedrock

    @property
    def chat_model_params(self) -> dict:
        return {"model": self.model_id, "region_name": self.region, "endpoint_url": self.endpoint_url}

    @property
    def model_override_value(self) -> str:
        return self.other_id

    @property
    def supports_model_override(self) -> bool:
        return True

    @property
    def returns_usage_metadata(self) -> bool:
        return True

    @property
    def has_tool_calling(self) -> bool:
        return self.can_call

    @property
    def has_tool_choice(self) -> bool:
        return self.can_call

    @property
    def has_structured_output(self) -> bool:
        return True

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_image_inputs(self) -> bool:
        return self.can_see

    @property
    def supports_image_tool_message(self) -> bool:
        return self.can_see

    @property
    def supports_anthropic_inputs(self) -> bool:
        return self.can_call


class TestLlama2(LlamaIntegrationTests):
    """Llama 2 knows no tools: the tests of tools are skipped, as they are for any model without."""

    __test__ = True
    model_id, other_id = "meta.llama2-70b-chat-v1", "meta.llama2-13b-chat-v1"
    region, can_call = "us-east-1", False


class TestLlama3(LlamaIntegrationTests):
    __test__ = True
    model_id, other_id = "meta.llama3-70b-instruct-v1:0", "meta.llama3-8b-instruct-v1:0"
    region = "us-east-1"


class TestLlama31(LlamaIntegrationTests):
    __test__ = True
    model_id, other_id = "meta.llama3-1-70b-instruct-v1:0", "meta.llama3-1-8b-instruct-v1:0"
    region = "us-west-2"


class TestLlama32Text(LlamaIntegrationTests):
    __test__ = True
    model_id, other_id = "us.meta.llama3-2-3b-instruct-v1:0", "us.meta.llama3-2-1b-instruct-v1:0"


class TestLlama32Vision(LlamaIntegrationTests):
    __test__ = True
    model_id, other_id = "us.meta.llama3-2-90b-instruct-v1:0", "us.meta.llama3-2-11b-instruct-v1:0"
    can_see = True


class TestLlama33(LlamaIntegrationTests):
    __test__ = True
    model_id, other_id = "meta.llama3-3-70b-instruct-v1:0", "us.meta.llama3-3-70b-instruct-v1:0"


class TestLlama4(LlamaIntegrationTests):
    __test__ = True
    model_id, other_id = "us.meta.llama4-maverick-17b-instruct-v1:0", "us.meta.llama4-scout-17b-instruct-v1:0"
    can_see = True


class TestLlama33WithJsonCalls(TestLlama33):
    """The same with calls written as JSON objects."""

    @property
    def chat_model_params(self) -> dict:
        return {**super().chat_model_params, "tool_dialect": "json"}
