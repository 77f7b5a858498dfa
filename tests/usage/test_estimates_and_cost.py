"""The token estimate against counts of Meta's tokenizer, its speed, and prices."""

import base64
import io
import random
import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage
from PIL import Image

from llama_bedrock import ChatLlamaBedrock
from llama_bedrock.catalog import CATALOG
from llama_bedrock.usage import cost_usd, estimate_image_tokens, estimate_tokens, usage_metadata

# Tokens that Meta's tokenizer (models/llama3/tokenizer.model of meta-llama/llama-models) makes of each text.
MEASURED = [
    (
        "Retrieval-augmented generation puts passages from your own documents into the prompt, "
        "so that the model can answer from them and say where each statement comes from. "
        "The passages are chosen by a retriever: a lexical index finds the words of the question, "
        "and a vector index finds passages that mean the same.",
        63,
    ),
    (
        "def fibonacci(n: int) -> int:\n    previous, current = 0, 1\n    for _ in range(n):\n"
        "        previous, current = current, previous + current\n    return previous\n",
        42,
    ),
    ('{"name": "get_weather", "parameters": {"city": "San Francisco", "unit": "celsius", "days": 3}}', 30),
    ("id,amount\n1001,2499.95\n1002,17.5\n1003,1234567.89\n", 28),
    ("3141592653589793238462643383279502884197", 14),
    ("x" + " " * 500 + "y" + "\n" * 40, 9),
    ("-" * 80 + "\n" + "=" * 80, 3),
    (
        "Die Donaudampfschifffahrtsgesellschaft betreibt seit über hundert Jahren "
        "Ausflugsschiffe auf der Donau.",
        33,
    ),
    (
        "Les modèles de langage répondent mieux lorsque la question est accompagnée de passages pertinents.",
        21,
    ),
    ("Los modelos responden mejor cuando la pregunta va acompañada de fragmentos de los documentos.", 18),
    ("Modele językowe odpowiadają lepiej, jeżeli do pytania dołączono odpowiednie fragmenty dokumentów.", 32),
    (
        "Языковые модели отвечают лучше, когда вместе с вопросом им показывают "
        "подходящие отрывки документов.",
        26,
    ),
    ("当问题附有文档中的相关段落时,语言模型的回答会更准确,并且可以注明每个陈述的来源。", 33),
    ("質問に関連する文書の一部を添えると、言語モデルはより正確に答えることができます。", 27),
    ("질문과 관련된 문서의 일부를 함께 제공하면 언어 모델이 더 정확하게 대답할 수 있습니다.", 23),
    ("जब प्रश्न के साथ दस्तावेज़ों के प्रासंगिक अंश दिए जाते हैं, तो मॉडल बेहतर उत्तर देता है।", 43),
    ("تجيب النماذج اللغوية بشكل أفضل عندما يرفق السؤال بمقاطع مناسبة من المستندات.", 29),
    ("แบบจำลองภาษาตอบได้ดีขึ้นเมื่อมีข้อความที่เกี่ยวข้องจากเอกสารแนบมากับคำถาม", 32),
    ("🎉🚀 Released! 🦙🦙🦙", 17),
    ("What is the context window of Llama 3.3?", 13),
    ("Тілдік үлгілер сұраққа құжаттардың тиісті үзінділері қоса берілгенде жақсырақ жауап береді.", 62),
    ("جب سوال کے ساتھ دستاویزات کے متعلقہ حصے دیے جائیں تو زبان کے ماڈل بہتر جواب دیتے ہیں۔", 55),
    ("Các mô hình ngôn ngữ trả lời tốt hơn khi câu hỏi đi kèm với những đoạn tài liệu liên quan.", 22),
    ("SELECT CUSTOMER_ID, SUM(AMOUNT) AS TOTAL FROM ORDERS WHERE STATUS = 'OPEN' GROUP BY CUSTOMER_ID;", 27),
    (
        "+------+---------+--------+\n| id   | name    | amount |\n+------+---------+--------+\n| 1001 | Müller  | 249.95 |\n+------+---------+--------+\n",
        40,
    ),
    ("TGxhbWFzIGFyZSBkb21lc3RpY2F0ZWQgU291dGggQW1lcmljYW4gY2FtZWxpZHMsIHVzZWQgYXMgcGFjayBhbmltYWxz", 60),
    ("THE PARTY OF THE FIRST PART SHALL INDEMNIFY THE PARTY OF THE SECOND PART AGAINST ALL CLAIMS.", 23),
    ("ভাষা মডেলগুলি প্রশ্নের সাথে নথির প্রাসঙ্গিক অংশ দেওয়া হলে আরও ভাল উত্তর দেয়।", 97),
]


@pytest.mark.parametrize(("text", "tokens"), MEASURED)
def test_the_estimate_is_near_the_real_count(text, tokens):
    assert 0.84 * tokens <= estimate_tokens(text) <= 1.08 * tokens + 1


def test_the_estimate_of_all_of_them_is_within_three_percent():
    assert sum(estimate_tokens(text) for text, _ in MEASURED) == pytest.approx(
        sum(tokens for _, tokens in MEASURED), rel=0.03
    )


def test_nothing_has_no_tokens_and_anything_has_at_least_one():
    assert estimate_tokens("") == 0
    assert estimate_tokens(" ") == 1
    assert estimate_tokens("\ud800") >= 1  # a lone surrogate from broken input


