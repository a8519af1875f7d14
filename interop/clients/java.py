"""Apache Kafka's own Java clients and tools, in one JVM that takes requests (interop/java)."""

from __future__ import annotations

import base64
import json
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from interop.clients import Administrator, Member, Refused
from interop.corpus import Placed, Record
from interop.kafka import TOOL_FLAGS, compiled_classpath, die_with_parent

ASSIGNORS = {
    "range": "RangeAssignor",
    "roundrobin": "RoundRobinAssignor",
    "sticky": "StickyAssignor",
    "cooperative-sticky": "CooperativeStickyAssignor",
}


@dataclass(frozen=True)
class Ran:
    """What a command-line tool did."""

    code: int
    output: str
    errors: str


class Jvm:
    """The JVM: one request at a time."""

    def __init__(self, address: str) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 # as long as the JVM
        self._process = subprocess.Popen(
            ["java", *TOOL_FLAGS, "-cp", compiled_classpath(), "Interop", address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            preexec_fn=die_with_parent,  # noqa: PLW1509 # one call, no locks
        )

    def call(self, operation: str, **arguments: Any) -> Any:
        """Ask for ``operation``; raises Refused with the broker's code, else RuntimeError."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = json.dumps({"do": operation, **arguments}).encode()
        self._process.stdin.write(request + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            raise RuntimeError(f"the JVM ended: {self._errors.read()[-3000:].decode()}")
        answer = json.loads(line)
        if "error" not in answer:
            return answer["result"]
        if answer["code"] > 0 and operation != "check":
            raise Refused(answer["code"], answer["error"])
        raise RuntimeError(answer["error"])

    def tool(self, name: str, *arguments: str, stdin: bytes = b"") -> Ran:
        """Run the main method of class ``name`` as if from a shell."""
        encoded = base64.b64encode(stdin).decode()
        found = self.call("tool", **{"class": name}, arguments=arguments, input=encoded)
        output, errors = (base64.b64decode(found[each]).decode() for each in ("output", "errors"))
        return Ran(found["code"], output, errors)

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(20)
        finally:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            self._errors.close()


def _text(octets: bytes | None) -> str | None:
    return None if octets is None else base64.b64encode(octets).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


def _placed(found: Mapping[str, Any]) -> Placed:
    headers = tuple((name, _bytes(value)) for name, value in found["headers"])
    record = Record(_bytes(found["key"]), _bytes(found["value"]), headers, found["timestamp"])
    return Placed(record, found["partition"], found["offset"])


class GroupMember(Member):
    def __init__(self, jvm: Jvm, number: int, topic: str) -> None:
        self._jvm, self._number, self._topic = jvm, number, topic

    def _call(self, operation: str, **arguments: Any) -> Any:
        return self._jvm.call(operation, member=self._number, **arguments)

    def poll(self) -> list[Placed]:
        return [_placed(each) for each in self._call("poll")]

    def assignment(self) -> set[int]:
        return set(self._call("assignment"))

    def commit(self, offsets: Mapping[int, int] | None = None) -> None:
        self._call("commit", topic=self._topic, offsets=offsets)

    def _close(self) -> None:
        self._call("leave")


class Adapter(Administrator):
    name = "java"
    strategies = ("range", "roundrobin", "sticky", "cooperative-sticky")

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.jvm = Jvm(address)

    def close(self) -> None:
        self.jvm.close()

    def produce(
        self,
        topic: str,
        records: Iterable[Record],
        *,
        partition: int | None = 0,
        codec: str = "none",
        idempotent: bool = False,
    ) -> list[tuple[int, int]]:
        places = self.jvm.call(
            "produce",
            topic=topic,
            partition=partition,
            codec=codec,
            idempotent=str(idempotent).lower(),
            records=[
                {
                    "key": _text(each.key),
                    "value": _text(each.value),
                    "headers": [(name, _text(value)) for name, value in each.headers],
                    "timestamp": each.timestamp,
                }
                for each in records
            ],
        )
        return [(found, offset) for found, offset in places]

    def read(self, topic: str, count: int, *, partition: int = 0, start: int = 0) -> list[Placed]:
        found = self.jvm.call("read", topic=topic, partition=partition, start=start, count=count)
        if len(found) < count:
            raise TimeoutError(f"{len(found)} of {count} records of {topic}")
        return [_placed(each) for each in found]

    def offset_at(self, topic: str, partition: int, timestamp: int) -> int | None:
        found: int | None = self.jvm.call(
            "offset_at", topic=topic, partition=partition, timestamp=timestamp
        )
        return found

    def _join(self, group: str, topic: str, options: Mapping[str, str]) -> Member:
        assignor = ASSIGNORS[options.get("strategy", "range")]
        settings = {
            "group.id": group,
            "auto.offset.reset": options.get("reset", "earliest"),
            "partition.assignment.strategy": f"org.apache.kafka.clients.consumer.{assignor}",
        }
        if "instance" in options:
            settings["group.instance.id"] = options["instance"]
        return GroupMember(self.jvm, self.jvm.call("join", topic=topic, settings=settings), topic)

    def create_topic(
        self, topic: str, partitions: int = 1, config: Mapping[str, str] | None = None
    ) -> None:
        self.jvm.call("create_topic", topic=topic, partitions=partitions, config=dict(config or {}))

    def topics(self) -> set[str]:
        return set(self.jvm.call("topics"))

    def delete_topic(self, topic: str) -> None:
        self.jvm.call("delete_topic", topic=topic)

    def partitions(self, topic: str) -> int:
        return int(self.jvm.call("partitions", topic=topic))

    def topic_config(self, topic: str) -> dict[str, str]:
        return dict(self.jvm.call("topic_config", topic=topic))

    def alter_config(self, topic: str, config: Mapping[str, str]) -> None:
        self.jvm.call("alter_config", topic=topic, config=dict(config))

    def add_partitions(self, topic: str, total: int) -> None:
        self.jvm.call("add_partitions", topic=topic, total=total)

    def delete_records(self, topic: str, partition: int, before: int) -> None:
        self.jvm.call("delete_records", topic=topic, partition=partition, before=before)

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        first, last = self.jvm.call("bounds", topic=topic, partition=partition)
        return first, last

    def committed(self, group: str, topic: str, partition: int) -> int | None:
        found: int | None = self.jvm.call(
            "committed", group=group, topic=topic, partition=partition
        )
        return found

    def groups(self) -> set[str]:
        return set(self.jvm.call("groups"))

    def group_size(self, group: str) -> int:
        return int(self.jvm.call("group_size", group=group))
