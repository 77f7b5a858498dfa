"""Amazon Bedrock Knowledge Bases: retrieval, answers with citations, ingestion."""
