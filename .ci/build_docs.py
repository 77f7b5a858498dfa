"""Build the documentation into `site/`, and check it: ``python .ci/build_docs.py``, as `make docs` does.

Zensical makes the pages. Beside them come each page as Markdown, `llms.txt` (a list of them) and
`llms-full.txt` (all in one file) for programs that read, and the notebooks as `.ipynb`. It ends with 1 where
a link, an anchor or an image leads nowhere, or where a page would load something from another host.

``python .ci/build_docs.py notebooks FOLDER`` writes the notebooks alone.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
CONFIG = ROOT / "mkdocs.yml"

# Hosts of features that no page uses (diagrams, a Python console, stars of a repository): never asked for.
_FOREIGN = re.compile(r"https://(?:unpkg\.com|cdn\.jsdelivr\.net|api\.github\.com)/")
_REFERENCE = re.compile(r"^::: (\S+)\n(?:    .*\n)*", re.M)
_RESOURCES = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "link": "href",
    "object": "data",
}
_RELATIONS = {"canonical", "next", "prev", "alternate"}  # of <link>: told, not loaded


def nav() -> dict[str, list[tuple[str, str]]]:
    """The sections of the navigation, each with its pages: title and path, in order."""
    config = yaml.safe_load(CONFIG.read_text("utf-8"))
    return {title: list(_pages(entries)) for section in config["nav"] for title, entries in section.items()}


def _pages(entries: Any) -> Iterator[tuple[str, str]]:
    for entry in entries:
        if isinstance(entry, str):
            yield heading_of(DOCS / entry), entry
            continue
        for title, target in entry.items():
            if isinstance(target, str):
                yield title, target
            else:
                yield from _pages(target)


def heading_of(page: Path) -> str:
    return page.read_text("utf-8").splitlines()[0].removeprefix("# ")


def summary_of(text: str) -> str:
    """The first sentence of a page, without marks of Markdown; nothing where code or a table comes first."""
    paragraph = re.sub(r"<!--.*?-->", "", text.split("\n", 1)[-1], flags=re.S).strip().split("\n\n")[0]
    if re.match(r"```|    |[|!#]|::: ", paragraph):
        return ""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(paragraph.split()))
    return re.split(r"(?<=[.?!]) ", re.sub(r"[`*]", "", plain))[0].rstrip(":")


def described(name: str) -> str:
    """A public name as Markdown: its signature and its docstring."""
    module, rest = name, []
    while True:
        try:
            found: Any = importlib.import_module(module)
            break
        except ModuleNotFoundError:
            module, _, last = module.rpartition(".")
            rest.insert(0, last)
    for part in rest:
        found = getattr(found, part)
    signature = ""
    if callable(found):
        try:
            signature = str(inspect.signature(found))
        except ValueError:
            signature = "(…)"
    described_by = inspect.getdoc(found) if callable(found) or inspect.ismodule(found) else ""
    return f"### {name}\n\n`{name}{signature}`\n\n{described_by or ''}".rstrip() + "\n"


def as_markdown(page: str) -> str:
    """A page with its reference written out."""
    text = (DOCS / page).read_text("utf-8")
    return _REFERENCE.sub(lambda match: described(match[1]), text) if page.startswith("reference/") else text


def write_for_readers(site: Path) -> None:
    """Write each page as Markdown, and the two files that list and hold them all."""
    listed, whole = [], []
    config = yaml.safe_load(CONFIG.read_text("utf-8"))
    for section, pages in nav().items():
        listed.append(f"\n## {section}\n")
        for title, page in pages:
            text = as_markdown(page)
            (site / page).parent.mkdir(parents=True, exist_ok=True)
            (site / page).write_text(text, "utf-8")
            listed.append(f"- [{title}]({page}): {summary_of(text)}")
            whole.append(f"<!-- {page} -->\n\n{text.strip()}\n")
    head = f"# {config['site_name']}\n\n> {config['site_description']}\n"
    (site / "llms.txt").write_text(head + "\n".join(listed) + "\n", "utf-8")
    (site / "llms-full.txt").write_text(head + "\n" + "\n".join(whole), "utf-8")


def write_notebooks(folder: Path) -> None:
    """Make an `.ipynb` of each notebook's Markdown."""
    import jupytext

    folder.mkdir(parents=True, exist_ok=True)
    for source in sorted((DOCS / "notebooks").glob("*.md")):
        if source.stem == "index":
            continue
        notebook = jupytext.read(source)
        notebook.metadata["kernelspec"] = {
            "name": "python3",
            "display_name": "Python 3",
            "language": "python",
        }
        for number, cell in enumerate(notebook.cells):
            cell["id"] = f"{source.stem}-{number}"  # the same each time
        jupytext.write(notebook, folder / f"{source.stem}.ipynb")


class _Page(HTMLParser):
    """What a page links to, loads, and can be linked to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors.update(given[name] for name in ("id", "name") if name in given)
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        resource = given.get(_RESOURCES.get(tag, ""))
        if resource and not (tag == "link" and given.get("rel") in _RELATIONS):
            self.loads.append(resource)
        self.loads += [part.split()[0] for part in given.get("srcset", "").split(",") if part.strip()]
        self.loads += re.findall(r"url\(['\"]?([^'\")]+)", given.get("style", ""))


def problems_of(site: Path) -> list[str]:
    """What is broken in a built site, or comes from another host."""
    pages = {path: _Page(path.read_text("utf-8")) for path in sorted(site.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        if path.name == "404.html":  # served at any address: its links begin at the host
            continue
        name = path.relative_to(site)
        for link in [*page.links, *page.loads]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if link in page.loads and parts.scheme != "data":
                    found.append(f"{name}: loads {link}")
                continue
            target = Path(os.path.normpath(path.parent / unquote(parts.path))) if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                found.append(f"{name}: {link} leads nowhere")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                found.append(f"{name}: {link}: {target.name} has no such anchor")
    for path in sorted(site.rglob("*.css")):
        for link in re.findall(
            r"(?:url\(|@import )\s*['\"]?((?:https?:)?//[^'\")]+)", path.read_text("utf-8")
        ):
            found.append(f"{path.relative_to(site)}: loads {link}")
    for path in sorted(site.rglob("*.js")):
        found += [
            f"{path.relative_to(site)}: asks {host}" for host in _FOREIGN.findall(path.read_text("utf-8"))
        ]
    return found


def main(arguments: list[str]) -> int:
    """Build and check; 1 where something is broken."""
    if arguments[:1] == ["notebooks"]:
        write_notebooks(Path(arguments[1]))
        return 0
    built = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--clean", "--strict"],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"}, check=False,
    )  # fmt: skip
    if built.returncode:
        print(built.stdout, built.stderr, file=sys.stderr)
        return 1
    site = ROOT / "site"
    for script in site.rglob("*.js"):
        script.write_text(_FOREIGN.sub("about:blank#", script.read_text("utf-8")), "utf-8")
    write_for_readers(site)
    write_notebooks(site / "notebooks")
    if found := problems_of(site):
        print(*found, sep="\n", file=sys.stderr)
        return 1
    print(f"site/: {sum(1 for _ in site.rglob('*.html'))} pages, no link broken, nothing from another host")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
