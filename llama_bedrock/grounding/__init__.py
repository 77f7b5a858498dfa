"""Answers and what backs them: citation marks, quotes and their places, and who verifies them."""

from typing import TYPE_CHECKING

from llama_bedrock._lazy_names import lazy_names

if TYPE_CHECKING:
    from llama_bedrock.grounding.answers import Citation, RagAnswer, RagAnswerChunk
    from llama_bedrock.grounding.citations import CitationReader
    from llama_bedrock.grounding.claims import Claim, Verdict, Verifier
    from llama_bedrock.grounding.guardrail import GuardrailVerifier
    from llama_bedrock.grounding.judge import LlamaJudge
    from llama_bedrock.grounding.verify import Cascade, NoVerifier, averify_answer, verify_answer
    from llama_bedrock.grounding.words import WordVerifier

# Each name is imported when it is first used: answers and marks need none of the verifiers.
_HOMES = {
    ".answers": ["Citation", "RagAnswer", "RagAnswerChunk"],
    ".citations": ["CitationReader"],
    ".claims": ["Claim", "Verdict", "Verifier"],
    ".guardrail": ["GuardrailVerifier"],
    ".judge": ["LlamaJudge"],
    ".verify": ["Cascade", "NoVerifier", "averify_answer", "verify_answer"],
    ".words": ["WordVerifier"],
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

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
