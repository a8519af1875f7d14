"""A worker over server-sent events: joining, resuming, resets, states, heartbeats, slow viewers."""

from __future__ import annotations

import asyncio
import itertools
import random
import socket

import pytest
from worker_kit import Log, asynchronous, places, site, until, viewer

from mainstem.live import bus
from mainstem.live.fanout import LET_GO_AT_ONCE


@asynchronous
async def test_a_stream_begins_with_retry_and_resumed_and_then_is_live():
    async with site() as here, viewer(here, "channel=comments:42") as stream:
        assert stream.status == 200
        assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert stream.headers["cache-control"] == "no-store"
        assert stream.headers["x-accel-buffering"] == "no"
        assert "content-length" not in stream.headers
        assert "transfer-encoding" not in stream.headers
        assert list(await stream.block()) == ["retry"]
        assert 2_000 <= stream.retry <= 10_000
        first = await stream.event()
        assert first.name == "resumed"
        assert first.data == {"channels": ["comments:42"], "from": "latest"}
        here.dispatcher.append("comments:42", {"text": "hello"})
        event = await stream.event()
        assert event.name == "message"
        assert event.data["data"] == {"text": "hello"}
        assert list(places(event.id).values()) == [1]


@asynchronous
async def test_every_id_fits_a_header_that_needs_no_preflight():
    channels = "&".join(f"channel=comments:{number}" for number in range(16))
    async with site(Log(partitions=16)) as here, viewer(here, channels) as stream:
        first = await stream.event()
        assert 0 < len(first.id) <= 128
        assert first.id.replace("-", "").replace("_", "").isalnum()


@asynchronous
async def test_a_set_too_wide_for_an_id_is_refused_with_the_reason():
    channels = "&".join(f"channel=comments:{number}" for number in range(60))
    async with site(Log(partitions=60)) as here, viewer(here, channels) as stream:
        assert stream.status == 400
        assert b"use /live/ws" in await stream.reader.readexactly(
            int(stream.headers["content-length"])
        )


@asynchronous
async def test_viewers_of_the_same_channels_share_one_ring():
    async with (
        site() as here,
        viewer(here, "channel=comments:1&channel=likes:1") as one,
        viewer(here, "channel=likes:1&channel=comments:1&channel=likes:1") as two,
    ):
        await one.event()
        await two.event()
        assert len(here.gateway.fanout.sets) == 1
        assert len(here.dispatcher.heard(bus.Watch)) == 2


@asynchronous
async def test_resuming_from_memory_has_no_gap_and_no_double():
    async with site() as here:
        async with viewer(here, "channel=comments:42") as stream:
            await stream.event()
            for number in range(10):
                here.dispatcher.append("comments:42", number)
            seen = await stream.events(4)
        for number in range(10, 20):
            here.dispatcher.append("comments:42", number)
        async with viewer(here, "channel=comments:42", last_id=seen[-1].id) as stream:
            first = await stream.event()
            assert (first.name, first.data["from"]) == ("resumed", "cursor")
            assert [event.offset for event in await stream.events(16)] == list(range(4, 20))
        assert here.dispatcher.replays == []  # the ring held it all


@asynchronous
async def test_resuming_from_the_log_has_no_gap_and_no_double():
    async with site() as here:
        for number in range(50):
            here.dispatcher.append("comments:42", number)
        async with viewer(here, "channel=comments:42&from=earliest") as stream:
            await stream.event()
            cursor = (await stream.events(20))[-1].id
        async with site(here.dispatcher.log) as other:  # another worker, with empty rings
            async with viewer(other, "channel=comments:42", last_id=cursor) as stream:
                assert (await stream.event()).name == "resumed"
                other.dispatcher.append("comments:42", 50)
                offsets = [event.offset for event in await stream.events(31)]
            assert offsets == list(range(20, 51))
            assert len(other.dispatcher.replays) >= 1


