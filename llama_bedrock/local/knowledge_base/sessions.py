"""Conversations of RetrieveAndGenerate."""

from __future__ import annotations

import uuid
from collections import OrderedDict

from llama_bedrock.local.runtime.frames import invalid

_MAX_SESSIONS = 1000


class Sessions:
    """Conversations by session id; the oldest are forgotten."""

    def __init__(self) -> None:
        self._turns: OrderedDict[str, list[tuple[str, str]]] = OrderedDict()

    def open(self, session_id: str | None) -> tuple[str, list[tuple[str, str]]]:
        """An existing session and its questions and answers, or a new one.

        Raises:
            ServiceError: There is no such session.
        """
        if session_id is None:
            session_id = str(uuid.uuid4())
            self._turns[session_id] = []
            if len(self._turns) > _MAX_SESSIONS:
                self._turns.popitem(last=False)
        elif session_id not in self._turns:
            raise invalid(f"Session with Id {session_id} is not valid. Please check and try again.")
        return session_id, self._turns[session_id]
