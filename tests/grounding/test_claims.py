"""What a document backs and what it does not: claims that a careful reader would accept, and near misses."""

from __future__ import annotations

import pytest
from langchain_core.documents import Document

from llama_bedrock.grounding import Claim, WordVerifier
from llama_bedrock.grounding.citations import CitationReader
from llama_bedrock.text import sentences

LLAMA = (
    "Llama 3.3 is a text-only model made by Meta. It has 70 billion parameters and was released on "
    "December 6, 2024. Its context window is 128,000 tokens, and it knows eight languages.\n\n"
    "The model calls tools. It does not read images. A request may last at most 60 seconds."
)
FAMILY = (
    "Scout has 17 billion active parameters and 16 experts. Maverick has 17 billion active parameters and "
    "128 experts. Scout runs in Ohio, while Maverick runs in Oregon. Scout reads images; Nova reads only text."
)
PRICES = (
    "## Prices of Llama\n\n| Model | Input | Output | Batch |\n|---|---|---|---|\n"
    "| Llama 3.1 8B | $0.22 | $0.22 | yes |\n| Llama 3.1 70B | $0.72 | $0.72 | yes |\n"
    "| Llama 3.1 405B | $2.40 | $2.40 | no |\n"
)
FEATURES = (
    "# Support\n\nThe endpoint supports:\n\n- streaming of text\n- guardrails with traces\n\n"
    "It does not support:\n\n- images in prompts\n- audio files\n"
)
CODE = (
    "Connect with a timeout, and retry three times:\n\n```python\nclient = Client(timeout=30, max_retries=3)\n"
    "client.delete_index(name='llamas', force=False)\n```\n\nThe flag `--dry-run` writes nothing. "
    "Never call `drop_all()` in production."
)
FARM = (
    "The farm in Cusco keeps 1,250 llamas. Shearing begins in October and takes two weeks. Every animal is "
    "weighed before it is shorn. Visitors must book a tour in advance; children under 6 enter free. "
    "Wool prices increased by 12% in 2023. The herd is never left alone at night. The herd's vet, Ana Quispe, "
    "visits every Monday. If it rains, shearing is postponed. The barn was built by Pedro Huaman in 1987. "
    "All pens are cleaned daily, and most of them are heated."
)
GERMAN = (
    "Die Farm hat 1.250 Lamas. Das Scheren dauert zwei Wochen und kostet 3,50 Euro pro Tier. Hunde sind auf dem "
    "Gelände nicht erlaubt. Der Betrieb wurde 1987 von Pedro Huaman gegründet."
)
FRENCH = (
    "La ferme compte 1 250 lamas. La tonte commence en octobre et dure deux semaines. Les chiens ne sont pas "
    "admis dans l'enclos. Le billet coûte 3,50 euros."
)
SPANISH = (
    "La granja de Cusco tiene 1.250 llamas. El esquileo empieza en octubre. Los perros no pueden entrar en el "
    "corral. La entrada cuesta 3,50 euros."
)
CHINESE = "这个农场有1250只羊驼。剪毛从十月开始，持续两周。狗不能进入围栏。"
JAPANESE = "この農場には1250頭のラマがいます。毛刈りは十月に始まります。犬は囲いに入れません。"
BANK = (
    "The Aurora savings account pays 3.5% interest per year. Withdrawals are free, but transfers abroad "
    "cost €12. Customers under 18 cannot open an account without a parent's consent. The bank was founded"
    " in Lisbon by Maria Costa in 1952 and employs more than 1,200 people. Its headquarters moved to "
    "Porto in 1998. Deposits up to €100,000 are insured."
)
DRUGS = (
    "Ibuprofen should not be taken by patients with kidney disease. The usual dose for adults is 400 mg "
    "every six hours, and no more than 1,200 mg a day. Unlike aspirin, paracetamol does not thin the "
    "blood. In the trial, 62 of 80 patients recovered within 10 days; the placebo group took 14 days. "
    "Side effects were rare."
)
LIMITS = (
    "# Rate limits\n"
    "\n"
    "The default quota is 500 requests per minute. Requests over the quota get HTTP 429. Set "
    '`retry_mode="adaptive"` to back off. The method `get_item()` reads one item; `put_item()` writes '
    "one. Keys must not be longer than 2 KB.\n"
    "\n"
    "| Region | Latency | Available |\n"
    "|---|---|---|\n"
    "| us-east-1 | 35 ms | yes |\n"
    "| eu-west-3 | 80 ms | no |\n"
    "| ap-south-1 | 120 ms | yes |\n"
)
NAPOLEON = (
    "Napoleon was defeated at Waterloo by Wellington and Blücher in June 1815. He had escaped from Elba "
    "in February. After the battle he was exiled to Saint Helena, where he died in 1821. Wellington later"
    " became Prime Minister."
)