@asynchronous
async def test_events_that_come_during_a_replay_come_once_and_after_it():
    log = Log()
    async with site(log) as here:
        for number in range(10):
            here.dispatcher.append("comments:42", number)
        here.dispatcher.hold_replays = asyncio.Event()
        async with viewer(here, "channel=comments:42", headers="") as warm:
            await warm.event()
            task = asyncio.create_task(_collect(here, "channel=comments:42&from=earliest", 20))
            await until(lambda: here.dispatcher.replays)
            for number in range(10, 20):
                here.dispatcher.append("comments:42", number)
            await warm.events(10)
            here.dispatcher.hold_replays.set()
            assert await task == list(range(20))


async def _collect(here, query, count):
    async with viewer(here, query) as stream:
        assert (await stream.event()).name == "resumed"
        return [event.offset for event in await stream.events(count)]


@asynchronous
async def test_a_replay_in_many_requests_goes_on_where_each_ended(monkeypatch):
    monkeypatch.setattr("mainstem.live.desk.BUDGET_BYTES", 400)
    async with site() as here:
        for number in range(60):
            here.dispatcher.append("comments:42", number)
        assert await _collect(here, "channel=comments:42&from=earliest", 60) == list(range(60))
        assert len(here.dispatcher.replays) > 5


@asynchronous
async def test_last_n_gives_the_last_n():
    async with site() as here:
        for number in range(30):
            here.dispatcher.append("comments:42", number)
        assert await _collect(here, "channel=comments:42&from=last:5", 5) == list(range(25, 30))


@asynchronous
async def test_the_id_of_resumed_is_where_the_replay_begins():
    async with site() as here:
        for number in range(30):
            here.dispatcher.append("comments:42", number)
        async with viewer(here, "channel=comments:42&from=last:5") as stream:
            first = await stream.event()
            assert list(places(first.id).values()) == [25]


@asynchronous
async def test_the_header_wins_over_the_query_and_both_spellings_count():
    async with site() as here:
        for number in range(10):
            here.dispatcher.append("comments:42", number)
        async with viewer(here, "channel=comments:42&from=earliest") as stream:
            ids = [event.id for event in (await stream.events(11))[1:]]
        for query, header, begins in (
            (f"&last_event_id={ids[2]}", None, 3),
            (f"&lastEventId={ids[4]}", None, 5),
            (f"&from={ids[6]}", None, 7),
            (f"&lastEventId={ids[4]}&from=latest", ids[7], 8),
        ):
            async with viewer(here, f"channel=comments:42{query}", last_id=header) as stream:
                await stream.event()
                assert (await stream.event()).offset == begins


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda log, cursor: (log, "AAAA" + cursor[4:]), "invalid"),
        (lambda log, cursor: (log, "no cursor at all"), "invalid"),
        (lambda log, cursor: (_recreated(log), cursor), "epoch"),
        (lambda log, cursor: (_expired(log, 9), cursor), "expired"),
        (lambda log, cursor: (_truncated(log, 2), cursor), "truncated"),
    ],
)
@asynchronous
async def test_what_cannot_be_resumed_is_reset_with_the_reason(damage, reason, monkeypatch):
    monkeypatch.setattr("mainstem.live.joining.AHEAD_SECONDS", 0.1)
    async with site() as here:
        for number in range(12):
            here.dispatcher.append("comments:42", number)
        async with viewer(here, "channel=comments:42&from=earliest") as stream:
            cursor = (await stream.events(6))[-1].id
        log, asked = damage(here.dispatcher.log, cursor)
    async with site(log) as later, viewer(later, "channel=comments:42", last_id=asked) as stream:
        first = await stream.event()
        assert first.name == "reset"
        assert first.data["reason"] == reason
        assert first.data["requested"] == asked
        assert first.data["channels"] == ["comments:42"]
        assert first.data["latest"]
        later.dispatcher.append("comments:42", "after")
        assert (await stream.event()).data["data"] == "after"
        assert later.gateway.fanout.sets[("comments:42",), "sse"].resets == 1


def _recreated(log: Log) -> Log:
    return Log(epoch=log.epoch + 1)


def _expired(log: Log, first: int) -> Log:
    return Log(streams=log.streams, expired=dict.fromkeys(log.streams, first))


def _truncated(log: Log, end: int) -> Log:
    return Log(streams={stream: records[:end] for stream, records in log.streams.items()})


