"""Whether Bedrock's Custom Model Import will take the files of a model, before anything is uploaded.

What it takes: "Use Custom model import", Amazon Bedrock user guide (stored copy of October 2026); the types
of weights are from AWS's announcements, which the guide does not repeat.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from llama_bedrock.argument_kinds import refuses_wrong_kinds
from llama_bedrock.control.control_plane import ControlPlane
from llama_bedrock.control.findings import Finding, errors_of, refuse_errors
from llama_bedrock.control.format_detection import (
    TEMPLATE_FILES,
    TOKENIZER_CONFIG,
    DetectedFormat,
    TemplateKind,
    detect_format,
)
from llama_bedrock.control.model_folder import ModelFolder, open_folder
from llama_bedrock.control.safetensors_header import LFS_POINTER
from llama_bedrock.control.weights_check import INDEX, check_weights, main_type, no_whole_model
from llama_bedrock.prompts.formats import PromptFormat

MAX_TEXT_BYTES = 200_000_000_000
MAX_MULTIMODAL_BYTES = 100_000_000_000
MAX_CONTEXT = 131_072  # "128K"
IMPORT_REGIONS = ("eu-central-1", "us-east-1", "us-east-2", "us-west-2")

_LLAMA = {"LlamaForCausalLM": "llama", "MllamaForConditionalGeneration": "mllama"}
# Of the guide's other architectures: Bedrock takes them, this library does not write their prompts.
_OTHERS = frozenset({
    "MistralForCausalLM", "MixtralForCausalLM", "T5ForConditionalGeneration", "GPTBigCodeForCausalLM",
    "Qwen2ForCausalLM", "Qwen2VLForConditionalGeneration", "Qwen2_5_VLForConditionalGeneration",
    "Qwen3ForCausalLM", "Qwen3MoeForCausalLM", "GptOssForCausalLM",
})  # fmt: skip
_TOKENIZERS = frozenset(
    f"{name}Tokenizer{end}"
    for name in ("T5", "Llama", "CodeLlama", "GPT2", "GPTNeoX", "PreTrained", "Qwen2")
    for end in ("", "Fast")
)
_DTYPES = ("float32", "float16", "bfloat16")
_QUANTISED = ("quantization_config", "compression_config", "quantization")  # the last is MLX's
# Settings of quantisers that wrote none into config.json (AutoGPTQ's and AutoAWQ's first versions).
_QUANTISERS: Mapping[str | None, str] = {"quantize_config.json": "gptq", "quant_config.json": "awq"}
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model")
_SIDE_FILES = frozenset({
    "config.json", "generation_config.json", TOKENIZER_CONFIG, *TEMPLATE_FILES, *_TOKENIZER_FILES,
    "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "preprocessor_config.json",
    "processor_config.json", INDEX,
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """What a check of model files has found.

    Attributes:
        where: Path or S3 address.
        findings: One for each thing found, errors first.
        prompt_format: The generation whose prompts the model reads; None where that is not clear.
        template: Whether the chat template is Meta's (``"meta"``), another (``"other"``) or missing.
        architecture: Such as ``"LlamaForCausalLM"``.
        dtype: Type of the weights, such as ``"bfloat16"``.
        context_length: Tokens, by the configuration.
        parameters: Numbers in the weights.
        weight_bytes: Bytes of the weights.
        upload: Bytes by name of the files that Bedrock needs.
        left_out: Other files of the folder, which are not uploaded.
    """

    where: str
    findings: tuple[Finding, ...]
    prompt_format: PromptFormat | None = None
    template: TemplateKind = "none"
    architecture: str | None = None
    dtype: str | None = None
    context_length: int | None = None
    parameters: int = 0
    weight_bytes: int = 0
    upload: Mapping[str, int] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """True if nothing was found that would make the import fail."""
        return not errors_of(self.findings)

    def raise_for_errors(self) -> None:
        """Raise what would make the import fail.

        Raises:
            ValueError: There are errors; it lists them.
        """
        refuse_errors(f"the import of {self.where}", self.findings)

    def __str__(self) -> str:
        return "\n".join(map(str, self.findings)) or f"{self.where}: nothing was found"


@refuses_wrong_kinds
def check_model_files(source: str | Path, **connection: Any) -> ModelFiles:
    """Check the files of a model before they are uploaded or imported.

    Of the weights only the headers are read; of files in S3, by range.

    Example:
        ```text
        check_model_files("models/my-llama").raise_for_errors()
        ```

    Args:
        source: A folder, or ``s3://bucket/prefix``.
        connection: Settings of `ControlPlane`, for files in S3.

    Raises:
        ValueError: The S3 address or a setting is none.
        OSError: There is no such folder.
        LlamaBedrockError: S3 refused.
    """
    return check_folder(open_folder(source, ControlPlane(**connection).s3))


@refuses_wrong_kinds
async def acheck_model_files(source: str | Path, **connection: Any) -> ModelFiles:
    """`check_model_files` without blocking the event loop."""
    return await asyncio.to_thread(check_model_files, source, **connection)


def check_folder(folder: ModelFolder) -> ModelFiles:
    """Check the files of a model where they lie."""
    findings = [Finding("error", name, why, "download it again") for name, why in folder.unreadable.items()]
    if not findings and (elsewhere := _no_model(folder)):
        return ModelFiles(folder.where, tuple(elsewhere), left_out=tuple(folder.sizes))
    findings += _pointers(folder)
    config = _json(folder, "config.json", findings) or {}
    tokenizer = _json(folder, TOKENIZER_CONFIG, findings)
    architecture = _architecture(config, findings)
    tensors, found = check_weights(folder, config)
    findings += found
    _check_config(config, folder.sizes, findings)
    _check_tokenizer(folder, config, tokenizer, findings)
    detected, found = (
        detect_format(folder, config, tokenizer) if config else (DetectedFormat(None, "none"), [])
    )
    findings += found
    upload = {name: size for name, size in folder.sizes.items() if _belongs(name)}
    weights = sum(size for name, size in upload.items() if name.endswith(".safetensors"))
    _check_size(weights, "vision_config" in config, findings)
    order = {"error": 0, "warning": 1, "note": 2}
    return ModelFiles(
        where=folder.where,
        findings=tuple(sorted(_joined(findings), key=lambda finding: order[finding.level])),
        prompt_format=detected.prompt_format,
        template=detected.template,
        architecture=architecture,
        dtype=main_type(tensors),
        context_length=_text(config).get("max_position_embeddings"),
        parameters=sum(_count(tensor.shape) for tensor in tensors.values()),
        weight_bytes=weights,
        upload=upload,
        left_out=tuple(name for name in folder.sizes if name not in upload),
    )


def _no_model(folder: ModelFolder) -> list[Finding]:
    """What a folder without a configuration holds in place of a model."""
    if "config.json" in folder.sizes:
        return []
    if found := no_whole_model(folder):
        return found
    if below := folder.models_below():
        names = " and ".join(below[:3]) + (f" and {len(below) - 3} more" if below[3:] else "")
        what = f"it is no model itself, but {names} in it {'are' if below[1:] else 'is'}"
        return [Finding("error", folder.where, what, "give that folder")]
    if not folder.sizes:
        return [Finding("error", folder.where, "there are no files", "give the folder of the model")]
    return []


def _pointers(folder: ModelFolder) -> list[Finding]:
    """Files beside the weights that Git LFS has not downloaded; they are as good as missing."""
    found = []
    for name, size in list(folder.sizes.items()):
        if name in _SIDE_FILES and size < 1_024 and folder.read(name, 0, 64).startswith(LFS_POINTER):
            found.append(
                Finding("error", name, "it is a Git LFS pointer, not the file", "run `git lfs pull`")
            )
            folder.unreadable[name] = found[-1].what
            del folder.sizes[name]
    return found


def _joined(findings: list[Finding]) -> list[Finding]:
    """The findings, each once; one for all of many files of which the same is to be said."""
    alike: dict[Finding, list[Finding]] = {}
    for finding in dict.fromkeys(findings):
        alike.setdefault(replace(finding, where=""), []).append(finding)
    return [
        replace(first, where=f"{first.where} and {len(rest)} more files") if rest[1:] else finding
        for first, *rest in alike.values()
        for finding in ([first] if rest[1:] else [first, *rest])
    ]


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for length in shape:
        count *= length
    return count


def _belongs(name: str) -> bool:
    return name in _SIDE_FILES or (name.endswith(".safetensors") and not name.startswith("adapter"))


def _text(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of a configuration that is about text; a model that reads images has two."""
    text = config.get("text_config")
    return text if isinstance(text, Mapping) else config