BACKED = {
    "word for word": (LLAMA, "Its context window is 128,000 tokens."),
    "a thousand without its comma": (LLAMA, "The context window is 128000 tokens."),
    "a thousand as K": (LLAMA, "Llama 3.3 has a context window of 128K tokens."),
    "billion as B": (LLAMA, "Llama 3.3 by Meta has 70B parameters."),
    "a long number spelled out": (LLAMA, "The model has seventy billion parameters."),
    "a number spelled out": (LLAMA, "The model knows 8 languages."),
    "another order": (LLAMA, "With 70 billion parameters, Llama 3.3 is a text-only model."),
    "another form of the verb": (LLAMA, "Meta released Llama 3.3 on December 6, 2024."),
    "a date in another form": (LLAMA, "It was released on 6 December 2024."),
    "the same unit in other words": (LLAMA, "A request lasts at most 60 s."),
    "the same time in another unit": (LLAMA, "A request may last at most one minute."),
    "a negation in other words": (LLAMA, "The model cannot read images."),
    "a negation by a determiner": (LLAMA, "It reads no images."),
    "a negation and a statement": (LLAMA, "It calls tools but does not read images."),
    "a negation by a verb": (LLAMA, "Llama 3.3 is unable to read images."),
    "two sentences in one": (
        LLAMA,
        "Llama 3.3 has 70 billion parameters and a context window of 128,000 tokens.",
    ),
    "the first of two": (FAMILY, "Scout has 16 experts."),
    "the second of two": (FAMILY, "Maverick has 128 experts."),
    "both of two": (FAMILY, "Scout has 16 experts and Maverick has 128 experts."),
    "a clause": (FAMILY, "Maverick runs in Oregon."),
    "a clause after a semicolon": (FAMILY, "Nova reads only text."),
    "a row of a table": (PRICES, "Llama 3.1 70B costs $0.72 for input."),
    "another row of a table": (PRICES, "The input price of Llama 3.1 8B is $0.22."),
    "a row as a row": (PRICES, "| Llama 3.1 405B | $2.40 |"),
    "an item of a list": (FEATURES, "The endpoint supports guardrails with traces."),
    "an item of a negative list": (FEATURES, "It does not support audio files."),
    "items joined": (FEATURES, "The endpoint supports streaming of text and guardrails with traces."),
    "code": (CODE, "The client is made with `Client(timeout=30, max_retries=3)`."),
    "code in words": (CODE, "The client has a timeout of 30 and retries 3 times."),
    "a flag": (CODE, "With `--dry-run` nothing is written."),
    "a warning": (CODE, "You should never call `drop_all()` in production."),
    "a warning in other words": (CODE, "Do not call `drop_all()` in production."),
    "number without comma": (FARM, "The farm keeps 1250 llamas."),
    "time in words": (FARM, "Shearing takes 2 weeks and begins in October."),
    "weeks as days": (FARM, "Shearing takes 14 days."),
    "before as after": (FARM, "Animals are shorn after they are weighed."),
    "before": (FARM, "Each animal is weighed before it is shorn."),
    "a percentage in words": (FARM, "In 2023, wool prices increased by 12 percent."),
    "a synonym": (FARM, "Wool prices rose by 12% in 2023."),
    "a name": (FARM, "The vet Ana Quispe visits every Monday."),
    "active for passive": (FARM, "Pedro Huaman built the barn in 1987."),
    "a condition": (FARM, "Shearing is postponed if it rains."),
    "must": (FARM, "Visitors have to book their tour in advance."),
    "never": (FARM, "The herd is not left alone at night."),
    "according to": (FARM, "According to the document, shearing begins in October."),
    "a true quotation": (FARM, 'The text says "children under 6 enter free".'),
    "German": (GERMAN, "Die Farm hat 1250 Lamas."),
    "German decimals": (GERMAN, "Das Scheren kostet 3.50 Euro pro Tier."),
    "German negation": (GERMAN, "Auf dem Gelände sind keine Hunde erlaubt."),
    "German passive": (GERMAN, "Pedro Huaman gründete den Betrieb 1987."),
    "French": (FRENCH, "La ferme compte 1250 lamas."),
    "French negation": (FRENCH, "Les chiens ne sont pas admis."),
    "Spanish": (SPANISH, "La granja tiene 1250 llamas."),
    "Spanish negation": (SPANISH, "Los perros no pueden entrar."),
    "Chinese": (CHINESE, "农场有1250只羊驼。"),
    "Chinese with a comma": (CHINESE, "这个农场有1,250只羊驼。"),
    "Japanese": (JAPANESE, "毛刈りは十月に始まります。"),
}
BACKED |= {
    "The Aurora account pays 3.5 percent interest a year.": (
        BANK,
        "The Aurora account pays 3.5 percent interest a year.",
    ),
    "Transferring money abroad costs 12 euros.": (BANK, "Transferring money abroad costs 12 euros."),
    "Maria Costa founded the bank in 1952.": (BANK, "Maria Costa founded the bank in 1952."),
    "The bank has over 1,200 employees.": (BANK, "The bank has over 1,200 employees."),
    "The headquarters have been in Porto since 1998.": (
        BANK,
        "The headquarters have been in Porto since 1998.",
    ),
    "Adults usually take 400 mg every 6 hours.": (DRUGS, "Adults usually take 400 mg every 6 hours."),
    "Patients with kidney disease should not take ibuprofen.": (
        DRUGS,
        "Patients with kidney disease should not take ibuprofen.",
    ),
    "Paracetamol doesn't thin the blood.": (DRUGS, "Paracetamol doesn't thin the blood."),
    "62 out of 80 patients recovered within ten days.": (
        DRUGS,
        "62 out of 80 patients recovered within ten days.",
    ),
    "By default, 500 requests per minute are allowed.": (
        LIMITS,
        "By default, 500 requests per minute are allowed.",
    ),
    "`put_item()` writes an item.": (LIMITS, "`put_item()` writes an item."),
    "The latency in eu-west-3 is 80 ms.": (LIMITS, "The latency in eu-west-3 is 80 ms."),
    "Requests over the quota are answered with HTTP 429.": (
        LIMITS,
        "Requests over the quota are answered with HTTP 429.",
    ),
    "Wellington and Blücher defeated Napoleon at Waterloo in 1815.": (
        NAPOLEON,
        "Wellington and Blücher defeated Napoleon at Waterloo in 1815.",
    ),
    "Napoleon died on Saint Helena in 1821.": (NAPOLEON, "Napoleon died on Saint Helena in 1821."),
    "Wellington became Prime Minister.": (NAPOLEON, "Wellington became Prime Minister."),
    "In February, Napoleon escaped from Elba.": (NAPOLEON, "In February, Napoleon escaped from Elba."),
}

