"""How well a model and a retriever answer questions about documents, in numbers."""

from llama_bedrock.agents.evaluation.rag_evaluation import (
    METRICS,
    Dataset,
    Evaluation,
    Outcome,
    Question,
    answer_metrics,
    evaluate,
    load_dataset,
    retrieval_metrics,
)
from llama_bedrock.agents.evaluation.report import summary_rows, to_html

__all__ = [
    "METRICS",
    "Dataset",
    "Evaluation",
    "Outcome",
    "Question",
    "answer_metrics",
    "evaluate",
    "load_dataset",
    "retrieval_metrics",
    "summary_rows",
    "to_html",
]
