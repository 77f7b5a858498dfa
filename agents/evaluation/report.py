"""An evaluation as a table for the terminal and as one HTML file with plots, which needs nothing else."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from llama_bedrock.agents.evaluation.rag_evaluation import METRICS, Evaluation, Outcome
from llama_bedrock.argument_kinds import refuses_wrong_kinds

_WIDTH, _BAR = 640, 26
_CLASS = {True: "good", False: "bad", None: "open"}
_SIGN = {True: "✓", False: "✗", None: "?"}
_TIMES = {"first_token": "Time from the end of retrieval to the first token", "total": "Time of a question"}
_SHOWN = {True: "supported", False: "not supported", None: "not decided"}
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; } td, th { padding: .3rem .6rem; text-align: left; }
caption { text-align: left; opacity: .8; } tbody th { font-weight: normal; border-top: 1px solid #8884; }
td { border-top: 1px solid #8884; vertical-align: top; } td.number { text-align: right; white-space: nowrap; }
svg { max-width: 100%; height: auto; } svg text { font: 13px system-ui, sans-serif; fill: currentColor; }
.bar { fill: #3b82c4; } .rest { fill: #8883; } .good { color: #18794e; } .bad { color: #b42318; }
.open { color: #8a6100; }
details { margin: .4rem 0; } summary { cursor: pointer; } blockquote { margin: .2rem 1rem; opacity: .8; }
@media (prefers-color-scheme: dark) { body { background: #151719; color: #e6e6e6; } .good { color: #4cc38a; }
  .bad { color: #ff8b81; } .open { color: #e0b252; } }
"""


@refuses_wrong_kinds
def summary_rows(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    """Name, value and meaning of each number of the summary, formatted for people."""
    summary = evaluation.summary
    rows = [
        (name.replace("_", " "), f"{summary[name]:.3f}", meaning + _counted(evaluation, name))
        for name, meaning in METRICS.items()
        if name in summary
    ]
    for step, meaning in (
        ("retrieve", "retrieval"),
        ("first_token", "from the end of retrieval to the first token"),
        ("total", "the whole question"),
    ):
        if f"{step}_p50" in summary:
            values = f"{_seconds(summary[f'{step}_p50'])} / {_seconds(summary[f'{step}_p95'])}"
            rows.append((f"{step.replace('_', ' ')}", values, f"50th and 95th percentile: {meaning}"))
    tokens = f"{summary['input_tokens']:,.0f} / {summary['output_tokens']:,.0f}"
    rows.append(("tokens", tokens, "input and output, all questions"))
    if "usd" in summary:
        price = f"${summary['usd']:.4f} / ${summary['usd_per_question']:.5f}"
        rows.append(("price", price, "by Bedrock's list prices: all questions, and one"))
    rows.append(("questions", f"{summary['questions']:.0f}", f"{summary['errors']:.0f} of them failed"))
    return rows


def outcome_state(outcome: Outcome) -> tuple[bool | None, str]:
    """Whether a question went well, None where that is not decided, and in words why."""
    answer = outcome.answer
    if answer is None:
        return False, "failed"
    if answer.no_answer:
        return (True, "rightly not answered") if outcome.question.unanswerable else (False, "not answered")
    if outcome.question.unanswerable:
        return False, "answered, though the documents hold no answer"
    verdicts = {citation.supported for citation in answer.citations}
    if not verdicts:
        return None, "cites nothing"
    if False in verdicts:
        return False, "a citation is not supported"
    return (None, "not decided") if None in verdicts else (True, "supported")


def _counted(evaluation: Evaluation, name: str) -> str:
    """How many questions a share is of, where each counts whole."""
    if not name.startswith(("answered", "abstained")):
        return ""
    values = [o.metrics[name] for o in evaluation.outcomes if o.answer is not None and name in o.metrics]
    return f" ({sum(values):.0f} of {len(values)})"


@refuses_wrong_kinds
def to_html(evaluation: Evaluation, *, title: str = "Evaluation") -> str:
    """The whole report as one HTML document: summary, plots, and every question with its answer."""
    settings = ", ".join(f"{_e(name)}: {_e(value)}" for name, value in evaluation.settings.items())
    table = "".join(
        f'<tr><th scope="row">{_e(name)}</th><td class="number">{_e(value)}</td><td>{_e(meaning)}</td></tr>'
        for name, value, meaning in summary_rows(evaluation)
    )
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Measure", "Value", "Meaning"))
    summary = evaluation.summary
    bars = [(name.replace("_", " "), summary[name]) for name in METRICS if name in summary]
    times = {step: [o.seconds[step] for o in evaluation.outcomes if step in o.seconds] for step in _TIMES}
    plots = "".join(
        f"<h3>{title}</h3>{histogram(times[step], label=title)}"
        for step, title in _TIMES.items()
        if times[step]
    )
    questions = "".join(_question(outcome) for outcome in evaluation.outcomes)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{_e(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>'
        f"<main><h1>{_e(title)}</h1><p>{settings}</p><h2>Summary</h2>{bar_chart(bars)}<table>"
        f"<caption>All measures; shares are from 0 to 1</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{table}</tbody></table>"
        f"<h2>Latency</h2>{plots}<h2>Questions</h2>{questions}</main></body></html>\n"
    )


def bar_chart(bars: Sequence[tuple[str, float]]) -> str:
    """Values between 0 and 1 as horizontal bars, as an SVG."""
    rows = []
    for i, (name, value) in enumerate(bars):
        y, length = i * _BAR, 360 * min(1.0, max(0.0, value))
        rows.append(
            f'<text x="0" y="{y + 17}">{_e(name)}</text>'
            f'<rect class="rest" x="170" y="{y + 4}" width="360" height="{_BAR - 8}"/>'
            f'<rect class="bar" x="170" y="{y + 4}" width="{length:.1f}" height="{_BAR - 8}">'
            f"<title>{_e(name)}: {value:.3f}</title></rect>"
            f'<text x="540" y="{y + 17}">{value:.3f}</text>'
        )
    label = "; ".join(f"{name} {value:.3f}" for name, value in bars)
    return _svg(rows, max(1, len(bars)) * _BAR, label)


def histogram(values: Sequence[float], bins: int = 24, *, label: str = "Histogram") -> str:
    """How often which time (in seconds) occurs, as an SVG; nothing for no values."""
    if not values:
        return ""
    low, high = min(values), max(values)
    width = (high - low) / bins or 1.0
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, int((value - low) / width))] += 1
    step, tall = (_WIDTH - 20) / bins, 120
    rows = []
    for i, count in enumerate(counts):
        height = tall * count / max(counts)
        first, last = low + i * width, low + (i + 1) * width
        rows.append(
            f'<rect class="bar" x="{10 + i * step:.1f}" y="{10 + tall - height:.1f}" width="{step - 2:.1f}" '
            f'height="{height:.1f}"><title>{_seconds(first)} to {_seconds(last)}: {count}</title></rect>'
        )
    rows.append(f'<text x="10" y="{tall + 28}">{_seconds(low)}</text>')
    rows.append(f'<text x="{_WIDTH - 10}" y="{tall + 28}" text-anchor="end">{_seconds(high)}</text>')
    whole = f"{label}: {len(values)} questions, {_seconds(low)} to {_seconds(high)}"
    return _svg(rows, tall + 36, whole)


