"""Arguments that nothing here knows: refused, with what other libraries call the same thing here."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from inspect import cleandoc
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

STRICT = ConfigDict(
    arbitrary_types_allowed=True,
    extra="forbid",
    populate_by_name=True,
    protected_namespaces=(),
    hide_input_in_errors=True,  # pydantic would show the keys that were given
)
"""Unknown arguments are mistakes. Classes with a LangChain base repeat it: pydantic takes the last base's."""


def named(value: str, name: str = "the text") -> str:
    """The text of a setting that names something: a Region, a profile, an endpoint, a user.

    Raises:
        ValueError: It is empty, as that of an unset variable is, or has white space around it. Another
            profile's keys, AWS's own endpoint or no guardrail would be used in its place.
    """
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a text, not {type(value).__name__}")
    if not value.strip():
        raise ValueError(f"{name} is empty: leave it out, or give None, for the default")
    if value != value.strip():
        raise ValueError(f"{name} has white space around it: is it of a file that ends with a new line?")
    return value


Named = Annotated[str, AfterValidator(lambda value: named(value))]

_NONE = "Llama on Bedrock has no such setting: leave it out"
_ROLE = "name a profile that assumes the role: credentials_profile_name=…"
_TOOLS = "offer tools with bind_tools(…)"

# Names of langchain-aws (ChatBedrock, ChatBedrockConverse), LiteLLM and OpenAI.
MODEL_HINTS: Mapping[str, str] = {
    **dict.fromkeys(
        ("guardrail_config", "guardrailConfig", "guardrailIdentifier", "guardrail", "guardrailVersion"),
        'use guardrails={"id": …, "version": …, "trace": …}',
    ),
    **dict.fromkeys(
        ("model_kwargs", "inference_config", "inferenceConfig"),
        "give each setting by itself: temperature=…, top_p=…, max_tokens=…, stop=…",
    ),
    **dict.fromkeys(("region", "aws_region", "aws_region_name"), "use region_name=…"),
    **dict.fromkeys(
        ("bedrock_api_key", "aws_bearer_token", "bearer_token", "openai_api_key"), "use api_key=…"
    ),
    **dict.fromkeys(
        ("base_url", "api_base", "openai_api_base", "azure_endpoint", "aws_bedrock_runtime_endpoint"),
        "use endpoint_url=…",
    ),
    **dict.fromkeys(("aws_profile_name", "profile_name", "aws_profile"), "use credentials_profile_name=…"),
    **dict.fromkeys(("aws_role_name", "aws_session_name", "aws_web_identity_token", "role_arn"), _ROLE),
    **dict.fromkeys(("performance_config", "performanceConfig"), 'use latency="optimized" or "standard"'),
    **dict.fromkeys(
        ("max_new_tokens", "max_completion_tokens", "max_output_tokens", "maxTokens", "max_tokens_to_sample"),
        "use max_tokens=…",
    ),
    **dict.fromkeys(("topP",), "use top_p=…"),
    **dict.fromkeys(("stopSequences", "stop_words"), "use stop=…"),
    **dict.fromkeys(("model_name", "modelId"), "use model=…"),
    **dict.fromkeys(("request_timeout", "read_timeout", "default_request_timeout"), "use timeout=…"),
    **dict.fromkeys(("num_retries", "retries"), "use max_retries=…"),
    **dict.fromkeys(("serviceTier",), "use service_tier=…"),
    **dict.fromkeys(("requestMetadata",), "use request_metadata=…"),
    **dict.fromkeys(
        ("provider", "base_model_id", "base_model", "custom_llm_provider"),
        'use prompt_format="llama3.3" (or another generation) where an ARN hides the family',
    ),
    **dict.fromkeys(
        ("system", "system_prompt", "system_instruction"),
        'begin the messages with a SystemMessage: [("system", …), ("user", …)]',
    ),
    "system_prompt_with_tools": _TOOLS,
    **dict.fromkeys(("functions", "function_call", "tool_config", "toolConfig"), _TOOLS),
    "supports_tool_choice_values": "leave it out: every choice is supported from Llama 3 on",
    "guard_last_turn_only": 'use guardrails={…, "tag_user_input": True}, which tags the user\'s turns',
    "beta_use_converse_api": "leave it out: tools, streaming and structured output need no Converse here",
    "bedrock_client": "there is none: from_imported reads an import's tags with credentials of its own",
    **dict.fromkeys(
        ("additional_model_request_fields", "additional_model_response_field_paths", "extra_body"),
        "Llama on Bedrock takes temperature, top_p and max_tokens only: leave it out",
    ),
    "n": "Llama on Bedrock gives one answer per call: use batch([…] * n)",
    **dict.fromkeys(
        (
            "top_k", "topK", "min_p", "seed", "logprobs", "top_logprobs", "logit_bias", "presence_penalty",
            "frequency_penalty", "repetition_penalty", "best_of", "user", "reasoning_effort", "thinking",
            "reasoning", "num_beams", "length_penalty", "default_headers", "http_client", "extra_headers",
        ),
        _NONE,
    ),
}  # fmt: skip


class UnknownArgumentError(TypeError, ValueError):
    """An argument that nothing here knows; its text says what it is called here, or that it is nothing."""


def refuse_unknown(
    owner: str, given: Iterable[str], known: Collection[str], hints: Mapping[str, str] | None = None
) -> None:
    """Refuse names that are not known.

    Args:
        owner: Who was given them, for the error.
        given: The names given.
        known: The names there are.
        hints: What to do about names of other libraries; None for none.

    Raises:
        UnknownArgumentError: One is not known; the text has a line for each.
    """
    unknown = [name for name in given if name not in known]
    if not unknown:
        return
    lines = [f"{owner} takes no {name!r}: {_advice(name, known, hints or {})}" for name in unknown]
    raise UnknownArgumentError("\n".join(lines))