NOT_BACKED = {
    "another number": (LLAMA, "Llama 3.3 has 405 billion parameters."),
    "another scale": (LLAMA, "Llama 3.3 has 70 million parameters."),
    "another thousand": (LLAMA, "The context window is 128 tokens."),
    "a digit more": (LLAMA, "The context window is 1,280,000 tokens."),
    "another spelled number": (LLAMA, "The model knows nine languages."),
    "another year": (LLAMA, "It was released on December 6, 2023."),
    "another month": (LLAMA, "It was released on November 6, 2024."),
    "another unit": (LLAMA, "A request may last at most 60 minutes."),
    "another bound": (LLAMA, "A request lasts at least 60 seconds."),
    "another version": (LLAMA, "Llama 3.1 is a text-only model."),
    "another maker": (LLAMA, "Llama 3.3 is a text-only model made by Google."),
    "another name first": (LLAMA, "Mistral is a text-only model made by Meta."),
    "a negation dropped": (LLAMA, "The model reads images."),
    "a negation dropped, word for word": (LLAMA, "It does read images."),
    "a negation added": (LLAMA, "The model does not call tools."),
    "a negation added by never": (LLAMA, "The model never calls tools."),
    "a negation added by no": (LLAMA, "The model calls no tools."),
    "a negation added by a verb": (LLAMA, "The model fails to call tools."),
    "negations swapped": (LLAMA, "It reads images but does not call tools."),
    "a number of something else": (LLAMA, "The context window is 70 billion tokens."),
    "half of it invented": (
        LLAMA,
        "The model calls tools, and its weights were trained in Iceland by volunteers.",
    ),
    "an invention": (LLAMA, "It was trained on a farm in Peru by shepherds."),
    "the number of the other": (FAMILY, "Scout has 128 experts."),
    "the number of the other, turned round": (FAMILY, "Maverick has 16 experts."),
    "the place of the other": (FAMILY, "Scout runs in Oregon."),
    "the place of the other, in clauses": (FAMILY, "Maverick runs in Ohio, while Scout runs in Oregon."),
    "the ability of the other": (FAMILY, "Nova reads images."),
    "one of two wrong": (FAMILY, "Scout has 16 experts and Maverick has 16 experts."),
    "another row": (PRICES, "Llama 3.1 8B costs $0.72 for input."),
    "another row, turned round": (PRICES, "Llama 3.1 70B costs $0.22 for input."),
    "a price in no row": (PRICES, "Llama 3.1 8B costs $0.99 for input."),
    "a model in no row": (PRICES, "Llama 3.2 8B costs $0.22 for input."),
    "a row with another's value": (PRICES, "| Llama 3.1 405B | $0.22 |"),
    "an item of the negative list": (FEATURES, "The endpoint supports audio files."),
    "an item of the negative list, too": (FEATURES, "It supports images in prompts."),
    "an item denied": (FEATURES, "The endpoint does not support guardrails with traces."),
    "an argument of code": (CODE, "The client is made with `Client(timeout=60, max_retries=3)`."),
    "an argument's value elsewhere": (CODE, "The client has `timeout=3`."),
    "another function": (CODE, "The index is deleted with `client.remove_index(name='llamas')`."),
    "another boolean": (CODE, "It calls `client.delete_index(name='llamas', force=True)`."),
    "another flag": (CODE, "The flag `--force-run` writes nothing."),
    "a warning dropped": (CODE, "Call `drop_all()` in production."),
    "a warning turned round": (CODE, "Always call `drop_all()` in production."),
    "a number in other digits": (FARM, "The farm in Cusco keeps 12,500 llamas."),
    "another place": (FARM, "The farm in Lima keeps 1,250 llamas."),
    "after for before": (FARM, "Every animal is weighed after it is shorn."),
    "an opposite": (FARM, "Wool prices decreased by 12% in 2023."),
    "an opposite, in other words": (FARM, "In 2023, wool prices fell by 12%."),
    "may for must": (FARM, "Visitors need not book a tour in advance."),
    "another weekday": (FARM, "The vet, Ana Quispe, visits every Friday."),
    "another person": (FARM, "The barn was built by Ana Quispe in 1987."),
    "another first name": (FARM, "The vet, Maria Quispe, visits every Monday."),
    "over for under": (FARM, "Children over 6 enter free."),
    "always for never": (FARM, "The herd is always left alone at night."),
    "nobody for all": (FARM, "No pens are cleaned daily."),
    "another subject": (FARM, "The barn is never left alone at night by the mayor of Lima."),
    "a condition denied": (FARM, "If it does not rain, shearing is postponed."),
    "dollars for percent": (FARM, "Wool prices increased by $12 in 2023."),
    "a false quotation": (FARM, 'The text says "children under 9 enter free".'),
    "a true quotation, and more": (FARM, '"Children under 6 enter free", and adults pay 40 dollars.'),
    "a quotation with a word less": (FARM, 'The text says "the herd is left alone at night".'),
    "a quotation of another": (FARM, 'The text says "Its context window is 128,000 tokens".'),
    "a sentence of another": (FARM, "Its context window is 128,000 tokens, and it knows eight languages."),
    "half from another": (FARM, "The farm keeps 1,250 llamas, and the model calls tools."),
    "German, another number": (GERMAN, "Die Farm hat 1.520 Lamas."),
    "German, negation dropped": (GERMAN, "Hunde sind auf dem Gelände erlaubt."),
    "German, negation added": (GERMAN, "Die Farm hat keine Lamas."),
    "German, decimals moved": (GERMAN, "Das Scheren kostet 35 Euro pro Tier."),
    "French, another number": (FRENCH, "La ferme compte 1 350 lamas."),
    "French, negation dropped": (FRENCH, "Les chiens sont admis dans l'enclos."),
    "French, another month": (FRENCH, "La tonte commence en novembre et dure deux semaines."),
    "Spanish, negation dropped": (SPANISH, "Los perros pueden entrar en el corral."),
    "Spanish, another place": (SPANISH, "La granja de Lima tiene 1.250 llamas."),
    "Chinese, another number": (CHINESE, "这个农场有1520只羊驼。"),
    "Chinese, negation dropped": (CHINESE, "狗能进入围栏。"),
    "Chinese, something else": (CHINESE, "这只狗有三个主人。"),
    "Japanese, negation dropped": (JAPANESE, "犬は囲いに入れます。"),
    "another number in words": (
        "The farm in the north of Cusco keeps one thousand llamas behind the old red barn all winter.",
        "The farm in the north of Cusco keeps nine thousand llamas behind the old red barn all winter.",
    ),
    "a small number in words": (
        "It has eight dogs that sleep in the warm hay of the old barn at night.",
        "It has nine dogs that sleep in the warm hay of the old barn at night.",
    ),
    "nothing but stop words": (LLAMA, "It is what it is."),
}
NOT_BACKED |= {
    "The Aurora account pays 5.3% interest per year.": (
        BANK,
        "The Aurora account pays 5.3% interest per year.",
    ),
    "Withdrawals cost €12.": (BANK, "Withdrawals cost €12."),
    "Withdrawals are not free.": (BANK, "Withdrawals are not free."),
    "Customers under 18 can open an account without a parent's consent.": (
        BANK,
        "Customers under 18 can open an account without a parent's consent.",
    ),
    "The bank was founded in Porto by Maria Costa.": (BANK, "The bank was founded in Porto by Maria Costa."),
    "The bank employs fewer than 1,200 people.": (BANK, "The bank employs fewer than 1,200 people."),
    "The bank was founded in 1998.": (BANK, "The bank was founded in 1998."),
    "Deposits over €100,000 are insured.": (BANK, "Deposits over €100,000 are insured."),
    "Its headquarters moved to Lisbon in 1998.": (BANK, "Its headquarters moved to Lisbon in 1998."),
    "Ibuprofen should be taken by patients with kidney disease.": (
        DRUGS,
        "Ibuprofen should be taken by patients with kidney disease.",
    ),
    "The usual dose for adults is 400 g every six hours.": (
        DRUGS,
        "The usual dose for adults is 400 g every six hours.",
    ),
    "The usual dose for children is 400 mg every six hours.": (
        DRUGS,
        "The usual dose for children is 400 mg every six hours.",
    ),
    "Paracetamol thins the blood.": (DRUGS, "Paracetamol thins the blood."),
    "Aspirin does not thin the blood.": (DRUGS, "Aspirin does not thin the blood."),
    "The placebo group took 10 days.": (DRUGS, "The placebo group took 10 days."),
    "In the trial, 80 of 62 patients recovered within 10 days.": (
        DRUGS,
        "In the trial, 80 of 62 patients recovered within 10 days.",
    ),
    "Side effects were common.": (DRUGS, "Side effects were common."),
    "At least 1,200 mg a day should be taken.": (DRUGS, "At least 1,200 mg a day should be taken."),
    "The default quota is 500 requests per second.": (
        LIMITS,
        "The default quota is 500 requests per second.",
    ),
    "`get_item()` writes one item.": (LIMITS, "`get_item()` writes one item."),
    "`put_item()` reads one item.": (LIMITS, "`put_item()` reads one item."),
    "The latency in us-east-1 is 80 ms.": (LIMITS, "The latency in us-east-1 is 80 ms."),
    "eu-west-3 is available.": (LIMITS, "eu-west-3 is available."),
    "Keys must be longer than 2 KB.": (LIMITS, "Keys must be longer than 2 KB."),
    "Requests over the quota get HTTP 503.": (LIMITS, "Requests over the quota get HTTP 503."),
    'Set `retry_mode="standard"` to back off.': (LIMITS, 'Set `retry_mode="standard"` to back off.'),
    "Napoleon defeated Wellington at Waterloo.": (NAPOLEON, "Napoleon defeated Wellington at Waterloo."),
    "Wellington was exiled to Saint Helena.": (NAPOLEON, "Wellington was exiled to Saint Helena."),
    "Napoleon became Prime Minister.": (NAPOLEON, "Napoleon became Prime Minister."),
    "Napoleon was defeated at Waterloo in June 1821.": (
        NAPOLEON,
        "Napoleon was defeated at Waterloo in June 1821.",
    ),
    "Napoleon died in 1815.": (NAPOLEON, "Napoleon died in 1815."),
    "He had escaped from Saint Helena in February.": (
        NAPOLEON,
        "He had escaped from Saint Helena in February.",
    ),
    "Napoleon was not defeated at Waterloo.": (NAPOLEON, "Napoleon was not defeated at Waterloo."),
    "Blücher died on Saint Helena in 1821.": (NAPOLEON, "Blücher died on Saint Helena in 1821."),
}


