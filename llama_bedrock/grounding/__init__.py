"""Answers and what backs them: citation marks, quotes and their places, and who verifies them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llama_bedrock.grounding.answers import Citation, RagAnswer, RagAnswerChunk
    from llama_bedrock.grounding.citations import CitationReader
    from llama_bedrock.grounding.claims import Claim, Verdict, Verifier
    from llama_bedrock.grounding.guardrail import GuardrailVerifier
    from llama_bedrock.grounding.judge import LlamaJudge
    from llama_bedrock.grounding.verify import Cascade, NoVerifier, averify_answer, verify_answer
    from llama_bedrock.grounding.words import WordVerifier

# Each name is imported when it is first used: answers and marks need none of the verifiers.
_HOME = {
    "Cascade": "verify",
    "Citation": "answers",
    "CitationReader": "citations",
    "Claim": "claims",
    "GuardrailVerifier": "guardrail",
    "LlamaJudge": "judge",
    "NoVerifier": "verify",
    "RagAnswer": "answers",
    "RagAnswerChunk": "answers",
    "Verdict": "claims",
    "Verifier": "claims",
    "WordVerifier": "words",
    "averify_answer": "verify",
    "verify_answer": "verify",
}

__all__ = [
    "Cascade",
    "Citation",
    "CitationReader",
    "Claim",
    "GuardrailVerifier",
    "LlamaJudge",
    "NoVerifier",
    "RagAnswer",
    "RagAnswerChunk",
    "Verdict",
    "Verifier",
    "WordVerifier",
    "averify_answer",
    "verify_answer",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
