"""Reader of plain text, Markdown, reStructuredText and source code: the file's text, unchanged."""

from __future__ import annotations

import re
from collections.abc import Iterator

from langchain_core.documents import Document

from llama_bedrock.retrievers.documents.headings import FRONT_MATTER, HEADINGS, looks_like_rst
from llama_bedrock.retrievers.documents.readers.file_content import FileContent

MARKDOWN = {".md", ".markdown", ".mdx"}
RST = {".rst"}
TEXT = {".txt", ".text", ".log", ".adoc", ".org", ".tex"}
CODE_LANGUAGES = {
    ".py": "python", ".pyi": "python", ".js": "js", ".jsx": "js", ".mjs": "js", ".cjs": "js", ".ts": "ts",
    ".tsx": "ts", ".java": "java", ".kt": "kotlin", ".go": "go", ".rs": "rust", ".rb": "ruby", ".php":
    "php", ".scala": "scala", ".swift": "swift", ".c": "c", ".h": "c", ".cc": "cpp", ".cpp": "cpp",
    ".cxx": "cpp", ".hh": "cpp", ".hpp": "cpp", ".cs": "csharp", ".lua": "lua", ".pl": "perl", ".hs":
    "haskell", ".ex": "elixir", ".exs": "elixir", ".ps1": "powershell", ".proto": "proto", ".sol": "sol",
    ".cob": "cobol", ".r": "r", ".sh": "shell", ".bash": "shell", ".sql": "sql", ".css": "css", ".vue":
    "js", ".tf": "terraform", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml", ".ini": "ini", ".cfg":
    "ini", ".xml": "xml",
}  # fmt: skip


def read_text(content: FileContent) -> Iterator[Document]:
    """Markdown, reStructuredText, plain text and source code: the file's text, unchanged."""
    text = content.text()
    if content.suffix in CODE_LANGUAGES:
        yield content.document(text, format="code", language=CODE_LANGUAGES[content.suffix], line=1)
    elif content.suffix in MARKDOWN:
        yield content.document(text, format="markdown", title=_title(text, "markdown"), line=1)
    elif content.suffix in RST or (content.suffix in TEXT and looks_like_rst(text)):
        yield content.document(text, format="rst", title=_title(text, "rst"), line=1)
    else:
        yield content.document(text, format="text", line=1)


def _title(text: str, format: str) -> str | None:
    front_matter = FRONT_MATTER.match(text)
    if front_matter and (named := re.search(r"^title:[ \t]*(.+)$", front_matter[1], re.MULTILINE)):
        return named[1].strip().strip("\"'")
    return next((title for _, level, title in HEADINGS[format](text) if level == 1), None)
