"""A plot of cost against size as plain SVG: both axes logarithmic, a line for each store."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape

_PALETTE = ("#c0392b", "#2471a3", "#1e8449", "#b9770e", "#6c3483", "#117a65", "#566573", "#943126")
_WIDTH, _HEIGHT, _LEFT, _TOP = 420, 260, 60, 40

Lines = Mapping[str, Mapping[int, float]]
"""Cost by size, by store."""


def svg(panels: Mapping[str, Lines]) -> str:
    """One picture with a panel for each measure, side by side."""
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    palette = {name: _PALETTE[number % len(_PALETTE)] for number, name in enumerate(names)}
    width, height = len(panels) * (_WIDTH + _LEFT + 20), _TOP + _HEIGHT + 60 + 18 * len(names)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for number, (title, lines) in enumerate(panels.items()):
        left = number * (_WIDTH + _LEFT + 20) + _LEFT
        parts += [f'<g transform="translate({left} {_TOP})">', *_panel(title, lines, palette), "</g>"]
    for number, name in enumerate(names):
        y = _TOP + _HEIGHT + 55 + 18 * number
        parts.append(f'<rect x="{_LEFT}" y="{y - 9}" width="20" height="4" fill="{palette[name]}"/>')
        parts.append(f'<text x="{_LEFT + 28}" y="{y - 2}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _panel(title: str, lines: Lines, palette: Mapping[str, str]) -> list[str]:
    points = [(size, cost) for line in lines.values() for size, cost in line.items() if cost > 0]
    if not points:
        return []
    x_low, x_high = (math.log10(end(size for size, _ in points)) for end in (min, max))
    y_low = math.floor(math.log10(min(cost for _, cost in points)))
    y_high = max(math.ceil(math.log10(max(cost for _, cost in points))), y_low + 1)

    def place(size: float, cost: float) -> tuple[float, float]:
        across = (math.log10(size) - x_low) / max(x_high - x_low, 1e-9)
        up = (math.log10(cost) - y_low) / (y_high - y_low)
        return round(across * _WIDTH, 1), round((1 - up) * _HEIGHT, 1)

    parts = [f'<text x="0" y="-14" font-weight="bold">{escape(title)}</text>']
    for power in range(y_low, y_high + 1):
        y = place(1, 10.0**power)[1]
        parts.append(f'<path d="M0 {y}H{_WIDTH}" stroke="#ddd"/>')
        parts.append(f'<text x="-6" y="{y + 4}" text-anchor="end">{10.0**power:g}</text>')
    for size in sorted({size for size, _ in points}):
        x = place(size, 10.0**y_low)[0]
        parts.append(f'<path d="M{x} 0V{_HEIGHT}" stroke="#eee"/>')
        parts.append(f'<text x="{x}" y="{_HEIGHT + 16}" text-anchor="middle">{size:,}</text>')
    for name, line in lines.items():
        places = [place(size, cost) for size, cost in sorted(line.items()) if cost > 0]
        path = " ".join(f"{x},{y}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{palette[name]}" stroke-width="2"/>')
        parts += [f'<circle cx="{x}" cy="{y}" r="3" fill="{palette[name]}"/>' for x, y in places]
    return parts
