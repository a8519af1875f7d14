"""The results as a page of Markdown."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any


def markdown(answers: dict[str, Any]) -> str:
    """Return the report of those parts that ran."""
    machine = " · ".join(f"{key}: {value}" for key, value in answers["machine"].items())
    lines = ["# Live fan-out, measured", "", f"{machine}. Viewers and server share the cores.", ""]
    for part, write in _PARTS.items():
        if part in answers:
            lines += [*write(answers[part]), ""]
    return "\n".join(lines)


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    return [
        "| " + " | ".join(head) + " |",
        "|" + "---|" * len(head),
        *("| " + " | ".join(map(str, row)) + " |" for row in rows),
    ]


def _number(value: float, digits: int = 0) -> str:
    return "-" if math.isnan(value) else f"{value:,.{digits}f}"


def _delivery(runs: list[dict[str, Any]]) -> list[str]:
    head = ["server", "offered/s", "delivered events/s", "sends/s", "events a send"]
    head += ["p50 ms", "p90 ms", "p99 ms", "server cores", "bytes a viewer", "gaps", "doubles"]
    rows = [
        [
            run["server"],
            _number(run["offered"]),
            _number(run["delivered"]),
            _number(run["sends"]),
            _number(run["delivered"] / run["sends"] if run["sends"] else math.nan, 1),
            *(_number(run[each], 1) for each in ("p50", "p90", "p99")),
            _number(run["server_cores"], 2),
            _number(run["bytes_per_viewer"]),
            run["gaps"],
            run["doubles"],
        ]
        for run in runs
    ]
    title = f"## {runs[0]['viewers']:,} viewers, 100 events a second"
    note = "Latency: from the publisher's clock to the viewer's, for us with the durable append; "
    note += (
        "the peers keep events in memory. Medians where there were several rounds, interleaved. "
    )
    note += "One worker each."
    return [title, "", *_table(head, rows), "", note]


def _windows(runs: list[dict[str, Any]]) -> list[str]:
    head = ["window ms", "delivered events/s", "sends/s", "p50 ms", "p90 ms", "p99 ms"]
    head.append("server cores")
    rows = [
        [
            run["window_ms"],
            _number(run["delivered"]),
            _number(run["sends"]),
            *(_number(run[each], 1) for each in ("p50", "p90", "p99")),
            _number(run["server_cores"], 2),
        ]
        for run in runs
    ]
    return ["## From append to socket, by flush window", "", *_table(head, rows)]


def _sends(answer: dict[str, Any]) -> list[str]:
    shares = ", ".join(f"{share:.0%}" for share in answer["shares"])
    text = f"Mainstem {_number(answer['mainstem'])} sends/s of {answer['events']:.1f} events of "
    text += f"{answer['bytes']:.0f} bytes, a bare C loop that sends the same "
    text += f"{_number(answer['bare'])}: **{answer['share']:.0%}** (bar 85 %; rounds: {shares}). "
    text += "Ours has the broker, the dispatcher and the publisher on the same two cores."
    return ["## Sends, as fast as possible", "", text]


def _stalled(answer: dict[str, float]) -> list[str]:
    text = f"p99 of those who read: {_number(answer['p99_before'], 1)} ms without and "
    text += f"{_number(answer['p99_with_stalled'], 1)} ms with 5 % of viewers who never read; "
    text += f"{_number(answer['bytes_per_viewer'])} bytes of memory a viewer."
    return ["## Stalled readers", "", text]


def _reconnect(runs: list[dict[str, Any]]) -> list[str]:
    head = ["viewers cut off at once", "coming back within s", "all back after s", "resumed"]
    head += ["reset", "gaps", "doubles"]
    rows = [
        [
            _number(run["viewers"]),
            _number(run["spread"]),
            _number(run["seconds"], 1),
            _number(run["resumed"]),
            *(run[each] for each in ("resets", "gaps", "doubles")),
        ]
        for run in runs
    ]
    note = (
        "The gateway tells browsers to come back after 2 to 10 s, each its own. Everybody resumes "
    )
    note += "twice: at the beginning, and after the cut."
    return ["## Mass reconnect", "", *_table(head, rows), "", note]


def _idle(answer: dict[str, Any]) -> list[str]:
    text = f"{answer['viewers']:,} connections: {_number(answer['bytes_per_viewer'])} bytes each "
    text += "in our processes (the kernel's sockets not counted), "
    text += f"{answer['idle_cores']:.3f} cores while idle with heartbeats, "
    text += f"connected in {answer['connect_seconds']:.0f} s, {answer['closed']} lost."
    return ["## Idle connections", "", text]


def _referee(answer: dict[str, Any]) -> list[str]:
    head = ["counted by", "events expected", "events seen", "p50 ms", "p90 ms", "p99 ms"]
    rows = [
        [
            name,
            _number(seen["expected"]),
            _number(seen["events"]),
            *(_number(seen[each] or math.nan, 1) for each in ("p50", "p90", "p99")),
        ]
        for name in ("mainstem", "k6")
        if (seen := answer.get(name))
    ]
    title = f"## The load generator beside k6, {answer['viewers']:,} WebSocket viewers"
    return [title, "", *_table(head, rows)]


_PARTS: dict[str, Callable[[Any], list[str]]] = {
    "delivery": _delivery,
    "windows": _windows,
    "sends": _sends,
    "stalled": _stalled,
    "reconnect": _reconnect,
    "idle": _idle,
    "referee": _referee,
}