def _json(folder: ModelFolder, name: str, findings: list[Finding]) -> dict[str, Any] | None:
    if name not in folder.sizes:
        if name not in folder.unreadable:
            findings.append(
                Finding("error", name, "it is missing", "save the model with transformers, or download it")
            )
        return None
    try:
        read = json.loads(folder.read(name))
    except (ValueError, RecursionError) as error:
        findings.append(Finding("error", name, f"it is no JSON ({error})", "download it again"))
        return None
    except OSError as error:
        findings.append(Finding("error", name, f"it cannot be read: {error.strerror}", "see its permissions"))
        return None
    if not isinstance(read, dict):
        findings.append(Finding("error", name, "it is no JSON object", "download it again"))
        return None
    return read


def _architecture(config: Mapping[str, Any], findings: list[Finding]) -> str | None:
    if not config:
        return None
    names = config.get("architectures")
    name = str(names[0]) if isinstance(names, list) and names else None
    if name is None:
        findings.append(
            Finding(
                "error",
                "config.json",
                "it names no architecture",
                'such as "architectures": ["LlamaForCausalLM"]',
            )
        )
    elif name in _OTHERS:
        findings.append(
            Finding(
                "warning",
                "config.json",
                f"{name} is no Llama",
                "Bedrock imports it, but this library writes Llama's prompts only",
            )
        )
    elif name.startswith("Llama4"):
        findings.append(
            Finding(
                "error",
                "config.json",
                f"Custom Model Import takes no Llama 4 ({name}) by AWS's list of October 2026",
                "import a Llama 3.3, or serve it with SageMaker and give ChatLlamaBedrock the endpoint's ARN",
            )
        )
    elif name not in _LLAMA:
        findings.append(
            Finding(
                "error",
                "config.json",
                f"Custom Model Import does not take the architecture {name}",
                f"of Llama it takes {' and '.join(_LLAMA)}",
            )
        )
    elif config.get("model_type") not in (None, _LLAMA[name]):
        findings.append(
            Finding(
                "error",
                "config.json",
                f"{name} does not go with model_type {config.get('model_type')!r}",
                f'it is "{_LLAMA[name]}"',
            )
        )
    return name


