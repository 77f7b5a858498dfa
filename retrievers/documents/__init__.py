"""Files to LangChain documents: loading, reading, splitting."""
