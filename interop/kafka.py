"""Apache Kafka itself, from Maven Central: its jars, and a one-node broker of it.

``python -m interop.kafka`` (``make kafka``, ``make kafka NODES=3``) runs it in the foreground and
prints its address. Used as the peer in ``benchmarks/`` and as the reference that proves the
interop suite.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from mainstem.testing.ports import lasting_port

ROOT = Path(__file__).resolve().parent.parent
POM = ROOT / "interop" / "pom.xml"
JAVA_SOURCES = ROOT / "interop" / "java"
CACHE = ROOT / ".kafka"
PR_SET_PDEATHSIG = 1
CLUSTER_ID = "bWFpbnN0ZW0taW50ZXJvcA"  # any 16 bytes in base64url
LIBC = ctypes.CDLL(None)

# The flags of Kafka's own kafka-run-class.sh and kafka-server-start.sh.
SERVER_FLAGS = [
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-Djava.awt.headless=true",
    "-Xms1g",
    "-Xmx1g",
]
# A client or tool lives for a second: compile little, collect simply, share classes.
TOOL_FLAGS = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx512m"]


def kafka_jars() -> Path:
    """Return the directory of Apache Kafka's jars, fetched with Maven the first time.

    Raises:
        RuntimeError: Maven is missing or could not fetch them; the message holds its output.
    """
    libs, marker = CACHE / "libs", CACHE / ".complete"
    wanted = POM.read_text()
    if marker.exists() and marker.read_text() == wanted:
        return libs
    if shutil.which("mvn") is None:
        raise RuntimeError("Maven (mvn) is missing: run sh interop/install.sh")
    shutil.rmtree(libs, ignore_errors=True)
    command = ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies"]
    done = subprocess.run(
        [*command, f"-DoutputDirectory={libs}"], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"Maven could not fetch Apache Kafka:\n{done.stdout}{done.stderr}")
    marker.write_text(wanted)
    return libs


def kafka_classpath() -> str:
    """Return a Java class path with Apache Kafka, its tools and a quiet log configuration."""
    return f"{JAVA_SOURCES}:{kafka_jars()}/*"


def java_command(main: str, *arguments: str) -> list[str]:
    """Return the command line that runs one of Apache Kafka's tools, by class name."""
    return ["java", *TOOL_FLAGS, "-cp", kafka_classpath(), main, *arguments]


def compiled_classpath() -> str:
    """Compile ``interop/java`` into ``.kafka/classes`` where stale; return a class path with it."""
    sources = sorted(JAVA_SOURCES.glob("*.java"))
    classes = CACHE / "classes"
    marker = classes / ".complete"
    wanted = POM.read_text() + "".join(path.read_text() for path in sources)
    if not marker.exists() or marker.read_text() != wanted:
        shutil.rmtree(classes, ignore_errors=True)
        classes.mkdir(parents=True)
        command = ["javac", "-nowarn", "-d", str(classes), "-cp", kafka_classpath()]
        done = subprocess.run(
            [*command, *map(str, sources)], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"javac refused interop/java:\n{done.stderr}")
        marker.write_text(wanted)
    return f"{classes}:{kafka_classpath()}"


def die_with_parent() -> None:
    """Make the calling child process end with its parent: a killed test run leaves nothing."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


@dataclass
class Kafka:
    """A running Apache Kafka. ``address`` is ``host:port``, of its listener without security.

    ``listeners`` has the addresses of the others, by name.
    """

    address: str
    process: subprocess.Popen[bytes]
    directory: Path
    listeners: dict[str, str] = field(default_factory=dict)

    def stop(self) -> None:
        """End the broker; the directory is left to its owner."""
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def write_properties(
    directory: Path,
    node: int,
    broker: str,
    controller: str,
    settings: Mapping[str, str] | None = None,
    listeners: Mapping[str, str] | None = None,
) -> None:
    """Write the settings of a node that is broker and controller at these addresses."""
    directory.mkdir(parents=True, exist_ok=True)
    more = "".join(f",{name}://{address}" for name, address in (listeners or {}).items())
    properties = {
        "process.roles": "broker,controller",
        "node.id": str(node),
        "controller.quorum.voters": f"{node}@{controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{broker},CONTROLLER://{controller}{more}",
        "advertised.listeners": f"PLAINTEXT://{broker}{more}",
        "log.dirs": str(directory / "logs"),
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "1",
        "group.initial.rebalance.delay.ms": "0",
        **(settings or {}),
    }
    text = "".join(f"{name}={value}\n" for name, value in properties.items())
    (directory / "server.properties").write_text(text)


def format_directory(directory: Path) -> None:
    """Format the logs of the node whose settings are there, with Kafka's own tool."""
    configuration = str(directory / "server.properties")
    tool = "kafka.tools.StorageTool"
    command = java_command(tool, "format", "-t", CLUSTER_ID, "-c", configuration)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"Apache Kafka refused its settings:\n{done.stdout}{done.stderr}")


