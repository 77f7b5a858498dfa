"""Bedrock Knowledge Bases on this machine: ingestion, retrieval, answers with citations, reranking."""
