"""`llama-bedrock cost`: files of prompts in the forms that people have them in."""

import json

import pytest
from typer.testing import CliRunner

from llama_bedrock import ChatLlamaBedrock
from llama_bedrock.cli.main import app

MODEL = "meta.llama3-3-70b-instruct-v1:0"
IMPORTED = "arn:aws:bedrock:us-east-1:123456789012:imported-model/abcdefghijkl"


@pytest.fixture
def cost(tmp_path):
    """Function: (file name, its text, arguments) → what `cost --json` says."""

    def run(name, text, *arguments):
        (tmp_path / name).write_text(text)
        result = CliRunner().invoke(
            app, ["cost", str(tmp_path / name), "--json", "--model", MODEL, *arguments]
        )
        return json.loads(result.stdout) if result.exit_code == 0 else result.stderr

    return run


FORMS = {
    "lines": ("p.txt", "Who are you?\n\n", 512),
    "prompt": ("p.jsonl", json.dumps({"prompt": "Who are you?", "max_tokens": 7}), 7),
    "question": ("p.jsonl", json.dumps({"question": "Who are you?"}), 512),
    "a JSON text": ("p.jsonl", json.dumps("Who are you?"), 512),
    "messages": ("p.jsonl", json.dumps({"messages": [{"role": "user", "content": "Who are you?"}]}), 512),
    "a mark of the order of bytes": ("p.jsonl", "\ufeff" + json.dumps({"prompt": "Who are you?"}), 512),
    "a mark before a line": ("p.txt", "\ufeffWho are you?\n", 512),
    "CSV": ("p.csv", "id;question\n1;Who are you?\n", 512),
    "OpenAI's batch": (
        "p.jsonl",
        json.dumps(
            {"body": {"messages": [{"role": "user", "content": "Who are you?"}], "max_completion_tokens": 9}}
        ),
        9,
    ),
    "Bedrock's batch": (
        "p.jsonl",
        json.dumps(
            {
                "recordId": "1",
                "modelInput": {
                    "prompt": ChatLlamaBedrock(model=MODEL).render_prompt("Who are you?").text,
                    "max_gen_len": 64,
                },
            }
        ),
        64,
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_prompt_costs_the_same(cost, form):
    name, text, most = FORMS[form]
    told = cost(name, text)
    llm = ChatLlamaBedrock(model=MODEL)
    tokens = llm.get_num_tokens(llm.render_prompt("Who are you?").text)
    assert (told["prompts"], told["input_tokens"], told["output_tokens"]) == (1, tokens, most)
    assert told["output_is_a_limit"] is True
    assert told["on_demand"]["total_cost"] == pytest.approx((tokens + most) * 0.72e-6)
    assert told["batch"]["total_cost"] == pytest.approx((tokens + most) * 0.36e-6)


def test_expected_answers_and_no_price(cost):
    told = cost("p.txt", "one\ntwo\n", "--output-tokens", "100")
    assert (told["prompts"], told["output_tokens"], told["output_is_a_limit"]) == (2, 200, False)
    told = cost("p.txt", "one\n", "--model", IMPORTED, "--format", "llama3.3")
    assert not {"on_demand", "batch"} & told.keys()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no prompts"),
        ("{bad", "line 1: no JSON"),
        ('{"a": ' + "[" * 200_000, "line 1: no JSON"),
        ("[1]", "line 1"),
        ('{"other": 1}', "none of messages"),
        ('{"instruction": "Translate.", "input": "Hallo"}', "'instruction', which would be dropped"),
        ('{"prompt": "a", "prompt": "b"}', "line 1"),
    ],
)
def test_bad_files_are_named(cost, text, said):
    assert said in cost("p.jsonl", text)
