import pytest

from llama_bedrock.text import language_of, query_terms, terms


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
        ("ไฟล์ของระบบ", ["ไฟล์", "ระบบ"]),
        ("ทํางานอัตโนมัติ", terms("ทำงานอัตโนมัติ")),
        ("ຄອມພິວ", ["ຄອ", "ອມ", "ມພ", "ພິ", "ິວ"]),
        ("C++ and C#, g++ or F#", ["c++", "c#", "g++", "f#"]),
        ("C++17", ["c++", "17"]),
        ("page#anchor of Notepad++", ["page", "anchor", "notepad"]),
        ("for (;;) i++", []),
        ("Daten\u00adbank zero\u200bwidth", ["datenbank", "zerowidth"]),
        (
            "an instal-\n  lation of well-\r\nknown",
            ["instal", "instal", "lation", "wellknown", "well", "known"],
        ),
        ("a - \nb 5-\n6 List-\nItem", ["b", "5", "6", "list", "item"]),
        ("", []),
        ("_ __ !?", []),
    ],
)
def test_terms_are_stems_and_identifiers_with_their_parts(text, expected):
    assert terms(text) == expected


@pytest.mark.parametrize(
    ("language", "question", "title"),
    [
        ("de", "Wie installiere ich ein Paket mit apt?", "Installation von Paketen: apt"),
        ("fr", "Comment est-ce que j'installe un paquet avec apt ?", "Installer des paquets : apt"),
        ("it", "Come faccio a installare un pacchetto con apt?", "Installazione dei pacchetti: apt"),
        ("pt", "Como é que eu instalo um pacote com o apt?", "Instalação de pacotes: apt"),
        ("es", "¿Cómo puedo instalar un paquete con apt?", "Instalación de los paquetes: apt"),
        ("hi", "apt से पैकेज कैसे स्थापित करें?", "पैकेज को apt से स्थापित करना"),
        ("ru", "Как мне установить пакет с apt?", "Установка пакетов: apt"),
    ],
)
def test_a_question_of_a_language_keeps_the_words_that_matter(language, question, title):
    words = terms(question)
    assert language_of(question) == language
    assert len(words) <= 4  # what is left has no function words
    assert len(set(words) & set(terms(title, language))) >= 2


def test_a_question_in_thai_keeps_the_words_that_matter():
    words = terms("ฉันจะติดตั้งแพ็กเกจด้วย apt ได้อย่างไร")
    assert words == terms("การติดตั้งแพ็กเกจ apt")
    assert len(words) <= 5


def test_few_words_are_stemmed_as_the_texts_are():
    assert query_terms("Pakete installieren", ["en"]) == [["paket", "installieren"]]
    assert query_terms("Pakete installieren", ["de", "en"]) == [
        ["pak", "installi"],
        ["paket", "installieren"],
    ]


@pytest.mark.parametrize(
    "text", ["comment syntax", "die casting", "Accessing Vertex AI", "OS/2", "llamas hum"]
)
def test_a_word_of_two_languages_is_found_in_english_texts(text):
    assert query_terms(text, ["en"]) == [terms(text, "en")]


def test_source_code_is_not_taken_for_a_language():
    code = "import os\n\ndef die(self, status):\n    return os.environ.get(self.name, status)\n" * 5
    assert language_of(code) == "en"


def test_two_foreign_function_words_do_not_tell_the_language_of_a_longer_text():
    assert language_of("value = registry.lookup(name)\n" * 10 + "die der") == "en"
    assert language_of("die der") == "de"
