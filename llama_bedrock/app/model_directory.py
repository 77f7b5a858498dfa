"""The models that the application can be asked for, by id, ARN or alias."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from langchain_core.language_models import BaseChatModel

from llama_bedrock.app.http_errors import ApiError
from llama_bedrock.catalog import CATALOG, ModelInfo
from llama_bedrock.chat_model import ChatLlamaBedrock

_MOST_KEPT = 64  # chat models of ids that were asked for; each shares its connections


class ModelDirectory:
    """The default model, and those that can be called the same way.

    Args:
        default: The model that answers where none is named.
        aliases: Names for models, such as of imported ones: ``{"support": "arn:…"}``; an ARN that hides its
            family is followed by ``@`` and the prompt format: ``arn:…@llama3.3``.
    """

    def __init__(self, default: BaseChatModel, aliases: Mapping[str, str] | None = None) -> None:
        self._default = default
        self._made: dict[str, BaseChatModel] = {}
        self.aliases = dict(aliases or {})
        for alias, target in self.aliases.items():  # a mistake in one is told at the start
            self._made[alias] = self._copy(target)

    @property
    def default(self) -> str:
        """Id of the default model."""
        return str(getattr(self._default, "model", None) or self._default.get_name())

    def ids(self) -> list[str]:
        """Aliases, the default model, and all of the catalogue that can be called from its region today."""
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
        return list(dict.fromkeys([*self.aliases, self.default, *known]))

    def info(self, model_id: str | None = None) -> ModelInfo | None:
        """The catalogue's facts of a model; None where it knows none, as of an imported one."""
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
                made = self._copy(self.aliases.get(model_id, model_id))
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
