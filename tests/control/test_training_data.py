"""Training data: from messages, CSV and JSON lines, checked with line numbers, written as the base model reads it."""

import csv
import json
import re

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from llama_bedrock.control import TrainingData
from llama_bedrock.control.base_models import check_hyperparameters

LLAMA31 = "meta.llama3-1-8b-instruct-v1:0"
LLAMA32_VISION = "meta.llama3-2-11b-instruct-v1:0"
LLAMA33 = "meta.llama3-3-70b-instruct-v1:0"


def pairs(count):
    return [(f"What is {n} times three?", f"It is {n * 3}.") for n in range(count)]


def conversations(count=100):
    return [[("user", question), ("assistant", answer)] for question, answer in pairs(count)]


@pytest.fixture
def csv_file(tmp_path):
    """100 rows, of which the first takes two lines."""
    path = tmp_path / "train.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file)
        writer.writerow(["question", "answer", "rules"])
        writer.writerows([f"{question}\n" if n == 0 else question, answer, "Be brief." if n else ""]
                         for n, (question, answer) in enumerate(pairs(100)))  # fmt: skip
    return path


def lines_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def errors(checked):
    return [str(finding) for finding in checked.findings if finding.level == "error"]


def test_csv_is_written_in_the_schema_of_the_base_model(csv_file, tmp_path):
    data = TrainingData.from_csv(csv_file, prompt="question", completion="answer")
    for_31 = lines_of(data.check(LLAMA31).write(tmp_path / "a.jsonl"))
    assert for_31[1] == {"prompt": "What is 1 times three?", "completion": "It is 3."}
    data = TrainingData.from_csv(csv_file, prompt="question", completion="answer", system="rules")
    for_33 = lines_of(data.check(LLAMA33).write(tmp_path / "b.jsonl"))
    assert for_33[1] == {
        "schemaVersion": "bedrock-conversation-2024",
        "system": [{"text": "Be brief."}],
        "messages": [
            {"role": "user", "content": [{"text": "What is 1 times three?"}]},
            {"role": "assistant", "content": [{"text": "It is 3."}]},
        ],
    }
    assert "system" not in for_33[0]
    assert any(
        "line 4: Llama 3.1 8B Instruct is trained by prompt" in line for line in errors(data.check(LLAMA31))
    )


@pytest.mark.parametrize("base", [LLAMA31, LLAMA33, f"{LLAMA33}:128k"])
def test_what_was_written_is_read_again(base, csv_file, tmp_path):
    first = TrainingData.from_csv(csv_file, prompt="question", completion="answer").check(base)
    again = TrainingData.from_jsonl(first.write(tmp_path / "a.jsonl")).check(base)
    assert [e.turns for e in again.examples] == [e.turns for e in first.examples]
    assert again.ok


def test_messages_of_langchain_and_of_openai(tmp_path):
    own = [[SystemMessage("s"), HumanMessage(f"q {n}"), AIMessage(f"a {n}")] for n in range(100)]
    assert TrainingData.from_messages(own).check(LLAMA33).ok
    path = tmp_path / "openai.jsonl"
    roles = ("system", "user", "assistant")
    path.write_text(
        "\n\n".join(
            json.dumps({"messages": [{"role": r, "content": f"{r} {n}"} for r in roles]}) for n in range(100)
        )
    )
    data = TrainingData.from_jsonl(path)
    assert (len(data), data.examples[1].where) == (100, "openai.jsonl, line 3")
    assert data.check(LLAMA33).ok


