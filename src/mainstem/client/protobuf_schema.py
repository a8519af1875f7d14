"""Message types from where users and registries have them: classes, descriptors, text."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Final

from mainstem.client.proto_text import parse_proto
from mainstem.errors import Invalid

_WELL_KNOWN: Final = (
    "any", "api", "descriptor", "duration", "empty", "field_mask", "source_context", "struct",
    "timestamp", "type", "wrappers",
)  # fmt: skip
#: What Confluent's tools import without registering it.
_STUBS: Final = {
    "confluent/meta.proto": 'syntax = "proto3"; package confluent;',
    "confluent/type/decimal.proto": (
        'syntax = "proto3"; package confluent.type;'
        "message Decimal { bytes value = 1; int32 precision = 2; int32 scale = 3; }"
    ),
}


def require_protobuf() -> None:
    """Raise ``Invalid`` where the extra is not installed."""
    try:
        import google.protobuf.descriptor_pb2  # noqa: F401
    except ImportError as error:
        raise Invalid("Protobuf needs an extra: pip install 'mainstem[protobuf]'") from error


def descriptor_of(message: Any) -> Any:
    """The descriptor of a generated class, an instance of one, or a descriptor itself."""
    found = getattr(message, "DESCRIPTOR", message)
    if not hasattr(found, "full_name") or not hasattr(found, "fields_by_number"):
        raise Invalid(
            f"message={message!r} is not a Protobuf message: give a generated class, its "
            "descriptor or the text of a .proto file"
        )
    return found


def file_from(text: str, name: str, others: Mapping[str, str]) -> Any:
    """The file descriptor of ``text``, a .proto file or base64 of its compiled form.

    ``others`` are the texts it imports, by the name it imports them by. Raises ``Invalid``.
    """
    from google.protobuf.descriptor_pool import DescriptorPool

    pool = DescriptorPool()
    added: set[str] = set()
    texts = {**others, name: text}
    try:
        return _add(pool, name, texts, added)
    except (TypeError, KeyError) as error:
        raise Invalid(f"the Protobuf schema {name} does not hold together: {error}") from error


def _add(pool: Any, name: str, texts: Mapping[str, str], added: set[str]) -> Any:
    if name in added:
        return None
    added.add(name)
    proto = _proto(name, texts)
    for needed in proto.dependency:
        _add(pool, needed, texts, added)
    return pool.AddSerializedFile(proto.SerializeToString())


def _proto(name: str, texts: Mapping[str, str]) -> Any:
    from google.protobuf.descriptor_pb2 import FileDescriptorProto

    text = texts.get(name, _STUBS.get(name))
    if text is None:
        word = name.removeprefix("google/protobuf/").removesuffix(".proto")
        if word not in _WELL_KNOWN:
            raise Invalid(f"the Protobuf schema imports {name!r}, which the registry does not have")
        module = import_module(f"google.protobuf.{word}_pb2")
        return FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)
    try:
        compiled = base64.b64decode("".join(text.split()), validate=True)
        found = FileDescriptorProto.FromString(compiled)
        found.name = name
        return found
    except (binascii.Error, ValueError):
        return parse_proto(text, name)
    except Exception as error:  # the parser's own, which is not public
        raise Invalid(f"the Protobuf schema {name} cannot be read: {error}") from error


def message_at(file: Any, path: Sequence[int]) -> Any:
    """The message that a header's path leads to. Map entries do not count, as in Java."""
    inside = list(file.message_types_by_name.values())  # in the file's order
    found = None
    for index in path:
        if not 0 <= index < len(inside):
            raise Invalid(f"{file.name} has no message at {list(path)}: is this its schema?")
        found = inside[index]
        inside = _nested(found)
    if found is None:
        raise Invalid(f"{file.name} has no message at an empty path")
    return found


def _nested(message: Any) -> list[Any]:
    return [part for part in message.nested_types if not part.GetOptions().map_entry]


def path_of(message: Any) -> list[int]:
    """Where a message is in its file: the header's path."""
    path: list[int] = []
    while message.containing_type is not None:
        names = [part.full_name for part in _nested(message.containing_type)]
        path.insert(0, names.index(message.full_name))
        message = message.containing_type
    path.insert(0, list(message.file.message_types_by_name).index(message.name))
    return path


def write_path(path: Sequence[int]) -> bytes:
    """A path as in the header: zigzag numbers, and a single 0 for the file's first message."""
    if list(path) == [0]:
        return b"\0"
    found = bytearray()
    for number in (len(path), *path):
        rest = number << 1
        while rest >= 0x80:
            found.append(rest & 0x7F | 0x80)
            rest >>= 7
        found.append(rest)
    return bytes(found)


def read_path(head: bytes) -> list[int]:
    """The path behind the schema id of a header that the kernel found well-formed."""
    numbers: list[int] = []
    value = shift = 0
    for byte in head[5:]:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(value >> 1)
            value = shift = 0
    return numbers[1:] or [0]


def chosen(message: Any, name: str | None, file_name: str) -> Any:
    """The descriptor that ``Protobuf(message=…, name=…)`` means. Raises ``Invalid``."""
    if not isinstance(message, str):
        if name is not None:
            raise Invalid("name=… chooses a message of a .proto text: leave it out for a class")
        return descriptor_of(message)
    file = file_from(message, file_name, {})
    return message_at(file, [0]) if name is None else called(file, name)


def called(file: Any, name: str) -> Any:
    """The message of a file with this name, with or without its package."""
    found = {each.full_name: each for each in _all(file.message_types_by_name.values())}
    for full in (name, f"{file.package}.{name}"):
        if full in found:
            return found[full]
    raise Invalid(f"the Protobuf schema has no message {name!r}: it has {', '.join(sorted(found))}")


def _all(messages: Any) -> list[Any]:
    return [part for each in messages for part in (each, *_all(each.nested_types))]


def serialized(file: Any) -> str:
    """A file's compiled form as text, as registries take it."""
    return base64.b64encode(file.serialized_pb).decode()
