"""Apache Kafka on several nodes: leaders and coordinators that can be moved and killed."""

from __future__ import annotations

import base64
import re
import shutil
import signal
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from interop.kafka import (
    Kafka,
    answers,
    format_directory,
    spawn_kafka,
    write_properties,
)
from mainstem.testing.ports import lasting_port

# Three servers on two cores: small heaps, simple collector, quick compiler only.
SMALL_FLAGS = [
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xshare:auto",
    "-Djava.awt.headless=true",
    "-Xms192m",
    "-Xmx320m",
]
# Whoever dies is noticed within two seconds, not nine.
QUICK = {
    "broker.heartbeat.interval.ms": "200",
    "broker.session.timeout.ms": "2000",
    "controller.quorum.election.timeout.ms": "500",
    "controller.quorum.fetch.timeout.ms": "1000",
    "controller.quorum.election.backoff.max.ms": "200",
    "replica.fetch.wait.max.ms": "100",
    "replica.lag.time.max.ms": "3000",
    "auto.leader.rebalance.enable": "false",
    "controlled.shutdown.enable": "false",
    "group.consumer.heartbeat.interval.ms": "200",
    "group.consumer.min.heartbeat.interval.ms": "100",
    "num.network.threads": "2",
    "num.io.threads": "3",
    "background.threads": "2",
    "log.cleaner.backoff.ms": "200",
    "log.cleaner.dedupe.buffer.size": "2097152",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "200",
}


@dataclass
class KafkaCluster:
    """Running nodes; their ids are 1, 2, 3 … . ``address`` has all of them, with commas.

    Each has a second listener, ``lines[node]``, which announces what was asked for instead.
    """

    address: str
    nodes: dict[int, Kafka]
    lines: dict[int, str]

    def kill(self, node: int) -> None:
        """End a node without warning."""
        process = self.nodes[node].process
        process.send_signal(signal.SIGKILL)
        process.wait()

    def start(self, node: int) -> None:
        """Start a node that was killed; returns at once, not yet ready."""
        kafka = self.nodes[node]
        self.nodes[node] = spawn_kafka(kafka.directory, kafka.address, flags=SMALL_FLAGS)

    def wait(self, node: int, timeout: float = 60) -> None:
        """Until the node answers. Raises RuntimeError with the end of its log where it dies."""
        kafka, deadline = self.nodes[node], time.monotonic() + timeout
        while not answers(kafka.address):
            if kafka.process.poll() is not None or time.monotonic() > deadline:
                tail = (kafka.directory / "kafka.log").read_text()[-2000:]
                raise RuntimeError(f"node {node} of Apache Kafka did not start:\n{tail}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End all at once; what they held is not needed any more."""
        for kafka in self.nodes.values():
            kafka.process.kill()
        for kafka in self.nodes.values():
            kafka.process.wait()


def start_kafka_cluster(
    directory: Path,
    nodes: int = 3,
    settings: Mapping[str, str] | None = None,
    *,
    announced: Mapping[int, str] | None = None,
) -> KafkaCluster:
    """Format and start a cluster of combined brokers and controllers; wait until all answer.

    Topics of the cluster's own are on all nodes, of others on as many as each says. Who comes to
    a node's second listener is sent to ``announced[node]``: the address of a proxy before it.
    """
    ids = range(1, nodes + 1)
    brokers = {node: f"127.0.0.1:{lasting_port()}" for node in ids}
    controllers = {node: f"127.0.0.1:{lasting_port()}" for node in ids}
    voters = ",".join(f"{node}@{address}" for node, address in controllers.items())
    shared = QUICK | {
        "listener.security.protocol.map": ",".join(
            f"{name}:PLAINTEXT" for name in ("PLAINTEXT", "LINE", "CONTROLLER")
        ),
        "controller.quorum.voters": voters,
        "offsets.topic.replication.factor": str(nodes),
        "offsets.topic.num.partitions": str(nodes),
        "transaction.state.log.replication.factor": str(nodes),
        "transaction.state.log.min.isr": str(min(2, nodes)),
        "transaction.state.log.num.partitions": str(nodes),
        **(settings or {}),
    }
    lines = {node: f"127.0.0.1:{lasting_port()}" for node in ids}
    for node in ids:
        proxy = (announced or lines)[node]
        own = {
            "listeners": f"PLAINTEXT://{brokers[node]},LINE://{lines[node]},"
            f"CONTROLLER://{controllers[node]}",
            "advertised.listeners": f"PLAINTEXT://{brokers[node]},LINE://{proxy}",
        }
        where = directory / str(node), node, brokers[node], controllers[node]
        write_properties(*where, shared | own)
    first = directory / "1"
    format_directory(first)
    for node in ids[1:]:
        _format_alike(first, directory / str(node), node)
    started = {
        node: spawn_kafka(directory / str(node), address, flags=SMALL_FLAGS)
        for node, address in brokers.items()
    }
    cluster = KafkaCluster(",".join(brokers.values()), started, lines)
    try:
        for node in ids:
            cluster.wait(node)
    except BaseException:
        cluster.stop()
        raise
    return cluster


def _format_alike(source: Path, target: Path, node: int) -> None:
    """What Kafka's tool wrote for one node, as another's: a Java process less to start."""
    shutil.copytree(source / "logs", target / "logs")
    path = target / "logs" / "meta.properties"
    identity = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    text = re.sub(r"(?m)^node\.id=.*$", f"node.id={node}", path.read_text())
    path.write_text(re.sub(r"(?m)^directory\.id=.*$", f"directory.id={identity}", text))