def _advice(name: str, known: Collection[str], hints: Mapping[str, str]) -> str:
    if name in hints:
        return hints[name]
    close = get_close_matches(name, sorted(known), n=1, cutoff=0.7)
    return f"did you mean {close[0]}?" if close else f"it takes {', '.join(sorted(known))}"


_ARGUMENTS = re.compile(r"^Args:\n((?:[ ]{4}.*\n|\n(?=[ ]{4}))*)", re.MULTILINE)
_ARGUMENT = re.compile(r"^[ ]{4}(\w+): (.*(?:\n[ ]{8}.*)*)", re.MULTILINE)


def _inherit_texts(cls: type[BaseModel]) -> None:
    """Give a class the texts of all its arguments, its bases' too: for `help`, and for schemas."""
    texts: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if issubclass(base, StrictArguments) and base.__doc__:
            found = _ARGUMENTS.search(cleandoc(base.__doc__) + "\n")
            texts |= dict(_ARGUMENT.findall(found[1])) if found else {}
    for name, field in cls.model_fields.items():
        if field.description is None and name in texts:
            field.description = " ".join(texts[name].split())
    if cls.__doc__:
        own = cleandoc(cls.__doc__) + "\n"
        section = "Args:\n" + "".join(f"    {name}: {text}\n" for name, text in texts.items())
        found = _ARGUMENTS.search(own)
        start, end = found.span() if found else (len(own), len(own))
        before = own[:start] if found else own + "\n"
        cls.__doc__ = before + section + own[end:]


class _Signature:
    """The signature of a class that pydantic has not built yet; else its base's would be shown."""

    def __get__(self, instance: object, owner: type[BaseModel]) -> Any:
        owner.model_rebuild(force=True)
        found = owner.__dict__["__signature__"]
        return None if found is self else found.__get__(instance, owner)


class StrictArguments(BaseModel):
    """Refuses arguments it does not know, when it is made, copied with changes, or assigned to.

    What it has made of its settings (clients, indexes, locks) is its own: a copy, deep or pickled, makes it
    anew, and an assignment makes it anew where `_follows` names it.
    """

    model_config = STRICT

    _own: ClassVar[tuple[str, ...]] = ()
    _follows: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        _inherit_texts(cls)
        if not cls.__pydantic_complete__:
            cls.__signature__ = _Signature()  # type: ignore[assignment]  # pydantic's comes with the rest

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_arguments(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        names = cls._argument_names()
        refuse_unknown(cls.__name__, map(str, given), names, cls._hints())
        seen: dict[str, str] = {}
        for name in given:
            other = seen.setdefault(names[name], name)
            if other != name:
                raise UnknownArgumentError(f"{other} and {name} are one setting: give one of them")
        return given

    @model_validator(mode="wrap")
    @classmethod
    def _forget_what_was_given(cls, given: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Errors are pickled, and their `errors()` logged: what was given stands there too, keys among it."""
        try:
            return handler(given)
        except ValidationError as error:
            details: list[Any] = [
                {
                    "type": PydanticCustomError(one["type"], one["msg"]),
                    "loc": one["loc"],
                    "input": "(not shown)",
                }
                for one in error.errors()
            ]
            raise ValidationError.from_exception_data(cls.__name__, details) from None

    @classmethod
    def _argument_names(cls) -> dict[str, str]:
        """Return the field of each name it can be given by."""
        names = {}
        for field, info in cls.model_fields.items():
            names[field] = field
            aliases = info.validation_alias
            for alias in aliases.choices if isinstance(aliases, AliasChoices) else (aliases,):
                if isinstance(alias, str):
                    names[alias] = field
        return names

    @classmethod
    def _hints(cls) -> Mapping[str, str]:
        """Return what to do about names of other libraries."""
        return {}

    def __setattr__(self, name: str, value: Any) -> None:
        names = type(self)._argument_names()
        if not name.startswith("_") and not isinstance(getattr(type(self), name, None), property):
            refuse_unknown(type(self).__name__, (name,), names, self._hints())
            name = names[name]
            if isinstance(value, str) and "SecretStr" in str(type(self).model_fields[name].annotation):
                value = SecretStr(value)  # a plain string would be shown by repr
        super().__setattr__(name, value)
        if not name.startswith("_"):
            self._renew(self._follows)

    def _renew(self, names: Iterable[str]) -> None:
        for name in names:
            private: Any = self.__private_attributes__[name]
            setattr(self, name, private.default_factory() if private.default_factory else private.default)

    def __copy__(self) -> Self:
        copied = super().__copy__()
        copied._renew(self._own)
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        bare = super().__copy__()
        object.__setattr__(bare, "__pydantic_private__", self.__getstate__()["__pydantic_private__"])
        copied = super(StrictArguments, bare).__deepcopy__(memo)
        copied._renew(self._own)
        return copied

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        private = state.get("__pydantic_private__") or {}
        kept = {name: value for name, value in private.items() if name not in self._own}
        return {**state, "__pydantic_private__": kept}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__(state)
        self._renew(self._own)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with some settings changed.

        Args:
            update: New values by name or alias.
            deep: Copy the values too.

        Raises:
            UnknownArgumentError: A name is not known.
        """
        copied = super().model_copy(deep=deep)
        for name, value in (update or {}).items():
            setattr(copied, name, value)
        return copied
