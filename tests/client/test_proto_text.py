""".proto files as descriptors: the same that protoc makes of them."""

from __future__ import annotations

import random
import re
from pathlib import Path

import protobuf_cases
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool

from mainstem.client.proto_text import parse_proto
from mainstem.client.protobuf_schema import file_from, message_at, path_of, read_path, write_path
from mainstem.errors import Invalid

EVERYTHING = """
/* A comment with ; and { */
syntax = 'proto3';  // another
package com.example.deep;
import public "google/protobuf/timestamp.proto";
option java_package = "com.example";
option (custom).thing = { a: 1 b: [2, 3] c { d: "x" } };
message First {
  option deprecated = true;
  reserved 2, 15, 9 to 11, 100 to max;
  reserved "old", 'older';
  message Inner { enum Deep { ZERO = 0; option allow_alias = true; NULL = 0; NEG = -0x1F; } Deep deep = 1; }
  optional int32 maybe = 0x10 [json_name = "perhaps", deprecated=true];
  map < string , Inner > by_some_name = 3;
  repeated Inner.Deep deeps = 4 [packed = false, (x.y) = { a: "b" "c" }];
  oneof choice { option (o) = true; string text = 5; First again = 6; }
  optional .com.example.deep.First.Inner other = 7;
  google.protobuf.Timestamp message = 8;
  string enum = 12; int64 map = 13; bytes reserved = 14;
};
;
enum Top { option (e) = "v"; NOTHING = 0 [(v) = 1, deprecated = true]; reserved 5 to 9; reserved "X"; }
service Api { rpc Call (First) returns (stream First) { option idempotency_level = IDEMPOTENT; } }
message Last { First.Inner inner = 1; Top top = 2; Api api = 3; message Api {} }
"""  # noqa: E501
OLD = """
message Old {
  required int32 a = 1 [default = -5];
  optional string b = 2 [default = "x;\\"{"];
  repeated double c = 3 [packed=true];
  optional float d = 4 [default = inf];
  extensions 100 to 199;
  oneof o { bool e = 5; }
}
extend Old { optional int32 more = 100; }
"""


def protoc(text: str, directory: Path) -> FileDescriptorProto:
    """What Google's compiler makes of it, without options that need definitions."""
    import grpc_tools
    from grpc_tools import protoc as compiler

    (directory / "t.proto").write_text(text)
    include = Path(grpc_tools.__file__).parent / "_proto"
    target = directory / "t.bin"
    arguments = ["protoc", f"-I{directory}", f"-I{include}", f"-o{target}", "t.proto"]
    assert compiler.main(arguments) == 0
    return FileDescriptorSet.FromString(target.read_bytes()).file[0]


def resolved(proto: FileDescriptorProto) -> FileDescriptorProto:
    """As a pool understands it, with full names of types; options that records do not need go."""
    file = file_from_proto(proto)
    found = FileDescriptorProto()
    file.CopyToProto(found)
    for message in found.message_type:
        _strip(message)
    for holder in (found, *found.enum_type):
        holder.ClearField("options")
    for enum in found.enum_type:
        _strip_enum(enum)
    for name in ("service", "extension", "public_dependency"):
        found.ClearField(name)
    return found


def file_from_proto(proto: FileDescriptorProto) -> object:
    from google.protobuf import timestamp_pb2

    pool = DescriptorPool()
    if proto.dependency:
        pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    return pool.AddSerializedFile(proto.SerializeToString())


def _strip(message: object) -> None:
    entry = message.options.map_entry
    for name in ("options", "reserved_range", "reserved_name", "extension_range"):
        message.ClearField(name)
    if entry:
        message.options.map_entry = True
    for field in message.field:
        packed = field.options.packed if field.options.HasField("packed") else None
        for name in ("options", "json_name", "default_value"):
            field.ClearField(name)
        if packed is not None:
            field.options.packed = packed
    for oneof in message.oneof_decl:
        oneof.ClearField("options")
    for inner in message.nested_type:
        _strip(inner)
    for enum in message.enum_type:
        _strip_enum(enum)