def format_kafka(
    directory: Path,
    settings: Mapping[str, str] | None = None,
    listeners: Mapping[str, str] | None = None,
) -> str:
    """Prepare ``directory`` for a one-node KRaft broker; return the address it will have.

    ``listeners`` are more listeners than the plain one, by Kafka's name for their security
    (``SASL_SSL`` …): addresses for each.
    """
    broker, controller = (f"127.0.0.1:{lasting_port()}" for _ in range(2))
    write_properties(directory, 1, broker, controller, settings, listeners)
    format_directory(directory)
    return broker


def spawn_kafka(
    directory: Path,
    address: str,
    listeners: Mapping[str, str] | None = None,
    *,
    flags: Sequence[str] = SERVER_FLAGS,
) -> Kafka:
    """Start the broker that :func:`format_kafka` prepared; return at once, not yet ready."""
    command = ["java", *flags, "-cp", kafka_classpath(), "kafka.Kafka"]
    with (directory / "kafka.log").open("ab") as log:
        process = subprocess.Popen(
            [*command, str(directory / "server.properties")],
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent,  # noqa: PLW1509 # one call, no locks
        )
    return Kafka(address, process, directory, dict(listeners or {}))


def start_kafka(
    directory: Path,
    settings: Mapping[str, str] | None = None,
    *,
    listeners: Mapping[str, str] | None = None,
    timeout: float = 60,
) -> Kafka:
    """Format ``directory``, start a broker in it and wait until it answers.

    ``settings`` are broker properties on top of the defaults here, ``listeners`` as for
    :func:`format_kafka`. Raises RuntimeError with the
    end of the broker's log where it dies or does not answer within ``timeout`` seconds.
    """
    kafka = spawn_kafka(directory, format_kafka(directory, settings, listeners), listeners)
    deadline = time.monotonic() + timeout
    while not answers(kafka.address):
        if kafka.process.poll() is not None or time.monotonic() > deadline:
            kafka.stop()
            tail = (directory / "kafka.log").read_text()[-2000:]
            raise RuntimeError(f"Apache Kafka did not start in {directory}:\n{tail}")
        time.sleep(0.05)
    return kafka


def answers(address: str) -> bool:
    """Whether a broker answers ApiVersions v0 there (Kafka accepts early and answers late)."""
    host, port = address.split(":")
    with suppress(OSError), socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(struct.pack(">ihhih", 10, 18, 0, 1, -1))
        return len(connection.recv(4)) == 4
    return False


def main() -> None:
    """Run brokers in a temporary directory until Ctrl-C: one, or ``--nodes``."""
    from interop.kafka_cluster import start_kafka_cluster

    parser = argparse.ArgumentParser(prog="interop.kafka", description=main.__doc__)
    parser.add_argument("--nodes", type=int, default=1, help="how many; three survive a failure")
    nodes = parser.parse_args().nodes
    with tempfile.TemporaryDirectory(prefix="kafka-") as name:
        directory = Path(name)
        if nodes == 1:
            kafkas = [start_kafka(directory)]
        else:
            kafkas = list(start_kafka_cluster(directory, nodes).nodes.values())
        address = ",".join(kafka.address for kafka in kafkas)
        pids = ",".join(str(kafka.process.pid) for kafka in kafkas)
        print(f"ready kafka={address} data={directory} pid={pids}", flush=True)
        signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
        with suppress(KeyboardInterrupt):
            for kafka in kafkas:  # any may be killed, to see what happens
                kafka.process.wait()
        for kafka in kafkas:
            kafka.process.terminate()
        for kafka in kafkas:
            kafka.stop()


if __name__ == "__main__":
    main()
