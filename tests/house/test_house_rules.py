"""Rules of the house that no linter checks: sizes, links, names never to be tracked, the package list."""

import ast
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = [
    path
    for folder in ("llama_bedrock", "agents", "retrievers")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if not any(part.is_symlink() for part in path.parents)
]
EVERYWHERE = {"__init__.py"}
ROOT_ENTRIES = {
    ".ci", ".gitignore", "CHANGELOG.md", "CITATION.cff", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "LICENSE",
    "MANIFEST.in", "Makefile", "NOTICE", "README.md", "SECURITY.md", "agents", "benchmarks", "docs", "examples",
    "langgraph.json", "llama_bedrock", "mkdocs.yml", "pyproject.toml", "retrievers", "setup.py", "tests", "ui",
}  # fmt: skip


def tracked_files():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name]


def test_the_root_has_only_what_belongs_there():
    """A store that a test or a person saved into the working folder was committed once."""
    assert {path.relative_to(ROOT).parts[0] for path in tracked_files()} == ROOT_ENTRIES


def test_no_module_is_longer_than_800_lines():
    long = {str(p.relative_to(ROOT)): n for p in PRODUCT if (n := len(p.read_text().splitlines())) > 800}
    assert not long


def test_no_function_is_longer_than_50_lines():
    long = {}
    for path in PRODUCT:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                body = node.body
                if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
                    body = body[1:]  # a docstring documents; it is not the function's length
                lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
                if lines > 50:
                    long[f"{path.relative_to(ROOT)}:{node.name}"] = lines
    assert not long


def test_nothing_is_pickled_or_evaluated():
    unsafe = re.compile(
        r"\b(import pickle|pickle\.(?:load|dump)|allow_pickle=True|eval\(|exec\(|literal_eval)"
    )
    # It reads stores of langchain-community with an unpickler that knows three classes, tested to refuse others.
    reader = ROOT / "retrievers" / "store" / "langchain_import.py"
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in PRODUCT
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if unsafe.search(line) and not line.lstrip().startswith("#") and "re.compile" not in line
        if not (path == reader and line == "import pickle")
    ]
    assert not found


def test_links_point_to_the_root_folders():
    for name in ("agents", "retrievers"):
        link = ROOT / "llama_bedrock" / name
        assert link.is_symlink()
        assert link.resolve() == ROOT / name


def test_no_tracked_file_names_a_registry_host_or_a_machine_path():
    hosts = re.compile(
        rb"(pyp"
        + rb"i|pythonhoste"
        + rb"d|npmj"
        + rb"s|debia"
        + rb"n)\.(org|com)|/wor"
        + rb"k/|/far"
        + rb"m/"
    )
    found = [
        str(path.relative_to(ROOT))
        for path in tracked_files()
        if path.is_file() and not path.is_symlink() and hosts.search(path.read_bytes())
    ]
    assert not found


@pytest.mark.parametrize("package", ["agents", "retrievers"])
def test_root_folders_refuse_to_be_imported_under_another_name(package):
    run = subprocess.run(
        ["python3", "-c", f"import {package}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert f"import this package as llama_bedrock.{package}" in run.stderr


def test_every_package_is_listed_for_the_wheel():
    text = (ROOT / "pyproject.toml").read_text()
    listed = set(
        re.findall(r'^  "(llama_bedrock[\w.]*)",$', text.split("[tool.setuptools]")[1].split("]\n")[0], re.M)
    )
    folders = {path.parent for path in PRODUCT if path.name == "__init__.py"}
    names = set()
    for folder in folders:
        parts = folder.relative_to(ROOT).parts
        names.add(".".join(parts if parts[0] == "llama_bedrock" else ("llama_bedrock", *parts)))
    assert listed == names


def test_one_name_is_one_thing():
    """No two files with one name, and no two public classes: a reader could not tell which is meant."""
    files = Counter(path.name for path in PRODUCT if path.name not in EVERYWHERE)
    classes = Counter(
        node.name
        for path in PRODUCT
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [name for name, count in (files + classes).items() if count > 1] == []


def test_no_text_proposes_an_installation_that_does_not_work():
    """No index has this distribution: a bare `pip install` of its name would install somebody else's."""
    bare = re.compile(
        rb"(?:pip|uv|pipx) (?:install|add)[^`\n]{0,40}[\"' ]llama-bedrock(?:\[[^]\n]*\])?[\"'`\n]"
    )
    exempt = {"CHANGELOG.md", "tests/errors/test_install_commands.py"}
    found = [
        f'{name}: say pip install ".[…]"'
        for path in tracked_files()
        if (name := str(path.relative_to(ROOT))) not in exempt
        if path.is_file() and not path.is_symlink() and bare.search(path.read_bytes())
    ]
    assert not found
