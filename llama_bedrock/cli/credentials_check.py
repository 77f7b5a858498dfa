"""The check of `llama-bedrock doctor` that gets the credentials, and says why there are none."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama_bedrock.cli.check_result import CheckResult

if TYPE_CHECKING:
    from botocore.session import Session

SECONDS = 3.0
_KEY, _SECRET = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
_TOKEN_FILE = "AWS_WEB_IDENTITY_TOKEN_FILE"
_CONTAINER = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
_MADE_BY = Path("/sys/class/dmi/id/sys_vendor")
_HAS_EXPIRED = "what it gives has expired"
_HOW = "aws configure, aws sso login or AWS_BEARER_TOKEN_BEDROCK"


def check_credentials(region: str | None) -> CheckResult:
    """Find the credentials and get them as a call would: from a login, a role, a program or a machine.

    Args:
        region: AWS region of the calls, where no other is set; roles and logins are asked for there.
    """
    from llama_bedrock.cli.backend import bearer_key, credential_session

    if source := bearer_key():
        return CheckResult("credentials", "ok", f"found ({source})")
    session = None
    try:
        session = credential_session()
        _be_quick(session)
        if region and session.get_config_variable("region") is None:
            session.set_config_variable("region", region)
        credentials = session.get_credentials()
        if credentials is None:
            return _none_found()
        credentials.get_frozen_credentials()
    except Exception as error:  # noqa: BLE001 - a broken profile raises whatever its provider runs into
        return CheckResult("credentials", "broken", _what_is_wrong(error, session))
    until = _validity(credentials)
    found = f"found ({credentials.method})" + (f", {until}" if until else "")
    return CheckResult("credentials", "ok", found)


def _be_quick(session: Session) -> None:
    """Let whoever gives the credentials (SSO, STS) answer soon."""
    from botocore.config import Config

    session.set_default_client_config(
        Config(connect_timeout=SECONDS, read_timeout=3 * SECONDS, retries={"total_max_attempts": 1})
    )


def _none_found() -> CheckResult:
    if os.environ.get(_SECRET) and not os.environ.get(_KEY):
        return CheckResult("credentials", "broken", f"{_SECRET} is set without {_KEY}: set both, or none")
    why = ""
    if os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        why = " (EC2's metadata service is turned off: AWS_EC2_METADATA_DISABLED)"
    elif place := os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT"):
        why = f" (EC2's metadata service gives none at {place}, AWS_EC2_METADATA_SERVICE_ENDPOINT)"
    elif _is_ec2():
        why = (
            " (EC2's metadata service gives none: attach a role to the instance; for a container on it, "
            "raise the hop limit to 2)"
        )
    return CheckResult(
        "credentials", "note", f"none found{why}, so the local engine answers; for Bedrock: {_HOW}"
    )


def _is_ec2() -> bool:
    try:
        return "amazon" in _MADE_BY.read_text("ascii", "replace").lower()
    except OSError:
        return False


def _what_is_wrong(error: Exception, session: Session | None) -> str:
    """What an error of botocore's providers means, and what to do."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    given: dict[str, Any] = getattr(error, "kwargs", {})
    if "ConfigParseError" in kinds:
        return _unreadable(given)
    if "ProfileNotFound" in kinds:
        there = "aws configure list-profiles names those that are there"
        return f"there is no profile {given.get('profile')!r} in ~/.aws: set AWS_PROFILE to another; {there}"
    if "PartialCredentialsError" in kinds:
        missing, other = str(given.get("cred_var")), _KEY if os.environ.get(_KEY) else _SECRET
        if given.get("provider") == "env":
            return f"{other} is set without {missing}: set both, or none"
        return f"the profile has a key without {missing}: write it into ~/.aws/credentials (aws configure)"
    settings = _profile_settings(session)
    if kinds & {"SSOError", "TokenRetrievalError", "LoginError"}:
        how = "aws login" if "LoginError" in kinds else "aws sso login"
        profile = os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE")
        how += f" --profile {profile}" if profile else ""
        state = (
            "there is no login" if "SSOTokenLoadError" in kinds else "the login has expired or is not valid"
        )
        return f"{state}: {how}"
    if isinstance(error, OSError) and error.filename and error.filename == os.environ.get(_TOKEN_FILE):
        return (
            f"{error.filename} ({_TOKEN_FILE}) cannot be read: {error.strerror}; mount the token, or unset it"
        )
    text = _text(error, given)
    if "InvalidConfigError" in kinds:
        return f"{text}; mend ~/.aws/config"
    if program := settings.get("credential_process"):
        name = str(program).split(maxsplit=1)[0] if str(program).split() else program
        return f"credential_process {name} gives none: {text}; run it by hand, and mend it or ~/.aws/config"
    if place := next((os.environ[name] for name in _CONTAINER if os.environ.get(name)), None):
        return f"the container's service of credentials at {place} gives none: {text}"
    if role := os.environ.get("AWS_ROLE_ARN") or settings.get("role_arn"):
        return f"the role {role} is not to be had: {text}; check its trust policy and who asks"
    if text == _HAS_EXPIRED:
        return "the credentials have expired: aws sso login, or get new temporary ones"
    return f"{text}; mend ~/.aws or unset AWS_PROFILE"


def _unreadable(given: dict[str, Any]) -> str:
    """What is wrong with a configuration file, by the line that Python's parser gives."""
    cause = given.get("error")
    line = getattr(cause, "lineno", None) or next(
        (number for number, _ in getattr(cause, "errors", None) or ()), None
    )
    where = f", line {line}" if line else ""
    return f"{given.get('path')}{where}, is no configuration of AWS ([section], then name = value): mend it"


def _text(error: Exception, given: dict[str, Any]) -> str:
    """An error's own words; a program's output that is no JSON has none that help."""
    import json

    if isinstance(error, json.JSONDecodeError):
        return "it prints no JSON"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if "expired" in str(error) and isinstance(error, RuntimeError):
        return _HAS_EXPIRED
    response = getattr(error, "response", {}).get("Error", {})
    if response:
        return f"{response.get('Code')}: {response.get('Message')}".rstrip(".")
    return " ".join(str(given.get("error_msg") or error).split()).rstrip(".")


def _profile_settings(session: Session | None) -> dict[str, Any]:
    from botocore.exceptions import BotoCoreError

    try:
        return dict(session.get_scoped_config()) if session is not None else {}
    except BotoCoreError:
        return {}


def _validity(credentials: Any) -> str:
    """How long the credentials are valid, as far as this machine knows; empty if it does not."""
    expiry = getattr(credentials, "_expiry_time", None)
    if expiry is None:
        return "temporary, until when is not known here" if credentials.token else ""
    return f"valid for {(expiry - datetime.now(UTC)).total_seconds() / 60:.0f} minutes more"
