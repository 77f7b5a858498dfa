"""Encodings, HTML, CSV, JSON, mail, Markdown and reStructuredText: what real files of each kind hold."""

import email.policy
import json
import mailbox
from email.message import EmailMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

import pytest

from llama_bedrock.retrievers import load_documents
from llama_bedrock.retrievers.documents.headings import markdown_headings
from llama_bedrock.retrievers.documents.readers.encodings import decode


def load(tmp_path, name, data, problems=None):
    (tmp_path / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    return load_documents(tmp_path / name, on_error=None if problems is None else problems.append)


def texts(*arguments):
    return [document.page_content for document in load(*arguments)]


# Encodings


@pytest.mark.parametrize(
    ("label", "codec", "text"),
    [
        ("gb2312", "gbk", "镕基 中文"),
        ("GBK", "gb18030", "㐀 中文"),
        ("shift_jis", "cp932", "①髙橋 ～"),
        ("x-sjis", "cp932", "①髙橋"),
        ("latin1", "cp1252", "“quoted” – 5 €"),
        ("ISO-8859-1", "cp1252", "“quoted”"),
        ("iso-8859-9", "cp1254", "“ğışŞ” €"),
        ("euc-kr", "cp949", "똠방각하"),
        ("ks_c_5601-1987", "cp949", "한국어"),
        ("big5", "big5hkscs", "中文 繁體"),
        ("windows-874", "cp874", "ภาษาไทย"),
        ("tis-620", "cp874", "ภาษา “ไทย”"),
        ("x-cp1251", "cp1251", "Привет"),
        ("koi8-ru", "koi8-u", "Привіт"),
        ("unicode", "utf-16-le", "Grüße 日本"),
    ],
)
def test_labels_mean_what_the_web_means_by_them(tmp_path, label, codec, text):
    assert decode(text.encode(codec), label) == text
    if codec != "utf-16-le":
        page = f'<meta charset="{label}"><p>'.encode() + text.encode(codec)
        assert texts(tmp_path, "a.html", page) == [text]


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("text", ["Plain words, in lines.\nMore of them.", "Русский текст, и ещё немного.\n"])
def test_wide_encodings_are_told_without_a_mark(tmp_path, codec, text):
    assert texts(tmp_path, "a.txt", text.encode(codec)) == [text]


@pytest.mark.parametrize(
    ("codec", "text"),
    [
        ("cp1251", "Установка пакета требует прав администратора. Затем перезагрузите компьютер."),
        ("koi8-r", "Установка пакета требует прав администратора. Затем перезагрузите компьютер."),
        ("cp932", "パッケージをインストールするには管理者の権限が必要です。次に再起動します。"),
        ("gb18030", "安装软件包需要管理员权限。然后重新启动计算机，检查日志文件。"),
        ("cp1253", "Η εγκατάσταση του πακέτου απαιτεί δικαιώματα διαχειριστή. Έπειτα επανεκκινήστε."),
        ("cp1252", "Für die Installation werden Administratorrechte benötigt. Bitte führen Sie es später erneut aus: »größer«."),
        ("cp1252", "L’été dernier, le garçon a été très fatigué après la fête où nous étions invités à dîner."),
    ],
)  # fmt: skip
def test_undeclared_text_is_told_by_what_it_looks_like(codec, text):
    assert decode((text + "\n").encode(codec) * 3) == (text + "\n") * 3


def test_what_stays_doubtful_is_reported(tmp_path):
    problems = []
    load(tmp_path, "a.txt", "Привет".encode("koi8-r"), problems)
    assert ["encoding" in problem.reason for problem in problems] == [True]


# HTML


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<p>a<span hidden>b</span>c<b style='color:red; display: none'>d</b>e</p>", "ace"),
        ("<p>a</p><div style='visibility:hidden'><p>b</p></div><p hidden=until-found>c</p>", "a\n\nc"),
        ("<p>See <img src=x alt='a llama'> here<input type=hidden value=v></p>", "See a llama here"),
        ("<pre><h2>no heading</h2># nor this</pre>", "```\n\nno heading\n# nor this\n```"),
        ("<pre>```\ncode\n```</pre><h1>One</h1>", "````\n```\ncode\n```\n````\n\n# One"),
        ("<p><ruby>漢<rp>(</rp><rt>かん</rt><rp>)</rp></ruby></p>", "漢(かん)"),
        ("<svg><text>in a picture</text></svg>", "in a picture"),
        ("<template>t</template><noscript>n</noscript><p>a &lt; b &amp; c</p>", "a < b & c"),
        ("<p>one<!-- <p>two -->three", "onethree"),
    ],
)
def test_html_gives_what_is_seen(tmp_path, page, text):
    assert texts(tmp_path, "a.html", page) == [text]


