"""What a benchmark says: one row of the table per figure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
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

    def ratio(self, peer: float | None) -> float | None:
        """Return how many times better we are than ``peer``."""
        if not peer or not self.mainstem:
            return None
        return peer / self.mainstem if self.lower_is_better else self.mainstem / peer

    def as_dict(self) -> dict[str, object]:
        return asdict(self) | {
            "ratio_to_kafka": self.ratio(self.kafka),
            "ratio_to_bare": self.ratio(self.bare),
        }


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


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that ``share`` (0 to 1) of ``values`` do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
