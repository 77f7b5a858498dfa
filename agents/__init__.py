"""RAG chains with verified citations, and tool-using agents, on LangChain and LangGraph."""

if __name__ != "llama_bedrock.agents":
    raise ImportError("import this package as llama_bedrock.agents, not as a top-level module")
