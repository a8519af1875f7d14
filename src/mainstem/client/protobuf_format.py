"""Protocol Buffers payloads, with a schema registry or a fixed message type, as typed columns."""

from __future__ import annotations

import difflib
import threading
from typing import Any, Final

import pyarrow as pa

from mainstem.client.arrow_shapes import binary_array, binary_column
from mainstem.client.formats import Decode, Side
from mainstem.client.payloads import (
    OnError,
    RegistryDecoder,
    SubjectName,
    check_policy,
    explain,
    payload_name,
    without_rows,
)
from mainstem.client.protobuf_plan import CompiledMessage, compile_message
from mainstem.client.protobuf_schema import (
    called,
    chosen,
    file_from,
    message_at,
    path_of,
    read_path,
    require_protobuf,
    serialized,
    write_path,
)
from mainstem.client.registry import Reference, RegisteredSchema, Registry
from mainstem.client.subjects import Subjects
from mainstem.errors import Invalid
from mainstem.kernels import decode_protobuf, encode_protobuf

_MOST_SCHEMAS: Final = 256
_FILE: Final = "schema.proto"


class Protobuf:
    """Each record's value is a Protocol Buffers message; its fields are columns.

    With a ``registry`` values carry the id of their schema and the message's place in it
    (Confluent's wire format); without one they are bare. ``message`` is what to write, and what
    to read as: a generated class, its descriptor, or the text of a .proto file, whose first
    message is taken, or the one called ``name``. Without it reading gives what was written, as
    the registry knows it, columns of several schemas put together; writing needs ``use_latest``:
    the newest schema of the topic's subject, its first message or ``name``.

    ``subject``, ``register``, ``on_error`` and ``side`` are as for ``Avro``.

    Types: a field that tells its absence (``optional``, messages, members of a ``oneof``) is
    nullable, any other is zero or empty; enums are dictionaries (a number without a name its
    digits), messages structs, maps maps. ``Timestamp`` and ``Duration`` count nanoseconds,
    wrappers (``StringValue`` …) are nullable values. A message that contains itself is there as
    its bytes from where it does so. Unknown fields are passed over; a known one of another wire
    type is an error.
    """

    #: It may ask the registry, so it must not run on an event loop.
    quick = False

    def __init__(
        self,
        registry: Registry | str | None = None,
        message: Any = None,
        *,
        name: str | None = None,
        subject: SubjectName = "topic",
        register: bool = True,
        use_latest: bool = False,
        on_error: OnError = "error",
        side: Side | None = None,
    ) -> None:
        check_policy(on_error, side)
        require_protobuf()
        self.registry = Registry(registry) if isinstance(registry, str) else registry
        if self.registry is None and message is None:
            raise Invalid("Protobuf needs a registry or a message: give one of them")
        if use_latest and message is not None:
            raise Invalid("use_latest takes the registry's schema: leave message out")
        self._text: str | None = message if isinstance(message, str) else None
        self._compiled: CompiledMessage | None = None
        if message is not None:
            self._compiled = compile_message(chosen(message, name, _FILE))
        self._name = name
        self._use_latest = use_latest
        self._on_error: OnError = on_error
        self._side = side
        self._register = register
        self._subjects = Subjects(self.registry, "PROTOBUF", subject, register=register)
        self._topic: str | None = None
        self._writers: dict[str | None, tuple[CompiledMessage, bytes]] = {}
        self._readers: dict[bytes, CompiledMessage] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        name = None if self._compiled is None else self._compiled.descriptor.full_name
        return f"Protobuf({self.registry!r}, {name!r})"

    def bind(self, topic: str) -> Protobuf:
        """The same format for one topic, whose name the subject needs."""
        found = Protobuf.__new__(Protobuf)
        found.__dict__.update(self.__dict__)
        found._topic = topic
        return found

    # --- writing -----------------------------------------------------------------------------

    def encode(self, payload: Any, *, used: frozenset[str]) -> Any:
        """See ``Format``."""
        compiled, head = self._writer()
        names = compiled.schema.names
        columns = [self._column(payload, field) for field in compiled.schema]
        wanted = {payload_name(name) for name in names}
        for extra in sorted(set(payload.schema.names) - wanted - used):
            near = difflib.get_close_matches(extra, names, n=1, cutoff=0.6)
            hint = f"did you mean {near[0]!r}?" if near else "drop the column"
            full = compiled.descriptor.full_name
            raise Invalid(f"the message {full} has no field {extra!r}: {hint}")
        sources = compiled.columns.sources(columns, names)
        rows = payload.num_rows
        try:
            offsets, data = encode_protobuf(compiled.plan, sources, rows, head)
        except ValueError as error:
            if len(error.args) != 3:
                raise Invalid(f"the rows cannot become Protobuf: {error}") from error
            row, fault, field = error.args
            reason = explain(fault, compiled.places[field])
            raise Invalid(f"row {row} cannot become Protobuf: field {reason}") from None
        return binary_array(offsets, data, rows)

    @staticmethod
    def _column(payload: Any, field: Any) -> Any:
        name = payload_name(field.name)
        if name in payload.schema.names:
            return payload.column(name)
        return pa.nulls(payload.num_rows, field.type)

    def columns(self, topic: str) -> Any:
        """A ``pa.Schema`` of what appends to this topic take; it may ask the registry."""
        schema = self.bind(topic)._writer()[0].schema
        return pa.schema([field.with_name(payload_name(field.name)) for field in schema])

    def _writer(self) -> tuple[CompiledMessage, bytes]:
        """The message to write, and what stands before it."""
        with self._lock:
            found = self._writers.get(self._topic)
        if found is None:
            found = self._latest() if self._use_latest else self._given()
            with self._lock:
                self._writers[self._topic] = found
        return found

    def _latest(self) -> tuple[CompiledMessage, bytes]:
        schema = self._subjects.latest(self._topic)
        file = self._file(schema)
        descriptor = message_at(file, [0]) if self._name is None else called(file, self._name)
        return compile_message(descriptor), _head(schema.id, descriptor)

    def _given(self) -> tuple[CompiledMessage, bytes]:
        compiled = self._compiled
        if compiled is None:
            raise Invalid(
                "appending as Protobuf needs message=…: which one shall it write? Or "
                "use_latest=True, the newest schema of the topic's subject"
            )
        if self.registry is None:
            return compiled, b""
        descriptor = compiled.descriptor
        text = self._text or serialized(descriptor.file)
        references = [] if self._text else self._references(descriptor.file)
        number = self._subjects.identify(self._topic, descriptor.full_name, text, references)
        return compiled, _head(number, descriptor)

    def _references(self, file: Any) -> list[Reference]:
        """The files it imports, each in a subject of its own name, as Confluent's tools do."""
        assert self.registry is not None
        found = []
        for needed in file.dependencies:
            if needed.name.startswith(("google/protobuf/", "confluent/")):
                continue
            below = self._references(needed)
            text = serialized(needed)
            if self._register:
                self.registry.register(needed.name, text, "PROTOBUF", below)
            known = self.registry.find(needed.name, text, "PROTOBUF", below)
            assert known.version is not None
            found.append(Reference(needed.name, needed.name, known.version))
        return found

    # --- reading -----------------------------------------------------------------------------

    def decoder(self) -> Decode:
        """See ``Format``."""
        return RegistryDecoder(
            self._decode,
            header="none" if self.registry is None else "id and path",
            schema=None if self._compiled is None else self._compiled.schema,
            on_error=self._on_error,
            side=self._side,
        )

    def _decode(self, head: bytes, values: Any, stop: bool) -> tuple[Any, list[tuple[int, str]]]:
        try:
            compiled = self._reading(head)
        except Invalid as error:
            reason = str(error)
            empty = pa.record_batch([], schema=pa.schema([]))
            return empty, [(row, reason) for row in range(len(values))]
        finished, faults = decode_protobuf(compiled.plan, binary_column(values), len(head), stop)
        bad = [
            (row, explain(fault, "" if at < 0 else compiled.places[at]))
            for row, fault, at in faults
        ]
        if stop and bad:
            return None, bad
        columns = compiled.columns.arrays(finished)
        batch = pa.RecordBatch.from_arrays(columns, schema=compiled.schema)
        return (without_rows(batch, [row for row, _ in bad]) if bad else batch), bad

    def _reading(self, head: bytes) -> CompiledMessage:
        if self._compiled is not None:
            return self._compiled
        with self._lock:
            found = self._readers.get(head)
        if found is None:
            assert self.registry is not None
            schema = self.registry.schema(int.from_bytes(head[1:5], "big"))
            if schema.type != "PROTOBUF":
                raise Invalid(f"it was written with a schema of type {schema.type}, not Protobuf")
            found = compile_message(message_at(self._file(schema), read_path(head)))
            with self._lock:
                if len(self._readers) >= _MOST_SCHEMAS:
                    self._readers.clear()
                self._readers[head] = found
        return found

    def _file(self, schema: RegisteredSchema) -> Any:
        others = {name: each.text for name, each in self._subjects.references(schema).items()}
        return file_from(schema.text, _FILE, others)


def _head(number: int, descriptor: Any) -> bytes:
    return b"\0" + number.to_bytes(4, "big") + write_path(path_of(descriptor))
