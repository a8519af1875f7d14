"""The brokers that are compared, each in processes of its own on the same disk."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from interop.cluster import start_mainstem
from interop.kafka import start_kafka

from benchmarks import wire

_topics = itertools.count(1)
TICKS = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """Return ``pid`` and all its descendants."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += tree(int(child))
    return found


def cpu_seconds(pid: int) -> float:
    """Return user and system time used so far by ``pid`` and its descendants."""
    total = 0
    for each in tree(pid):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def memory(pid: int) -> tuple[float, float]:
    """Return (resident, proportional) megabytes of ``pid`` and its descendants, summed."""
    resident = proportional = 0
    for each in tree(pid):
        for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines():
            if line.startswith("Rss:"):
                resident += int(line.split()[1])
            elif line.startswith("Pss:"):
                proportional += int(line.split()[1])
    return resident / 1024, proportional / 1024


@dataclass
class Target:
    """A running broker. ``topic_config`` is what its topics get on top of its defaults."""

    name: str
    address: str
    pid: int
    topic_config: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def topic(self, **config: str) -> Iterator[tuple[wire.Connection, str]]:
        """Yield a connection and a fresh topic that is deleted afterwards."""
        connection = wire.Connection(self.address)
        name = f"bench-{next(_topics)}"
        code = wire.create_topic(connection, name, self.topic_config | config)
        assert code == 0, f"{self.name} refused to create {name}: {code}"
        while wire.end_offset(connection, name)[0]:  # Apache Kafka needs a moment to lead
            time.sleep(0.01)
        try:
            yield connection, name
            connection.close()
        finally:
            connection = wire.Connection(self.address)
            code = wire.delete_topic(connection, name)
            connection.close()
        assert code == 0, f"{self.name} refused to delete {name}: {code}"


@contextmanager
def both(directory: Path) -> Iterator[list[Target]]:
    """Yield a running Mainstem and a running Apache Kafka, in that order."""
    with ExitStack() as stack:
        mainstem = start_mainstem(directory / "mainstem")
        stack.callback(mainstem.stop)
        kafka = start_kafka(directory / "kafka")
        stack.callback(kafka.stop)
        yield [
            Target("mainstem", mainstem.address, mainstem.process.pid),
            # Deleted files must give their memory back before the next round, as ours do.
            Target("kafka", kafka.address, kafka.process.pid, {"file.delete.delay.ms": "0"}),
        ]
