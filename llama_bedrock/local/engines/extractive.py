"""The engine that needs nothing: it answers from what stands in the prompt, and says that it is no Llama."""

from __future__ import annotations

from collections.abc import Iterator

from llama_bedrock.local.engine import EngineRequest
from llama_bedrock.local.engines.pieces import pieces
from llama_bedrock.local.engines.reader import answer
from llama_bedrock.prompts.parse_back import parse_prompt
from llama_bedrock.prompts.passages import NO_ANSWER, parse_passages, parse_question


class ExtractiveEngine:
    """Answers from the passages in the prompt with their own sentences and citation marks."""

    name = "local extractive engine"

    def generate(self, request: EngineRequest) -> Iterator[str]:
        """Write the answer."""
        turns = parse_prompt(request.prompt, request.prompt_format)
        user = next((turn.text for turn in reversed(turns) if turn.role in ("user", "text")), "")
        passages = parse_passages(user)
        if passages:
            found = answer(parse_question(user) or user, passages)
            text = " ".join(f"{s.text} [{s.number}]" for s in found) or NO_ANSWER
        else:
            text = "I am the local extractive engine."
        return iter(pieces(text))
