"""Reader of Jupyter notebooks."""

from __future__ import annotations

import json
from collections.abc import Iterator

from langchain_core.documents import Document

from llama_bedrock.retrievers.documents.readers.file_content import FileContent


def read_notebook(content: FileContent) -> Iterator[Document]:
    """A Jupyter notebook as Markdown: text cells, and code cells as fenced code. Outputs are left out."""
    try:
        notebook = json.loads(content.text())
        cells = notebook["cells"]
        language = notebook.get("metadata", {}).get("kernelspec", {}).get("language", "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a notebook of format 4 ({type(error).__name__}: {error})") from error
    blocks = []
    for cell in cells:
        source = "".join(cell.get("source", "")).strip("\n")
        if not source.strip():
            continue
        blocks.append(f"```{language}\n{source}\n```" if cell.get("cell_type") == "code" else source)
    if not blocks:
        raise ValueError("a notebook without cells")
    yield content.document("\n\n".join(blocks), format="markdown")
