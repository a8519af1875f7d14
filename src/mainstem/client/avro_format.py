"""Avro payloads, with a schema registry or a fixed schema, as typed columns."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

import pyarrow as pa

from mainstem.client.arrow_shapes import binary_column
from mainstem.client.avro_derive import derive
from mainstem.client.avro_plan import Compiled, compile_schema
from mainstem.client.avro_resolve import resolve
from mainstem.client.avro_schema import Node, parse
from mainstem.client.avro_write import AvroWriter
from mainstem.client.formats import Decode, Side
from mainstem.client.payloads import (
    OnError,
    RegistryDecoder,
    SubjectName,
    check_policy,
    explain,
    without_rows,
)
from mainstem.client.registry import RegisteredSchema, Registry
from mainstem.client.subjects import Subjects
from mainstem.errors import Invalid
from mainstem.kernels import decode_avro

_HEAD: Final = 5
_MOST_WRITERS: Final = 256
AvroSource = str | Mapping[str, Any]
#: A writer's schema, and how its columns become the reader's.
_Reading = tuple[Compiled, Callable[[Any], list[Any]] | None]


class Avro:
    """Each record's value is an Avro record; its fields are columns.

    With a ``registry`` values carry the id of the schema they were written with (Confluent's
    wire format); without one they are bare, and ``schema`` says what they are. ``schema`` (Avro
    as JSON text or Python) is what to write, and what to read as, by Avro's rules of resolution.
    Without it reading gives what was written, columns of several schemas put together; writing
    takes a schema from the columns, or with ``use_latest`` the newest of the subject.

    ``subject`` is how a topic's schema is called: ``"topic"`` (``t-value``), ``"record"``,
    ``"topic-record"``, or a function of topic and record name. With ``register=False`` a schema
    must be in the registry already.

    A record that cannot be read is an error; with ``on_error="null"`` all its columns are null,
    with ``"side"`` it leaves the batch and goes to ``side``, a function that takes raw records
    (``rejected.append`` of a list, or of a topic). A record without a value reads as all null.

    Types: records are structs, nullable unions are nullable, other unions a struct with one
    member set, enums dictionaries, maps maps; logical types decimal, date, time, timestamp. A
    schema that contains itself has no columns: ``Invalid``.
    """

    #: It may ask the registry, so it must not run on an event loop.
    quick = False

    def __init__(
        self,
        registry: Registry | str | None = None,
        schema: AvroSource | None = None,
        *,
        subject: SubjectName = "topic",
        register: bool = True,
        use_latest: bool = False,
        on_error: OnError = "error",
        side: Side | None = None,
    ) -> None:
        check_policy(on_error, side)
        self.registry = Registry(registry) if isinstance(registry, str) else registry
        if self.registry is None and schema is None:
            raise Invalid("Avro needs a registry or a schema: give one of them")
        if use_latest and schema is not None:
            raise Invalid("use_latest takes the registry's schema: leave schema out")
        text = None
        if schema is not None:
            text = schema if isinstance(schema, str) else json.dumps(schema)
        self.text = text
        self._compiled = None if text is None else compile_schema(parse(text))
        self._on_error: OnError = on_error
        self._side = side
        self._register = register
        self._use_latest = use_latest
        self._subjects = Subjects(self.registry, "AVRO", subject, register=register)
        self._topic: str | None = None
        self._writers: dict[Any, AvroWriter] = {}
        self._readers: dict[bytes, _Reading] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        name = None if self._compiled is None else self._compiled.root.name
        return f"Avro({self.registry!r}, {name!r})"

    def bind(self, topic: str) -> Avro:
        """The same format for one topic, whose name the subject needs."""
        found = Avro.__new__(Avro)
        found.__dict__.update(self.__dict__)
        found._topic = topic
        return found

    # --- writing -----------------------------------------------------------------------------

    def encode(self, payload: Any, *, used: frozenset[str]) -> Any:
        """See ``Format``."""
        writer = self._writer(payload.schema)
        return writer.encode(payload, used)

    def columns(self, topic: str) -> Any:
        """A ``pa.Schema`` of what appends to this topic take, or ``None`` where that is anything.

        It may ask the registry.
        """
        return self.bind(topic)._writer(None).columns() if self._chosen else None

    def _writer(self, schema: Any) -> AvroWriter:
        key = (self._topic, None if self._chosen else schema)
        with self._lock:
            found = self._writers.get(key)
        if found is None:
            found = self._new_writer(schema)
            with self._lock:
                if len(self._writers) >= _MOST_WRITERS:
                    self._writers.clear()
                self._writers[key] = found
        return found

    @property
    def _chosen(self) -> bool:
        return self._compiled is not None or self._use_latest

    def _new_writer(self, schema: Any) -> AvroWriter:
        if self._use_latest:
            latest = self._subjects.latest(self._topic)
            return AvroWriter(self._compile(latest), _head(latest.id))
        if self._compiled is not None:
            compiled, text = self._compiled, self.text
        else:
            source = derive(schema, self._topic or "record")
            text = json.dumps(source)
            compiled = compile_schema(parse(source))
        assert text is not None
        if self.registry is None:
            return AvroWriter(compiled, b"")
        return AvroWriter(
            compiled, _head(self._subjects.identify(self._topic, compiled.root.name, text))
        )

    # --- reading -----------------------------------------------------------------------------

    def decoder(self) -> Decode:
        """See ``Format``."""
        return RegistryDecoder(
            self._decode,
            header="none" if self.registry is None else "id",
            schema=None if self._compiled is None else self._compiled.schema,
            on_error=self._on_error,
            side=self._side,
        )

    def _decode(self, head: bytes, values: Any, stop: bool) -> tuple[Any, list[tuple[int, str]]]:
        try:
            writer, step = self._reading(head)
        except Invalid as error:
            reason = str(error)
            empty = pa.record_batch([], schema=pa.schema([]))
            return empty, [(row, reason) for row in range(len(values))]
        finished, faults = decode_avro(writer.plan, binary_column(values), len(head), stop)
        bad = [(row, explain(fault, writer.places[op])) for row, fault, op in faults]
        if stop and bad:
            return None, bad
        batch = pa.RecordBatch.from_arrays(writer.columns.arrays(finished), schema=writer.schema)
        if bad:
            batch = without_rows(batch, [row for row, _ in bad])
        if step is None:
            return batch, bad
        assert self._compiled is not None
        columns = step(batch.columns)
        return pa.RecordBatch.from_arrays(columns, schema=self._compiled.schema), bad

    def _reading(self, head: bytes) -> _Reading:
        with self._lock:
            found = self._readers.get(head)
        if found is None:
            found = self._new_reading(head)
            with self._lock:
                if len(self._readers) >= _MOST_WRITERS:
                    self._readers.clear()
                self._readers[head] = found
        return found

    def _new_reading(self, head: bytes) -> _Reading:
        if not head:
            assert self._compiled is not None
            return self._compiled, None
        assert self.registry is not None
        schema = self.registry.schema(int.from_bytes(head[1:], "big"))
        if schema.type != "AVRO":
            raise Invalid(f"it was written with a schema of type {schema.type}, not Avro")
        writer = self._compile(schema)
        if self._compiled is None:
            return writer, None
        return writer, resolve(writer, self._compiled)

    def _compile(self, schema: RegisteredSchema) -> Compiled:
        return compile_schema(self._parse(schema))

    def _parse(self, schema: RegisteredSchema) -> Node:
        assert self.registry is not None
        known = {
            name: json.loads(each.text) for name, each in self._subjects.references(schema).items()
        }
        return parse(schema.text, known)


def _head(schema_id: int) -> bytes:
    return b"\0" + schema_id.to_bytes(4, "big")
