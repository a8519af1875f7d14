"""Apache Kafka's own command-line tools, as an operator types them."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from interop.clients import Administrator, Client, until
from interop.clients.java import Adapter, Ran
from interop.corpus import BASE_TIME, Record, plain
from interop.kafka import java_command

TOOLS = "org.apache.kafka.tools."
GROUPS = TOOLS + "consumer.group.ConsumerGroupCommand"
CONSOLE = TOOLS + "consumer.ConsoleConsumer"


class Shell:
    """Runs tools against the broker; every tool must succeed."""

    def __init__(self, client: Adapter, address: str) -> None:
        self._jvm, self.address = client.jvm, address

    def attempt(self, tool: str, *arguments: str, stdin: bytes = b"") -> Ran:
        name = tool if "." in tool else TOOLS + tool
        return self._jvm.tool(name, "--bootstrap-server", self.address, *arguments, stdin=stdin)

    def __call__(self, tool: str, *arguments: str, stdin: bytes = b"") -> str:
        ran = self.attempt(tool, *arguments, stdin=stdin)
        assert ran.code == 0, f"{tool} {arguments}: {ran}"
        return ran.output


@pytest.fixture
def shell(connect: Callable[[str], Client], cluster: str) -> Shell:
    client = connect("java")
    assert isinstance(client, Adapter)
    return Shell(client, cluster)


def test_topic_command_creates_lists_describes_alters_deletes(shell: Shell, name: str) -> None:
    made = shell("TopicCommand", "--create", "--topic", name, "--partitions", "3")
    assert f"Created topic {name}." in made
    assert name in shell("TopicCommand", "--list").split()
    shell("TopicCommand", "--alter", "--topic", name, "--partitions", "4")
    described = shell("TopicCommand", "--describe", "--topic", name)
    assert "PartitionCount: 4" in described
    assert len(re.findall(r"Leader: \d+", described)) == 4
    shell("TopicCommand", "--delete", "--topic", name)
    assert name not in shell("TopicCommand", "--list").split()
    missing = shell.attempt("TopicCommand", "--describe", "--topic", name)
    assert missing.code != 0
    assert "does not exist" in missing.output + missing.errors


def test_config_command_alters_and_describes(shell: Shell, topic: str) -> None:
    where = ("--entity-type", "topics", "--entity-name", topic)
    command = "kafka.admin.ConfigCommand"
    shell(command, *where, "--alter", "--add-config", "retention.ms=98765,segment.bytes=2000000")
    described = shell(command, *where, "--describe")
    assert "retention.ms=98765" in described
    assert "segment.bytes=2000000" in described
    shell(command, *where, "--alter", "--delete-config", "retention.ms")
    assert "retention.ms" not in shell(command, *where, "--describe")
    everything = shell(command, *where, "--describe", "--all")
    assert "retention.ms=604800000" in everything
    refused = shell.attempt(command, *where, "--alter", "--add-config", "retention.ms=later")
    assert refused.code != 0


def test_console_tools_pass_keys_headers_and_nulls(shell: Shell, topic: str) -> None:
    lines = b"h:1,g:2\tkey\tvalue\nh:3\tother\tNULL\n"
    properties = ["parse.key=true", "parse.headers=true", "null.marker=NULL"]
    reader = [word for each in properties for word in ("--reader-property", each)]
    shell("ConsoleProducer", "--topic", topic, *reader, stdin=lines)
    shown = ["print.key=true", "print.headers=true", "print.offset=true", "null.literal=<null>"]
    formatter = [word for each in shown for word in ("--formatter-property", each)]
    reading = ["--topic", topic, "--from-beginning", "--max-messages", "2"]
    output = shell(CONSOLE, *reading, "--timeout-ms", "20000", *formatter)
    assert output.splitlines() == [
        "Offset:0\th:1,g:2\tkey\tvalue",
        "Offset:1\th:3\tother\t<null>",
    ]


def test_console_tools_work_as_processes_of_their_own(cluster: str, topic: str) -> None:
    """The other tests share a JVM; this one is what a user's shell does."""
    text = b"one\ntwo\nthree\n"
    where = ["--bootstrap-server", cluster, "--topic", topic]
    producer = java_command(
        TOOLS + "ConsoleProducer", *where, "--producer-property", "compression.type=zstd"
    )
    subprocess.run(producer, input=text, check=True, timeout=60, capture_output=True)
    limits = ["--from-beginning", "--max-messages", "3", "--timeout-ms", "20000"]
    consumer = java_command(CONSOLE, *where, *limits)
    done = subprocess.run(consumer, check=True, timeout=60, capture_output=True)
    assert done.stdout == text


