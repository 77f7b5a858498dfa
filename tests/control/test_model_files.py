"""The check before an import: a Llama that transformers would load passes, each broken one is told why."""

import json
import re
import shutil

import pytest

from llama_bedrock.control import acheck_model_files, check_model_files
from tests.control.conftest import CONFIG, TEMPLATE, TOKENIZER_CONFIG, write_json

FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


def config(**changes):
    return lambda folder: write_json(folder / "config.json", CONFIG | changes)


def tokenizer_config(**changes):
    return lambda folder: write_json(folder / "tokenizer_config.json", TOKENIZER_CONFIG | changes)


def remove(*names):
    return lambda folder: [(folder / name).unlink() for name in names]


def write(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def cut(folder):
    data = (folder / SECOND).read_bytes()
    (folder / SECOND).write_bytes(data[:-100])


def quantise(folder):
    import numpy
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / FIRST)
    name = next(name for name in tensors if name.endswith("proj.weight"))
    save_file(tensors | {name: tensors[name].astype(numpy.int8)}, folder / FIRST)


def swap_shards(folder):
    first, second = (folder / FIRST).read_bytes(), (folder / SECOND).read_bytes()
    (folder / FIRST).write_bytes(second)
    (folder / SECOND).write_bytes(first)


def pickles_only(folder):
    remove(FIRST, SECOND, "model.safetensors.index.json")(folder)
    (folder / "pytorch_model.bin").write_bytes(b"PK")


def meta_files(folder):
    for path in folder.iterdir():
        path.unlink()
    (folder / "params.json").write_text("{}")
    (folder / "consolidated.00.pth").write_bytes(b"PK")


def adapter_only(folder):
    for path in folder.iterdir():
        path.unlink()
    (folder / "adapter_config.json").write_text("{}")
    (folder / "adapter_model.safetensors").write_bytes(b"")


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9085657\n"


def adapter_of(base):
    def change(folder):
        adapter_only(folder)
        write_json(folder / "adapter_config.json", {"base_model_name_or_path": base})

    return change


def pointers(folder):
    for name in (FIRST, SECOND, "tokenizer.json"):
        (folder / name).write_bytes(POINTER)


def moved(folder, *places):
    for place in places:
        (folder / place).mkdir(parents=True)
        for path in [path for path in folder.iterdir() if path.is_file()]:
            shutil.copy(path, folder / place)
    for path in [path for path in folder.iterdir() if path.is_file()]:
        path.unlink()


def in_checkpoints(folder):
    moved(folder, "checkpoint-10", "checkpoint-20")


def in_hub_cache(folder):
    moved(folder, "snapshots/0e9e39f")
    (folder / "refs").mkdir()


# What says all that there is to say; other findings would lead astray.
ALONE = ("Meta's files", "LoRA", "LoRA of a base", "pointers", "pickles", "checkpoints", "cache of the hub")


def broken_link(folder):
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.json").symlink_to("../blobs/nothing")