@asynchronous
async def test_a_cursor_ahead_of_a_slower_worker_waits_for_it():
    async with site() as quick:
        for number in range(5):
            quick.dispatcher.append("comments:42", number)
        async with viewer(quick, "channel=comments:42&from=earliest") as stream:
            cursor = (await stream.events(6))[-1].id
    log = _truncated(quick.dispatcher.log, 3)
    async with site(log) as slow, viewer(slow, "channel=comments:42") as warm:
        await warm.event()
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(_resumed_at(slow, cursor))
            await until(lambda: slow.gateway.fanout.sets[("comments:42",), "sse"].joining)
            for number in range(3, 7):
                slow.dispatcher.append("comments:42", number)
        assert reading.result() == [5, 6]


async def _resumed_at(here, cursor):
    async with viewer(here, "channel=comments:42", last_id=cursor) as stream:
        assert (await stream.event()).name == "resumed"
        return [event.offset for event in await stream.events(2)]


@asynchronous
async def test_states_come_right_after_resumed_and_then_live():
    async with site() as here:
        async with viewer(here, "channel=likes:42&channel=comments:42&channel=score:42") as stream:
            names = [await stream.event() for _ in range(3)]
            assert names[0].name == "resumed"
            assert [(e.channel, e.data["snapshot"]) for e in names[1:]] == [
                ("likes:42", True),
                ("score:42", True),
            ]
            here.dispatcher.state("likes:42", "counter", total=7, delta=7)
            event = await stream.event()
            assert (event.data["total"], "snapshot" in event.data) == (7, False)
        async with viewer(here, "channel=likes:42") as stream:
            await stream.event()
            event = await stream.event()
            assert (event.data["total"], event.data["snapshot"]) == (7, True)


@asynchronous
async def test_many_states_within_a_window_are_one_frame_with_the_newest():
    async with site(window_ms=400.0) as here, viewer(here, "channel=likes:42") as stream:
        await stream.events(2)
        for total in range(1, 200):
            here.dispatcher.state("likes:42", "counter", total=total, delta=1)
        totals = [(await stream.event()).data["total"]]
        while totals[-1] != 199:
            totals.append((await stream.event()).data["total"])
        assert len(totals) <= 4
        assert totals == sorted(totals)


@asynchronous
async def test_presence_changes_are_never_conflated():
    async with site(window_ms=200.0) as here, viewer(here, "channel=presence:42") as stream:
        await stream.events(2)
        for number in range(20):
            here.dispatcher.state("presence:42", "presence", joined=[str(number)])
        joined = [(await stream.event()).data["joined"][0] for _ in range(20)]
        assert joined == [str(number) for number in range(20)]


@asynchronous
async def test_a_heartbeat_carries_the_cursor_over_what_others_wrote():
    async with site(heartbeat_s=0.5) as here, viewer(here, "channel=comments:42") as stream:
        await stream.event()
        here.dispatcher.skip("comments:42", 100)
        while list(places(stream.last_id).values()) != [100]:
            assert list(await stream.block()) == ["id"]
        here.dispatcher.append("comments:42", "after")
        assert (await stream.event()).offset == 100


@asynchronous
async def test_an_unknown_namespace_is_refused_before_a_stream_begins():
    async with site() as here, viewer(here, "channel=ghost:1") as stream:
        assert stream.status == 400
        assert stream.headers["content-type"] == "application/json"


@pytest.mark.parametrize("query", ["", "channel=", "channel=comments", "channel=Comments:1"])
@asynchronous
async def test_a_request_without_a_proper_channel_is_told_so(query):
    async with site() as here, viewer(here, query) as stream:
        assert stream.status in {400, 401}


@asynchronous
async def test_a_full_worker_sends_an_eventsource_away_for_half_a_minute():
    async with site(max_connections=1) as here, viewer(here, "channel=comments:42") as first:
        await first.event()
        async with viewer(here, "channel=comments:42") as second:
            assert second.status == 200
            rest = await second.ended()
            assert b"\nretry: 30000\n\n" in rest
            assert rest.startswith(b": ")
        here.dispatcher.append("comments:42", 1)
        assert (await first.event()).offset == 0


