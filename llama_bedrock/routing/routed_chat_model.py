"""What `Spread` and `Escalate` share: a chat model whose answers are those of its members."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Self, cast

from langchain_core.language_models.base import LangSmithParams
from langchain_core.language_models.model_profile import ModelProfile
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableConfig
from pydantic import ConfigDict, model_validator

from llama_bedrock.chat_interface import LlamaChatModel
from llama_bedrock.chat_model import ChatLlamaBedrock
from llama_bedrock.unknown_arguments import STRICT, StrictArguments, refuse_unknown
from llama_bedrock.version import __version__

# LangChain applies these around a call; the members are called inside one.
_AROUND_A_CALL = (
    "cache", "callbacks", "custom_get_token_ids", "disable_streaming", "metadata", "output_version",
    "rate_limiter", "streaming", "tags",
)  # fmt: skip


_VERSIONS = "lc_versions"  # metadata that every model has


class RoutedChatModel(StrictArguments, LlamaChatModel):
    """A chat model whose answers are those of its members.

    Args:
        streaming: Stream also where `invoke` is called.
    """

    model_config = ConfigDict(**STRICT)

    streaming: bool = False

    @abstractmethod
    def _members(self) -> list[ChatLlamaBedrock | RoutedChatModel]:
        """Who may answer."""

    @model_validator(mode="after")
    def _set_llama_bedrock_version(self) -> Self:
        self._add_version("llama-bedrock", __version__)
        return self

    @property
    def model(self) -> str:
        """Model id of the first member."""
        return self._members()[0].model

    @property
    def models(self) -> list[ChatLlamaBedrock]:
        """The models that may be called, members of members too."""
        found: list[ChatLlamaBedrock] = []
        for member in self._members():
            found += member.models if isinstance(member, RoutedChatModel) else [member]
        return found

    @property
    def max_tokens(self) -> int | None:
        """Most tokens that an answer may have; None where a member leaves it to the service."""
        limits = [model.max_tokens for model in self.models]
        return None if None in limits else max(limit for limit in limits if limit is not None)

    def bind(self, **kwargs: Any) -> Any:
        """Return the model with arguments of its calls bound.

        Raises:
            UnknownArgumentError: A call takes no such argument.
        """
        self._refuse_unknown_in_call(kwargs)
        return super().bind(**kwargs)

    def with_config(self, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Return the model with a config of LangChain's bound, such as tags and callbacks.

        Raises:
            UnknownArgumentError: A config has no such entry, which LangChain would drop in silence.
        """
        refuse_unknown("with_config", kwargs, {*RunnableConfig.__annotations__, *(config or ())})
        return super().with_config(config, **kwargs)

    def get_num_tokens(self, text: str) -> int:
        """Estimate the number of tokens of a text, as the first member does."""
        return self._members()[0].get_num_tokens(text)

    def get_num_tokens_from_messages(
        self, messages: list[BaseMessage], tools: Sequence[Any] | None = None
    ) -> int:
        """Estimate the number of tokens of the whole prompt, as the first member does."""
        return self._members()[0].get_num_tokens_from_messages(messages, tools)

    def get_token_ids(self, text: str) -> list[int]:
        """Return token ids, as the first member does."""
        return self._members()[0].get_token_ids(text)

    async def aclose(self) -> None:
        """Close this event loop's connections; later calls open new ones."""
        for member in self._members():
            await member.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _refuse_unknown_in_call(self, given: dict[str, Any]) -> None:
        for member in self._members():
            member._refuse_unknown_in_call(given)

    def _refuse_tools(self) -> None:
        for member in self._members():
            member._refuse_tools()

    @property
    def _llm_type(self) -> str:
        return f"llama-bedrock-{type(self).__name__.lower()}"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"members": [member._identifying_params for member in self._members()]}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return self._members()[0]._get_ls_params(stop, **kwargs)

    def _resolve_model_profile(self) -> ModelProfile | None:
        """What all members can do."""
        profiles: list[Any] = [member.profile or {} for member in self._members()]
        common: dict[str, Any] = dict(profiles[0])
        for profile in profiles[1:]:
            common = {key: _least(common[key], profile[key]) for key in common if key in profile}
        return cast("ModelProfile", {key: value for key, value in common.items() if value is not None})


def _least(one: Any, other: Any) -> Any:
    if isinstance(one, bool | int) and isinstance(other, bool | int):
        return min(one, other)
    return one if one == other else None


def refuse_member(owner: str, name: str, member: Any, kinds: tuple[type[LlamaChatModel], ...]) -> None:
    """Refuse what cannot be a member, and settings of a member that would have no effect.

    Args:
        owner: Of whom, for the error.
        name: What the member is called there.
        member: The member.
        kinds: What it may be.

    Raises:
        ValueError: It is none of them, or has such a setting.
    """
    if not isinstance(member, kinds):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise ValueError(f"{name} of {owner} must be a {wanted}, not {type(member).__name__}")
    for setting in _AROUND_A_CALL:
        value = getattr(member, setting)
        default = type(member).model_fields[setting].get_default(call_default_factory=True)
        if setting == "metadata" and value is not None and not value.keys() - {_VERSIONS}:
            continue
        if value != default:
            raise ValueError(f"{name} of {owner} has {setting}=…: give it to {owner}, which makes the calls")


def answer_of(result: ChatResult) -> AIMessage:
    """The message of a result."""
    message = result.generations[0].message
    assert isinstance(message, AIMessage)
    return message


def result_of(message: AIMessage) -> ChatResult:
    """A result that is a message."""
    return ChatResult(generations=[ChatGeneration(message=message)])
