"""What a program in production is watched by: spans, metrics, logs (docs/observability.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama_bedrock._lazy_names import lazy_names

if TYPE_CHECKING:
    from llama_bedrock.observability.emf_metrics import EMFMetrics

__all__ = ["EMFMetrics"]

# Every call imports this package, and few programs the metrics.
__getattr__, __dir__ = lazy_names(__name__, {".emf_metrics": ["EMFMetrics"]})