def test_digits_are_counted_in_groups_of_three():
    assert [estimate_tokens("7" * n) for n in (1, 3, 4, 6, 7)] == [1, 1, 2, 2, 3]


def test_a_control_token_counts_as_one_whatever_stands_before_it():
    prompt = "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nhi?<|eot_id|>"
    assert estimate_tokens(prompt) == 8  # by Meta's tokenizer


def test_a_text_of_many_different_words_is_sampled_near_enough():
    words = [
        f"{word}{number}x"
        for number in range(2_000)
        for word in ("grass", "Größe", "хвост", "草原の", "ab_c")
    ]
    text = " ".join(word * (1 + n % 3) for n, word in enumerate(words * 3))
    parts = [text[start : start + 20_000] for start in range(0, len(text), 20_000)]
    assert estimate_tokens(text) == pytest.approx(sum(map(estimate_tokens, parts)), rel=0.03)


@given(st.text(max_size=300), st.text(max_size=300))
def test_more_text_never_needs_much_less_and_the_estimate_is_stable(left, right):
    both = estimate_tokens(left + right)
    assert both == estimate_tokens(left + right)
    assert both <= 3 * len((left + right).encode("utf-8", "surrogatepass")) + 1
    assert (both > 0) == bool(left + right)


@pytest.mark.parametrize(
    "make",
    [
        lambda rng: (MEASURED[0][0] + " ") * 3_400,
        lambda rng: " " * 1_000_000,
        lambda rng: "a" * 1_000_000,
        lambda rng: "\n" * 1_000_000,
        lambda rng: "- " * 500_000,
        lambda rng: "".join(rng.choices(string.printable, k=1_000_000)),
        lambda rng: "当问题附有文档" * 140_000,
    ],
    ids=["prose", "spaces", "one word", "lines", "dashes", "noise", "chinese"],
)
def test_a_megabyte_is_estimated_in_a_blink(make):
    text = make(random.Random(4))
    # CPU seconds; 0.08 on an idle machine, where a quadratic step took minutes
    assert any(_timed(text) < 3 for _ in range(3))


def _timed(text):
    started = time.thread_time()
    estimate_tokens(text)
    return time.thread_time() - started


def test_image_tokens_follow_the_tiles_of_each_generation():
    assert estimate_image_tokens(500, 500, "llama3.2") == 1601
    assert estimate_image_tokens(1120, 1120, "llama3.2") == 4 * 1601
    assert estimate_image_tokens(4000, 300, "llama3.2") == 2 * 1601
    assert estimate_image_tokens(336, 336, "llama4") == 144 + 3
    assert estimate_image_tokens(672, 336, "llama4") == 3 * 144 + 2 + 3
    assert estimate_image_tokens(8000, 8000, "llama4") == 17 * 144 + 16 + 3
    assert estimate_image_tokens(100_000, 10, "llama4") <= 17 * 144 + 16 + 3
    with pytest.raises(ValueError, match="read no images"):
        estimate_image_tokens(10, 10, "llama3.3")
    with pytest.raises(ValueError, match="0 x 10"):
        estimate_image_tokens(0, 10, "llama4")


@pytest.mark.parametrize(
    ("model", "side", "tokens"),
    [
        ("us.meta.llama4-scout-17b-instruct-v1:0", 336, 144 + 3),
        ("us.meta.llama4-scout-17b-instruct-v1:0", 672, 5 * 144 + 4 + 3),
        ("arn:aws:bedrock:us-east-1:123456789012:imported-model/abcdefghijkl", 500, 1601),
    ],
)
def test_an_image_in_a_message_counts_by_its_size(aws_credentials, model, side, tokens):
    drawn = io.BytesIO()
    Image.new("RGB", (side, side)).save(drawn, "PNG")
    picture = {
        "type": "image",
        "base64": base64.b64encode(drawn.getvalue()).decode(),
        "mime_type": "image/png",
    }
    hidden = {"prompt_format": "llama3.2"} if model.startswith("arn:") else {}
    llm = ChatLlamaBedrock(model=model, region_name="us-east-1", **hidden)
    words = [{"type": "text", "text": "What is this?"}]
    plain, seen = (
        llm.get_num_tokens_from_messages([HumanMessage(content)]) for content in (words, [picture, *words])
    )
    assert seen - plain == pytest.approx(tokens, abs=3)  # and what marks its place


def test_usage_adds_up_and_is_priced_by_region_and_kind():
    usage = usage_metadata(2_000_000, 500_000)
    assert usage == {"input_tokens": 2_000_000, "output_tokens": 500_000, "total_tokens": 2_500_000}
    maverick = CATALOG["meta.llama4-maverick-17b-instruct-v1:0"]
    assert cost_usd(maverick, usage) == pytest.approx(2 * 0.24 + 0.5 * 0.97)
    assert cost_usd(maverick, usage, "us-west-1", batch=True) == pytest.approx(2 * 0.12 + 0.5 * 0.485)
    assert cost_usd(maverick, usage, "eu-west-1") is None
    assert cost_usd(CATALOG["meta.llama2-13b-v1"], usage) is None
    canadian = CATALOG["meta.llama3-8b-instruct-v1:0"]
    assert cost_usd(canadian, usage, "ca-central-1") == pytest.approx(2 * 0.35 + 0.5 * 0.69)
