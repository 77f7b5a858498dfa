"""A tiny Llama, as transformers would save it: its weights are written by the safetensors library."""

import json

import pytest

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] + '<|eot_id|>' }}"
    "{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
)
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "torch_dtype": "float16",
    "vocab_size": 1024,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-05,
    "tie_word_embeddings": True,
    "rope_theta": 500000.0,
    "rope_scaling": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
}
TOKENIZER_CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": "<|begin_of_text|>",
    "eos_token": "<|eot_id|>",
    "chat_template": TEMPLATE,
}


def write_json(path, value):
    path.write_text(json.dumps(value))


def weights(config):
    """The tensors of a Llama of this configuration, by the names that transformers gives them."""
    import numpy

    hidden, inner = config["hidden_size"], config["intermediate_size"]
    small = hidden * config["num_key_value_heads"] // config["num_attention_heads"]

    def tensor(*shape):
        return numpy.zeros(shape, numpy.float16)

    found = {
        "model.embed_tokens.weight": tensor(config["vocab_size"], hidden),
        "model.norm.weight": tensor(hidden),
    }
    for n in range(config["num_hidden_layers"]):
        layer = f"model.layers.{n}"
        found |= {
            f"{layer}.self_attn.q_proj.weight": tensor(hidden, hidden),
            f"{layer}.self_attn.k_proj.weight": tensor(small, hidden),
            f"{layer}.self_attn.v_proj.weight": tensor(small, hidden),
            f"{layer}.self_attn.o_proj.weight": tensor(hidden, hidden),
            f"{layer}.mlp.gate_proj.weight": tensor(inner, hidden),
            f"{layer}.mlp.up_proj.weight": tensor(inner, hidden),
            f"{layer}.mlp.down_proj.weight": tensor(hidden, inner),
            f"{layer}.input_layernorm.weight": tensor(hidden),
            f"{layer}.post_attention_layernorm.weight": tensor(hidden),
        }
    return found


def write_tiny_llama(folder, **changes):
    """Write a Llama of this configuration, in two shards."""
    save = pytest.importorskip("safetensors.numpy").save_file
    folder.mkdir()
    config = CONFIG | changes
    write_json(folder / "config.json", config)
    write_json(folder / "tokenizer_config.json", TOKENIZER_CONFIG)
    words = {f"w{n}": n for n in range(config["vocab_size"] - 1)}
    added = [{"id": config["vocab_size"] - 1, "content": "<|eot_id|>", "special": True}]
    write_json(folder / "tokenizer.json", {"model": {"type": "BPE", "vocab": words}, "added_tokens": added})
    write_json(folder / "generation_config.json", {"eos_token_id": 1023})
    tensors = weights(config)
    names = sorted(tensors)
    where = {}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        shard = f"model-{number:05d}-of-00002.safetensors"
        save({key: tensors[key] for key in part}, folder / shard, metadata={"format": "pt"})
        where |= dict.fromkeys(part, shard)
    write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": where})
    return folder


class Echo:
    """Says again what the user said, and keeps what it was asked in `asked`."""

    name = "echo"

    def __init__(self):
        self.asked = []

    def generate(self, request):
        text = request.prompt.rsplit("user<|end_header_id|>\n\n", 1)[1].split("<|eot_id|>")[0]
        self.asked.append(text)
        yield text


@pytest.fixture
def tiny_llama(tmp_path):
    """Function: changes of config.json → the folder of a Llama."""
    return lambda name="tiny-llama", **changes: write_tiny_llama(tmp_path / name, **changes)


ROLE = "arn:aws:iam::123456789012:role/bedrock-imports"


@pytest.fixture(params=["sync", "async"])
def run(request):
    """Function: (name, arguments) → what the function of `llama_bedrock.control` gives, called either way."""
    import asyncio

    from llama_bedrock import control

    def call(name, *args, **kwargs):
        if request.param == "sync":
            return getattr(control, name)(*args, **kwargs)
        return asyncio.run(getattr(control, f"a{name}")(*args, **kwargs))

    return call


@pytest.fixture
def plane(bucket, s3_endpoint):
    """Function: settings of `Account` → Bedrock on this machine, and the settings that reach it."""
    from contextlib import ExitStack

    from llama_bedrock.local import Account, LocalBedrock
    from llama_bedrock.testing import ScriptedEngine

    with ExitStack() as stack:

        def start(*answers, faults=(), **account):
            settings = {"pace": 0.01, "wake_seconds": 0.05, "s3_endpoint_url": s3_endpoint} | account
            engine = ScriptedEngine(answers or ["Hello!"], repeat=True)
            server = LocalBedrock(engine, account=Account(**settings), faults=faults)
            stack.enter_context(server)
            return server, {"endpoint_url": server.endpoint_url, "region_name": "us-west-2"}

        yield start
