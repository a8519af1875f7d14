"""Messages of every API and version, decoded and encoded through kio's schemas."""

from __future__ import annotations

import contextlib
import io
import random

import pytest

from mainstem.errors import Invalid
from mainstem.wire import (
    Message,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
    legacy,
    message_encoding,
    schema,
    shapes,
)

ALL = [
    (key, version, kind)
    for key in sorted(schema.api_key_map)
    for kind in ("request", "response")
    for version in range(schema.api_versions(key)[0], schema.api_versions(key)[1] + 1)
]


def _default_message(entity_class: type) -> Message:
    return Message(
        **{name: shapes.default_of(field) for name, field in shapes.fields_of(entity_class).items()}
    )


@pytest.mark.parametrize(("key", "version", "kind"), ALL)
def test_what_kio_writes_decodes_and_encodes_to_the_same_bytes(key, version, kind):
    entity_class = schema.load(key, version, kind)
    out = io.BytesIO()
    entity = message_encoding.to_entity(key, version, kind, _default_message(entity_class))
    schema.writer(key, version, kind)(out, entity)
    decode = decode_request if kind == "request" else decode_response
    encode = encode_request if kind == "request" else encode_response
    message = decode(key, version, out.getvalue())
    assert encode(key, version, message) == out.getvalue()


def test_an_old_version_gets_the_defaults_of_newer_fields():
    raw = encode_request(
        11,
        0,
        Message(
            group_id="g",
            session_timeout_ms=6000,
            member_id="",
            protocol_type="consumer",
            protocols=[],
        ),
    )
    message = decode_request(11, 0, raw)
    assert message.group_instance_id is None
    assert message.reason is None
    assert message.session_timeout_ms == 6000


def test_fields_a_version_lacks_are_left_out():
    message = Message(throttle_time_ms=5, error_code=27)
    assert encode_response(12, 0, message) == b"\x00\x1b"
    assert encode_response(12, 1, message) == b"\x00\x00\x00\x05\x00\x1b"


def test_throttle_time_may_be_omitted():
    assert encode_response(12, 1, Message(error_code=0)) == b"\x00" * 6


def test_an_unknown_field_is_a_programming_error():
    with pytest.raises(TypeError, match="eror_code"):
        encode_response(12, 1, Message(eror_code=0))


def test_a_missing_field_is_a_programming_error():
    with pytest.raises(TypeError, match="error_code"):
        encode_response(12, 1, Message())


def test_a_missing_attribute_says_what_there_is():
    with pytest.raises(AttributeError, match=r"no field 'b': it has \['a'\]"):
        _ = Message(a=1).b


@pytest.mark.parametrize("version", range(1, 8))
def test_offset_fetch_of_one_group_has_the_shape_of_many(version):
    topics = [Message(name="t", partition_indexes=[0, 2])]
    asked = Message(
        groups=[Message(group_id="g", topics=topics, member_id=None, member_epoch=-1)],
        require_stable=False,
    )
    (group,) = decode_request(9, version, encode_request(9, version, asked)).groups
    assert group.group_id == "g"
    assert group.topics[0].name == "t"
    assert group.topics[0].partition_indexes == [0, 2]


@pytest.mark.parametrize("version", range(1, 8))
def test_offset_fetch_answers_old_versions_flattened(version):
    row = Message(
        partition_index=1,
        committed_offset=7,
        committed_leader_epoch=3,
        metadata="m",
        error_code=0,
    )
    answer = Message(
        groups=[Message(group_id="g", topics=[Message(name="t", partitions=[row])], error_code=0)]
    )
    decoded = decode_response(9, version, encode_response(9, version, answer))
    assert decoded.groups[0].topics[0].partitions[0].committed_offset == 7


@pytest.mark.parametrize("version", range(4))
def test_find_coordinator_with_one_key_has_the_shape_of_many(version):
    asked = Message(key_type=0, coordinator_keys=["g"])
    assert decode_request(10, version, encode_request(10, version, asked)).coordinator_keys == ["g"]
    found = Message(key="g", node_id=1, host="h", port=9, error_code=0, error_message=None)
    answer = decode_response(
        10, version, encode_response(10, version, Message(coordinators=[found]))
    )
    assert (answer.coordinators[0].host, answer.coordinators[0].port) == ("h", 9)


@pytest.mark.parametrize("version", range(3))
def test_leave_group_of_one_member_has_the_shape_of_many(version):
    asked = Message(group_id="g", members=[Message(member_id="m")])
    (member,) = decode_request(13, version, encode_request(13, version, asked)).members
    assert (member.member_id, member.group_instance_id) == ("m", None)
    answer = Message(error_code=0, members=[Message(member_id="m", error_code=25)])
    assert decode_response(13, version, encode_response(13, version, answer)).error_code == 25


@pytest.mark.parametrize("version", range(1, 6))
def test_delete_topics_by_bare_name_has_the_shape_of_many(version):
    asked = Message(topics=[Message(name="t", topic_id=None)], timeout_ms=1)
    (topic,) = decode_request(20, version, encode_request(20, version, asked)).topics
    assert (topic.name, topic.topic_id) == ("t", None)


def test_every_old_name_is_one_the_newest_schema_lacks():
    for key, names in legacy.OLD_NAMES.items():
        low, high = schema.api_versions(key)
        known: set[str] = set()
        for version in range(low, high + 1):
            for kind in ("request", "response"):
                known |= _all_names(schema.load(key, version, kind))
        assert names <= known


def _all_names(entity_class: type) -> set[str]:
    names: set[str] = set()
    for public, field in shapes.fields_of(entity_class).items():
        names.add(public)
        nested = shapes.nested_class(field)
        if nested is not None:
            names |= _all_names(nested)
    return names


@pytest.mark.parametrize("seed", range(8))
def test_random_bytes_decode_or_are_refused_cleanly(seed):
    random_source = random.Random(seed)
    served = [(key, v) for key, v, kind in ALL if kind == "request" and key != 0]
    for _ in range(400):
        key, version = random_source.choice(served)
        raw = random_source.randbytes(random_source.randrange(80))
        with contextlib.suppress(Invalid):
            decode_request(key, version, raw)


def test_an_array_that_claims_more_than_the_message_has_is_refused():
    # kio's own reader allocates what is claimed, and aborts the process.
    with pytest.raises(Invalid, match="claims 2147483647 elements"):
        decode_request(3, 1, b"\x7f\xff\xff\xff")


def test_a_small_message_cannot_make_us_build_millions_of_objects():
    many = (300_000).to_bytes(4, "big") + bytes(600_000)
    with pytest.raises(Invalid, match="too many"):
        decode_request(3, 1, many)


def test_an_unknown_tagged_field_is_skipped():
    raw = encode_request(12, 4, Message(group_id="g", generation_id=1, member_id="m"))
    assert raw.endswith(b"\0")
    tagged = raw[:-1] + b"\x01\x63\x03abc"
    assert decode_request(12, 4, tagged).member_id == "m"


def test_a_null_where_none_is_allowed_is_refused():
    with pytest.raises(Invalid, match="group_id has the length -1"):
        decode_request(12, 0, b"\xff\xff" + bytes(10))


def test_a_name_that_is_not_utf8_is_refused():
    with pytest.raises(Invalid, match="group_id is not UTF-8"):
        decode_request(12, 0, b"\x00\x02\xff\xfe" + bytes(10))
