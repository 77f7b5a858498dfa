"""Which generation of Llama a model is, by its configuration and its chat template."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from llama_bedrock.control.findings import Finding
from llama_bedrock.control.model_folder import ModelFolder
from llama_bedrock.prompts.formats import FORMATS, LlamaFormat, PromptFormat

TemplateKind = Literal["meta", "other", "none"]
TOKENIZER_CONFIG = "tokenizer_config.json"
# Bedrock takes the first that is there: "Handling Custom Chat Templates and Tokenizers" of its user guide.
TEMPLATE_FILES = ("chat_template.jinja", "chat_template.json")

_LLAMA2_VOCABULARY, _LLAMA3_VOCABULARY = 32_000, 128_000
# Marks of other families' prompts, for naming them.
_OTHERS = {
    "<|im_start|>": "ChatML",
    "<start_of_turn>": "Gemma",
    "### Instruction": "Alpaca",
    "<|user|>": "Zephyr or Phi",
    "<|start|>": "GPT-OSS",
    "USER:": "Vicuna",
}


@dataclass(frozen=True, slots=True)
class DetectedFormat:
    """What the files say of the prompts that a model reads.

    Attributes:
        prompt_format: The generation; None where it is no Llama, or reads other prompts than Meta's.
        template: Whether its chat template is Meta's.
    """

    prompt_format: PromptFormat | None
    template: TemplateKind


def detect_format(
    folder: ModelFolder, config: Mapping[str, Any], tokenizer: Mapping[str, Any] | None
) -> tuple[DetectedFormat, list[Finding]]:
    """The prompt format of a model, and what is to be said about its chat template.

    Args:
        folder: Its files.
        config: Its ``config.json``.
        tokenizer: Its ``tokenizer_config.json``, if that is there and can be read.
    """
    generation = _generation(config, folder.where)
    where, template, findings = _template(folder, tokenizer or {})
    if template is None:
        findings.append(
            Finding(
                "note",
                where,
                "there is no chat template",
                "this library writes Meta's prompts itself; Converse and OpenAI's `messages` need a template",
            )
        )
        return DetectedFormat(generation, "none"), findings
    if generation is None:
        return DetectedFormat(None, "other"), findings
    foreign = _foreign(template, FORMATS[generation])
    if foreign is None:
        return DetectedFormat(generation, "meta"), findings
    findings.append(
        Finding(
            "warning",
            where,
            f"the chat template is not Meta's for {generation}: {foreign}",
            "the model was trained on other prompts than this library writes; give prompt_format= to import "
            "it nevertheless, and call it with raw prompts (LlamaBedrock)",
        )
    )
    return DetectedFormat(None, "other"), findings


def _generation(config: Mapping[str, Any], where: str) -> PromptFormat | None:
    """The generation by `config.json`; Llama 3.1 and 3.3 differ in name alone, and read the same prompts."""
    kind = str(config.get("model_type") or "")
    if kind.startswith("llama4"):
        return "llama4"
    if kind == "mllama":
        return "llama3.2"
    if kind != "llama":
        return None
    rope = config.get("rope_scaling") or config.get("rope_parameters") or {}
    scaled = isinstance(rope, Mapping) and (rope.get("rope_type") or rope.get("type")) == "llama3"
    names = f"{config.get('_name_or_path') or ''} {where}"
    named = re.search(r"(?i)llama-?(3[.-][123])(?![0-9])", names)
    words = config.get("vocab_size")
    if isinstance(words, int) and not scaled and _LLAMA2_VOCABULARY <= words < _LLAMA3_VOCABULARY:
        return "llama2"  # with words of its own, where there are more
    if named is not None:
        return f"llama{named[1].replace('-', '.')}"
    if not scaled:
        return "llama3"
    return "llama3.2" if rope.get("factor") == 32.0 else "llama3.1"


def _template(folder: ModelFolder, tokenizer: Mapping[str, Any]) -> tuple[str, str | None, list[Finding]]:
    """Where the template is that Bedrock will use, its text, and what is to be said of the others."""
    findings: list[Finding] = []
    found: list[tuple[str, str]] = []
    for name in TEMPLATE_FILES:
        if name not in folder.sizes:
            continue
        try:
            text = folder.read(name).decode()
            found.append(
                (
                    name,
                    _default(json.loads(text).get("chat_template")) or "" if name.endswith("json") else text,
                )
            )
        except (ValueError, AttributeError, RecursionError):
            findings.append(
                Finding(
                    "error",
                    name,
                    "it cannot be read",
                    'a .jinja file is text, a .json file {"chat_template": "…"}',
                )
            )
    embedded = _default(tokenizer.get("chat_template"))
    if embedded:
        found.append((TOKENIZER_CONFIG, embedded))
    if len({text.strip() for _, text in found}) > 1:
        rest = " and ".join(name for name, _ in found[1:])
        findings.append(
            Finding(
                "warning",
                found[0][0],
                f"Bedrock uses this chat template and not that of {rest}",
                "keep one of them",
            )
        )
    return (*found[0], findings) if found else (TOKENIZER_CONFIG, None, findings)


def _default(template: Any) -> str | None:
    """A template, or the one named default of several."""
    if isinstance(template, str):
        return template
    if isinstance(template, list):
        named = {item.get("name"): item.get("template") for item in template if isinstance(item, Mapping)}
        return named.get("default")
    return None


def _foreign(template: str, meta: LlamaFormat) -> str | None:
    """What in a template is not Meta's; None where it writes that generation's turns."""
    for mark, family in _OTHERS.items():
        if mark in template:
            return f"it writes {mark} ({family})"
    # Mistral writes [INST] too; where the system's text goes tells Llama 2 from it.
    tokens = (*meta.header, meta.end_of_turn) if meta.header else ("[INST]", "[/INST]", "<<SYS>>")
    missing = [token for token in tokens if token not in template]
    if missing:
        return f"it has no {' and no '.join(missing)}"
    if meta.header is None:
        return None
    end = meta.header[1]
    if not re.search(re.escape(end) + r"(?:\\n\\n|\n\n)", template):
        return f"{end} is not followed by two newlines"
    return None
