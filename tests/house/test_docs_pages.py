"""The documentation as a whole: each page is in the navigation, each link leads somewhere, each public name is in the
reference, and what strangers ask first is near.
"""

import ast
import importlib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
REPOSITORY = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")]
# Their names are public: each has a page of its name in docs/reference.
PACKAGES = [
    "llama_bedrock",
    "llama_bedrock.agents",
    "llama_bedrock.agents.evaluation",
    "llama_bedrock.app",
    "llama_bedrock.catalog",
    "llama_bedrock.control",
    "llama_bedrock.errors",
    "llama_bedrock.grounding",
    "llama_bedrock.local",
    "llama_bedrock.retrievers",
    "llama_bedrock.testing",
    "llama_bedrock.usage",
]
# Modules with an `__all__` for one another, or whose names a package above gives on.
INTERNAL = {
    "agents/middleware.py",
    "llama_bedrock/observability/__init__.py",
    "llama_bedrock/structured_output.py",
    "llama_bedrock/tools/parser/tool_call_parser.py",
    "retrievers/arrays.py",
}
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
_LINK = re.compile(r"(?<!\\)\[([^\]]*)\]\(([^)\s]+)[^)]*\)")


def script(name):
    """A script that is no module of the package."""
    spec = importlib.util.spec_from_file_location(Path(name).stem, ROOT / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def name_of(page):
    return page.relative_to(DOCS).as_posix()


def links_of(page):
    """Text, page and anchor of the links to files."""
    prose = re.sub(r"`[^`\n]*`", "", _FENCE.sub("", page.read_text("utf-8")))
    for text, target in _LINK.findall(prose):
        if not target.startswith(("http://", "https://", "mailto:")):
            path, _, anchor = target.partition("#")
            yield text, (page.parent / path).resolve() if path else page, anchor


def anchors_of(page):
    """What a page can be linked to: its headings, as Markdown's table of contents names them."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", page.read_text("utf-8")), re.M)
    return {
        re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings
    } | set(re.findall(r"^::: (\S+)$", page.read_text("utf-8"), re.M))


def resolved(name):
    """The object of a dotted name."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = getattr(found, part)
        return found
    raise AssertionError(f"{name} cannot be imported")


def documented():
    """The names of the reference."""
    return [
        name
        for page in sorted((DOCS / "reference").glob("*.md"))
        for name in re.findall(r"^::: (\S+)$", page.read_text("utf-8"), re.M)
    ]


def test_each_page_is_in_the_navigation_once():
    listed = [page for pages in script(".ci/build_docs.py").nav().values() for _, page in pages]
    orphans = {name_of(page) for page in PAGES} - set(listed)
    assert not orphans, (
        f"add to `nav` in mkdocs.yml, below the section its readers look in: {sorted(orphans)}"
    )
    assert sorted(listed) == sorted({*listed}), "a page stands in `nav` of mkdocs.yml twice"
    assert not {*listed} - {name_of(page) for page in PAGES}, (
        "`nav` of mkdocs.yml names a page that is not there"
    )


def test_each_page_is_linked_from_another_one():
    linked = {target for page in PAGES for _, target, _ in links_of(page) if target != page}
    lonely = [name_of(page) for page in PAGES if page not in linked and page.parent.name != "reference"]
    assert lonely == ["index.md"] or not lonely, f"no other page leads to {lonely}"


def test_links_lead_to_pages_and_anchors_that_exist():
    broken = []
    for page in [*REPOSITORY, *PAGES]:
        for text, target, anchor in links_of(page):
            if not target.exists():
                broken.append(f"{page.name}: [{text}] → {target}")
            elif anchor and target.suffix == ".md" and anchor not in anchors_of(target):
                broken.append(f"{page.name}: [{text}] → {target.name} has no #{anchor}")
            elif DOCS in page.parents and DOCS not in target.parents:
                broken.append(
                    f"{page.name}: [{text}] leads out of docs/, where the site has nothing: name it as code"
                )
    assert not broken


def test_each_page_begins_with_what_it_answers():
    summary_of = script(".ci/build_docs.py").summary_of
    without = [name_of(page) for page in PAGES if not summary_of(page.read_text("utf-8"))]
    assert not without, f"begin with a sentence, before code and tables: {without}"


def test_no_two_pages_have_one_heading_or_one_paragraph():
    headings, paragraphs = {}, {}
    for page in PAGES:
        text = page.read_text("utf-8")
        headings.setdefault(text.splitlines()[0], []).append(name_of(page))
        for paragraph in _FENCE.sub("", text).split("\n\n"):
            if len(paragraph) > 120:
                paragraphs.setdefault(" ".join(paragraph.split()), set()).add(name_of(page))
    assert not {heading: pages for heading, pages in headings.items() if len(pages) > 1}
    assert not {text: pages for text, pages in paragraphs.items() if len(pages) > 1}


def test_each_task_is_one_program():
    tasks = sorted((DOCS / "tasks").glob("*.md"))
    assert len(tasks) == 5
    for page in tasks:
        assert [language for language, _ in _FENCE.findall(page.read_text("utf-8"))].count("python") == 1


@pytest.mark.parametrize(
    ("asked", "page", "said"),
    [
        ("force a tool", "tools.md#choice", "cannot be missed"),
        ("verdict", "rag.md#citations-are-checked", "not decided"),
        ("ChatBedrock", "coming-from-langchain-aws.md", "ChatBedrock"),
        ("March 2027", "migrating.md", "2027-03-30"),
        ("untested", "untested.md", "AWS account"),
    ],
)
def test_what_strangers_ask_is_two_clicks_away(asked, page, said):
    path, _, anchor = page.partition("#")
    steps = {(): DOCS / "index.md"}
    for _ in range(2):
        steps |= {
            (*way, text): target
            for way, start in steps.items()
            for text, target, found in links_of(start)
            if target.suffix == ".md" and (target != DOCS / path or found == anchor)
        }
    ways = [
        way for way, target in steps.items() if target == DOCS / path and any(asked in text for text in way)
    ]
    assert ways, f"index.md does not lead to {page} by a link that says {asked!r}"
    assert said in (DOCS / path).read_text("utf-8")


@pytest.mark.parametrize("package", PACKAGES)
def test_each_public_name_is_in_the_reference(package):
    assert (DOCS / "reference" / f"{package}.md").exists()
    described = [resolved(name) for name in documented()]
    module = importlib.import_module(package)
    missing = [
        name
        for name in module.__all__
        if name != "__version__" and not any(getattr(module, name) is known for known in described)
    ]
    assert not missing, f"add `::: {package}.NAME` to docs/reference/{package}.md for {missing}"


def test_the_packages_of_the_reference_are_all_there_are():
    found = {
        path.relative_to(ROOT).as_posix()
        for folder in ("llama_bedrock", "agents", "retrievers")
        for path in (ROOT / folder).rglob("*.py")
        if "__all__" in path.read_text("utf-8") and not any(part.is_symlink() for part in path.parents)
        if re.search(r"^__all__", path.read_text("utf-8"), re.M)
    }
    known = {
        f"{package.removeprefix('llama_bedrock.') if package.split('.')[1:2] in (['agents'], ['retrievers']) else package}".replace(
            ".", "/"
        )
        for package in PACKAGES
    }
    assert found - INTERNAL == {f"{name}/__init__.py" for name in known if (ROOT / name).is_dir()} | {
        f"{name}.py" for name in known if not (ROOT / name).is_dir()
    }


def test_what_the_pages_import_is_in_the_reference():
    described = [resolved(name) for name in documented()]
    missing = []
    for page in [ROOT / "README.md", *PAGES]:
        for language, body in _FENCE.findall(page.read_text("utf-8")):
            for node in ast.walk(ast.parse(body)) if language == "python" else ():
                if (
                    not isinstance(node, ast.ImportFrom)
                    or (node.module or "").split(".")[0] != "llama_bedrock"
                ):
                    continue
                for name in node.names:
                    thing = resolved(f"{node.module}.{name.name}")
                    if not any(thing is known for known in described):
                        missing.append(f"{page.name}: {node.module}.{name.name}")
    assert not missing


def test_no_word_is_misspelt():
    pytest.importorskip("codespell_lib")  # in [dev] alone
    run = subprocess.run(
        [sys.executable, "-m", "codespell_lib", "docs", *(page.name for page in REPOSITORY)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, f"{run.stdout}(a word that is right: `ignore-words-list` in pyproject.toml)"


def test_a_broken_site_is_told(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "index.html").write_text(
        '<h1 id="top"></h1><a href="a/b.html#x">1</a><a href="a/b.html#y">2</a><a href="c.html">3</a><a href="#top">4</a>'
        '<a href="https://example.org">5</a><link rel="canonical" href="https://example.org/">'
    )
    (tmp_path / "a" / "b.html").write_text(
        '<p id="x" style="background: url(https://cdn.example/p.png)"></p><a href="../index.html#top">1</a>'
        '<script src="https://cdn.example/s.js"></script><img src="//cdn.example/i.png"><img src="../none.png">'
        '<link rel="stylesheet" href="https://cdn.example/s.css"><img srcset="https://cdn.example/2.png 2x">'
    )
    (tmp_path / "s.css").write_text(
        '@import "https://cdn.example/f.css"; p {src: url(//cdn.example/f.woff2)}'
    )
    (tmp_path / "s.js").write_text('load("https://unpkg.com/x")')
    found = script(".ci/build_docs.py").problems_of(tmp_path)
    assert [problem.split(": ", 1)[1] for problem in found if problem.startswith("index.html")] == [
        "a/b.html#y: b.html has no such anchor",
        "c.html leads nowhere",
    ]
    assert sum("loads" in problem and "cdn.example" in problem for problem in found) == 7
    assert "a/b.html: ../none.png leads nowhere" in found
    assert any("unpkg" in problem for problem in found)


def test_a_package_page_has_no_link_that_needs_a_place():
    readme = (ROOT / "README.md").read_text("utf-8")
    code = "```python\ncalls[name](event)\n```\n"
    page = script("setup.py").package_page(readme + code)
    parts = [part for block in MarkdownIt("commonmark").parse(page) for part in block.children or []]
    addresses = [part.attrs.get("href", part.attrs.get("src")) for part in parts]
    assert [address for address in addresses if address and not address.startswith("https://")] == []
    assert "https://github.com/langchain-ai/langchain-aws" in addresses
    assert code in page
    assert _FENCE.findall(page) == _FENCE.findall(readme + code)
    assert "benchmarks (`docs/benchmarks.md`)" in page


def test_each_promise_of_security_names_tests_that_are_there():
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    promises = text.split("## What is promised")[1].split("\n## ")[0]
    rows = [
        line.rsplit("|", 2)[1]
        for line in promises.splitlines()
        if line.startswith("| ") and "tested by" not in line
    ]
    assert len(rows) > 15
    for row in rows:
        named = re.findall(r"`([^`]+)`", row)
        assert named, row
        for path, _, function in (name.partition("::") for name in named):
            assert f"def {function or 'test_'}" in (ROOT / path).read_text(encoding="utf-8"), path
