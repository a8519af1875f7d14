"""kcat: the command line most people reach for first. One process per act."""

from __future__ import annotations

import os
import re
import select
import subprocess
from collections.abc import Iterable, Mapping

from interop.clients import CODECS, TIMEOUT, Client, Member, Refused, until
from interop.corpus import Placed, Record
from interop.kafka import die_with_parent

# Sizes first, so that any byte may follow: partition, offset, timestamp, key size, value size.
FORMAT = r"%p %o %T %K %S %h\x01%k%s\n"
HEAD = re.compile(rb"(\d+) (\d+) (-?\d+) (-?\d+) (-?\d+) ([^\x01]*)\x01")
KEY, END = b"\x1f", b"\x1e"
# librdkafka's words for the codes the tests ask about.
WORDS = {
    b"Broker: Offset out of range": 1,
    b"Broker: Unknown topic or partition": 3,
    b"Broker: Message size too large": 10,
}


def _refusal(errors: bytes) -> Exception:
    for words, code in WORDS.items():
        if words in errors:
            return Refused(code, errors.decode(errors="replace"))
    return RuntimeError(f"kcat: {errors.decode(errors='replace')}")


def parse(output: bytes) -> tuple[list[Placed], bytes]:
    """Return the whole records in what kcat printed with FORMAT, and what is left over."""
    found, position = [], 0
    while (head := HEAD.match(output, position)) is not None:
        partition, offset, timestamp, key_size, value_size = map(int, head.groups()[:5])
        middle = head.end() + max(key_size, 0)
        end = middle + max(value_size, 0)
        if len(output) < end + 1:
            break
        record = Record(
            None if key_size < 0 else output[head.end() : middle],
            None if value_size < 0 else output[middle:end],
            tuple(_header(each) for each in head[6].split(b",") if each),
            timestamp,
        )
        found.append(Placed(record, partition, offset))
        position = end + 1
    return found, output[position:]


def _header(text: bytes) -> tuple[str, bytes | None]:
    name, _, value = text.partition(b"=")
    return name.decode(), None if value == b"NULL" else value


class GroupMember(Member):
    """``kcat -G``: it commits what it printed when it ends, and every 200 ms."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=die_with_parent,  # noqa: PLW1509 # one call, no locks
        )
        self._output = self._errors = b""

    def _take(self, timeout: float) -> None:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        out, err = self._process.stdout, self._process.stderr
        for stream in select.select([out, err], [], [], timeout)[0]:
            piece = os.read(stream.fileno(), 1 << 20)
            if stream is out:
                self._output += piece
            else:
                self._errors += piece

    def poll(self) -> list[Placed]:
        self._take(0.1)
        found, self._output = parse(self._output)
        return found

    def assignment(self) -> set[int]:
        self._take(0)
        owned: set[int] = set()
        for kind, partitions in re.findall(rb"(assigned|revoked): (.*)", self._errors):
            owned = {int(p) for p in re.findall(rb"\[(\d+)\]", partitions)}
            if kind == b"revoked":
                owned = set()
        return owned

    def commit(self, offsets: Mapping[int, int] | None = None) -> None:
        assert offsets is None, "kcat commits what it printed"

    def _close(self) -> None:
        self._process.terminate()
        self._process.communicate(timeout=TIMEOUT)


class Adapter(Client):
    name = "kcat"
    codecs = CODECS

    def can_read(self, record: Record) -> bool:
        """Headers are printed without their length, so only words can be told apart."""
        return not any(re.search(rb"[\x00-\x1f,]", value or b"") for _, value in record.headers)

    def can_write(self, record: Record) -> bool:
        """Records between delimiters: no nulls or empties, no delimiter inside."""
        text = (record.key or b"") + (record.value or b"")
        speakable = all(value and name.isascii() for name, value in record.headers)
        whole = bool(record.value) and record.key != b"" and KEY not in text and END not in text
        return whole and speakable and self.can_read(record)

    def _run(self, *arguments: str, stdin: bytes = b"") -> bytes:
        done = subprocess.run(
            ["kcat", "-b", self.address, *arguments],
            input=stdin,
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
        )
        if done.returncode != 0:
            raise _refusal(done.stderr)
        return done.stdout

    def produce(
        self,
        topic: str,
        records: Iterable[Record],
        *,
        partition: int | None = 0,
        codec: str = "none",
        idempotent: bool = False,
    ) -> list[tuple[int, int]]:
        """Return positions read back from the broker: kcat does not say where records went."""
        records = list(records)
        command = ["-P", "-t", topic, "-z", codec, "-X", "message.max.bytes=10000000"]
        command += ["-D", r"\x1e", "-K", r"\x1f", "-X", "linger.ms=5"]
        if partition is not None:
            command += ["-p", str(partition)]
        if idempotent:
            command += ["-X", "enable.idempotence=true"]
        start = self._end(topic, partition or 0)
        while records:
            headers = records[0].headers
            run = next(
                (i for i, each in enumerate(records) if each.headers != headers), len(records)
            )
            lines = [
                (b"" if each.key is None else each.key + KEY) + (each.value or b"")
                for each in records[:run]
            ]
            named = [f"-H{name}={(value or b'').decode()}" for name, value in headers]
            self._run(*command, *named, stdin=END.join(lines) + END)
            del records[:run]
        if partition is None:
            listing = self._run("-L", "-t", topic).decode()
            spread = [int(p) for p in re.findall(r"partition (\d+),", listing)]
            return [(p, o) for p in spread for o in range(self._end(topic, p))]
        return [(partition, offset) for offset in range(start, self._end(topic, partition))]

    def _end(self, topic: str, partition: int) -> int:
        return self._query(topic, partition, -1)

    def _query(self, topic: str, partition: int, timestamp: int) -> int:
        answers: list[bytes] = []

        def answered() -> bool:
            # Apache Kafka needs a moment to lead a new topic, and kcat does not retry queries.
            try:
                answers.append(self._run("-Q", "-t", f"{topic}:{partition}:{timestamp}"))
            except RuntimeError as error:
                if "Not leader for partition" not in str(error):
                    raise
            return bool(answers)

        until(answered, f"a leader of {topic} {partition}")
        match = re.search(rb"offset (-?\d+)", answers[0])
        assert match is not None, answers
        return int(match[1])

    def read(self, topic: str, count: int, *, partition: int = 0, start: int = 0) -> list[Placed]:
        if count == 0:
            return []
        where = ["-t", topic, "-p", str(partition), "-o", str(start), "-c", str(count)]
        output = self._run("-C", *where, "-f", FORMAT, "-X", "auto.offset.reset=error")
        found, rest = parse(output)
        assert not rest
        return found

    def offset_at(self, topic: str, partition: int, timestamp: int) -> int | None:
        found = self._query(topic, partition, timestamp)
        return None if found < 0 else found

    def _join(self, group: str, topic: str, options: Mapping[str, str]) -> Member:
        settings = {
            "auto.offset.reset": options.get("reset", "earliest"),
            "partition.assignment.strategy": options.get("strategy", "range"),
            "auto.commit.interval.ms": "200",
            "heartbeat.interval.ms": "500",
        }
        if "instance" in options:
            settings["group.instance.id"] = options["instance"]
        flags = [flag for name, value in settings.items() for flag in ("-X", f"{name}={value}")]
        command = ["kcat", "-b", self.address, *flags, "-u", "-f", FORMAT, "-G", group, topic]
        return GroupMember(command)