def _strip_enum(enum: object) -> None:
    for name in ("options", "reserved_range", "reserved_name"):
        enum.ClearField(name)
    for value in enum.value:
        value.ClearField("options")


def test_everything_a_file_may_hold_is_what_protoc_reads(tmp_path: Path) -> None:
    plain = re.sub(r"option \(custom\).*", "", EVERYTHING)
    plain = re.sub(r"option \([oe]\) = [^;]*;", "", plain)
    plain = plain.replace(', (x.y) = { a: "b" "c" }', "").replace("(v) = 1, ", "")
    assert resolved(parse_proto(EVERYTHING, "t.proto")) == resolved(protoc(plain, tmp_path))


def test_old_files_are_what_protoc_reads(tmp_path: Path) -> None:
    assert resolved(parse_proto(OLD, "t.proto")) == resolved(protoc(OLD, tmp_path))


def test_random_files_are_what_protoc_reads(tmp_path: Path) -> None:
    for seed in range(25):
        text = protobuf_cases.Files(random.Random(seed)).text()
        found = file_from(text, "t.proto", {})
        ours, wanted = FileDescriptorProto(), FileDescriptorProto()
        found.CopyToProto(ours)
        pool = DescriptorPool()
        from google.protobuf import (
            duration_pb2,
            empty_pb2,
            struct_pb2,
            timestamp_pb2,
            wrappers_pb2,
        )

        for module in (duration_pb2, empty_pb2, struct_pb2, timestamp_pb2, wrappers_pb2):
            pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
        pool.AddSerializedFile(protoc(text, tmp_path).SerializeToString()).CopyToProto(wanted)
        for proto in (ours, wanted):
            for message in proto.message_type:
                _strip(message)
        assert ours == wanted, f"seed {seed}: {text}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("message M {", "line 1: the file ends too early"),
        ("\n\nmessage M { int32 = 1; }", "line 3"),
        ("message M { int32 a = x; }", "a number should stand where 'x' is"),
        ("message M { group G = 1 { } }", "groups are not supported"),
        ('edition = "2023";', "editions"),
        ('syntax = "proto4";', "no syntax 'proto4'"),
        ("what M {}", "'what' is not known"),
        ("message M { int32 a = 1 }", "';' should come before"),
        ("message M \x01", "is not .proto"),
        ("message M { Missing a = 1; }", "does not hold together"),
        ("message M { int32 a = 1; int32 b = 1; }", "does not hold together"),
        ('import "other.proto";', "imports 'other.proto'"),
        ("message M {" * 70, "nested deeper"),
    ],
)
def test_a_file_that_is_wrong_is_refused(text: str, reason: str) -> None:
    with pytest.raises(Invalid, match=reason):
        file_from(text, "t.proto", {})


def test_files_that_import_each_other_in_a_circle_are_refused() -> None:
    with pytest.raises(Invalid, match="does not hold together"):
        file_from('import "b.proto"; message A { B b = 1; }', "a.proto", {
            "b.proto": 'import "a.proto"; message B { A a = 1; }'})  # fmt: skip


def test_messages_have_paths_and_map_entries_do_not_count() -> None:
    file = file_from(EVERYTHING, "t.proto", {})
    for path in ([0], [0, 0], [1], [1, 0]):
        message = message_at(file, path)
        assert path_of(message) == path
        assert read_path(b"\0\0\0\0\1" + write_path(path)) == path
    assert write_path([0]) == b"\0"
    assert write_path([1, 0]) == b"\4\2\0"
    assert write_path([300]) == b"\2\xd8\4"
    with pytest.raises(Invalid, match=r"no message at \[2\]"):
        message_at(file, [2])
    twins = 'syntax="proto3"; message M { map<int32, int32> m = 1; message N {} }'
    file = file_from(twins, "t.proto", {})
    assert message_at(file, [0, 0]).name == "N"
    assert path_of(message_at(file, [0, 0])) == [0, 0]
