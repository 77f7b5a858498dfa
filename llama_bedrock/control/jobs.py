"""What all jobs of the control plane share: names, tags, waiting until they end, and how they fail."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from llama_bedrock.errors import BedrockTimeoutError, LlamaBedrockError
from llama_bedrock.imported_models import CONTROL_SERVICE
from llama_bedrock.transport.steps import Pause, Request, Steps

_FIRST_POLL, _LAST_POLL, _GROWTH = 0.05, 30.0, 1.5  # seconds; a job takes minutes or hours on AWS
_NAME = re.compile(r"([0-9a-zA-Z][_-]?){1,63}")
_ROLE = re.compile(r"arn:aws(-[^:]+)?:iam::([0-9]{12})?:role/.+")
_TAG = re.compile(r"[a-zA-Z0-9\s._:/=+@-]*")


class JobFailedError(LlamaBedrockError):
    """A job of Bedrock ended without success; the message is Bedrock's own. `status` says how it ended."""

    status: str = "Failed"


def check_name(what: str, name: str) -> str:
    """Refuse a name that the service would refuse after the upload.

    Raises:
        ValueError: It is none.
    """
    if not _NAME.fullmatch(name) or len(name) > 63:
        raise ValueError(f"{what}={name!r}: 1 to 63 letters, digits, single - and _ between them")
    return name


def check_role(role_arn: str) -> str:
    """Refuse what is no role.

    Raises:
        ValueError: It is none.
    """
    if not _ROLE.fullmatch(role_arn):
        raise ValueError(
            f"role_arn={role_arn!r} is no role: Bedrock reads S3 as arn:aws:iam::<account>:role/<name>"
        )
    return role_arn


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as the API takes them.

    Raises:
        ValueError: A tag has other characters than Bedrock takes.
    """
    for key, value in tags.items():
        if not (_TAG.fullmatch(key) and _TAG.fullmatch(value) and 1 <= len(key) <= 128 and len(value) <= 256):
            raise ValueError(
                f"the tag {key!r}: {value!r} has other characters than letters, digits and ._:/=+@-"
            )
    return [{"key": key, "value": value} for key, value in tags.items()]


def job_name(name: str) -> str:
    """A name for a job, which no two may share."""
    return f"{name[:46]}-{datetime.now(UTC):%Y%m%d%H%M%S}"


def control_request(operation: str, **arguments: Any) -> Request:
    """A request to the control plane, without the arguments that are None."""
    given = {key: value for key, value in arguments.items() if value is not None}
    return Request(CONTROL_SERVICE, operation, given)


def wait_until(
    request: Request,
    ended: Callable[[dict[str, Any]], bool],
    *,
    seconds: float | None,
    tell: Callable[[dict[str, Any], float], None],
) -> Steps[dict[str, Any]]:
    """Ask again and again until a job has ended.

    Args:
        request: What tells its state.
        ended: Whether a response is the last one.
        seconds: How long to wait; None for as long as it takes.
        tell: Called with each response and the seconds waited so far.

    Raises:
        BedrockTimeoutError: The time is over; the job goes on.
        LlamaBedrockError: A call failed, after retries where they make sense.
    """
    started, poll = time.monotonic(), _FIRST_POLL
    while True:
        state: dict[str, Any] = yield request
        waited = time.monotonic() - started
        tell(state, waited)
        if ended(state):
            return state
        if seconds is not None and waited + poll > seconds:
            raise BedrockTimeoutError(
                f"after {seconds:g} s it is {state.get('status')}",
                hint="it goes on in Bedrock: the same call waits for it again",
            )
        yield Pause(poll)
        poll = min(poll * _GROWTH, _LAST_POLL)


def failed(what: str, state: Mapping[str, Any], hint: str | None = None) -> JobFailedError:
    """The error for a job that did not succeed."""
    status = str(state.get("status") or state.get("modelStatus"))
    why = state.get("failureMessage") or "Bedrock gives no reason"
    error = JobFailedError(f"{what} is {status}: {why}", hint=hint)
    error.status = status
    return error
