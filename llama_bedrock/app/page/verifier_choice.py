"""Who can judge citations: by the names that the page and its API use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama_bedrock.app.http_errors import ApiError
from llama_bedrock.chat_model import ChatLlamaBedrock
from llama_bedrock.settings import BedrockConnection

if TYPE_CHECKING:
    from llama_bedrock.app.app_state import AppState
    from llama_bedrock.grounding import Verifier


class VerifierChoice:
    """The verifiers of an application.

    Args:
        state: Of the application.

    Attributes:
        default: Name of the application's own.
        names: All that can be asked for: ``words``, ``llama``, ``guardrail`` where one is configured for
            the application or its model, ``own`` for one that the library does not have, and ``none``.
    """

    def __init__(self, state: AppState) -> None:
        from llama_bedrock.grounding import GuardrailVerifier, LlamaJudge, NoVerifier, WordVerifier

        self._state = state
        kinds = {
            "llama": LlamaJudge,
            "none": NoVerifier,
            "guardrail": GuardrailVerifier,
            "words": WordVerifier,
        }
        own = state.verifier
        named = (name for name, kind in kinds.items() if isinstance(own, kind))
        self.default = "words" if own is None else next(named, "own")
        self._plain: dict[str, Verifier] = {"words": WordVerifier(), "none": NoVerifier()}
        self._guardrail = own if isinstance(own, GuardrailVerifier) else _guardrail_of(state)
        offered = ["words", "llama"]
        offered += ["guardrail"] if self._guardrail is not None else []
        self.names = (*offered, *(["own"] if self.default == "own" else []), "none")

    def get(self, name: str | None, model: str | None) -> Verifier | None:
        """A verifier by its name; None for the application's.

        Args:
            name: One of ``names``, or None.
            model: Id of the model that judges where a model does; None for the default.

        Raises:
            ApiError: There is none of that name.
        """
        from llama_bedrock.grounding import LlamaJudge

        if name is None or name == "own" == self.default:
            return self._state.verifier if name else None
        if name not in self.names:
            message = f"no verifier {name!r}; there are {', '.join(self.names)}"
            raise ApiError(400, message, param="verifier", code="invalid_request")
        if name == "guardrail":
            return self._guardrail
        if name == "llama":
            return LlamaJudge(self._state.models.get(model))
        return self._plain[name]


def _guardrail_of(state: AppState) -> Verifier | None:
    """A verifier by the guardrail that the default model's calls have, with that model's connection."""
    from llama_bedrock.grounding import GuardrailVerifier

    model = state.models.get()
    if not isinstance(model, ChatLlamaBedrock) or model.guardrails is None:
        return None
    given = {
        name: value for name in BedrockConnection.model_fields if (value := getattr(model, name)) is not None
    }
    return GuardrailVerifier(model.guardrails, **given)