def citations(claim: str, *documents: str, marks: str = "[1]"):
    reader = CitationReader(
        {n: Document(text, metadata={"source": str(n)}) for n, text in enumerate(documents, 1)}
    )
    reader.feed(f"{claim} {marks}")
    reader.close()
    return reader.citations


UNTELLABLE = {
    "after for before",
    "Customers under 18 can open an account without a parent's consent.",
    "Aspirin does not thin the blood.",
    "`get_item()` writes one item.",
    "Transferring money abroad costs 12 euros.",
}
"""What words alone get wrong: one sentence has all of these words in this order, or hardly one of them. They are
the reason why a model judges what matters."""


@pytest.mark.parametrize(("document", "claim"), BACKED.values(), ids=BACKED)
def test_a_faithful_claim_is_quoted_and_never_refuted(document, claim):
    (citation,) = citations(claim, document)
    assert citation.supported is not False or claim in UNTELLABLE
    assert citation.quote in document
    if citation.supported:
        assert citation.quote


@pytest.mark.parametrize(("name", "document", "claim"), [(n, *case) for n, case in NOT_BACKED.items()])
def test_a_changed_claim_is_never_called_supported(name, document, claim):
    (citation,) = citations(claim, document)
    assert citation.supported is not True or name in UNTELLABLE


