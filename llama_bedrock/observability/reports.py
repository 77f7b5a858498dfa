"""What only this package knows of a call or an answer, told to those who watch: a span that is open, the log.

No span is begun here, and OpenTelemetry is not imported: its figures are written on the span that is current
where another part of the program has loaded it. LangChain's own instrumentations make the spans.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from llama_bedrock.usage import call_cost

logger = logging.getLogger("llama_bedrock.calls")

LOG_CONTENT = "LLAMA_BEDROCK_LOG_CONTENT"
"""Environment variable: ``1`` or ``true`` puts prompts, answers and documents into the log's records."""

ATTEMPTS = ("retries", "throttles", "fallbacks")
"""Keys of `response_metadata` that tell what went before an answer; each is absent where nothing did."""

_PREFIX = "llama_bedrock."
_SUMMED = (*ATTEMPTS, "cost_usd")  # of several calls under one span; of the rest the last one counts
_ON_SPANS = (*_SUMMED, "model", "region", "cache_hit")


def is_watched(manager: Any = None) -> bool:
    """Whether there is anybody to report to.

    Args:
        manager: LangChain's, of the run that is reported, or its callback manager for runs below that one.
    """
    if logger.isEnabledFor(logging.DEBUG):
        return True
    return "opentelemetry.trace" in sys.modules and next(_spans(manager), None) is not None


def report_call(
    metadata: Mapping[str, Any],
    usage: Mapping[str, Any] | None,
    *,
    error: BaseException | None = None,
    seconds: float = 0.0,
    content: tuple[str, str] | None = None,
    run_manager: Any = None,
) -> None:
    """Report a call that has ended.

    Args:
        metadata: `response_metadata` of its answer, as far as it is known.
        usage: `usage_metadata` of its answer; None where there is none.
        error: What ended it instead. A `GeneratorExit` or a cancellation is one that was left.
        seconds: How long it took.
        content: Prompt and answer, for the log where `LOG_CONTENT` asks for them.
        run_manager: LangChain's, of the run that the call is.
    """
    hit = bool(metadata.get("cache_hit"))
    cost = {"total_cost": 0.0} if hit else call_cost(usage, metadata)
    status = "ok" if error is None else "error" if isinstance(error, Exception) else "left"
    figures: dict[str, Any] = {
        "model": metadata.get("model_name"),
        "region": metadata.get("region_name"),
        "request_id": metadata.get("request_id") or getattr(error, "request_id", None),
        **{name: metadata.get(name, 0) for name in ATTEMPTS},
        "cost_usd": None if cost is None else cost["total_cost"],
        "cache_hit": hit,
    }
    on_spans = {_PREFIX + name: figures[name] for name in _ON_SPANS}
    _write(on_spans | {"aws.request_id": figures["request_id"]}, run_manager)
    if not logger.isEnabledFor(logging.DEBUG):
        return
    figures |= {
        "event": "llama_bedrock.call",
        "status": status,
        "error_type": None if error is None else type(error).__name__,
        "stop_reason": metadata.get("stop_reason"),
        "input_tokens": usage["input_tokens"] if usage else None,
        "output_tokens": usage["output_tokens"] if usage else None,
        "seconds": round(seconds, 6),
    }
    if content is not None and _content_is_wanted():
        figures["prompt"], figures["answer"] = content
    logger.debug(
        "%(model)s in %(region)s: "
        + ("%(input_tokens)s + %(output_tokens)s tokens" if error is None else "%(status)s, %(error_type)s")
        + ", %(seconds).3f s, request %(request_id)s",
        figures,
        extra=figures,
    )


def report_answer(answer: Any, callbacks: Any = None) -> None:
    """Report an answer about documents, with its checked citations.

    Args:
        answer: A `RagAnswer`.
        callbacks: LangChain's callback manager below the run that gave it.
    """
    verdicts = [citation.supported for citation in answer.citations]
    figures = {
        "grounded_fraction": answer.grounded_fraction,
        "undecided_fraction": answer.undecided_fraction,
        "verdicts.supported": verdicts.count(True),
        "verdicts.refuted": verdicts.count(False),
        "verdicts.undecided": verdicts.count(None),
        "no_answer": answer.no_answer,
        "documents": len(answer.documents),
    }
    _write({_PREFIX + name: value for name, value in figures.items()}, callbacks)
    if not logger.isEnabledFor(logging.DEBUG):
        return
    told = {name.replace(".", "_"): value for name, value in figures.items()}
    told |= {"event": "llama_bedrock.answer"}
    if _content_is_wanted():
        told |= {
            "question": answer.question,
            "answer": answer.text,
            "passages": [document.page_content for document in answer.documents],
        }
    logger.debug(
        "answer from %(documents)d documents, %(grounded_fraction).2f grounded, no answer: %(no_answer)s",
        told,
        extra=told,
    )


def _content_is_wanted() -> bool:
    return os.environ.get(LOG_CONTENT, "").strip().lower() in ("1", "true")


def _write(attributes: Mapping[str, Any], manager: Any) -> None:
    for span in _spans(manager):
        known = getattr(span, "attributes", None) or {}
        for name, value in attributes.items():
            if value is None:
                continue
            if name.removeprefix(_PREFIX) in _SUMMED:
                value += known.get(name, 0)
            span.set_attribute(name, value)


def _spans(manager: Any) -> Iterator[Any]:
    """The current span, and the run's own where its instrumentation does not make it current."""
    current = getattr(sys.modules.get("opentelemetry.trace"), "get_current_span", None)
    if current is None:  # not loaded, or still being loaded by another thread
        return
    span = current()
    if span.is_recording():
        yield span
    for handler in getattr(manager, "handlers", ()):
        if type(handler).__module__.startswith("openinference."):
            own = handler.get_span(getattr(manager, "run_id", None) or manager.parent_run_id)
            if own is not None and own is not span and own.is_recording():
                yield own
