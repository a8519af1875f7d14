"""What a benchmark says: one row of the table per figure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.targets import Target


@dataclass
class Row:
    """One figure of ours beside those of peers. ``bar`` is the gate in words, if it is one."""

    what: str
    unit: str
    mainstem: float
    kafka: float | None = None
    bare: float | None = None
    bar: str = ""
    passes: bool | None = None
    lower_is_better: bool = False
    note: str = ""
    ratio_to_kafka: float | None = None
    ratio_to_bare: float | None = None

    def __post_init__(self) -> None:
        """Ratios, where a benchmark did not measure them in pairs: how many times better we are."""
        if self.ratio_to_kafka is None:
            self.ratio_to_kafka = self._ratio(self.kafka)
        if self.ratio_to_bare is None:
            self.ratio_to_bare = self._ratio(self.bare)

    def _ratio(self, peer: float | None) -> float | None:
        if not peer or not self.mainstem:
            return None
        return peer / self.mainstem if self.lower_is_better else self.mainstem / peer


@dataclass
class Context:
    """What benchmarks run on. ``targets`` are Mainstem and Apache Kafka, running."""

    directory: Path
    quick: bool
    targets: list[Target] = field(default_factory=list)
    progress: Callable[[str], None] = print

    def pick(self, full: int, quick: int) -> int:
        return quick if self.quick else full


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def compared(what: str, unit: str, rates: Mapping[str, Sequence[float]]) -> Row:
    """Return the medians of interleaved rounds by name, and the medians of each round's ratios.

    A machine that slows down for a while then slows both sides of a ratio.
    """
    ours = rates["mainstem"]
    ratios = {
        name: median([a / b for a, b in zip(ours, theirs, strict=True)])
        for name, theirs in rates.items()
    }
    return Row(
        what,
        unit,
        median(ours),
        median(rates["kafka"]),
        median(rates["bare"]) if "bare" in rates else None,
        ratio_to_kafka=ratios["kafka"],
        ratio_to_bare=ratios.get("bare"),
    )


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that ``share`` (0 to 1) of ``values`` do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