def test_most_of_what_was_copied_is_decided():
    """The three states mean something: what is left open is not everything."""
    backed = [citations(claim, document)[0].supported for document, claim in BACKED.values()]
    assert backed.count(True) >= 15  # the rest are paraphrases


@pytest.mark.parametrize(
    "document", [LLAMA, FAMILY, FARM, GERMAN, FRENCH, SPANISH, CHINESE, BANK, DRUGS, NAPOLEON]
)
def test_what_was_copied_word_for_word_is_always_decided(document):
    for start, end in sentences(document):
        verdict = WordVerifier().invoke([Claim(document[start:end], [Document(document)])])[0]
        assert (verdict.supported, verdict.score, verdict.by) == (True, 1.0, "words")
        assert document[slice(*verdict.span)] == document[start:end]


TOGETHER = {
    "a part from each": (
        "Llama 3.3 has 70 billion parameters, and the farm keeps 1,250 llamas.",
        [None, None],
    ),
    "a part from neither": (
        "Penguins live on ice floes in Antarctica, and their chicks hatch in the southern winter.",
        [None, None],
    ),
    "all from the first": (
        "It has 70 billion parameters and was released on December 6, 2024.",
        [True, False],
    ),
}


@pytest.mark.parametrize(("claim", "verdicts"), TOGETHER.values(), ids=TOGETHER)
def test_two_documents_together(claim, verdicts):
    assert [c.supported for c in citations(claim, LLAMA, FARM, marks="[1][2]")] == verdicts


