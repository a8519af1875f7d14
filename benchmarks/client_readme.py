"""The client's rows as Markdown: all of them in ``CLIENT.md``, those that count in the README."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.client import PEERS, PeerRow

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- client figures -->", "<!-- end of client figures -->"
_HEAD = ["what", "Mainstem", *PEERS, "x confluent-kafka", "bare loop x", "bar"]


def write(rows: Sequence[PeerRow], machine: Mapping[str, str]) -> None:
    """Replace ``benchmarks/CLIENT.md`` and what stands between the marks in the README."""
    told = " · ".join(f"{key}: {value}" for key, value in machine.items())
    text = f"# The client beside its peers\n\n{told}\n\n{markdown(rows)}\n"
    (ROOT / "benchmarks" / "CLIENT.md").write_text(text + _HOW)
    readme = ROOT / "README.md"
    before, _, rest = readme.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    shown = [row for row in rows if row.bar and _is_shown(row.what)]
    readme.write_text(f"{before}{BEGIN}\n{markdown(shown)}\n{END}{after}")


def _is_shown(what: str) -> bool:
    """One partition stands for both; of large records and zstd's levels, one row each."""
    if "part." not in what:
        return True
    return "1 part." in what and (
        what.endswith("raw, none") or ("100 B" in what and "level" not in what)
    )


_HOW = """
Thousands of records a second, or milliseconds; *bare loop x* is what the same rows reach with no
client and no broker, as a multiple of confluent-kafka: encoded (and compressed) on every core,
sent, written and synced; or sent from a file (with zstd: only decompressed). Near it nothing is
left to be had. Reads can pass it, as they have more than one request under way. acks=all waits for
the disk and is idempotent, acks=1 is neither, for all of them: there the clients are compared.
Peak memory is what our process needed on top of the table, in MB. Made by `python -m benchmarks
--only client --readme`; how it is measured is in [client.py](client.py).
"""


def markdown(rows: Sequence[PeerRow]) -> str:
    """A table."""
    lines = [f"| {' | '.join(_HEAD)} |", "|---|" + "---:|" * (len(_HEAD) - 2) + "---|"]
    for row in rows:
        rates = [row.mainstem, *(row.peers.get(name) for name in PEERS)]
        told = {True: "met", False: "missed", None: ""}[row.passes]
        memory = f", {row.peak:,.0f} MB" if row.peak is not None else ""
        cells = [
            row.what,
            _figure(rates[0], row.unit) + memory,
            *(_figure(rate, row.unit) for rate in rates[1:]),
            f"{row.ratio:.1f}" if "aiokafka" not in row.bar else f"aiokafka {row.ratio:.1f}",
            "" if row.bare_ratio is None else f"{row.bare_ratio:.1f}",
            f"{row.bar}: {told}" if row.bar else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _figure(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    return f"{value:.2f} ms" if unit == "ms" else f"{value / 1000:,.0f} k/s"
