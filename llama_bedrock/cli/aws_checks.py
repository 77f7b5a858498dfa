"""The checks of `llama-bedrock doctor` that ask AWS: who one is, what one may call, and one tiny call."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llama_bedrock.cli.check_result import CheckResult

if TYPE_CHECKING:
    from llama_bedrock.catalog import ResolvedModel

SECONDS = 3.0
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
_UNKNOWN_KEY = {"InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId"}
_BAD_SIGNATURE = {"SignatureDoesNotMatch", "InvalidSignatureException", "RequestTimeTooSkewed"}
_ACTION = re.compile(r"not authorized to perform:? ([a-z0-9-]+:\w+)(?: on resource:? (\S+))?")


@dataclass(slots=True)
class AskedAccount:
    """How AWS is asked.

    Attributes:
        region: AWS region.
        has_keys: Whether there are keys that sign; a bearer key alone opens Bedrock only.
    """

    region: str
    has_keys: bool
    _session: Any = None
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        """A boto3 client that gives up soon."""
        if service not in self._clients:
            import boto3
            from botocore.config import Config

            config = Config(
                connect_timeout=SECONDS, read_timeout=3 * SECONDS, retries={"total_max_attempts": 1}
            )
            if self._session is None:
                self._session = boto3.Session(region_name=self.region)
            self._clients[service] = self._session.client(service, config=config)
        return self._clients[service]


def missing_action(text: str) -> str | None:
    """Name the IAM action that an error of AWS says is missing, and what to do; None if it names none."""
    found = _ACTION.search(text)
    if found is None:
        return None
    action, resource = found[1], (found[2] or "").rstrip(".,")
    on = f" on {resource}" if resource else ""
    by = (
        "an explicit deny (a service control policy or boundary) forbids it"
        if "explicit deny" in text
        else ""
    )
    advice = by or "add it to the role's or user's policy (`llama-bedrock iam` prints one)"
    return f"the IAM action {action}{on} is missing: {advice}"


def meaning(error: BaseException) -> str:
    """What an error of AWS means, and what to do."""
    text = " ".join(str(error).split())
    code = str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))
    if action := missing_action(text):
        return action
    if code in _EXPIRED or "expired" in text.lower():
        return "the credentials have expired: aws sso login, or get new temporary credentials"
    if code in _BAD_SIGNATURE:
        return (
            "AWS refuses the signature: the clock of this machine is off (set it by NTP) or the key is wrong"
        )
    if code in _UNKNOWN_KEY:
        return (
            "AWS does not know the key: it was deleted, mistyped, or is of another partition (aws configure)"
        )
    if "marked by provider as Legacy" in text:
        return (
            "the model is Legacy and this account has not used it lately, so it is closed to it: move to "
            "another model, or import one (docs/migrating.md)"
        )
    return text


def checks_of_aws(
    resolved: ResolvedModel | None, account: AskedAccount, *, call: bool
) -> Iterator[CheckResult]:
    """Ask AWS, in the order in which one answer needs the other."""
    if account.has_keys:
        yield (who := _asked("identity", _identity, account))
        if who.state == "broken":  # whatever is asked with these keys is answered so
            unknown = "model access, live lifecycle, quotas and whether a call succeeds"
            yield CheckResult("aws", "note", f"cannot be known before that is mended: {unknown}")
            return
    else:
        yield CheckResult(
            "identity", "note", "a bearer key opens Bedrock only: whose it is AWS does not tell"
        )
    if resolved is None:
        return
    if resolved.info is not None:
        yield _asked("access", _access, account, resolved.info.model_id)
        yield _asked("live", _lifecycle, account, resolved.info.model_id)
    if "." in resolved.model_id.split("meta.")[0] and not resolved.model_id.startswith("arn:"):
        yield _asked("profile", _profile, account, resolved.model_id)
    elif ":imported-model/" in resolved.model_id:
        yield _asked("imported", _imported, account, resolved.model_id)
    if account.has_keys:
        yield _asked("quotas", _quotas, account, resolved)
    if call:
        yield _call(resolved, account.region)


def _asked(name: str, check: Callable[..., CheckResult], account: AskedAccount, *given: Any) -> CheckResult:
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        return check(account, *given)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        is_broken = code in _EXPIRED | _UNKNOWN_KEY | _BAD_SIGNATURE
        return CheckResult(name, "broken" if is_broken else "note", f"not told: {meaning(error)}")
    except BotoCoreError as error:
        return CheckResult(name, "note", f"not told: {meaning(error)}")
    except (ResponseParserError, KeyError, TypeError, AttributeError):
        foreign = "what answers is not AWS: a captive portal, a proxy's page, or a wrong AWS_ENDPOINT_URL"
        return CheckResult(name, "broken", f"not told: {foreign}")


def _identity(account: AskedAccount) -> CheckResult:
    who = account.client("sts").get_caller_identity()
    return CheckResult("identity", "ok", f"{who['Arn']} in account {who['Account']}")


def _access(account: AskedAccount, model_id: str) -> CheckResult:
    answer = account.client("bedrock").get_foundation_model_availability(modelId=model_id)
    problems = []
    if (agreement := answer["agreementAvailability"].get("status")) != "AVAILABLE":
        problems.append(f"model access is {agreement}: ask for it in Bedrock's console, Model access")
    if answer["authorizationStatus"] != "AUTHORIZED":
        problems.append("the account is not authorised: a policy of the organisation may forbid it")
    if answer["entitlementAvailability"] != "AVAILABLE":
        problems.append("the account has no entitlement to it: ask for model access")
    if answer["regionAvailability"] != "AVAILABLE":
        problems.append(f"it is not offered in {account.region}: choose another region")
    if problems:
        return CheckResult("access", "broken", f"{model_id}: {'; '.join(problems)}")
    return CheckResult("access", "ok", f"the account may use {model_id} in {account.region}")


def _lifecycle(account: AskedAccount, model_id: str) -> CheckResult:
    answer = account.client("bedrock").get_foundation_model(modelIdentifier=model_id)
    state = answer["modelDetails"].get("modelLifecycle", {})
    ends = state.get("endOfLifeTime")
    text = f"AWS says {state.get('status', 'nothing')}" + (f", ends {ends:%Y-%m-%d}" if ends else "")
    return CheckResult("live", "note" if state.get("status") == "LEGACY" else "ok", text)


def _profile(account: AskedAccount, profile_id: str) -> CheckResult:
    answer = account.client("bedrock").get_inference_profile(inferenceProfileIdentifier=profile_id)
    places = sorted({model["modelArn"].split(":")[3] for model in answer["models"]})
    text = f"{profile_id} is {answer['status']}; policies must allow each of its Regions: {', '.join(places)}"
    return CheckResult("profile", "ok" if answer["status"] == "ACTIVE" else "broken", text)


def _imported(account: AskedAccount, arn: str) -> CheckResult:
    answer = account.client("bedrock").get_imported_model(modelIdentifier=arn)
    units = answer.get("customModelUnits", {}).get("customModelUnitsPerModelCopy")
    text = f"{answer['modelName']}, {answer.get('modelArchitecture')}"
    return CheckResult("imported", "ok", text + (f", {units} model units per copy" if units else ""))


def _quotas(account: AskedAccount, resolved: ResolvedModel) -> CheckResult:
    name = resolved.info.name if resolved.info else ""
    wanted = re.sub(r"[^a-z0-9]+", " ", name.lower()).strip()

    def limits(operation: str) -> dict[str, float]:
        pages = account.client("service-quotas").get_paginator(operation).paginate(ServiceCode="bedrock")
        found = {}
        for quota in (quota for page in pages for quota in page["Quotas"]):
            plain = re.sub(r"[^a-z0-9]+", " ", quota["QuotaName"].lower())
            if wanted and wanted in plain and ("per minute" in plain or "per day" in plain):
                found[quota["QuotaName"]] = quota["Value"]
        return found

    own = limits("list_service_quotas")
    if not own:
        return CheckResult("quotas", "note", f"Service Quotas names none for {name or 'a hidden model'}")
    usual = limits("list_aws_default_service_quotas")  # the catalogue has none: AWS changes them
    shown = [
        f"{quota}: {value:,.0f}"
        + (f" (AWS's default: {usual[quota]:,.0f})" if usual.get(quota, value) != value else "")
        for quota, value in sorted(own.items())[:6]
    ]
    if 0 in own.values():
        shown.append("a quota of 0 lets no call through: ask for more in Service Quotas")
    elif any(value < usual.get(quota, value) for quota, value in own.items()):
        shown.append(
            "this account has less than AWS's defaults, as new accounts do: ask for more in Service Quotas"
        )
    return CheckResult("quotas", "broken" if 0 in own.values() else "ok", "; ".join(shown))


def _call(resolved: ResolvedModel, region: str) -> CheckResult:
    from llama_bedrock import ChatLlamaBedrock
    from llama_bedrock.errors import BedrockModelNotReadyError, LlamaBedrockError

    fmt: Any = resolved.prompt_format if resolved.info is None else None
    llm = ChatLlamaBedrock(
        model=resolved.requested,
        region_name=region,
        prompt_format=fmt,
        max_tokens=1,
        max_retries=0,
        model_ready_timeout=0,
        timeout=30,
    )
    started = time.perf_counter()
    try:
        answer = llm.invoke("Hi")
    except BedrockModelNotReadyError:
        advice = "the call has begun to wake it; ask again in a minute, calls wait by model_ready_timeout"
        return CheckResult("call", "note", f"the imported model is asleep: {advice}")
    except (LlamaBedrockError, ValueError) as error:
        return CheckResult("call", "broken", meaning(error))
    took = time.perf_counter() - started
    latency = answer.response_metadata.get("invocation_metrics", {}).get("invocationLatency")
    of_service = "" if latency is None else f", {latency:,} ms of them in Bedrock"
    return CheckResult("call", "ok", f"answered in {took:.2f} s{of_service} (the first call of a process)")