def _question(outcome: Outcome) -> str:
    answer = outcome.answer
    if answer is None:
        head = f'<summary class="bad">{_e(outcome.question.text)} <b>✗ failed</b></summary>'
        return f"<details>{head}{_e(outcome.error)}</details>"
    state, words = outcome_state(outcome)
    citations = "".join(
        f'<p class="{_CLASS[c.supported]}">[{c.number}] {_e(c.location)}: {_SHOWN[c.supported]}'
        f"{f' ({_e(c.reason)})' if c.reason else ''}</p>"
        f"<blockquote>{_e(c.quote)}</blockquote>"
        for c in answer.citations
    )
    reference = f"<p><b>Reference:</b> {_e(outcome.question.answer)}</p>" if outcome.question.answer else ""
    numbers = ", ".join(
        f"{name.replace('_', ' ')} {value:.0f}"
        if name == "citations"
        else f"{name.replace('_', ' ')} {value:.2f}"
        for name, value in outcome.metrics.items()
    )
    return (
        f'<details><summary class="{_CLASS[state]}">{_e(outcome.question.text)} '
        f"<b>{_SIGN[state]} {words}</b></summary>"
        f"<p>{_e(answer.text)}</p>{reference}{citations}<p><small>{_e(numbers)}</small></p></details>"
    )


def _svg(rows: Iterable[str], height: float, label: str) -> str:
    size = f'viewBox="0 0 {_WIDTH} {height:.0f}" width="{_WIDTH}"'
    return f'<svg {size} role="img" aria-label="{_e(label)}">{"".join(rows)}</svg>'


def _seconds(value: float) -> str:
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"


def _e(value: object) -> str:
    return html.escape(str(value))