def test_get_offset_shell_by_name_and_time(shell: Shell, admin: Administrator, topic: str) -> None:
    admin.produce(topic, plain(40))
    admin.delete_records(topic, 0, 5)
    found = {
        when: shell("GetOffsetShell", "--topic", topic, "--time", when).strip()
        for when in ("earliest", "latest", "max-timestamp", str(BASE_TIME + 20_000))
    }
    offsets = {when: line.removeprefix(f"{topic}:0:") for when, line in found.items()}
    assert list(offsets.values()) == ["5", "40", "39", "20"]


def test_delete_records_command(
    shell: Shell, admin: Administrator, topic: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    admin.produce(topic, plain(10))
    plan = {"partitions": [{"topic": topic, "partition": 0, "offset": 4}], "version": 1}
    file = tmp_path_factory.mktemp("plan") / "offsets.json"
    file.write_text(json.dumps(plan))
    output = shell("DeleteRecordsCommand", "--offset-json-file", str(file))
    assert f"partition: {topic}-0\tlow_watermark: 4" in output
    assert admin.bounds(topic, 0) == (4, 10)


def test_log_dirs_command(shell: Shell, admin: Administrator, topic: str) -> None:
    admin.produce(topic, plain(100))
    output = shell("LogDirsCommand", "--describe", "--topic-list", topic)
    (line,) = [each for each in output.splitlines() if each.startswith("{")]
    (broker,) = json.loads(line)["brokers"]
    (directory,) = broker["logDirs"]
    assert directory["error"] is None
    (partition,) = directory["partitions"]
    assert partition["partition"] == f"{topic}-0"
    assert partition["size"] > 100 * 100
    assert partition["offsetLag"] == 0


def test_broker_api_versions_command(shell: Shell) -> None:
    output = shell("BrokerApiVersionsCommand")
    assert "127.0.0.1" in output
    for api in ("Produce(0)", "Fetch(1)", "JoinGroup(11)", "DescribeConfigs(32)"):
        assert re.search(re.escape(api) + r": .*usable: \d+", output), api


def test_cluster_tool_prints_the_id(shell: Shell) -> None:
    ran = shell._jvm.tool(TOOLS + "ClusterTool", "cluster-id", "--bootstrap-server", shell.address)
    assert re.search(r"Cluster ID: \S+", ran.output), ran


def committed(shell: Shell, group: str) -> dict[str, str]:
    """Return the columns of the one row that describes a group of one partition."""
    lines = [line.split() for line in shell(GROUPS, "--describe", "--group", group).splitlines()]
    rows = [line for line in lines if line and line[0] == group]
    (header,) = [line for line in lines if line and line[0] == "GROUP"]
    assert len(rows) == 1, lines
    return dict(zip(header, rows[0], strict=False))


def test_consumer_group_command_describes_resets_and_deletes(
    shell: Shell, admin: Administrator, topic: str
) -> None:
    start = int(time.time()) * 1000 - 60 * 60_000
    minutes = [Record(None, b"%d" % i, (), start + i * 60_000) for i in range(60)]
    admin.produce(topic, minutes)
    member = admin.join(topic, topic)
    until(lambda: member.poll() or member.assignment(), "an assignment")
    member.commit({0: 33})
    assert topic in shell(GROUPS, "--list").split()
    row = committed(shell, topic)
    assert (row["CURRENT-OFFSET"], row["LOG-END-OFFSET"], row["LAG"]) == ("33", "60", "27")
    assert row["HOST"] == "/127.0.0.1"
    assert "Stable" in shell(GROUPS, "--describe", "--group", topic, "--state")
    assert "127.0.0.1" in shell(GROUPS, "--describe", "--group", topic, "--members", "--verbose")
    busy = shell.attempt(
        GROUPS, "--reset-offsets", "--to-earliest", "--group", topic, "--topic", topic, "--execute"
    )
    assert "can only be reset if the group" in busy.output + busy.errors
    member.close()

    def reset(*how: str) -> str:
        where = ("--group", topic, "--topic", topic)
        shell(GROUPS, "--reset-offsets", *where, *how, "--dry-run")
        before = committed(shell, topic)["CURRENT-OFFSET"]
        shell(GROUPS, "--reset-offsets", *where, *how, "--execute")
        after = committed(shell, topic)["CURRENT-OFFSET"]
        return f"{before} -> {after}"

    moment = datetime.fromtimestamp((start + 20 * 60_000) / 1000, UTC)
    assert reset("--to-earliest") == "33 -> 0"
    assert reset("--to-datetime", moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z") == "0 -> 20"
    assert reset("--by-duration", "PT30M30S") == "20 -> 30"
    assert reset("--to-latest") == "30 -> 60"
    assert reset("--to-offset", "7") == "60 -> 7"
    assert reset("--shift-by", "5") == "7 -> 12"
    shell(GROUPS, "--delete-offsets", "--group", topic, "--topic", topic)
    assert admin.committed(topic, topic, 0) is None
    reset_to_zero = ("--reset-offsets", "--to-earliest", "--execute")
    shell(GROUPS, *reset_to_zero, "--group", topic, "--topic", topic)
    assert "successful" in shell(GROUPS, "--delete", "--group", topic)
    assert topic not in shell(GROUPS, "--list").split()


def test_performance_tools_move_the_records_they_count(shell: Shell, topic: str) -> None:
    load = ["--num-records", "20000", "--record-size", "100", "--throughput", "-1"]
    settings = ["--command-property", "acks=1"]
    output = shell("ProducerPerformance", "--topic", topic, *load, *settings)
    assert "20000 records sent" in output
    output = shell("ConsumerPerformance", "--topic", topic, "--num-records", "20000")
    header, values = [line.split(", ") for line in output.splitlines() if ", " in line][:2]
    row = dict(zip(header, values, strict=True))
    assert int(row["data.consumed.in.nMsg"]) >= 20_000


def verifiable(tool: str, *arguments: str) -> list[dict[str, Any]]:
    """Return the events one of the system-test tools printed; it ends its JVM, so it gets one."""
    command = java_command(TOOLS + tool, *arguments)
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_verifiable_producer_and_consumer_agree(cluster: str, topic: str) -> None:
    where = ["--bootstrap-server", cluster, "--topic", topic, "--max-messages", "500"]
    sent = verifiable("VerifiableProducer", *where)
    acknowledged = [each for each in sent if each["name"] == "producer_send_success"]
    assert [each["offset"] for each in acknowledged] == list(range(500))
    reading = ["--group-id", topic, "--reset-policy", "earliest", "--verbose"]
    events = verifiable("VerifiableConsumer", *where, *reading)
    consumed = [each["value"] for each in events if each["name"] == "record_data"]
    assert consumed == [each["value"] for each in acknowledged]
    commits = [each for each in events if each["name"] == "offsets_committed"]
    assert all(each["success"] for each in commits)
    assert commits[-1]["offsets"][-1]["offset"] == 500


def test_leader_election_is_not_needed(shell: Shell, topic: str) -> None:
    where = ("--topic", topic, "--partition", "0")
    output = shell("LeaderElectionCommand", "--election-type", "preferred", *where)
    assert f"Valid replica already elected for partitions {topic}-0" in output


def test_groups_command_lists_the_type_and_protocol(
    shell: Shell, admin: Administrator, topic: str
) -> None:
    member = admin.join(topic, topic)
    until(lambda: member.poll() or member.assignment(), "an assignment")
    rows = [line.split() for line in shell("GroupsCommand", "--list").splitlines()]
    member.close()
    assert [topic, "Classic", "consumer"] in rows
