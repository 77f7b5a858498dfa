"""The models that the application can be asked for, by id, ARN or alias."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import date

from botocore.exceptions import BotoCoreError
from langchain_core.language_models import BaseChatModel

from llama_bedrock.app.http_errors import ApiError
from llama_bedrock.argument_kinds import refuses_wrong_kinds
from llama_bedrock.catalog import CATALOG, ModelInfo
from llama_bedrock.chat_model import ChatLlamaBedrock
from llama_bedrock.control.control_plane import ControlPlane
from llama_bedrock.errors import LlamaBedrockError
from llama_bedrock.imported_models import CONTROL_SERVICE, control_endpoint
from llama_bedrock.settings import BedrockConnection
from llama_bedrock.transport.steps import Request, Steps

_HOUR = 3600.0
_PATIENCE_SECONDS = 4.0  # a list of models is not worth a longer wait
_MOST_KEPT = 64  # chat models of ids that were asked for; each shares its connections


def _availability(model_id: str) -> Steps[bool]:
    told = yield Request(CONTROL_SERVICE, "get_foundation_model_availability", {"modelId": model_id})
    return bool(
        told["agreementAvailability"].get("status") == "AVAILABLE"
        and told["authorizationStatus"] == "AUTHORIZED"
        and told["entitlementAvailability"] == "AVAILABLE"
    )


def _application_profiles() -> Steps[dict[str, str]]:
    """The account's own inference profiles of Llama: ARN → id of the model."""
    found: dict[str, str] = {}
    asked = {"typeEquals": "APPLICATION", "maxResults": 1000}
    while True:
        page = yield Request(CONTROL_SERVICE, "list_inference_profiles", asked)
        for profile in page["inferenceProfileSummaries"]:
            base = str(profile["models"][0]["modelArn"]).rpartition("/")[2]
            if profile["status"] == "ACTIVE" and base in CATALOG:
                found[profile["inferenceProfileArn"]] = base
        if not page.get("nextToken"):
            return found
        asked = {**asked, "nextToken": page["nextToken"]}


async def _profiles(plane: ControlPlane) -> dict[str, str]:
    try:
        return await plane.arun(_application_profiles())
    except (LlamaBedrockError, ValueError, BotoCoreError):  # not told
        return {}


async def _may_call(plane: ControlPlane, model_id: str) -> bool:
    try:
        return await plane.arun(_availability(model_id))
    except (LlamaBedrockError, ValueError, BotoCoreError):  # not told
        return True


@refuses_wrong_kinds
class ModelDirectory:
    """The default model, and those that can be called the same way.

    Args:
        default: The model that answers where none is named.
        aliases: Names for models, such as of imported ones: ``{"support": "arn:…"}``; an ARN that hides its
            family is followed by ``@`` and the prompt format: ``arn:…@llama3.3``.
    """

    def __init__(self, default: BaseChatModel, aliases: Mapping[str, str] | None = None) -> None:
        self._default = default
        self._denied: frozenset[str] = frozenset()
        self._profiles: dict[str, str] = {}
        self._asked_again = 0.0
        self._made: dict[str, BaseChatModel] = {}
        self.aliases = dict(aliases or {})
        for alias, target in self.aliases.items():  # a mistake in one is told at the start
            self._made[alias] = self._copy(target)

    @property
    def default(self) -> str:
        """Id of the default model."""
        return str(getattr(self._default, "model", None) or self._default.get_name())

    def ids(self) -> list[str]:
        """Aliases, the default model, and all of the catalogue that can be called from its region today.

        After `refresh` without those that the account or its credentials may not call, and with the account's
        own inference profiles, by ARN.
        """
        region = self._region()
        today = date.today()
        known = [
            info.model_id
            for info in CATALOG.values()
            if not info.is_base
            and info.lifecycle_on(today) != "ended"
            and (region is None or region in info.regions)
        ]
        if not isinstance(self._default, ChatLlamaBedrock):
            known = []
        return list(
            dict.fromkeys(
                [
                    *self.aliases,
                    self.default,
                    *(one for one in known if one not in self._denied),
                    *(arn for arn, base in self._profiles.items() if base not in self._denied),
                ]
            )
        )

    async def refresh(self) -> None:
        """Ask Bedrock which models the credentials may call, at most once an hour.

        What it does not tell, for want of a permission, of credentials or of time, stays listed.
        """
        plane = self._plane()
        if plane is None or time.monotonic() < self._asked_again:
            return
        self._asked_again = time.monotonic() + _HOUR
        ids = [name for name in self.ids() if name in CATALOG]
        asked = [asyncio.create_task(_may_call(plane, name)) for name in ids]
        profiles = asyncio.create_task(_profiles(plane))
        done, late = await asyncio.wait([*asked, profiles], timeout=_PATIENCE_SECONDS)
        for task in late:
            task.cancel()
        await plane.aclose()
        if profiles in done:
            self._profiles = profiles.result()
        self._denied = frozenset(
            name for name, task in zip(ids, asked, strict=True) if task in done and not task.result()
        )

    def _plane(self) -> ControlPlane | None:
        """The control plane of the default model's account; None where only its runtime is known."""
        model = self._default
        if not isinstance(model, ChatLlamaBedrock) or model.client is not None:
            return None
        endpoint = control_endpoint(model.endpoint_url)
        if model.endpoint_url and not endpoint:
            return None
        names = BedrockConnection.model_fields.keys() - {"client", "endpoint_url", "max_retries", "timeout"}
        own = {name: value for name in names if (value := getattr(model, name)) is not None}
        return ControlPlane(**own, endpoint_url=endpoint, max_retries=0, timeout=_PATIENCE_SECONDS)

    def info(self, model_id: str | None = None) -> ModelInfo | None:
        """The catalogue's facts of a model; None where it knows none, as of an imported one."""
        if model_id in self._profiles:
            return CATALOG[self._profiles[model_id]]
        model = self.get(model_id)
        return model.resolve().info if isinstance(model, ChatLlamaBedrock) else None

    def get(self, model_id: str | None = None) -> BaseChatModel:
        """The chat model of an id, ARN or alias.

        Raises:
            ApiError: There is no such model.
        """
        if model_id is None or model_id == self.default:
            return self._default
        if model_id not in self._made:
            try:
                base = CATALOG.get(self._profiles.get(model_id, ""))
                target = f"{model_id}@{base.generation}" if base else self.aliases.get(model_id, model_id)
                made = self._copy(target)
            except ValueError as error:
                raise ApiError(404, str(error), code="model_not_found", param="model") from error
            if len(self._made) >= _MOST_KEPT:
                self._made.pop(next(name for name in self._made if name not in self.aliases), None)
            self._made[model_id] = made
        return self._made[model_id]

    def _copy(self, target: str) -> BaseChatModel:
        model_id, _, prompt_format = target.partition("@")
        if not isinstance(self._default, ChatLlamaBedrock):
            raise ValueError(f"there is no model {model_id!r}; this server has {self.default!r}")
        made = self._default.model_copy(update={"model": model_id, "prompt_format": prompt_format or None})
        region = self._region()
        if model_id.startswith("arn:"):  # an import is called where it lies
            region = made.resolve().region
            made = made.model_copy(update={"region_name": region})
        made.resolve(region=region)
        return made

    def _region(self) -> str | None:
        if not isinstance(self._default, ChatLlamaBedrock):
            return None
        try:
            return self._default._sync_transport().region
        except ValueError:  # none is set; a call would say so
            return None