BROKEN = {
    "no config": (remove("config.json"), r"config.json: it is missing; save the model"),
    "config no JSON": (write("config.json", b"{"), r"config.json: it is no JSON"),
    "config a list": (write("config.json", b"[]"), r"config.json: it is no JSON object"),
    "other architecture": (
        config(architectures=["GemmaForCausalLM"]),
        r"does not take the architecture Gemma",
    ),
    "Llama 4": (config(architectures=["Llama4ForConditionalGeneration"], model_type="llama4"), r"no Llama 4"),
    "no architecture": (config(architectures=None), r"names no architecture"),
    "model type": (config(model_type="mistral"), r"does not go with model_type 'mistral'"),
    "float8": (config(torch_dtype="float8_e4m3fn"), r"type is float8_e4m3fn; Bedrock takes float32"),
    "quantised": (config(quantization_config={"quant_method": "gptq"}), r"quantised \(gptq\)"),
    "AutoGPTQ": (write("quantize_config.json", b"{}"), r"quantize_config.json: .* quantised \(gptq\)"),
    "AutoAWQ": (write("quant_config.json", b"{}"), r"quant_config.json: .* quantised \(awq\)"),
    "context": (config(max_position_embeddings=1048576), r"1,048,576 tokens is longer than the 131,072"),
    "layers": (config(num_hidden_layers=5), r"it says 5 layers, the weights have 4"),
    "embeddings": (config(vocab_size=1030), r"1030 words of 32 numbers, the weights have 1024 x 32"),
    "no tokenizer": (remove("tokenizer.json"), r"there is no tokenizer; save it"),
    "tokenizer of another": (
        write("tokenizer.json", json.dumps({"model": {"vocab": {"a": 5000}}}).encode()),
        r"token of id 5000, the model has 1024",
    ),
    "tokenizer class": (
        tokenizer_config(tokenizer_class="TokenizersBackend"),
        r"tokenizer_class TokenizersBackend",
    ),
    "no tokenizer config": (remove("tokenizer_config.json"), r"tokenizer_config.json: it is missing"),
    "broken link": (broken_link, r"tokenizer.json: its link leads nowhere"),
    "shard missing": (remove(SECOND), rf"{SECOND}: this shard of the weights is missing"),
    "index missing, shard too": (remove(SECOND, "model.safetensors.index.json"), rf"{SECOND}: this shard"),
    "index broken": (write("model.safetensors.index.json", b"{}"), r"index.json: it has no weight_map"),
    "cut": (cut, r"it is cut: [\d,]+ of [\d,]+ bytes of tensors are there; download"),
    "header": (write(SECOND, b"\x10\0\0\0\0\0\0\0not json at all."), r"its header is no JSON"),
    "length": (
        write(SECOND, b"PK\x03\x04" + bytes(100)),
        r"does not begin as a safetensors file|ends inside",
    ),
    "empty": (write(SECOND, b""), r"0 bytes and no header"),
    "git lfs": (
        write(SECOND, b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        r"Git LFS pointer",
    ),
    "int8": (quantise, r"1 tensors are of type I8, such as .*not quantised"),
    "swapped": (swap_shards, r"tensors are not where it says"),
    "pickles": (pickles_only, r"pytorch_model.bin: it is a pickle, .*; save the model with"),
    "GGUF": (write("llama.Q4_K_M.gguf", b"GGUF"), r"quantised GGUF file"),
    "Meta's files": (meta_files, r"convert them with convert_llama_weights_to_hf.py"),
    "LoRA": (adapter_only, r"merge it into its base"),
    "LoRA of a base": (adapter_of("meta-llama/Llama-3.2-1B"), r"its base \(meta-llama/Llama-3.2-1B\) with"),
    "LoRA of no base": (adapter_of(None), r"merge it into its base with"),
    "LoRA of a quantised base": (
        adapter_of("unsloth/llama-3.2-3b-instruct-bnb-4bit"),
        r"\(unsloth/llama-3.2-3b-instruct-bnb-4bit, but in 16 bits: this one is quantised\) with",
    ),
    "pointers": (pointers, r"^error: tokenizer.json and 2 more files: it is a Git LFS pointer.*git lfs pull"),
    "one pointer": (write("tokenizer.model", POINTER), r"tokenizer.model: it is a Git LFS pointer"),
    "no head": (config(tie_word_embeddings=False), r"no lm_head.weight, and tie_word_embeddings is not true"),
    "MLX": (config(quantization={"bits": 4, "group_size": 64}), r"the weights are quantised"),
    "tokenizer.model alone": (
        lambda folder: (folder / "tokenizer.json").rename(folder / "tokenizer.model"),
        r"tokenizer.json: it is missing, and PreTrainedTokenizerFast reads no tokenizer.model",
    ),
    "checkpoints": (in_checkpoints, r"no model itself, but checkpoint-10 and checkpoint-20 in it are"),
    "cache of the hub": (in_hub_cache, r"no model itself, but snapshots/0e9e39f in it is; give that folder"),
    "template file": (write("chat_template.json", b"[1]"), r"chat_template.json: it cannot be read"),
}


def test_a_whole_llama_passes(tiny_llama):
    found = check_model_files(tiny_llama())
    assert found.ok, str(found)
    assert found.findings == ()
    assert (found.prompt_format, found.template, found.dtype) == ("llama3.1", "meta", "float16")
    assert (found.architecture, found.context_length) == ("LlamaForCausalLM", 131072)
    weights = [size for name, size in found.upload.items() if name.endswith(".safetensors")]
    assert found.weight_bytes == sum(weights) > 100_000
    assert found.parameters * 2 == pytest.approx(found.weight_bytes, rel=0.1)
    found.raise_for_errors()


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_one_is_told_why_and_what_to_do(name, tiny_llama):
    folder = tiny_llama()
    damage, says = BROKEN[name]
    damage(folder)
    found = check_model_files(folder)
    assert not found.ok
    errors = [str(finding) for finding in found.findings if finding.level == "error"]
    assert any(re.search(says, line) for line in errors), errors
    assert all("\n" not in line for line in errors)
    assert len(errors) == 1 or name not in ALONE, errors
    with pytest.raises(ValueError, match="would fail, and nothing was uploaded"):
        found.raise_for_errors()


GENERATIONS = {
    "llama2": {"vocab_size": 32000, "max_position_embeddings": 4096, "rope_scaling": None},
    "llama2 and more words": {"vocab_size": 32016, "max_position_embeddings": 16384, "rope_scaling": None},
    "llama3": {"max_position_embeddings": 8192, "rope_scaling": None},
    "llama3.1": {},
    "llama3.2": {"rope_scaling": {"rope_type": "llama3", "factor": 32.0}},
    "llama3.3": {"_name_or_path": "meta-llama/Llama-3.3-70B-Instruct"},
}


@pytest.mark.parametrize("generation", GENERATIONS)
def test_the_generation_is_read_from_config_and_template(generation, tiny_llama):
    folder = tiny_llama(hidden_size=4, intermediate_size=4, **GENERATIONS[generation])
    if generation.startswith("llama2"):
        template = (
            "{{ bos_token }}[INST] <<SYS>>\\n{{ system }}\\n<</SYS>>\\n\\n{{ messages[0].content }} [/INST]"
        )
        tokenizer_config(chat_template=template)(folder)
    found = check_model_files(folder)
    assert (found.prompt_format, found.template) == (generation.split()[0], "meta"), str(found)


CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
TEMPLATES = {
    "ChatML": (CHATML, r"it writes <\|im_start\|> \(ChatML\)"),
    "one newline": (TEMPLATE.replace("\\n\\n", "\\n"), "not followed by two newlines"),
    "Llama 2's": ("[INST] {{ messages[0].content }} [/INST]", "it has no <|start_header_id|>"),
    "Llama 4's": (TEMPLATE.replace("start_header_id", "header_start"), "it has no <|start_header_id|>"),
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_that_is_not_metas_is_said(name, tiny_llama):
    template, says = TEMPLATES[name]
    folder = tiny_llama()
    tokenizer_config(chat_template=template)(folder)
    found = check_model_files(folder)
    assert found.ok
    assert (found.prompt_format, found.template) == (None, "other")
    (warning,) = found.findings
    assert "not Meta's for llama3.1" in warning.what
    assert re.search(says if "\\" in says else re.escape(says), warning.what)


def test_mistrals_turns_are_not_taken_for_llama_2s(tiny_llama):
    folder = tiny_llama(hidden_size=4, intermediate_size=4, **GENERATIONS["llama2"])
    tokenizer_config(chat_template="{{ bos_token }}[INST] {{ messages[0].content }} [/INST]")(folder)
    assert "it has no <<SYS>>" in str(check_model_files(folder))


def test_no_template_is_no_fault_and_a_file_of_its_own_wins(tiny_llama):
    folder = tiny_llama()
    tokenizer_config(chat_template=None)(folder)
    found = check_model_files(folder)
    assert (found.ok, found.template, found.prompt_format) == (True, "none", "llama3.1")
    tokenizer_config(chat_template=CHATML)(folder)
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    found = check_model_files(folder)
    assert (found.template, found.prompt_format) == ("meta", "llama3.1")
    assert "uses this chat template and not that of tokenizer_config.json" in str(found)
    write_json(folder / "tokenizer_config.json", TOKENIZER_CONFIG | {
        "chat_template": [{"name": "default", "template": TEMPLATE}, {"name": "tool_use", "template": CHATML}]
    })  # fmt: skip
    assert check_model_files(folder).findings == ()


@pytest.mark.parametrize("key", ["rope_type", "type"])
def test_rope_scaling_of_other_kinds_is_said(tiny_llama, key):
    (finding,) = check_model_files(tiny_llama(rope_scaling={key: "yarn", "factor": 4.0})).findings
    assert (finding.level, "kind 'yarn'" in str(finding)) == ("warning", True)
    assert check_model_files(tiny_llama("plain", rope_parameters={key: "default"})).findings == ()


def test_what_may_surprise_is_a_warning(tiny_llama):
    folder = tiny_llama(rope_scaling={"rope_type": "llama3", "factor": 32.0})
    (folder / "optimizer.pt").write_bytes(b"PK")
    (folder / "README.md").write_text("x")
    found = check_model_files(folder)
    assert found.ok
    assert [finding.level for finding in found.findings] == ["warning", "warning"]
    assert "Bedrock replaces the rope factor 32.0 by 8" in str(found)
    assert "optimizer.pt: it is a pickle" in str(found)
    assert found.left_out == ("README.md", "optimizer.pt")
    mistral = tiny_llama("mistral", architectures=["MistralForCausalLM"], model_type="mistral")
    found = check_model_files(mistral)
    assert (found.ok, found.prompt_format) == (True, None)


def test_sizes_are_compared_with_the_limits(tiny_llama, monkeypatch):
    from llama_bedrock.control import model_check

    monkeypatch.setattr(model_check, "MAX_TEXT_BYTES", 1000)
    assert "GB that Bedrock takes" in str(check_model_files(tiny_llama()))


async def test_folders_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError):
        await acheck_model_files(tmp_path / "nothing")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        check_model_files(tmp_path / "file")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "there are no files" in str(check_model_files(empty))
    with pytest.raises(ValueError, match="not an S3 address"):
        check_model_files("s3://UPPER/case")
