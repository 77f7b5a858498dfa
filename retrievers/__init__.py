"""Local FAISS retrieval and Amazon Bedrock Knowledge Bases, for LangChain."""

if __name__ != "llama_bedrock.retrievers":
    raise ImportError("import this package as llama_bedrock.retrievers, not as a top-level module")
