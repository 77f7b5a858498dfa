"""What an answer shall look like, tools to call or JSON to write: how it is asked for, and who reads it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, get_args

from llama_bedrock.argument_kinds import refuse_wrong_kind
from llama_bedrock.choices import Dialect
from llama_bedrock.tools.rendering import prefill, render_tools
from llama_bedrock.tools.spec import ToolChoice, ToolSpec, normalise_tool_choice, to_tool_specs

if TYPE_CHECKING:
    from llama_bedrock.catalog import ResolvedModel
    from llama_bedrock.tools.json_answer import JsonContent, ResponseFormat
    from llama_bedrock.tools.parser.tool_call_parser import ToolCallParser


@dataclass(frozen=True, slots=True)
class ExpectedAnswer:
    """What one answer shall look like.

    Attributes:
        specs: Tools that may, or must, be called.
        choice: Whether the model may or must call, and what.
        dialect: How calls are asked for, and how past ones are shown.
        parallel: Whether several calls at once are asked for.
        strict: Arguments that break the schema make a call invalid.
        form: The JSON the answer shall be, None for words.
    """

    specs: tuple[ToolSpec, ...] = ()
    choice: ToolChoice = field(default_factory=ToolChoice)
    dialect: Dialect = "pythonic"
    parallel: bool = True
    strict: bool = False
    form: ResponseFormat | None = None

    @classmethod
    def take_from(cls, kwargs: dict[str, Any], dialect: Dialect) -> ExpectedAnswer:
        """Take the keyword arguments that say it out of those of a call.

        Raises:
            ValueError: A tool, the tool choice, the response format or a flag is not usable.
        """
        if (dialect := kwargs.pop("tool_dialect", None) or dialect) not in get_args(Dialect):
            raise ValueError(f"tool_dialect={dialect!r}: one of {', '.join(get_args(Dialect))}")
        if not kwargs:
            return _words(dialect)
        strict, parallel = (_flag(kwargs, name) for name in ("strict", "parallel_tool_calls"))
        tools = kwargs.pop("tools", None)
        specs = to_tool_specs(() if tools is None else tools, strict=strict)
        choice = kwargs.pop("tool_choice", None)
        return cls(
            specs=tuple(specs),
            choice=normalise_tool_choice(choice, specs) if specs or choice else ToolChoice(),
            dialect=dialect,
            parallel=parallel is not False,
            strict=bool(strict),
            form=_form(kwargs.pop("response_format", None)),
        )

    @property
    def offers_tools(self) -> bool:
        """True if the model is told of tools."""
        return bool(self.specs) and self.choice.mode != "none"

    @property
    def prefill(self) -> str:
        """What the assistant's turn begins with."""
        if self.offers_tools and self.choice.forced:
            return prefill(self.choice, self.dialect)
        return self.form.prefill(with_tools=self.offers_tools) if self.form else ""

    def tool_instructions(self, model: ResolvedModel) -> str | None:
        """What the system message says about tools.

        Raises:
            ValueError: The model knows no tools.
        """
        if not self.offers_tools:
            return None
        if not model.accepts_tools:
            kind = "a base model" if model.base else "a Llama 2 model"
            raise ValueError(
                f"{model.requested} is {kind} and knows no tools; use an instruct model of Llama 3 or later"
            )
        return render_tools(self.specs, self.dialect, choice=self.choice, parallel=self.parallel)

    def form_instructions(self, model: ResolvedModel) -> str | None:
        """What the system message says about the JSON of the answer.

        Raises:
            ValueError: The model follows no instructions.
        """
        if self.form is None:
            return None
        if model.base:
            raise ValueError(f"{model.requested} is a base model and follows no response format")
        return self.form.instructions(with_tools=self.offers_tools)

    def parser(self, *, prefilled: bool) -> ToolCallParser | None:
        """Make the reader of tool calls; `prefilled` says whether the prompt ended in `prefill`."""
        if not self.offers_tools:
            return None
        from llama_bedrock.tools.parser.tool_call_parser import ToolCallParser

        return ToolCallParser(
            self.specs,
            prefix=self.prefill if prefilled else "",
            choice=self.choice,
            strict=self.strict,
        )

    def json_content(self, *, prefilled: bool) -> JsonContent | None:
        """Make the reader of the JSON in the answer's text; `prefilled` as for `parser`."""
        if self.form is None:
            return None
        from llama_bedrock.tools.json_answer import JsonContent

        return JsonContent(self.form, prefix=self.prefill if prefilled and not self.offers_tools else "")


def _flag(kwargs: dict[str, Any], name: str) -> bool | None:
    value: bool | None = kwargs.pop(name, None)
    refuse_wrong_kind(name, bool | None, value)  # "false" would count as true
    return value


@cache
def _words(dialect: Dialect) -> ExpectedAnswer:
    return ExpectedAnswer(dialect=dialect)


def _form(value: Any) -> ResponseFormat | None:
    if value is None:
        return None
    from llama_bedrock.tools.json_answer import read_response_format

    return read_response_format(value)
