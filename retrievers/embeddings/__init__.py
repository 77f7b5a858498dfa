"""Embeddings: LSA fitted on the corpus, and remote models within the limits of their service."""