BAD = {
    "order": ([("assistant", "a"), ("user", "q")], "turn 1 is the assistant's, where the user's has to be"),
    "twice": ([("user", "q"), ("user", "q"), ("assistant", "a")], "turn 2 is the user's"),
    "no answer": ([("user", "q")], "does not end with the assistant; add the answer"),
    "system late": ([("user", "q"), ("assistant", "a"), ("system", "s")], "the system speaks after another"),
    "system alone": ([("system", "s")], "there is no turn"),
    "empty": ([("user", " "), ("assistant", "a")], r"turn 1 \(user\) is empty"),
    "control token": ([("user", "q"), ("assistant", "a<|eot_id|>")], r"the control token <\|eot_id\|>"),
    "tool": ([HumanMessage("q"), ToolMessage("r", tool_call_id="1")], "no turns of type 'tool'"),
    "calls": (
        [("user", "q"), AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "1"}])],
        "trains no tool calls as such",
    ),
    "long": ([("user", "word " * 20_000), ("assistant", "a")], r"about \d\d,\d+ tokens; .* at most 16,000"),
    "image": ([HumanMessage([{"type": "image_url", "image_url": "x"}]), ("assistant", "a")], "image in S3"),
    "no messages": (7, "cannot be read"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_bedrock_would_refuse_is_said_with_its_place(name, tmp_path):
    conversation, says = BAD[name]
    checked = TrainingData.from_messages([*conversations(), conversation]).check(LLAMA33)
    (found,) = errors(checked)
    assert found.startswith("error: conversation 101: ")
    assert re.search(says, found)
    with pytest.raises(ValueError, match="nothing was uploaded"):
        checked.write(tmp_path / "x.jsonl")
    assert not (tmp_path / "x.jsonl").exists()


def test_lines_that_cannot_be_read(tmp_path):
    good = [json.dumps({"prompt": q, "completion": a}) for q, a in pairs(100)]
    bad = [
        "{",
        "[]",
        '{"prompt": 5, "completion": "x"}',
        '{"x": 1}',
        '{"messages": [{"role": "user"}]}',
        '{"messages": ["x"]}',
    ]
    path = tmp_path / "t.jsonl"
    path.write_text("\n".join(good + bad))
    found = errors(TrainingData.from_jsonl(path).check(LLAMA31))
    assert [line.split(":")[1] for line in found] == [f" t.jsonl, line {n}" for n in range(101, 107)]
    (tmp_path / "t.csv").write_text("prompt\n")
    with pytest.raises(ValueError, match="no column question; it has prompt"):
        TrainingData.from_csv(tmp_path / "t.csv", prompt="question", completion="prompt")


def test_several_turns_images_and_prompts_only():
    several = [[("user", "a"), ("assistant", "b"), ("user", f"c{n}"), ("assistant", "d")] for n in range(100)]
    assert TrainingData.from_messages(several).check(LLAMA33).ok
    assert "learns from one prompt and completion, this has 4 turns" in str(
        TrainingData.from_messages(several).check(LLAMA31)
    )
    prompts = TrainingData.from_messages([[("user", f"q{n}")] for n in range(100)])
    assert not prompts.check(LLAMA33).ok
    assert prompts.check(LLAMA33, prompts_only=True).ok


def test_images_go_by_their_place_in_s3(tmp_path):
    image = {"format": "png", "source": {"s3Location": {"uri": "s3://b/1.png"}}}
    path = tmp_path / "i.jsonl"
    user = {"role": "user", "content": [{"image": image}, {"text": "What is it?"}]}
    records = [
        {"messages": [user, {"role": "assistant", "content": [{"text": f"It is {n}."}]}]} for n in range(100)
    ]
    path.write_text("\n".join(map(json.dumps, records)))
    data = TrainingData.from_jsonl(path)
    written = lines_of(data.check(LLAMA32_VISION).write(tmp_path / "o.jsonl"))
    assert written[0]["messages"] == records[0]["messages"]
    assert "which Llama 3.3 70B Instruct does not read" in str(data.check(LLAMA33))


def test_repetitions_and_leaked_test_questions():
    own = conversations()
    own += [own[3], [("user", "what is 4 times THREE"), ("assistant", "Twelve.")]]
    own += [[("user", "Please tell: what is the capital of old France, now?"), ("assistant", "Paris.")]]
    checked = TrainingData.from_messages(own).check(
        LLAMA33, test_questions=["What is 7 times three?", "What is the capital of old France?", "Unrelated?"]
    )
    said = str(checked)
    assert "conversation 101: it is the same as conversation 4" in said
    assert "conversation 102: the same prompt has another answer at conversation 5" in said
    assert [line.partition(": it holds")[0] for line in errors(checked)] == [
        "error: conversation 8",
        "error: conversation 103",
    ]


def test_numbers_of_examples_and_the_end_of_the_base_are_said():
    few = TrainingData.from_messages(conversations(99)).check(LLAMA33)
    assert "there are 99 examples; Bedrock takes 100 to 10,000; add some" in str(few)
    assert f"warning: the base model: {LLAMA33} is Legacy" in str(few)
    with pytest.raises(ValueError, match=r"does not customise 'meta\.llama4-scout"):
        TrainingData.from_messages([]).check("meta.llama4-scout-17b-instruct-v1:0")


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"epochCount": 3, "learningRate": 1e-4, "batchSize": 1}, {"epochCount": "3", "learningRate": "0.0001", "batchSize": "1"}),
        ({"epochCount": "10", "learningRate": "5e-6"}, {"epochCount": "10", "learningRate": "0.000005"}),
        (None, {}),
    ],
)  # fmt: skip
def test_hyperparameters_are_texts_within_bounds(given, sent):
    assert check_hyperparameters(given) == sent


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            {"learningRateWarmupSteps": 0},
            "no hyperparameter of a Llama; they are epochCount, batchSize, learningRate",
        ),
        ({"epochCount": 11}, "Bedrock takes 1 to 10"),
        ({"epochCount": 1.5}, "a whole number from 1 to 10"),
        ({"epochCount": True}, "a whole number"),
        ({"batchSize": 2}, "Bedrock takes 1 to 1"),
        ({"learningRate": "fast"}, "a number from 0.000005 to 0.1"),
        ({"learningRate": 1e-6}, "takes 0.000005 to 0.1"),
        ({"learningRate": float("nan")}, "a number from"),
    ],
)
def test_hyperparameters_that_bedrock_would_refuse(given, says):
    with pytest.raises(ValueError, match=says):
        check_hyperparameters(given)


