"""The five notebooks: made from their Markdown, the same each time, and run as a reader would run them."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMES = ["checking-answers", "first-answer", "importing-a-model", "tools-and-agents", "your-documents"]

pytest.importorskip("jupytext")  # in [dev] alone, as nbclient and ipykernel


@pytest.fixture(scope="module")
def notebooks(tmp_path_factory):
    """The folder that `make notebooks` writes."""
    spec = importlib.util.spec_from_file_location("build_docs", ROOT / ".ci" / "build_docs.py")
    builder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(builder)
    folders = [tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("again")]
    for folder in folders:
        builder.write_notebooks(folder)
    for path in folders[0].iterdir():
        assert path.read_bytes() == (folders[1] / path.name).read_bytes()
    return folders[0]


def test_five_notebooks_hold_the_code_of_their_pages(notebooks):
    nbformat = pytest.importorskip("nbformat")
    assert sorted(path.stem for path in notebooks.iterdir()) == NAMES
    for path in notebooks.iterdir():
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        page = (ROOT / "docs" / "notebooks" / f"{path.stem}.md").read_text("utf-8")
        written = [body.strip() for body in re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)]
        assert [cell.source for cell in notebook.cells if cell.cell_type == "code"] == written
        assert len(written) >= 4


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs(name, notebooks, tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    for variable in ("HOME", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(variable, str(tmp_path))
    notebook = nbformat.read(notebooks / f"{name}.ipynb", as_version=4)
    client = nbclient.NotebookClient(notebook, timeout=100, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()  # a cell that raises, raises here
    shown = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    printed = "".join(output.text for output in shown if output.output_type == "stream")
    assert not [output for output in shown if output.output_type == "error"]
    assert "LlamaLifecycleWarning" not in printed
    assert len(printed) > 200