# CSV


@pytest.mark.parametrize(
    ("table", "rows"),
    [
        ("a,b\n" + "1,x\n" * 3000 + '2,"say ""hi"", please"\n', ['a: 2\nb: say "hi", please']),
        ("Sales of 2024\n\nRegion;Sum\nEast;5,5\nWest;6,5\n", ["Sales of 2024", "Region: East\nSum: 5,5", "Region: West\nSum: 6,5"]),
        ('size,note\n"6"" pipe",ok\n', ['size: 6" pipe\nnote: ok']),
        ('size,note\n6" pipe,ok\n5" pipe,no\n', ['size: 6" pipe\nnote: ok', 'size: 5" pipe\nnote: no']),
        ('note,n\n"open,1\nmore,2\n', ['note: "open\nn: 1', "note: more\nn: 2"]),
        ('a,b\n"x \\"y\\", z",1\n', ['a: x "y", z\nb: 1']),
        ("only,one,row\n", ["only | one | row"]),
        ("1,2\n3,4\n", ["column 1: 1\ncolumn 2: 2", "column 1: 3\ncolumn 2: 4"]),
    ],
)  # fmt: skip
def test_csv_is_read_by_the_dialect_of_the_whole(tmp_path, table, rows):
    assert texts(tmp_path, "a.csv", table)[-len(rows) :] == rows


# JSON


def test_lists_of_objects_inside_objects_give_a_document_each(tmp_path):
    value = {
        "version": 2,
        "data": {"items": [{"name": "x", "ok": True}, {"name": "y", "n": None}], "total": 2},
    }
    assert texts(tmp_path, "a.json", json.dumps(value)) == [
        "version: 2\ndata.total: 2",
        "name: x\nok: true",
        "name: y\nn: null",
    ]


def test_no_scalar_of_a_record_is_dropped(tmp_path):
    record = {
        "text": "A llama.",
        "id": 7,
        "price": 9.5,
        "sold": False,
        "tags": ["a", 1],
        "by": {"name": "Ana"},
        "end_index": 3,
    }
    [document] = load(tmp_path, "a.jsonl", json.dumps(record))
    assert document.page_content == (
        "A llama.\n\nid: 7\nprice: 9.5\nsold: false\ntags: a, 1\nby.name: Ana\nend_index: 3"
    )
    assert document.metadata["price"] == 9.5


def test_a_number_that_python_does_not_read_is_read_as_text(tmp_path):
    problems = []
    long = "9" * 5_000
    documents = load(tmp_path, "a.json", f'[{{"text": "a", "n": {long}}}, {{"text": "b", "n": 7}}]', problems)
    assert [d.page_content for d in documents] == [f"a\n\nn: {long}", "b\n\nn: 7"]
    assert problems == []


def test_json_with_comments_and_values_in_a_row_are_read(tmp_path):
    problems = []
    commented = '{\n  // the port\n  "port": 8080\n}'
    assert [d.page_content for d in load(tmp_path, "a.json", commented, problems)] == [commented]
    assert texts(tmp_path, "b.json", '{"a": 1}\n{"a": 2}') == ["a: 1", "a: 2"]
    assert not problems
    assert [d.page_content for d in load(tmp_path, "c.json", '{"a": ', problems)] == ['{"a": ']
    assert [p.reason.split(" (")[0] for p in problems] == ["not valid JSON"]


# Mail


def message(subject, words):
    mail = EmailMessage()
    mail["Subject"] = subject
    mail.set_content(words)
    return mail