SHAPES = {
    "OASST": ({"message_id": "1", "text": "Hi", "role": "prompter"}, "it holds 'message_id', 'text', 'role'"),
    "OpenAI's with tools": (
        {"messages": [{"role": "user", "content": "Hi"}], "tools": [{"type": "function"}]},
        "'tools'",
    ),
    "OpenAI's calls": (
        {"messages": [{"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}]},
        "'tool_calls', which Bedrock does not train",
    ),
    "OpenAI's weights": (
        {"messages": [{"role": "assistant", "content": "No.", "weight": 0}]},
        "'weight', which Bedrock does not train",
    ),
    "a system without an answer": ({"system": "Be brief.", "prompt": "a"}, "'system'"),
    "an instruction without an answer": ({"instruction": "Why?", "id": 1}, "'instruction'"),
    "two answers": ({"instruction": "a", "output": "b", "response": "c"}, "'output' and 'response': which"),
    "two questions": ({"instruction": "a", "question": "b", "answer": "c"}, "'instruction' and 'question'"),
    "an answer that is a list": ({"question": "a", "answer": ["b"]}, "texts are needed: 'answer' is list"),
    "a history": ({"instruction": "a", "output": "b", "history": [["c", "d"]]}, "'history'"),
    "ShareGPT's tools": (
        {"conversations": [{"from": "function_call", "value": "{}"}]},
        "trains no turns of 'function_call'",
    ),
    "ShareGPT's weights": (
        {"conversations": [{"from": "gpt", "value": "No.", "weight": 0}]},
        "'weight', which Bedrock does not train",
    ),
    "turns twice": (
        {"conversations": [{"from": "gpt", "value": "a"}], "conversation": [{"from": "gpt", "value": "b"}]},
        "and other turns",
    ),
    "both": ({"messages": [], "prompt": "a", "completion": "b"}, "one of them would be dropped"),
    "no role": ({"messages": [{"from": "human", "value": "Hi"}]}, "a message has a role and content"),
}


READ = {
    "Alpaca": (
        {"instruction": "Translate.", "input": "Hallo", "output": "Hello"},
        ["user: Translate.\n\nHallo", "assistant: Hello"],
    ),
    "Alpaca without input": (
        {"instruction": "Greet.", "input": "", "output": "Hello", "text": "Below is an instruction"},
        ["user: Greet.", "assistant: Hello"],
    ),
    "Dolly": (
        {"instruction": "Why?", "context": "It rains.", "response": "Rain.", "category": "closed_qa"},
        ["user: Why?\n\nIt rains.", "assistant: Rain."],
    ),
    "ShareGPT": (
        {
            "id": "x_0",
            "conversations": [
                {"from": "system", "value": "Be brief."},
                {"from": "human", "value": "Hi"},
                {"from": "gpt", "value": "Hello"},
            ],
        },
        ["system: Be brief.", "user: Hi", "assistant: Hello"],
    ),
    "the same twice": (
        {
            "instruction": "Why?",
            "completion": "Rain.",
            "messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Rain."}],
        },
        ["user: Why?", "assistant: Rain."],
    ),
    "questions": ({"question": "Why?", "answer": "Rain."}, ["user: Why?", "assistant: Rain."]),
    "a response": ({"prompt": "Why?", "response": "Rain."}, ["user: Why?", "assistant: Rain."]),
    "a system beside the prompt": (
        {"system": "Be brief.", "prompt": "a", "completion": "b"},
        ["system: Be brief.", "user: a", "assistant: b"],
    ),
}


@pytest.mark.parametrize("shape", READ)
def test_public_shapes_are_read(tmp_path, shape):
    record, turns = READ[shape]
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps(record) + "\n")
    (example,) = TrainingData.from_jsonl(path).examples
    assert example.problem is None
    assert [f"{turn.role}: {turn.text}" for turn in example.turns] == turns


@pytest.mark.parametrize("shape", SHAPES)
def test_public_shapes_are_told_and_nothing_of_them_is_dropped(tmp_path, shape):
    record, words = SHAPES[shape]
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps(record) + "\n")
    (example,) = TrainingData.from_jsonl(path).examples
    assert words in example.problem


def test_a_system_that_is_a_text_and_a_file_that_is_an_array(tmp_path):
    path = tmp_path / "train.jsonl"
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    path.write_text(json.dumps({"system": "Be brief.", "messages": turns}) + "\n")
    (example,) = TrainingData.from_jsonl(path).examples
    assert [turn.text for turn in example.turns] == ["Be brief.", "a", "b"]
    path.write_text(json.dumps([{"prompt": "a", "completion": "b"}], indent=1))
    with pytest.raises(ValueError, match="one JSON array"):
        TrainingData.from_jsonl(path)
