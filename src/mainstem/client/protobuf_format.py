"""Protocol Buffers payloads, with a schema registry or a fixed message type, as typed columns."""

from __future__ import annotations

import base64
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
    descriptor_of,
    file_from,
    message_at,
    path_of,
    read_path,
    require_protobuf,
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
    the registry knows it, columns of several schemas put together.

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
        on_error: OnError = "error",
        side: Side | None = None,
    ) -> None:
        check_policy(on_error, side)
        require_protobuf()
        self.registry = Registry(registry) if isinstance(registry, str) else registry
        if self.registry is None and message is None:
            raise Invalid("Protobuf needs a registry or a message: give one of them")
        self._text: str | None = message if isinstance(message, str) else None
        self._compiled: CompiledMessage | None = None
        if message is not None:
            self._compiled = compile_message(_chosen(message, name))
        self._on_error: OnError = on_error
        self._side = side
        self._register = register
        self._subjects = Subjects(self.registry, "PROTOBUF", subject, register=register)
        self._topic: str | None = None
        self._heads: dict[str | None, bytes] = {}
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
        if self._compiled is None:
            raise Invalid("appending as Protobuf needs message=…: which one shall it write?")
        compiled = self._compiled
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
            offsets, data = encode_protobuf(compiled.plan, sources, rows, self._head(compiled))
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

    def _head(self, compiled: CompiledMessage) -> bytes:
        if self.registry is None:
            return b""
        with self._lock:
            found = self._heads.get(self._topic)
        if found is None:
            descriptor = compiled.descriptor
            text = self._text or _serialized(descriptor.file)
            references = [] if self._text else self._references(descriptor.file)
            name = descriptor.full_name
            number = self._subjects.identify(self._topic, name, text, references)
            found = b"\0" + number.to_bytes(4, "big") + write_path(path_of(descriptor))
            with self._lock:
                self._heads[self._topic] = found
        return found

    def _references(self, file: Any) -> list[Reference]:
        """The files it imports, each in a subject of its own name, as Confluent's tools do."""
        assert self.registry is not None
        found = []
        for needed in file.dependencies:
            if needed.name.startswith(("google/protobuf/", "confluent/")):
                continue
            below = self._references(needed)
            text = _serialized(needed)
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


def _chosen(message: Any, name: str | None) -> Any:
    if not isinstance(message, str):
        if name is not None:
            raise Invalid("name=… chooses a message of a .proto text: leave it out for a class")
        return descriptor_of(message)
    file = file_from(message, _FILE, {})
    if name is None:
        return message_at(file, [0])
    found = {each.full_name: each for each in _all(file.message_types_by_name.values())}
    for full in (name, f"{file.package}.{name}"):
        if full in found:
            return found[full]
    raise Invalid(f"the .proto text has no message {name!r}: it has {', '.join(sorted(found))}")


def _all(messages: Any) -> list[Any]:
    return [part for each in messages for part in (each, *_all(each.nested_types))]


def _serialized(file: Any) -> str:
    return base64.b64encode(file.serialized_pb).decode()