def _check_config(config: Mapping[str, Any], names: Collection[str], findings: list[Finding]) -> None:
    text = _text(config)
    dtype = str(
        config.get("torch_dtype") or config.get("dtype") or text.get("torch_dtype") or ""
    ).removeprefix("torch.")
    if dtype and dtype not in _DTYPES:
        findings.append(
            Finding(
                "error", "config.json", f"the weights' type is {dtype}", f"Bedrock takes {', '.join(_DTYPES)}"
            )
        )
    quantised = next(filter(None, map(config.get, _QUANTISED)), None)
    beside = next((name for name in _QUANTISERS if name in names), None)
    if quantised or beside:
        method = quantised.get("quant_method") if isinstance(quantised, Mapping) else _QUANTISERS.get(beside)
        findings.append(
            Finding(
                "error",
                "config.json" if quantised or beside is None else beside,
                f"the weights are quantised ({method or 'by a method without a name'})",
                "import the weights from before, or dequantise and save them",
            )
        )
    context = text.get("max_position_embeddings")
    if isinstance(context, int) and context > MAX_CONTEXT:
        findings.append(
            Finding(
                "error",
                "config.json",
                f"the context of {context:,} tokens is longer than the {MAX_CONTEXT:,} that Bedrock takes",
                f"set max_position_embeddings to {MAX_CONTEXT}",
            )
        )
    rope = text.get("rope_scaling") or text.get("rope_parameters")
    kind = (rope.get("rope_type") or rope.get("type")) if isinstance(rope, Mapping) else None
    if isinstance(rope, Mapping) and kind == "llama3" and rope.get("factor") != 8.0:
        said = f"Bedrock replaces the rope factor {rope.get('factor')} by 8, as its guide says"
    elif kind not in (None, "default", "llama3"):
        said = f"its guide does not say whether Bedrock heeds rope scaling of the kind {kind!r}"
    else:
        return
    findings.append(
        Finding("warning", "config.json", said, "compare answers to long prompts before and after the import")
    )


