"""What kernels are given may be None, or change while they look at it: neither reaches memory."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from mainstem.kernels import (
    Framer,
    MessageError,
    Ring,
    Sender,
    Sources,
    decode_runs,
    encode_avro,
    encode_protobuf,
    message_decoder,
    read_batches,
    write_produce_response,
)
from mainstem.kernels.avro_plan import AvroPlan
from mainstem.kernels.protobuf_plan import ProtobufPlan
from reference.record_batch import Record, batch_of, encode


class Number:
    """A number that does something when it is asked for: Python code in the middle of a kernel."""

    def __init__(self, value: int, action: Callable[[], object]) -> None:
        self.value = value
        self.action = action

    def __int__(self) -> int:
        self.action()
        return self.value


def test_header_lists_that_grow_while_runs_are_located_do_not_count() -> None:
    data = encode(batch_of([Record(b"x")]))
    headers = read_batches(data)
    grow = Number(0, lambda: headers.extend(headers * 100_000))
    columns, rows = decode_runs([(data, headers, None, grow, 9)])
    assert (rows, bytes(columns.values), len(headers)) == ([1], b"x", 100_001)


def test_bodies_that_shrink_while_runs_are_located_stay() -> None:
    data = encode(batch_of([Record(b"x")]))
    headers = read_batches(data)
    bodies: list[bytes | None] = [None] * 1000
    shrink = Number(0, bodies.clear)
    columns, rows = decode_runs([(data, headers * 1000, bodies, shrink, 9)])
    assert (rows, bytes(columns.values), bodies) == ([1000], b"x" * 1000, [])


def test_partitions_that_grow_while_a_response_is_written_do_not_count() -> None:
    row = (1, 0, 5, -1, 0, None)
    rows: list[tuple[Any, ...]] = [row]
    grow = Number(1, lambda: rows.extend([row] * 100_000))
    rows[0] = (grow, *row[1:])
    grown = write_produce_response(9, 7, [("topic", rows)])
    assert len(rows) == 100_001
    assert grown == write_produce_response(9, 7, [("topic", [row])])


@pytest.mark.parametrize("text", [5, b"bytes"])
def test_a_response_is_made_of_text(text: object) -> None:
    with pytest.raises(TypeError):
        write_produce_response(9, 7, [("topic", [(1, 0, 5, -1, 0, text)])])  # type: ignore[list-item]
    if text != b"bytes":  # topic ids are
        with pytest.raises(TypeError):
            write_produce_response(9, 7, [(text, [])])  # type: ignore[list-item]


def test_a_topic_id_has_sixteen_bytes() -> None:
    with pytest.raises(MessageError, match="a topic id of 5 bytes"):
        write_produce_response(13, 7, [(b"bytes", [])])


def test_offsets_that_vanish_while_a_ring_reads_them_stay() -> None:
    tails: list[Any] = [7] * 1000
    tails[0] = Number(7, tails.clear)
    ring = Ring(tails)
    assert (ring.tails(), tails) == ([7] * 1000, [])
    wanted: list[Any] = [7] * 1000
    wanted[0] = Number(7, wanted.clear)
    assert (ring.resume(wanted), wanted) == (([], 0), [])


def test_offsets_that_vanish_while_a_framer_reads_them_stay() -> None:
    vector: list[Any] = [7] * 1000
    vector[0] = Number(7, vector.clear)
    framer = Framer(Ring([7] * 1000), [b"p"] * 1000, b"", vector, bytes(16), False)
    assert (framer.vector, vector) == ([7] * 1000, [])


@pytest.mark.parametrize("limit", [-1, 0])
def test_a_read_of_no_or_fewer_bytes_is_refused(limit: int) -> None:
    sender = Sender()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with theirs:
        ident = sender.add(ours.detach())
        theirs.sendall(bytes(100_000))
        with pytest.raises(ValueError, match="at least 1"):
            sender.read(ident, limit)
        assert len(sender.read(ident, 1 << 40) or b"") == 16_384


@pytest.mark.parametrize(
    ("encode_rows", "plan"),
    [(encode_avro, AvroPlan([(10, -1, 0, 0, ())], [])), (encode_protobuf, ProtobufPlan([[]], []))],
)
def test_rows_without_a_prefix_are_a_type_error(
    encode_rows: Callable[..., object], plan: object
) -> None:
    assert encode_rows(plan, Sources([]), 0, b"prefix")
    with pytest.raises(TypeError, match="'prefix' has incorrect type"):
        encode_rows(plan, Sources([]), 0, None)


def test_a_struct_of_a_message_has_a_program() -> None:
    with pytest.raises(TypeError, match="a struct needs a program"):
        message_decoder.Field("inner", message_decoder.STRUCT_CODE, False, False, None)
    with pytest.raises(TypeError, match="fields, not of None"):
        message_decoder.Program(object, [None], {}, False, dict, 1, {})  # type: ignore[list-item]
    for missing in range(3):
        given: list[Any] = [[], {}, {}]
        given[missing] = None
        with pytest.raises(TypeError, match="NoneType"):
            message_decoder.Program(object, *given[:2], False, dict, 1, given[2])