def test_the_line_above_a_list_counts_for_its_items():
    for lead in ("It supports:", "It does not support:"):
        reader = CitationReader({1: Document(FEATURES, metadata={"source": "a"})})
        reader.feed(f"{lead}\n\n- images in all prompts [1]\n")
        reader.close()
        assert [c.supported for c in reader.citations] == [None]


SHORT = (
    "Arsenal reached the First Division in 1904. The ground was built later. It was sold to the city in 1950 "
    "after a long quarrel."
)
OTHERS = [
    "wall",
    "gate",
    "tower",
    "quay",
    "crane",
    "dock",
    "pier",
    "mole",
    "basin",
    "lock",
    "bridge",
    "road",
    "hall",
]
LONG = " ".join(
    [SHORT, *(f"The {one} of the port was mended and then paid for by its merchants." for one in OTHERS)]
)
assert len(SHORT) < 1_000 <= len(LONG)
WHAT_IS_MISSING = {
    "another number in its place": ("Arsenal reached the First Division in 1911.", False, False),
    "one that the statement names too": ("Arsenal reached it in the 1904-1905 season.", None, False),
    "another number, elsewhere": ("The ground was built later, in 1911.", None, False),
    "one name and some of the words": (
        "The ground was built by Kroenke, so the city quarrel ended.",
        None,
        None,
    ),
    "one name and nearly all words": (
        "Glorious managers with trophies admired Kroenke.",
        None,
        False,
    ),
    "two names and most words": (
        "Wenger and Kroenke admired trophies of the city, after managers.",
        None,
        False,
    ),
}