def test_all_text_parts_and_attached_messages_and_documents_are_read(tmp_path):
    inner = EmailMessage()
    inner["Subject"] = "inner"
    inner.set_content("Forwarded words.\n")
    mail = EmailMessage()
    mail["Subject"] = "Größe"
    mail["From"] = "ana@example.com"
    mail.set_content("First part.\n")
    mail.add_attachment("an attached note\n", filename="note.txt")
    mail.add_attachment(inner)
    mail.add_attachment(b"a,b\n1,2\n", maintype="text", subtype="csv", filename="table.csv")
    mail.add_attachment(b"%PDF-", maintype="application", subtype="pdf", filename="broken.pdf")
    problems = []
    documents = load(tmp_path, "a.eml", mail.as_bytes(), problems)
    assert documents[0].page_content == (
        "Subject: Größe\nFrom: ana@example.com\nAttachments: note.txt, table.csv, broken.pdf\n\nFirst part.\n\n"
        "an attached note\n\nAttached message:\n\nSubject: inner\n\nForwarded words."
    )
    assert [(d.page_content, d.metadata["attachment"]) for d in documents[1:]] == [
        ("a: 1\nb: 2", "table.csv")
    ]
    assert [p.reason.split(" (")[0] for p in problems] == ["attachment broken.pdf cannot be read"]


def test_of_two_forms_of_a_text_one_is_read(tmp_path):
    mail = MIMEMultipart("alternative")
    mail["Subject"] = "s"
    mail.attach(MIMEText("plain form", "plain", "utf-8"))
    mail.attach(MIMEText("<p>other form</p>", "html", "utf-8"))
    assert texts(tmp_path, "a.eml", mail.as_bytes()) == ["Subject: s\n\nplain form"]


def test_a_message_whose_boundary_is_broken_is_read(tmp_path):
    mail = MIMEMultipart()
    mail["Subject"] = "s"
    mail.attach(MIMEText("the words of it"))
    data = mail.as_bytes().replace(mail.get_boundary().encode(), b"elsewhere", 1)
    assert "the words of it" in texts(tmp_path, "a.eml", data)[0]
    cut = mail.as_bytes().rpartition(b"--" + mail.get_boundary().encode())[0]
    assert "the words of it" in texts(tmp_path, "b.eml", cut)[0]


def test_a_mailbox_gives_a_document_per_message(tmp_path):
    box = mailbox.mbox(tmp_path / "a.mbox")
    for number in range(3):
        box.add(message(f"number {number}", f"Text {number}.\nFrom here on.\n"))
    box.close()
    documents = load_documents(tmp_path / "a.mbox")
    assert [d.page_content for d in documents] == [
        f"Subject: number {n}\n\nText {n}.\nFrom here on." for n in range(3)
    ]
    assert [d.metadata["title"] for d in documents] == ["number 0", "number 1", "number 2"]


def test_a_saved_web_page_is_read(tmp_path):
    page = MIMEMultipart("related")
    page["Subject"] = "Saved"
    page.attach(MIMEText("<h1>Llamas</h1><p>They hum, größer.</p>", "html", "utf-8"))
    page.attach(MIMEText("p { color: red }", "css"))
    [document] = load(tmp_path, "a.mhtml", page.as_bytes(policy=email.policy.SMTP))
    assert (document.page_content, document.metadata["title"]) == ("# Llamas\n\nThey hum, größer.", "Llamas")


# Headings


def test_underlined_headings_in_plain_text_are_read_as_restructured_text(tmp_path):
    manual = "Manual\n======\n\nWords.\n\nInstall\n-------\n\nMore words.\n"
    [document] = load(tmp_path, "a.txt", manual)
    assert (document.metadata["format"], document.metadata["title"]) == ("rst", "Manual")
    for other in ("Name   Size\n-----------\na 1\n\n-----------\n", "just text\n", "a\n---\n"):
        [document] = load(tmp_path, "b.txt", other)
        assert document.metadata["format"] == "text"


@pytest.mark.parametrize(
    ("text", "titles"),
    [
        ("# Install {#install}\n", ["Install"]),
        ("## Use it {: #use .wide }\n", ["Use it"]),
        ("Set {#set}\n===\n", ["Set"]),
        ("# Braces {like these}\n", ["Braces {like these}"]),
        ("<!-- # no heading -->\n# One\n", ["One"]),
        ("<!--\n# no heading\n## nor this\n-->\n# One\n", ["One"]),
        ("# C#\n# One #\n", ["C", "One"]),
    ],
)
def test_anchors_and_comments_are_no_headings(text, titles):
    assert [title for _, _, title in markdown_headings(text)] == titles
