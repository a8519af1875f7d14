"""Random and mutated frames: the broker answers or closes, and lives on.

In the fast suite a few thousand per seed; ``TEST_FUZZ_FRAMES`` sets another number (the
slow runs of `make test` add up to a million).
"""

from __future__ import annotations

import asyncio
import io
import os
import random
import socket
import struct
import uuid

import pytest

from mainstem.broker.apis import APIS
from mainstem.broker.dispatch import Dispatcher
from mainstem.testing import RawConnection, running_broker
from mainstem.wire import Message, encode_request, message_encoding, request_frame, schema, shapes
from reference.produce import batch, create, fetch, produce, produce_message

FRAMES = int(os.environ.get("TEST_FUZZ_FRAMES", "125000"))
INTERESTING = (0, 1, 0x7F, 0x80, 0xFE, 0xFF)


class Sink:
    """Takes what a connection would send, so that only the socket is left out."""

    host = "fuzz"
    closed = False

    def __init__(self) -> None:
        self.tasks: set[asyncio.Future] = set()

    def send(self, parts) -> None:
        assert all(isinstance(part, bytes) or part.size >= 0 for part in parts)

    def reserve_reply(self):
        return None

    def fulfil(self, reply, parts) -> None:
        self.send(parts)

    def hold(self) -> None: ...

    def release_if_held(self) -> None: ...

    def close(self) -> None: ...


def populated(entity_class, source: random.Random) -> Message:
    """A message with something in every field, so that mutations reach deep."""
    return Message(
        **{name: value_for(f, source) for name, f in shapes.fields_of(entity_class).items()}
    )


def value_for(field, source: random.Random):
    nested = shapes.nested_class(field)
    if shapes.is_array(field):
        return [one_of(field, nested, source) for _ in range(source.randrange(1, 3))]
    return one_of(field, nested, source)


def one_of(field, nested, source: random.Random):
    if nested is not None:
        return populated(nested, source)
    match shapes.wire_type(field):
        case "string":
            return source.choice(("t", "group", "", "consumer", "retention.ms", "-1"))
        case "bytes" | "records":
            return source.choice((b"", batch(b"x"), source.randbytes(9)))
        case "bool":
            return bool(source.randrange(2))
        case "uuid":
            return uuid.UUID(int=source.randrange(3))
        case "float64":
            return source.random()
        case "error_code":
            return 0
        case "int8":
            return source.choice((0, 1, 2, -1))
        case _:
            return source.choice((0, 0, 1, 2, 3, -1, -2, 1000))


def valid_frames(source: random.Random) -> list[bytes]:
    """Requests of every API and version, and real produces."""
    frames = []
    for key, api in APIS.items():
        lowest = max(api.lowest, schema.api_versions(key)[0])
        for version in range(lowest, api.highest + 1):
            for _ in range(3):
                message = populated(schema.load(key, version, "request"), source)
                out = io.BytesIO()
                entity = message_encoding.to_entity(key, version, "request", message)
                schema.writer(key, version, "request")(out, entity)
                frames.append(request_frame(key, version, 1, "fuzz", out.getvalue()))
    for size in (0, 5, 100):
        message = produce_message("t", batch(b"x" * size, b"y"))
        frames.extend(
            request_frame(0, version, 1, "fuzz", encode_request(0, version, message))
            for version in range(3, 13)
        )
    return frames


def mutate(frame: bytes, source: random.Random) -> bytes:
    data = bytearray(frame[4:])
    for _ in range(source.choice((0, 1, 1, 2, 4, 8))):
        match source.randrange(4):
            case 0:
                data[source.randrange(len(data))] = source.choice(INTERESTING)
            case 1:
                data[source.randrange(len(data))] ^= 1 << source.randrange(8)
            case 2:
                del data[source.randrange(len(data)) :]
            case _:
                at = source.randrange(len(data) + 1)
                data[at:at] = source.randbytes(source.randrange(1, 9))
        if len(data) < 8:
            data += source.randbytes(8)
    return bytes(data)


async def feed(broker, seed: int, count: int) -> None:
    source = random.Random(seed)
    dispatcher = Dispatcher(broker)
    frames = valid_frames(source)
    sink = Sink()
    for number in range(count):
        if source.randrange(10):
            data = mutate(source.choice(frames), source)
        else:
            key, version = source.randrange(-1, 80), source.randrange(-1, 15)
            data = struct.pack(">hh", key, version) + source.randbytes(source.randrange(4, 60))
        dispatcher(sink, memoryview(bytearray(data)), 0, len(data))
        if number % 64 == 0:
            await asyncio.sleep(0)
        if len(sink.tasks) > 200:
            for task in tuple(sink.tasks):
                task.cancel()
            await asyncio.gather(*sink.tasks, return_exceptions=True)
    for task in tuple(sink.tasks):
        task.cancel()
    await asyncio.gather(*sink.tasks, return_exceptions=True)


def assert_alive_and_kept(running, seed: int) -> None:
    with RawConnection(running.address) as raw:
        records = fetch(raw, "kept", 0).records
        assert b"precious" in records, f"seed {seed}"
        assert produce(raw, "kept", batch(b"more")).error_code == 0, f"seed {seed}"


def run_seed(tmp_path, seed: int, count: int, caplog) -> None:
    caplog.set_level("ERROR", logger="mainstem.broker")
    with running_broker(tmp_path, auto_create_topics=False) as running:
        with RawConnection(running.address) as raw:
            create(raw, "kept")
            create(raw, "t")
            assert produce(raw, "kept", batch(b"precious")).error_code == 0
        loop = running._loop
        asyncio.run_coroutine_threadsafe(feed(running.broker, seed, count), loop).result(600)
        assert_alive_and_kept(running, seed)
    with running_broker(tmp_path, auto_create_topics=False) as running:
        assert_alive_and_kept(running, seed)
    surprises = [record for record in caplog.records if record.exc_info]
    assert not surprises, f"seed {seed}: {surprises[0].exc_text or surprises[0].exc_info}"


def test_a_few_thousand_mutated_frames(tmp_path, caplog):
    run_seed(tmp_path, 0, 5_000, caplog)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 9))
def test_a_million_mutated_frames(tmp_path, seed, caplog):
    run_seed(tmp_path, seed, FRAMES, caplog)


def test_garbage_over_real_sockets(tmp_path, caplog):
    caplog.set_level("CRITICAL", logger="mainstem.broker")
    source = random.Random(7)
    frames = valid_frames(source)
    with running_broker(tmp_path, auto_create_topics=False) as running:
        with RawConnection(running.address) as raw:
            create(raw, "kept")
            create(raw, "t")
            assert produce(raw, "kept", batch(b"precious")).error_code == 0
        host, _, port = running.address.rpartition(":")
        for _ in range(300):
            with socket.create_connection((host, int(port))) as garbage:
                data = b"".join(
                    struct.pack(">i", len(body)) + body
                    for body in (mutate(source.choice(frames), source) for _ in range(20))
                )
                garbage.sendall(data if source.randrange(4) else source.randbytes(500))
        assert_alive_and_kept(running, 7)