@pytest.mark.parametrize("claim", WHAT_IS_MISSING.values(), ids=WHAT_IS_MISSING)
def test_what_stands_nowhere_says_more_in_a_long_passage(claim):
    statement, short, long = claim
    verdicts = WordVerifier().verify([Claim(statement, [Document(text)]) for text in (SHORT, LONG)])
    assert [verdict.supported for verdict in verdicts] == [short, long]
    assert all("not in the passage" in verdict.reason for verdict in verdicts)
    assert all(verdict.score < 0.5 for verdict in verdicts if verdict.supported is False)


def test_the_score_is_the_mean_of_what_stands_in_one_place_and_in_all():
    passage = "Llamas eat hay. They hum. They spit. Visitors bring apples. Nobody pays. It closes at 9."
    verdict = lambda said: WordVerifier().verify([Claim(said, [Document(passage)])])[0]  # noqa: E731
    assert verdict("Llamas eat apples and bananas.").score == round((2 / 4 + 3 / 4) / 4 / 0.64, 3)
    assert verdict("Llamas eat apples at 9.").score == round((2 / 4 + 4 / 4) / 4 / 0.64, 3)
    assert verdict("Llamas eat apples at 8.").score == round((2 / 4 + 3 / 4) / 8 / 0.64, 3)  # no such number


SAME_IN_OTHER_WORDS = [
    ("Add 1½ cups of sugar.", "Add 1.5 cups of sugar and stir."),
    ("Add 0.5 cups of sugar.", "Add ½ cup of sugar and stir."),
    ("Add 1 1/2 cups of sugar.", "Add 1.5 cups of sugar, then 2 of milk."),
    ("It scored .85 there.", "It scored 0.85 there, and 0.9 here."),
    ("The limit is 128K tokens.", "The limit is 131,072 tokens, of which 4 count."),
    ("The limit is 4 KB.", "The limit is 4096 bytes, or 12 with padding."),
    ("Revenue was $3.2bn.", "Revenue was $3.2 billion, up from $2 billion."),
    ("Das Modell hat 70 Milliarden Parameter.", "Das Modell hat 70B Parameter und 80 Schichten."),
    ("Es kostet 1,5 Mio. Euro.", "Es kostet 1.500.000 Euro und nicht 3 Euro."),
    ("मॉडल में ७० अरब पैरामीटर हैं।", "मॉडल में 70 अरब पैरामीटर और 8 भाषाएँ हैं।"),
    ("It takes 90 minutes.", "It takes 1 hour and 30 minutes."),
    ("It takes 1 hour and 30 minutes.", "It takes 90 minutes, not 45 minutes."),
    ("It opens at 3 pm.", "It opens at 15:00 and closes at 18:00."),
    ("It opens at 14:30.", "It opens at 2:30 p.m. and closes at 6 p.m."),
    ("It opened on 5.5.2024.", "It opened on May 5, 2024, not in 2023."),
    ("Am 5. Mai 2024 eröffnet.", "Eröffnet am 05.05.2024, nicht 2023."),
    ("The tower is 1.8m high.", "The tower is 180 cm high and 90 cm wide."),
    ("It has 1e6 rows.", "It has 1,000,000 rows and 12 columns."),
    (
        "A la fiesta vinieron 20 personas con sus perros.",
        "A la fiesta de la que nos habló vinieron veinte personas con sus 3 perros, y no fue la última.",
    ),
    ("Vinieron 20 personas con perros.", "Vinieron veinte personas con 3 perros."),
    ("Er kwamen 20 mensen met honden.", "Er kwamen twintig mensen met 3 honden."),
    ("Przyszło 20 osób z psami.", "Przyszło dwadzieścia osób z 3 psami."),
    ("It was built in the 19th century.", "It was built in 1874 and sold in 1950 with its 3 barns."),
    ("It was built in the 1870s.", "It was built in 1874 and sold in 1950 with its barns."),
    ("It was the 1st farm of the town.", "It was the first farm of the town, and it has 3 barns."),
]


@pytest.mark.parametrize(("statement", "passage"), SAME_IN_OTHER_WORDS)
def test_a_number_in_another_notation_is_no_other_number(statement, passage):
    verdict = WordVerifier().verify([Claim(statement, [Document(passage)])])[0]
    assert verdict.supported is not False, verdict.reason