@asynchronous
async def test_a_viewer_that_leaves_is_counted_out_and_its_channels_let_go():
    async with site(linger_s=0.0) as here:
        async with viewer(here, "channel=comments:42") as stream:
            await stream.event()
            assert here.gateway.by_namespace["comments"] == 1
        await until(lambda: not here.gateway.viewers)
        assert here.gateway.by_namespace["comments"] == 0
        here.gateway.fanout.tidy(1e9, 0.0)
        assert here.gateway.fanout.sets == {}
        await until(lambda: here.dispatcher.heard(bus.Unwatch))
        assert here.dispatcher.watched == set()


@asynchronous
async def test_who_watches_an_id_is_reported_to_the_dispatcher():
    async with site() as here, viewer(here, "channel=comments:42&channel=likes:42") as stream:
        await stream.event()
        await until(lambda: here.dispatcher.heard(bus.ViewerReport))


@asynchronous
async def test_a_drain_says_so_and_ends_every_stream_in_time():
    async with site() as here:
        async with (
            viewer(here, "channel=comments:42") as one,
            viewer(here, "channel=likes:1") as two,
        ):
            await one.event()
            await two.events(2)
            here.dispatcher.pipe.send(bus.Drain(1.0))
            for stream in (one, two):
                assert (await stream.event()).name == "drain"
                assert await stream.ended() == b""
        await until(here.worker.finished.is_set)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", here.worker.port)


@asynchronous
async def test_a_channel_opened_anew_ends_its_streams_and_resets_whoever_returns():
    async with site() as here:
        for number in range(3):
            here.dispatcher.append("comments:42", number)
        async with viewer(here, "channel=comments:42&from=earliest") as stream:
            last = (await stream.events(4))[-1].id
            here.dispatcher.log.epoch += 1
            here.dispatcher.open("comments:42", "epoch")
            await stream.ended()
        async with viewer(here, "channel=comments:42", last_id=last) as stream:
            first = await stream.event()
            assert (first.name, first.data["reason"]) == ("reset", "epoch")
            here.dispatcher.append("comments:42", "new life")
            assert (await stream.event()).offset == 0