def _check_tokenizer(
    folder: ModelFolder,
    config: Mapping[str, Any],
    tokenizer: Mapping[str, Any] | None,
    findings: list[Finding],
) -> None:
    kind = (tokenizer or {}).get("tokenizer_class")
    there = [name for name in _TOKENIZER_FILES if name in folder.sizes or name in folder.unreadable]
    if there == ["tokenizer.model"] and kind == "PreTrainedTokenizerFast":
        findings.append(
            Finding(
                "error",
                "tokenizer.json",
                f"it is missing, and {kind} reads no tokenizer.model",
                "convert it with transformers (`TikTokenConverter`), or download the model's tokenizer.json",
            )
        )
    if not there:
        findings.append(
            Finding(
                "error",
                "tokenizer.json",
                "there is no tokenizer",
                "save it with `tokenizer.save_pretrained(…)`",
            )
        )
    if kind is not None and kind not in _TOKENIZERS:
        findings.append(
            Finding(
                "error",
                TOKENIZER_CONFIG,
                f"Bedrock does not know the tokenizer_class {kind}",
                'of a Llama 3 it is "PreTrainedTokenizerFast", of a Llama 2 "LlamaTokenizer"',
            )
        )
    words = _text(config).get("vocab_size")
    if "tokenizer.json" not in folder.sizes or not isinstance(words, int):
        return
    read = _json(folder, "tokenizer.json", findings)
    if read is None:
        return
    highest = _highest_id(read)
    # An Mllama has eight embeddings more than its vocabulary, the last of them for images.
    if highest >= words + (8 if "vision_config" in config else 0):
        findings.append(
            Finding(
                "error",
                "tokenizer.json",
                f"it has a token of id {highest}, the model has {words} embeddings",
                "tokenizer and model are of different models, or resize_token_embeddings was not saved",
            )
        )


def _highest_id(tokenizer: Mapping[str, Any]) -> int:
    """The highest id of a tokenizer of the tokenizers library; -1 where it has none."""
    model = tokenizer.get("model")
    vocabulary = model.get("vocab") if isinstance(model, Mapping) else None
    ids = [-1]
    if isinstance(vocabulary, Mapping):
        ids += [value for value in vocabulary.values() if isinstance(value, int)]
    elif isinstance(vocabulary, list):  # of a unigram model, by place
        ids.append(len(vocabulary) - 1)
    added = tokenizer.get("added_tokens")
    if isinstance(added, list):
        ids += [item["id"] for item in added if isinstance(item, Mapping) and isinstance(item.get("id"), int)]
    return max(ids)


def _check_size(weights: int, multimodal: bool, findings: list[Finding]) -> None:
    limit = MAX_MULTIMODAL_BYTES if multimodal else MAX_TEXT_BYTES
    if weights >= limit:
        findings.append(
            Finding(
                "error",
                "weights",
                f"{weights / 1e9:,.1f} GB are more than the {limit / 1e9:,.0f} GB that Bedrock takes"
                + (" of a model that reads images" if multimodal else ""),
                "save the weights as bfloat16, or take a smaller model",
            )
        )