BARN = "The old llamas sleep in the warm hay behind the red barn."


@pytest.mark.parametrize(
    ("statement", "passage", "supported"),
    [
        (f"Interestingly, {BARN.lower()}", BARN, True),
        (BARN.replace("sleep", "always sleep"), BARN, True),
        (BARN.replace("sleep", "rarely sleep").replace("in the warm hay ", ""), BARN, None),  # one of six
        (BARN.replace("llamas", "horses"), BARN, None),
        (BARN.replace("barn", "fence"), BARN, None),
        (BARN.replace("barn", "barn in Cusco"), BARN, None),
    ],
)
def test_what_is_said_besides_may_stand_beside_but_not_instead(statement, passage, supported):
    assert WordVerifier().verify([Claim(statement, [Document(passage)])])[0].supported is supported


def test_a_clause_is_copied_whatever_another_clause_denies():
    passage = (
        "Scout reads images of any size, but after its release Nova does not. It is not true that it flies."
    )
    said = ["Scout reads images of any size.", "It flies."]
    verdicts = WordVerifier().verify([Claim(one, [Document(passage)]) for one in said])
    assert [verdict.supported for verdict in verdicts] == [True, None]
    hay = Document("Llamas eat hay, not meat.")
    assert WordVerifier().verify([Claim("Llamas eat hay.", [hay])])[0].supported is True
    ferry = Document("Die Fähre fährt bei Sturm nicht, aber im Winter fährt sie täglich.")
    assert WordVerifier().verify([Claim("Im Winter fährt sie täglich.", [ferry])])[0].supported is True


def test_a_number_of_thousands_of_digits_ends_nothing():
    huge = "9" * 5_000
    for said, there in ((huge, "12"), ("12", huge), (f"{huge} minutes", "5 minutes"), (huge, huge)):
        claim = Claim(
            f"The farm has {said} llamas.", [Document(f"The farm has {there} llamas, and it is old.")]
        )
        assert (WordVerifier().verify([claim])[0].supported is True) is (said == there)


DENIED_OR_OTHER = [
    ("मॉडल चित्र पढ़ता है।", "मॉडल चित्र नहीं पढ़ता है।"),
    ("Das Modell liest Bilder.", "Das Modell liest Bilder nicht."),
    ("Модель читает все изображения.", "Модель не читает все изображения."),
    ("النموذج يقرأ الصور", "النموذج لا يقرأ الصور"),
    ("โมเดลอ่านรูปภาพ", "โมเดลไม่อ่านรูปภาพ"),
    ("Run `apt install farm_tools` first.", "Run `apt install farm-tools` first."),
    ("It opens at 3 pm.", "It opens at 3 am."),
    (
        "Llamas on the highland farms near Cusco rarely eat fresh grass and dry hay in the long winter.",
        "Llamas on the highland farms near Cusco eat fresh grass and dry hay in the long winter.",
    ),
    (
        "Die Lamas auf den Höfen bei Cusco fressen im langen Winter kaum frisches Gras und Heu vom Dorf.",
        "Die Lamas auf den Höfen bei Cusco fressen im langen Winter frisches Gras und Heu vom Dorf.",
    ),
    ("The tower is 1.9 m high.", "The tower is 180 cm high."),
    ("Das Lager liegt nicht in Lübeck.", "Das Lager liegt nicht in Bremen, sondern in Lübeck."),
    ("The old depot is not in Toledo.", "The old depot is not in Madrid but in Toledo."),
    ("| 70B | 32K | $0.72 |", "| 8B | 32K | $0.22 |\n| 70B | 128K | $0.72 |"),
]


@pytest.mark.parametrize(("statement", "passage"), DENIED_OR_OTHER)
def test_what_is_denied_or_another_name_is_not_supported(statement, passage):
    assert WordVerifier().verify([Claim(statement, [Document(passage)])])[0].supported is not True


def test_a_row_of_nothing_but_numbers_is_copied_too():
    table = Document(
        "| Model | Context | Price |\n|---|---|---|\n| 8B | 32K | $0.22 |\n| 70B | 128K | $0.72 |"
    )
    said = ["| 70B | 128K | $0.72 |", "| 70B | 128K | $0.79 |"]
    verdicts = WordVerifier().verify([Claim(row, [table]) for row in said])
    assert [verdict.supported for verdict in verdicts] == [True, False]