@asynchronous
async def test_a_slow_viewer_of_events_is_dropped_and_misses_nothing():
    async with site(ring_bytes=4096, linger_s=1000.0) as here:
        slow = socket.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", here.worker.port))
        slow.send(b"GET /live?channel=comments:42 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await until(lambda: here.gateway.viewers)
        async with viewer(here, "channel=comments:42") as quick:
            await quick.event()
            sent = 0
            while not here.gateway.evictions["comments"]:
                for _ in range(3):
                    here.dispatcher.append("comments:42", "x" * 1000)
                    sent += 1
                assert len(await quick.events(3)) == 3  # nobody waits for the slow one
                if sent > 150:
                    await asyncio.to_thread(_drip, slow, 200_000)
            await until(lambda: len(here.gateway.viewers) == 1)
        rest = await asyncio.to_thread(_rest, slow)
        blocks = rest.decode().split("\n\n")[:-1]
        last = [block for block in blocks if block.startswith("id: ")][-1].split("\n")[0][4:]
        had = next(iter(places(last).values()))
        assert had < sent
        async with viewer(here, "channel=comments:42", last_id=last) as back:
            assert (await back.event()).name == "resumed"
            offsets = [event.offset for event in await back.events(sent - had)]
            assert offsets == list(range(had, sent))


KEPT: dict[socket.socket, bytes] = {}


def _drip(slow: socket.socket, most: int) -> None:
    slow.settimeout(0.05)
    try:
        while most > 0:
            data = slow.recv(16_384)
            KEPT[slow] = KEPT.get(slow, b"") + data
            most -= len(data)
            if not data:
                return
    except TimeoutError:
        pass


def _rest(slow: socket.socket) -> bytes:
    slow.settimeout(10)
    data = KEPT.pop(slow, b"")
    while True:
        got = slow.recv(1 << 16)
        if not got:
            slow.close()
            return data
        data += got


@asynchronous
async def test_random_viewers_leave_and_return_and_none_sees_a_gap_or_a_double():  # noqa: C901
    seed = random.randrange(1 << 30)
    rng = random.Random(seed)
    channels = ["comments:1", "comments:2", "chat:1", "chat:2"]
    log = Log(partitions=2)
    async with site(log, ring_bytes=4096, linger_s=1000.0) as here:
        done = asyncio.Event()

        async def write():
            for number in range(600):
                here.dispatcher.append(rng.choice(channels), number)
                if number % 7 == 0:
                    await asyncio.sleep(0.002)
            for name in channels:  # everybody waits for one of these
                here.dispatcher.append(name, "last")
            done.set()

        async def watch(wanted):
            query = "&".join(f"channel={name}" for name in wanted)
            seen, last, hops = [], None, 0
            start = {stream: len(records) for stream, records in log.streams.items()}
            while True:
                async with viewer(here, query, last_id=last) as stream:
                    first = await stream.event()
                    assert first.name == "resumed", first
                    if last is None:
                        start = places(first.id)
                    last = first.id
                    leave = rng.randrange(1, 40)
                    for _ in range(leave):
                        if done.is_set() and _complete(log, wanted, last):
                            return start, seen
                        async with asyncio.timeout(30):
                            event = await stream.event()
                        seen.append((event.channel, event.offset))
                        last = event.id
                    hops += 1

        async with asyncio.TaskGroup() as group:
            watching = []
            for _ in range(12):
                wanted = rng.sample(channels, rng.randrange(1, 5))
                watching.append((wanted, group.create_task(watch(wanted))))
            await asyncio.sleep(0.05)
            group.create_task(write())
        for wanted, task in watching:
            start, seen = task.result()
            assert sorted(seen) == sorted(_expected(log, wanted, start)), f"seed {seed}"
            for name in wanted:
                offsets = [offset for channel, offset in seen if channel == name]
                assert offsets == sorted(offsets), f"seed {seed}"


def _expected(log, wanted, start):
    from mainstem.live.cursor import place_of

    for stream, records in log.streams.items():
        begin = start.get(place_of(stream), len(records))
        for offset, record in enumerate(records):
            if offset >= begin and record is not None and record[0] in wanted:
                yield record[0], offset


def _complete(log, wanted, cursor):
    return not list(_expected(log, wanted, places(cursor)))


@asynchronous
async def test_a_replay_that_says_more_than_was_asked_costs_no_double():
    async with site() as here:
        for number in range(10):
            here.dispatcher.append("comments:42", number)
        async with viewer(here, "channel=comments:42&from=earliest") as stream:
            cursor = (await stream.events(6))[-1].id
        async with site(here.dispatcher.log) as other:
            other.dispatcher.generous = 3
            async with viewer(other, "channel=comments:42", last_id=cursor) as stream:
                await stream.event()
                assert [event.offset for event in await stream.events(5)] == [5, 6, 7, 8, 9]


@asynchronous
async def test_a_burst_of_many_rings_within_a_window_drops_nobody_who_reads():
    async with site(ring_bytes=4096, window_ms=1000.0) as here:
        async with viewer(here, "channel=comments:42") as stream:
            await stream.event()
            for number in range(300):
                here.dispatcher.append("comments:42", f"{number:0200}")
            assert [each.offset for each in await stream.events(300)] == list(range(300))
        assert here.gateway.evictions["comments"] == 0


@asynchronous
async def test_a_crowd_that_wants_the_same_past_asks_for_it_once():
    log = Log()
    async with site(log) as here:
        for number in range(50):
            here.dispatcher.append("comments:42", number)
        async with viewer(here, "channel=comments:42&from=earliest") as stream:
            cursor = (await stream.events(6))[-1].id
    async with site(log) as here:
        here.dispatcher.hold_replays = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            crowd = [group.create_task(_resumed(here, cursor, 45)) for _ in range(100)]
            await until(lambda: here.gateway.by_namespace["comments"] == 100)
            here.dispatcher.hold_replays.set()
        assert all(task.result() == list(range(5, 50)) for task in crowd)
        assert len(here.dispatcher.replays) == 1


async def _resumed(here, cursor, count):
    async with viewer(here, "channel=comments:42", last_id=cursor) as stream:
        assert (await stream.event()).name == "resumed"
        return [event.offset for event in await stream.events(count)]


@asynchronous
async def test_a_slow_viewer_of_a_counter_is_kept_and_given_the_newest():
    async with site(ring_bytes=4096, window_ms=2.0) as here:
        slow = socket.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", here.worker.port))
        slow.send(b"GET /live?channel=likes:42 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await until(lambda: here.gateway.viewers)
        total = 0
        while not here.gateway.evictions["likes"]:
            for _ in range(20):
                total += 1
                here.dispatcher.state("likes:42", "counter", total=total, padding="x" * 900)
                await asyncio.sleep(0.0005)
            if here.gateway.sender.blocks and total % 200 == 0:
                await asyncio.to_thread(_drip, slow, 200_000)
        for _ in range(50):
            await asyncio.to_thread(_drip, slow, 200_000)
            if b'"total":%d,' % total in KEPT[slow]:
                break
        assert b'"total":%d,' % total in KEPT.pop(slow)
        assert len(here.gateway.viewers) == 1
        slow.close()


@asynchronous
async def test_channels_are_let_go_a_few_per_turn_and_all_of_them():
    async with site(linger_s=1e9) as here:
        fanout = here.gateway.fanout
        await fanout.open(tuple(f"comments:wide-{n:03}" for n in range(1000)), "sse")
        for first in range(0, 2048, 64):
            await fanout.open(tuple(f"comments:{first + n:04}" for n in range(64)), "sse")
        async with viewer(here, "channel=comments:0000") as stream:
            await stream.event()
            told = len(here.dispatcher.heard(bus.Unwatch))
            sizes = [(len(fanout.sets), len(fanout.channels))]
            for timer in here.worker._timers.values():
                timer.cancel()  # the worker's own round, each second, would keep what is to go
            fanout.tidy(1e9, 0.0)
            while len(fanout.channels) > 1:
                sizes.append((len(fanout.sets), len(fanout.channels)))
                await asyncio.sleep(0)
            turns = list(itertools.pairwise(sizes))
            assert max(sets - later for (sets, _), (later, _) in turns) == LET_GO_AT_ONCE // 64
            assert max(channels - later for (_, channels), (_, later) in turns) <= LET_GO_AT_ONCE
            await until(lambda: len(here.dispatcher.heard(bus.Unwatch)) - told == 3047)
            assert here.dispatcher.watched == {"comments:0000"}
            here.dispatcher.append("comments:0000", "still here")
            assert (await stream.event()).data["data"] == "still here"


@asynchronous
async def test_a_channel_that_a_new_set_waits_for_is_not_let_go():
    async with site(linger_s=0.0) as here:
        fanout = here.gateway.fanout
        fanout.drop(await fanout.open(("comments:1",), "sse"))
        here.dispatcher.mute.add("comments:2")
        opening = asyncio.get_running_loop().create_task(
            fanout.open(("comments:1", "comments:2"), "sse")
        )
        await until(lambda: bus.Watch("comments:2") in here.dispatcher.said)
        fanout.tidy(1e9, 0.0)
        assert "comments:1" in fanout.channels
        here.dispatcher.open("comments:2")
        assert (await opening).names == ("comments:1", "comments:2")
        assert here.dispatcher.heard(bus.Unwatch) == []


@asynchronous
async def test_a_flush_that_fails_is_not_the_last_one(caplog):
    async with site() as here, viewer(here, "channel=comments:42") as stream:
        await stream.event()
        flusher = here.gateway.flusher
        settle, failures = flusher._settle, []

        def fail():
            if not failures:
                failures.append(1)
                raise OSError("on purpose")
            return settle()

        flusher._settle = fail
        for number in range(20):
            here.dispatcher.append("comments:42", number)
            assert (await stream.event()).offset == number
        assert failures
        assert "a flush failed" in caplog.text


@asynchronous
async def test_a_ring_of_any_size_asked_for_is_made():
    async with site(ring_bytes=300_000) as here, viewer(here, "channel=comments:42") as stream:
        await stream.event()
        for _ in range(10):
            for _ in range(60):
                here.dispatcher.append("comments:42", "x" * 1000)
            await stream.events(60)
        [each] = here.gateway.fanout.sets.values()
        assert each.ring.capacity == 262_144
