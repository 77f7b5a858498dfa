"""The examples of docs/retrieval.md with readers of other projects, which are installed for these tests only."""

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "retrieval.md").read_text("utf-8")
# Under the heading of readers: a distribution to install, and the example that imports it.
EXAMPLES = dict(
    re.findall(r'`pip install "?([\w\[\],-]+)"?`(?:(?!pip install).)*?```text\n(.*?)```', PAGE, re.S)
)
ASCIIDOC = "= Llamas\n\n== Care\n\nThey hum when they are content.\n\n|===\n|name |kg\n|Ana |112\n|===\n"

# All that unstructured names takes minutes and 500 MB; its example imports these.
UNSTRUCTURED = ["unstructured==0.27.35", "--no-deps"]
NEEDED_BY_IT = [
    "spacy",
    "emoji",
    "langdetect",
    "python-iso639",
    "msoffcrypto-tool",
    "xlrd",
    "filetype",
    "filelock",
]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def run(*command, cwd):
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=os.environ | {"UNSTRUCTURED_DISABLE_NOTICE": "1"},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The Python of an environment that has all of ours, and these packages."""
    folder = tmp_path_factory.mktemp("foreign")
    run(sys.executable, "-m", "venv", "--without-pip", "env", cwd=folder)
    python = folder / "env" / "bin" / "python"
    own = Path(
        run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
    )
    # Through site, so that our own editable install is found as well.
    line = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
    (own / "ours.pth").write_text(line)
    install = ["-m", "pip", "install", "--disable-pip-version-check", "--no-compile", "--no-cache-dir"]
    whole = [name for name in EXAMPLES if not name.startswith("unstructured")]
    run(python, *install, *whole, *NEEDED_BY_IT, "xlwt", cwd=folder)
    run(python, *install, *UNSTRUCTURED, cwd=folder)
    return python


def test_each_of_the_three_has_an_example():
    assert {re.split(r"[\[-]", name)[0] for name in EXAMPLES} == {"docling", "markitdown", "unstructured"}


@pytest.mark.parametrize("package", EXAMPLES)
def test_the_example_reads_for_us(package, python, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "llamas.adoc").write_text(ASCIIDOC)
    (tmp_path / "book.py").write_text(
        "import xlwt\nbook = xlwt.Workbook()\nsheet = book.add_sheet('Herd')\n"
        "for row, cells in enumerate([['name', 'kg'], ['Ana', 112]]):\n"
        "    for column, cell in enumerate(cells):\n        sheet.write(row, column, cell)\n"
        "book.save('docs/herd.xls')\n"
    )
    run(python, "book.py", cwd=tmp_path)
    example = EXAMPLES[package]
    wanted = set(re.findall(r'"(\.\w+)"', example)) & {".adoc", ".xls"}
    (tmp_path / "example.py").write_text(
        "from llama_bedrock.retrievers import load_documents\n" + example + "\nfor document in documents:\n"
        "    print(document.metadata['source'], repr(document.page_content))\n"
    )
    printed = run(python, "example.py", cwd=tmp_path)
    (line,) = (line for line in printed.splitlines() if line.split(" ")[0].endswith(tuple(wanted)))
    assert re.search(r"name\W+kg\W.*\bAna\b\W+112", line), printed
    if ".adoc" in wanted:
        assert "# Llamas" in line
