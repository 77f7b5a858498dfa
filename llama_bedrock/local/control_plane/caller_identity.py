"""Security Token Service: who calls."""

from __future__ import annotations

from typing import Any

from llama_bedrock.local.control_plane.plane import PlaneRequest


def get_caller_identity(request: PlaneRequest) -> dict[str, Any]:
    """Serve ``GetCallerIdentity``."""
    account = request.plane.account
    return {"UserId": "AIDALOCALBEDROCKUSER", "Account": account.account_id, "Arn": account.user_arn}
