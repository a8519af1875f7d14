"""Two curves over time as an SVG: nothing to install, and a browser shows it."""

from __future__ import annotations

from collections.abc import Sequence

_WIDTH, _HEIGHT, _LEFT, _GAP = 860, 150, 70, 46


def curves(title: str, named: Sequence[tuple[str, Sequence[float]]]) -> str:
    """One panel per (name, a value each second)."""
    height = len(named) * (_HEIGHT + _GAP) + 30
    width = _WIDTH + _LEFT + 20
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
    parts = [
        f'{head} font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{_LEFT}" y="18" font-size="14">{title}</text>',
    ]
    for at, (name, values) in enumerate(named):
        parts.append(_panel(30 + at * (_HEIGHT + _GAP), name, values))
    return "\n".join((*parts, "</svg>", ""))


def _panel(top: int, name: str, values: Sequence[float]) -> str:
    most = max((*values, 1e-9)) * 1.05
    step = _WIDTH / max(1, len(values) - 1)
    base = top + 20 + _HEIGHT
    points = " ".join(
        f"{_LEFT + n * step:.1f},{base - value / most * _HEIGHT:.1f}"
        for n, value in enumerate(values)
    )
    marks = "".join(
        f'<line x1="{_LEFT}" x2="{_LEFT + _WIDTH}" y1="{base - share * _HEIGHT:.1f}" '
        f'y2="{base - share * _HEIGHT:.1f}" stroke="#ddd"/>'
        f'<text x="{_LEFT - 6}" y="{base - share * _HEIGHT + 4:.1f}" text-anchor="end">'
        f"{most * share:,.3g}</text>"
        for share in (0, 0.25, 0.5, 0.75, 1)
    )
    return (
        f'<text x="{_LEFT}" y="{top + 12}">{name}</text>{marks}'
        f'<polyline points="{points}" fill="none" stroke="#1565c0"/>'
        f'<text x="{_LEFT + _WIDTH}" y="{base + 15}" text-anchor="end">{len(values)} s</text>'
    )
