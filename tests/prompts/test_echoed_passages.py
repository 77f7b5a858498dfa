"""A model that repeats the tags of its passages shows none of them."""

import pytest

from llama_bedrock.prompts.passages import EchoFilter, Passage, format_passages

BOUNDARY = "7f3a9c21d4e8"
BLOCK = format_passages([Passage(1, "Llamas hum & <b>spit</b>.", 'a "b".md, page 3', "Title <x>")], BOUNDARY)


def filtered(text, size):
    echo = EchoFilter()
    return "".join(echo.feed(text[at : at + size]) for at in range(0, len(text), size)) + echo.close()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10_000])
@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (f"{BLOCK}\nThey hum [1].", "\nLlamas hum & <b>spit</b>.\n\nThey hum [1]."),
        (f"They hum </passage {BOUNDARY}>[1].", "They hum [1]."),
        ("if a < b: <passage> </pass> <p>", "if a < b: <passage> </pass> <p>"),
        ("<", "<"),
        ("a <passage on llamas> b", "a <passage on llamas> b"),
        (f"They hum [1].\n<passage {BOUNDARY} number=", "They hum [1].\n"),
    ],
)
def test_tags_are_taken_out_wherever_the_stream_is_cut(said, shown, size):
    assert filtered(said, size) == shown
