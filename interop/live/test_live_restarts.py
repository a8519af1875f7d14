"""The gateway is killed and comes back: readers that reconnect miss nothing and hear it once."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pyarrow as pa
import pytest

import mainstem as ms
from interop.live.gateways import Gateway, Reader, encode

Start = Callable[..., Reader]
COUNT = 400


class Talk:
    """Writes numbers to a channel, one append each, until told to end at ``COUNT``."""

    def __init__(self, gateway: Gateway, channel: str) -> None:
        self._gateway, self._key = gateway, channel.partition(":")[2].encode()
        self._thread = threading.Thread(target=self._run)
        self.written = 0
        self.half = threading.Event()
        self.go_on = threading.Event()

    def __enter__(self) -> Talk:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.go_on.set()
        self._thread.join()

    def _run(self) -> None:
        with ms.connect(self._gateway.node.address) as stem:
            topic = stem.topic("live.comments")
            for number in range(COUNT):
                topic.append(pa.table({"_key": [self._key], "value": [encode(number)]}))
                self.written = number + 1
                if self.written == COUNT // 2:
                    self.half.set()
                if self.written == COUNT * 3 // 4:
                    self.go_on.wait()


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_readers_that_reconnect_miss_nothing(
    own_gateway: Gateway, channel: str, reader: Start, how: str
) -> None:
    gateway = own_gateway
    gateway.post(channel, "first")
    url = f"{gateway.url}?channel={channel}&from=earliest"
    readers = [
        reader("eventsource.mjs", url),
        reader("client.mjs", gateway.url, channel, "earliest"),
    ]
    for each in readers:
        each.wait(1, "message")
    with Talk(gateway, channel) as talk:
        talk.half.wait()
        getattr(gateway, how)()
        gateway.start()
        talk.go_on.set()
    for each in readers:
        each.wait(COUNT + 1, "message", seconds=60)
        assert [event["data"] for event in each.events] == ["first", *range(COUNT)]
        offsets = [event["offset"] for event in each.events]
        assert offsets == list(range(offsets[0], offsets[0] + COUNT + 1))
        assert each.of("reset") == []
    assert len(readers[0].of("open")) >= 2


def test_a_gateway_that_stops_tells_its_readers_before(
    own_gateway: Gateway, channel: str, reader: Start
) -> None:
    started = reader("eventsource.mjs", f"{own_gateway.url}?channel={channel}")
    started.wait(1, "resumed")
    own_gateway.stop()
    assert started.wait(1, "drain")


def test_an_own_topic_made_anew_is_a_reset(
    own_gateway: Gateway, channel: str, reader: Start
) -> None:
    gateway = own_gateway
    gateway.post(channel, "old")
    started = reader("client.mjs", gateway.url, channel, "earliest")
    started.wait(1, "message")
    gateway.kill()
    with ms.connect(gateway.node.address) as stem:
        stem.delete_topic("live.comments")
    gateway.start()
    gateway.post(channel, "new")
    (reset,) = started.wait(1, "reset", seconds=60)
    assert '"reason":"epoch"' in reset["data"].replace(" ", "")
