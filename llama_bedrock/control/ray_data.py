"""Prompts and texts of a Ray dataset: classes for ``ray.data.Dataset.map_batches``.

A worker has many calls in flight, and all workers share one bound of them, which a Ray actor keeps: the quota
is the account's, not the worker's.
"""

from __future__ import annotations

import asyncio
import json
import weakref
from collections.abc import Mapping
from typing import Any

from langchain_core.embeddings import Embeddings
from langchain_core.runnables import Runnable

from llama_bedrock._extras import require
from llama_bedrock.argument_kinds import refuses_wrong_kinds
from llama_bedrock.control.live_batch import answer_fields, with_limiter
from llama_bedrock.control.prompt_file import as_input
from llama_bedrock.transport.limiter import AdaptiveConcurrency, Slot

_LEASE_SECONDS = 900.0  # a place that is held longer is taken for that of a worker that died
_PATIENCE = 6 * 3600.0


@refuses_wrong_kinds
class RayLimiter(AdaptiveConcurrency):
    """A bound of the calls in flight that all workers of a Ray cluster share; one per quota.

    Each call asks the actor that keeps it, which takes about a millisecond. Where a worker dies, its places
    are free again after a quarter of an hour.

    Args:
        name: Name of the quota: whoever gives the same one shares the bound.
        initial: Calls in flight at first.
        maximum: Never more.
    """

    def __init__(self, name: str, initial: int = 16, maximum: int = 500) -> None:
        super().__init__(initial, maximum=maximum, patience=_PATIENCE)
        self._named = (name, initial, maximum)
        self._actor: Any = None

    def __reduce__(self) -> tuple[type[RayLimiter], tuple[Any, ...]]:
        return RayLimiter, self._named

    def acquire(self) -> Slot:
        """Wait for a place and take it; from a thread."""
        number: int = require("ray", "ray").get(self._keeper().take.remote())
        return Slot(self, number)

    async def acquire_async(self) -> Slot:
        """Wait for a place and take it; from an event loop."""
        asked = self._keeper().take.remote()
        try:
            return Slot(self, await asked)
        except asyncio.CancelledError:
            require("ray", "ray").cancel(asked)
            raise

    def _release(self, slot: Slot, error: BaseException | None, unused: bool) -> None:
        self._keeper().give_back.remote(slot.cuts, error, unused)

    def _keeper(self) -> Any:
        if self._actor is None:
            ray = require("ray", "ray")
            name, initial, maximum = self._named
            self._actor = (
                ray.remote(_Keeper)
                .options(name=f"llama-bedrock-limiter-{name}", get_if_exists=True, num_cpus=0)
                .remote(initial, maximum)
            )
        return self._actor


class _Keeper:
    """The actor: a limiter, and who has its places."""

    def __init__(self, initial: int, maximum: int) -> None:
        self._limiter = AdaptiveConcurrency(initial, maximum=maximum, patience=_PATIENCE)
        self._held: dict[int, tuple[Slot, asyncio.TimerHandle]] = {}
        self._next = 0

    async def take(self) -> int:
        slot = await self._limiter.acquire_async()
        self._next += 1
        number = self._next
        lease = asyncio.get_running_loop().call_later(_LEASE_SECONDS, self._drop, number)
        self._held[number] = (slot, lease)
        return number

    async def give_back(self, number: int, error: BaseException | None, unused: bool) -> None:
        held = self._held.pop(number, None)
        if held is not None:
            held[1].cancel()
            held[0].release(error, unused)

    def _drop(self, number: int) -> None:
        slot, _ = self._held.pop(number)
        slot.release(unused=True)


@refuses_wrong_kinds
class LlamaMapper:
    """Answers the prompts of a batch, all at the same time, within a bound that the workers share.

    Example:
        ```text
        answered = dataset.map_batches(
            LlamaMapper,
            fn_constructor_kwargs={"model": llm, "field": "question", "limiter": RayLimiter("llama-3.3")},
            batch_size=64,
            concurrency=4,
        )
        ```

    Each row keeps its columns and gets ``answer`` (text), ``tool_calls`` and ``output`` (JSON, where there
    are any), ``input_tokens``, ``output_tokens``, ``usd`` and ``error``: a row that fails has words there,
    and the rest goes on.

    Args:
        model: A chat model, with tools or a schema bound or not. It is sent to the workers, with the
            credentials that it was given as arguments; without any, each worker finds its own.
        field: Column of the prompts: texts, or messages as JSON.
        limiter: The bound of calls in flight. Default: one for each worker.
    """

    def __init__(
        self, model: Runnable[Any, Any], field: str = "prompt", limiter: RayLimiter | None = None
    ) -> None:
        self._model = with_limiter(model, limiter)
        self._field = field
        self._loop = asyncio.new_event_loop()  # kept, and with it its connections
        weakref.finalize(self, self._loop.close)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Answer the prompts of a batch."""
        if self._field not in batch:
            raise ValueError(f"the dataset has no column {self._field!r}; it has {', '.join(batch)}")
        answers = self._loop.run_until_complete(self._answer_all(list(batch[self._field])))
        names = ("answer", "tool_calls", "output", "input_tokens", "output_tokens", "usd", "error")
        return {**batch, **{name: [answer.get(name) for answer in answers] for name in names}}

    async def _answer_all(self, prompts: list[Any]) -> list[dict[str, Any]]:
        return list(await asyncio.gather(*map(self._answer, prompts)))

    async def _answer(self, prompt: Any) -> dict[str, Any]:
        try:
            value = json.loads(prompt) if isinstance(prompt, str) and prompt.startswith("[{") else prompt
            fields = answer_fields(await self._model.ainvoke(as_input(value)))
        except Exception as error:  # noqa: BLE001  # whatever it is, it is this row's, and is written there
            return {"error": f"{type(error).__name__}: {error}"}
        usage = fields.get("usage") or {}
        written: dict[str, Any] = {
            name: json.dumps(fields[name], ensure_ascii=False)
            for name in ("tool_calls", "output")
            if name in fields
        }
        return {
            "answer": fields.get("text"),
            "input_tokens": usage.get("input_tokens"),
            "output_tokens": usage.get("output_tokens"),
            "usd": usage.get("total_cost"),
            **written,
        }


@refuses_wrong_kinds
class EmbeddingMapper:
    """Embeds the texts of a batch into a column ``vector``.

    Args:
        embeddings: The model; it is sent to the workers. `BoundedEmbeddings` keeps a remote one in bounds.
        field: Column of the texts.
    """

    def __init__(self, embeddings: Embeddings, field: str = "text") -> None:
        from llama_bedrock.retrievers.embeddings.batches import embed_batches

        self._embed = embed_batches
        self._embeddings = embeddings
        self._field = field

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Embed the texts of a batch."""
        if self._field not in batch:
            raise ValueError(f"the dataset has no column {self._field!r}; it has {', '.join(batch)}")
        texts = [str(text) for text in batch[self._field]]
        (vectors,) = self._embed(self._embeddings, texts, len(texts))
        return {**batch, "vector": vectors}
