"""Build a test set per language from Debian's translated handbooks, for `retrieval_quality.py --data`.

    python benchmarks/languages.py FOLDER [--packages FOLDER]
    python benchmarks/retrieval_quality.py --part quality --data FOLDER

The packages are fetched with ``apt-get download`` and unpacked with ``dpkg-deb``, so this needs a Debian or
Ubuntu machine; nothing is installed. Debian has no Hindi or Thai handbook: these come from translations of
courses on GitHub, fetched with git. A document is the text of one section without its heading. Questions are
the headings: those of the FAQ that are questions as they stand, the others put into a question of the kind
people write (`ASKED`). So the right page is known without anybody's judgement, and the question brings the
function words that search must not be ruled by.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bs4 import BeautifulSoup, Tag

PACKAGES = {
    "de": ("debian-faq-de", "debian-reference-de"),
    "fr": ("debian-faq-fr", "debian-reference-fr"),
    "it": ("debian-faq-it", "debian-reference-it"),
    "pt": ("debian-faq-pt", "debian-reference-pt"),
    "es": ("debian-reference-es", "aptitude-doc-es", "maint-guide-es"),
    "ja": ("debian-faq-ja",),
    "zh": ("debian-faq-zh-cn",),
    "en": ("debian-faq", "debian-reference-en"),
}
_COURSES = (
    "microsoft/Security-101",
    "microsoft/AZD-for-beginners",
    "microsoft/MCP-Server-and-PostgreSQL-Sample-Retail",
)
REPOSITORIES = {"hi": _COURSES, "th": _COURSES}
"""Their Markdown is in ``translations/LANGUAGE``."""
ASKED = {
    "de": ("Was muss ich über {} wissen?", "Wie ist das mit {}, und wann brauche ich es?",
           "Wo steht etwas über {}?", "Kann mir jemand erklären, wie das mit {} geht?"),
    "fr": ("Que faut-il savoir sur {} ?", "Comment ça marche avec {}, et quand est-ce que j'en ai besoin ?",
           "Où est-ce que je trouve quelque chose sur {} ?", "Peux-tu m'expliquer ce que c'est que {} ?"),
    "it": ("Che cosa devo sapere su {}?", "Come funziona con {}, e quando ne ho bisogno?",
           "Dove si trova qualcosa su {}?", "Mi puoi spiegare che cosa c'è da fare per {}?"),
    "pt": ("O que é que eu devo saber sobre {}?", "Como é que isto funciona com {}, e quando é preciso?",
           "Onde é que há alguma coisa sobre {}?", "Pode explicar-me como se faz com {}?"),
    "es": ("¿Qué tengo que saber sobre {}?", "¿Cómo es lo de {}, y cuándo me hace falta?",
           "¿Dónde hay algo sobre {}?", "¿Me puedes explicar cómo se hace con {}?"),
    "hi": ("मुझे {} के बारे में क्या जानना चाहिए?", "{} कैसे काम करता है और यह कब चाहिए?",
           "मैं {} के बारे में कहाँ पढ़ सकता हूँ?"),
    "th": ("ฉันต้องรู้อะไรบ้างเกี่ยวกับ{}", "{}ทำงานอย่างไร และต้องใช้เมื่อไหร่", "จะหาข้อมูลเกี่ยวกับ{}ได้จากที่ไหน",
           "ช่วยอธิบายหน่อยได้ไหมว่า{}ต้องทำอย่างไร"),
    "en": ("What do I have to know about {}?", "How is it with {}, and when do I need it?",
           "Where is there something about {}?", "Can you explain to me what to do with {}?"),
}  # fmt: skip
# Some headings and pages of the courses are not translated.
_TRANSLATED = {"hi": re.compile(r"[\u0900-\u097f]"), "th": re.compile(r"[\u0e00-\u0e7f]")}
_MARKDOWN_HEADING = re.compile(r"^#{1,6} +(.+)$", re.MULTILINE)
_FENCED = re.compile(r"<!--.*?-->|^[ >]*(```+|~~~+).*?^[ >]*\1", re.DOTALL | re.MULTILINE)
_MARKUP = re.compile(r"!?\[|\]\([^)\n]*\)|<[^>\n]*>|[*`|#]|-{3,}")
MAX_DOCUMENTS = 4_000
MAX_QUESTIONS = 200
_NUMBERED = re.compile(r"^(?:[^\W\d]+\s)?\s*\d+(?:\.\d+)*\.?\s+")  # "7.1. ", "Kapitel 7. "
_QUESTION = re.compile(r"[?？]|คืออะไร$|อย่างไร$|ทำไม")


def unpacked(package: str, folder: Path) -> Path:
    """Where the files of a package are, which is fetched if it is not there."""
    target = folder / package
    if not target.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "-q", package], cwd=folder, check=True)
        [archive] = folder.glob(f"{package}_*.deb")
        subprocess.run(["dpkg-deb", "-x", archive, target], check=True)
    return target


def sections(path: Path) -> Iterator[tuple[str, str]]:
    """Heading and own text of each section of a page of DocBook's."""
    soup = BeautifulSoup(path.read_bytes(), "html.parser")
    for aside in soup.select("div.toc, div.navheader, div.navfooter"):
        aside.extract()
    found = soup.select("div.section, div.chapter, div.sect1, div.sect2, div.sect3")
    for section in reversed(found):  # what stands inside comes first, and is taken out of what is around it
        heading = section.extract().find(["h1", "h2", "h3", "h4"])
        if isinstance(heading, Tag):
            title = " ".join(heading.extract().get_text(" ").split())
            yield _NUMBERED.sub("", title).rstrip("."), " ".join(section.get_text(" ").split())


