"""Whether the weights of a model are whole: all shards, whole files, types and shapes that fit the config."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any

from llama_bedrock.control.findings import Finding, Level, errors_of
from llama_bedrock.control.model_folder import ModelFolder
from llama_bedrock.control.safetensors_header import HeaderError, Tensor, read_header

INDEX = "model.safetensors.index.json"
_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<total>\d{5})\.safetensors")
_ADAPTER = "adapter_config.json"
_QUANTISED_NAME = re.compile(r"bnb|gptq|awq|[48]-?bit|int[48]|w[48]a(?:16|8)|exl2|gguf", re.IGNORECASE)
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
# Element types that a Llama is imported in; others are those of quantised weights.
_TYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_SAVE = "save the model with `save_pretrained(…, safe_serialization=True)` of transformers"
_NO_HEAD = Finding(
    "error",
    "config.json",
    "the weights have no lm_head.weight, and tie_word_embeddings is not true",
    f"set it where the model ties them (as Llama 3.2 1B and 3B do), else this is no whole Llama: {_SAVE}",
)


def check_weights(folder: ModelFolder, config: Mapping[str, Any]) -> tuple[dict[str, Tensor], list[Finding]]:
    """Read the header of every shard.

    Returns:
        All tensors by name, and what was found.
    """
    findings = [*no_whole_model(folder), *_pickles(folder)]
    shards = [
        name for name in folder.sizes if name.endswith(".safetensors") and not name.startswith("adapter")
    ]
    index, indexed = _index(folder, findings)
    missing = {name for name in indexed if name not in folder.sizes} | _missing_numbers(shards)
    for name in sorted(missing):
        findings.append(
            Finding("error", name, "this shard of the weights is missing", "download or save the model again")
        )
    if not shards and not missing and not errors_of(findings):
        findings.append(Finding("error", folder.where, "there are no .safetensors files", _SAVE))
    tensors: dict[str, Tensor] = {}
    places: dict[str, str] = {}
    for name in shards:
        try:
            header = read_header(partial(folder.read, name), folder.sizes[name])
        except (HeaderError, OSError) as error:
            what, _, fix = str(error).rpartition(": ")
            findings.append(Finding("error", name, what, fix))
            missing.add(name)
            continue
        for tensor in header.keys() & tensors.keys():
            findings.append(
                Finding("error", name, f"the tensor {tensor!r} is in {places[tensor]} too", "keep one copy")
            )
        tensors.update(header)
        places.update(dict.fromkeys(header, name))
    if not missing and tensors:
        findings += _against_index(index, places, shards)
        findings += _against_config(tensors, config)
    findings += _types(tensors)
    return tensors, findings


def no_whole_model(folder: ModelFolder) -> list[Finding]:
    """What a folder holds in place of a model that Bedrock reads, or beside one."""
    findings = []
    names = folder.sizes
    whole = "config.json" in names and any(name.endswith(".safetensors") for name in names)
    for name in names:
        if name.endswith((".gguf", ".ggml")):
            findings.append(
                Finding(
                    "error", name, "it is a quantised GGUF file", "import the original weights as safetensors"
                )
            )
    if "params.json" in names and "config.json" not in names:
        findings.append(
            Finding(
                "error",
                "params.json",
                "these are Meta's own files",
                "convert them with convert_llama_weights_to_hf.py of transformers",
            )
        )
    if _ADAPTER in names:
        findings.append(
            Finding(
                "warning" if whole else "error",
                _ADAPTER,
                "a LoRA adapter is no whole model",
                f"merge it into its base{_base(folder)} with `merge_and_unload()` of peft, and save that",
            )
        )
    return findings


def _base(folder: ModelFolder) -> str:
    """The base of an adapter, as its settings name it; merged into quantised weights it would stay so."""
    try:
        name = json.loads(folder.read(_ADAPTER))["base_model_name_or_path"]
    except (ValueError, KeyError, TypeError, OSError):
        return ""
    if not name or not isinstance(name, str):
        return ""
    also = ", but in 16 bits: this one is quantised" if _QUANTISED_NAME.search(name) else ""
    return f" ({name}{also})"


def _pickles(folder: ModelFolder) -> list[Finding]:
    """Weights as pickles, which Bedrock does not read; those of Meta's own files are to be converted."""
    what = "it is a pickle, which can run code; Bedrock reads safetensors"
    has_weights = any(name.endswith(".safetensors") for name in folder.sizes)
    found: tuple[Level, str] = (
        ("warning", "it is left out of the upload") if has_weights else ("error", _SAVE)
    )
    return [
        Finding(found[0], name, what, found[1])
        for name in folder.sizes
        if name.endswith(_PICKLES) and name != "training_args.bin" and "params.json" not in folder.sizes
    ]


