import pytest
from langchain_core.documents import Document

from llama_bedrock.retrievers.documents.searchable_text import searchable_text
from llama_bedrock.text import terms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Wings of a plane", ["wing", "plane"]),
        ("getUserName", ["getusernam", "get", "user", "name"]),
        ("max_tokens", ["max_token", "max", "token"]),
        ("__init__", ["init"]),
        ("HTTPServer2", ["httpserver2", "http", "server", "2"]),
        ("RUN BEDROCK", ["run", "bedrock"]),
        ("Llama-3.3", ["llama", "3", "3"]),
        ("日本語", ["日本", "本語"]),
        ("GPU性能", ["gpu", "性能"]),
        ("Größe", ["gross"]),
        ("naïve cafe\u0301s", ["naiv", "cafe"]),
        ("ﬁle ＡＢＣ", ["file", "abc"]),
        ("имена_файлов", ["имена_файл", "им", "файл"]),
        ("파일을", ["파일", "일을"]),
        ("फ़ाइलें।", terms("फ़ाइल")),
        ("العربيّة", terms("عربية")),
        ("ไฟล์", ["ไฟ", "ฟล", "ล์"]),
        ("", []),
        ("_ __ !?", []),
    ],
)
def test_terms_are_stems_and_identifiers_with_their_parts(text, expected):
    assert terms(text) == expected


def test_title_and_heading_go_in_front_of_the_text_once():
    def text(**metadata):
        return searchable_text(Document(page_content="Body.", metadata=metadata))

    assert text() == "Body."
    assert text(title="T") == "T\nBody."
    assert text(title="T", heading="A > B") == "T\nA > B\nBody."
    assert text(title="T", heading="T > B") == "T > B\nBody."
    assert text(title=3, heading="") == "Body."
    assert text(title="Body") == "Body."
