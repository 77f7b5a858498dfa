"""Finding: lexical and hybrid search, fusion, reranking, several wordings, parents of chunks."""