def _index(folder: ModelFolder, findings: list[Finding]) -> tuple[dict[str, str], set[str]]:
    """The index's file by tensor, and the files that it names."""
    if INDEX not in folder.sizes:
        return {}, set()
    try:
        index = json.loads(folder.read(INDEX))["weight_map"]
        return {str(k): str(v) for k, v in index.items()}, set(map(str, index.values()))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        findings.append(Finding("error", INDEX, "it has no weight_map", "save the model again"))
        return {}, set()


def _missing_numbers(shards: list[str]) -> set[str]:
    """Shards that the numbers in the names of the others say there are."""
    missing = set()
    for name in shards:
        if match := _SHARD.fullmatch(name):
            total = int(match["total"])
            stem, end = match["stem"], match["total"]
            missing |= {f"{stem}-{n:05d}-of-{end}.safetensors" for n in range(1, total + 1)}
    return missing - set(shards)


def _against_index(index: Mapping[str, str], places: Mapping[str, str], shards: list[str]) -> list[Finding]:
    findings = []
    wrong = sorted(name for name, shard in index.items() if places.get(name) != shard)
    if wrong:
        findings.append(
            Finding(
                "error",
                INDEX,
                f"{len(wrong)} tensors are not where it says, such as {wrong[0]!r} in {index[wrong[0]]}",
                "the shards are of another model or version: download all of them again",
            )
        )
    if len(shards) > 1 and not index:
        findings.append(
            Finding("warning", INDEX, f"it is missing beside {len(shards)} shards", "save the model again")
        )
    elif unknown := sorted(set(shards) - set(index.values())) if index else []:
        findings.append(
            Finding(
                "error", unknown[0], "the index does not name this file", "remove it, or save the model again"
            )
        )
    return findings


def _against_config(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> list[Finding]:
    """Layers and the size of the embeddings, by the names that transformers gives them in a Llama."""
    text = config.get("text_config") if isinstance(config.get("text_config"), Mapping) else config
    assert isinstance(text, Mapping)
    found = {
        int(m[1])
        for name in tensors
        if (m := re.search(r"(?:^|\.)layers\.(\d+)\.", name)) and "vision" not in name
    }
    findings = []
    layers = text.get("num_hidden_layers")
    if isinstance(layers, int) and found and found != set(range(layers)):
        findings.append(
            Finding(
                "error",
                "config.json",
                f"it says {layers} layers, the weights have {len(found)}",
                "config and weights are of different models",
            )
        )
    llama = str(config.get("model_type", "")) in ("llama", "mllama")
    tied = text.get("tie_word_embeddings", config.get("tie_word_embeddings", False))
    if llama and not tied and not any(name.endswith("lm_head.weight") for name in tensors):
        findings.append(_NO_HEAD)
    embeddings = next((t for n, t in tensors.items() if n.endswith("embed_tokens.weight")), None)
    wanted = (text.get("vocab_size"), text.get("hidden_size"))
    if embeddings is None:
        if llama:
            findings.append(
                Finding(
                    "error",
                    "config.json",
                    "the weights have no embed_tokens.weight",
                    "this is no whole Llama: " + _SAVE,
                )
            )
    # Mllama has eight embeddings more than words: those of its image tokens.
    elif embeddings.shape != wanted and config.get("model_type") != "mllama" and None not in wanted:
        findings.append(
            Finding(
                "error",
                "config.json",
                f"it says {wanted[0]} words of {wanted[1]} numbers, the weights have "
                + " x ".join(map(str, embeddings.shape)),
                "config and weights are of different models; after `resize_token_embeddings` save both again",
            )
        )
    return findings


def _types(tensors: Mapping[str, Tensor]) -> list[Finding]:
    kinds = Counter(tensor.dtype for tensor in tensors.values())
    other = sorted(kinds.keys() - _TYPES.keys())
    if not other:
        return []
    name = next(name for name, tensor in tensors.items() if tensor.dtype == other[0])
    return [
        Finding(
            "error",
            "weights",
            f"{sum(kinds[kind] for kind in other)} tensors are of type {', '.join(other)}, such as {name!r}",
            "Bedrock takes float32, float16 and bfloat16: import weights that are not quantised",
        )
    ]


def main_type(tensors: Mapping[str, Tensor]) -> str | None:
    """The type that most of the weights have, as config.json calls it."""
    sizes: Counter[str] = Counter()
    for tensor in tensors.values():
        sizes[tensor.dtype] += tensor.size
    return _TYPES.get(sizes.most_common(1)[0][0], sizes.most_common(1)[0][0]) if sizes else None