def cloned(repository: str, language: str, folder: Path) -> Path:
    """Where a language's translation in a repository is, which is fetched if it is not there."""
    target = folder / language / repository.rpartition("/")[2]
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        address = f"https://github.com/{repository}"
        options = ("--depth=1", "--filter=blob:none", "--sparse")
        subprocess.run(["git", "clone", "-q", *options, address, target], check=True)
        subprocess.run(["git", "sparse-checkout", "set", f"translations/{language}"], cwd=target, check=True)
    return target / "translations" / language


def markdown_sections(path: Path) -> Iterator[tuple[str, str]]:
    """Heading and own text of each section of a Markdown page, without marks and code."""
    text = _FENCED.sub(" ", path.read_text(encoding="utf-8"))
    headings = list(_MARKDOWN_HEADING.finditer(text))
    for heading, following in zip(headings, [*headings[1:], None], strict=True):
        body = text[heading.end() : following.start() if following else len(text)]
        title = " ".join(_MARKUP.sub(" ", heading[1]).split()).rstrip(":")
        yield re.sub(r"^[^\w]+", "", _NUMBERED.sub("", title)), " ".join(_MARKUP.sub(" ", body).split())


def pages(language: str, packages: Path) -> Iterator[tuple[str, str, str]]:
    """Name, heading and text of each section there is in a language."""
    for package in PACKAGES.get(language, ()):
        for path in sorted(unpacked(package, packages).rglob("*.html")):
            if path.name.startswith("index") and package.startswith("debian-faq"):
                continue
            for number, (title, text) in enumerate(sections(path)):
                yield f"{package}/{path.name}#{number}", title, text
    for repository in REPOSITORIES.get(language, ()):
        root = cloned(repository, language, packages)
        for path in sorted(root.rglob("*.md")):
            for number, (title, text) in enumerate(markdown_sections(path)):
                yield f"{repository}/{path.relative_to(root)}#{number}", title, text


def build(language: str, packages: Path, target: Path) -> tuple[int, int]:
    """Write the set of one language in BEIR's format; returns the numbers of documents and questions."""
    documents: dict[str, tuple[str, str]] = {}
    translated = _TRANSLATED.get(language)
    for name, title, text in pages(language, packages):
        if (
            title
            and 100 <= len(text) <= 20_000
            and (
                translated is None
                or (translated.search(title) and len(translated.findall(text)) * 3 > len(text))
            )
        ):
            documents[name] = title, text
    kept = sorted(documents, key=lambda name: hashlib.sha256(name.encode()).digest())[:MAX_DOCUMENTS]
    titles = [documents[name][0] for name in kept]
    asked = {}
    for name, title in zip(kept, titles, strict=True):
        forms = ASKED.get(language, ())
        if titles.count(title) > 1 or len(title) < 5 or len(asked) >= MAX_QUESTIONS:
            continue
        if _QUESTION.search(title):
            asked[name] = title
        elif forms:
            asked[name] = forms[len(asked) % len(forms)].format(title)
    target.mkdir(parents=True, exist_ok=True)
    rows = [{"_id": name, "title": "", "text": documents[name][1]} for name in kept]
    queries = [{"_id": name, "text": question} for name, question in asked.items()]
    for file, lines in (("corpus.jsonl", rows), ("queries.jsonl", queries)):
        (target / file).write_text(
            "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8"
        )
    (target / "qrels.tsv").write_text(
        "query-id\tcorpus-id\tscore\n" + "".join(f"{name}\t{name}\t1\n" for name in asked), encoding="utf-8"
    )
    return len(rows), len(queries)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--packages", type=Path, help="where they are kept; default: FOLDER/packages")
    arguments = parser.parse_args()
    for language in (*PACKAGES, *REPOSITORIES):
        try:
            counts = build(
                language, arguments.packages or arguments.folder / "packages", arguments.folder / language
            )
        except (subprocess.CalledProcessError, FileNotFoundError) as error:
            print(f"{language}: left out, {error}")
        else:
            print(f"{language}: {counts[0]} documents, {counts[1]} questions")


if __name__ == "__main__":
    main()
