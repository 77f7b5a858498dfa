"""One reader per file format: bytes to LangChain documents."""
