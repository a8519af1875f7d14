"""Group consumers, end to end. ``interop/client`` runs the same tests against Apache Kafka."""

from __future__ import annotations

import asyncio
import datetime
import itertools
import re
import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest

import mainstem as ms

MakeTopic = Callable[..., ms.Topic]
_numbers = itertools.count()
PATIENCE = 60.0


@pytest.fixture
def protocol() -> str:
    """The group protocol; Apache Kafka runs these tests with both."""
    return "classic"


@pytest.fixture
def group() -> str:
    return f"g{next(_numbers)}-{time.monotonic_ns()}"


@pytest.fixture
def join(stem: ms.Stem, group: str, protocol: Any) -> Callable[..., ms.Consumer]:
    """A member of the test's group, with quick heartbeats."""

    def make(topic: ms.Topic, **options: Any) -> ms.Consumer:
        given: dict[str, Any] = {"protocol": protocol, "auto_commit": None}
        if options.get("protocol", protocol) == "classic":
            given["heartbeat_interval"] = 0.1
        return stem.consumer(group, topic.name, **(given | options))

    return make


def fill(topic: ms.Topic, count: int, first: int = 0) -> None:
    """Values "0", "1", … over all partitions in turn."""
    partitions = len(topic.offsets()[0])
    rows = [{"value": f"{n}", "_partition": n % partitions} for n in range(first, first + count)]
    topic.append(rows)


def values(batch: Any) -> list[int]:
    return [int(value) for value in batch["value"].to_pylist()]


def until(condition: Callable[[], object], what: str) -> None:
    """``condition`` waits by itself, in a poll."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"gave up waiting for {what}"


def take(consumer: ms.Consumer, count: int) -> list[int]:
    """At least so many values."""
    found: list[int] = []

    def enough() -> bool:
        batch = consumer.poll(0.2)
        found.extend([] if batch is None else values(batch))
        return len(found) >= count

    until(enough, f"{count} values")
    return found


def share(members: Iterable[ms.Consumer], partitions: int, seen: list[int] | None = None) -> None:
    """Poll all until each partition is in one hand, evenly."""
    members = list(members)

    def even() -> bool:
        for member in members:
            batch = member.poll(0.05)
            if batch is not None and seen is not None:
                seen.extend(values(batch))
        sizes = sorted(len(member.assignment) for member in members)
        return sum(sizes) == partitions and sizes[-1] - sizes[0] <= 1

    until(even, f"{partitions} partitions to be shared by {len(members)}")


# --- commits ----------------------------------------------------------------------------------


def test_a_commit_covers_exactly_what_was_handed_out(
    stem: ms.Stem, make_topic: MakeTopic, join: Any, group: str
) -> None:
    topic = make_topic()
    fill(topic, 100)
    with join(topic, batch_rows=30) as consumer:
        assert values(consumer.poll()) == list(range(30))
        consumer.commit()
        assert stem.committed(group) == {(topic.name, 0): 30}
        assert values(consumer.poll()) == list(range(30, 60))
        assert consumer.committed() == {(topic.name, 0): 30}
    with join(topic) as consumer:
        assert take(consumer, 70) == list(range(30, 100))


def test_iteration_is_polling(make_topic: MakeTopic, join: Any) -> None:
    topic = make_topic()
    fill(topic, 90)
    with join(topic, batch_rows=30) as consumer:
        found = [values(batch)[0] for batch in itertools.islice(consumer, 3)]
    assert found == [0, 30, 60]


def test_given_offsets_are_committed_as_they_are(
    stem: ms.Stem, make_topic: MakeTopic, join: Any, group: str
) -> None:
    topic = make_topic(2)
    fill(topic, 10)
    with join(topic) as consumer:
        take(consumer, 10)
        consumer.commit({(topic.name, 1): 3})
        assert stem.committed(group) == {(topic.name, 1): 3}
        with pytest.raises(ms.Invalid, match="offset -1"):
            consumer.commit({(topic.name, 1): -1})
        with pytest.raises(ms.Conflict, match=f"{topic.name}-7 went to other members"):
            consumer.commit({(topic.name, 7): 3})


def test_commits_behind_the_scenes_keep_their_order(
    stem: ms.Stem, make_topic: MakeTopic, join: Any, group: str
) -> None:
    topic = make_topic()
    fill(topic, 10)
    with join(topic) as consumer:
        take(consumer, 10)
        for offset in range(1, 10):
            consumer.commit({(topic.name, 0): offset}, wait=False)
        consumer.commit({(topic.name, 0): 10})
        assert stem.committed(group) == {(topic.name, 0): 10}
        consumer.commit({(topic.name, 0): 4}, wait=False)
    assert stem.committed(group) == {(topic.name, 0): 4}, "close waits for it"


def test_an_error_behind_the_scenes_is_raised_at_the_next_call(
    make_topic: MakeTopic, join: Any
) -> None:
    topic = make_topic()
    with join(topic) as consumer:
        share([consumer], 1)
        consumer.commit({(topic.name, 9): 1}, wait=False)
        with pytest.raises(ms.Conflict, match="went to other members"):
            until(lambda: consumer.poll(0.01), "the error")
        consumer.poll(0)


def test_the_batch_that_failed_is_read_again(
    stem: ms.Stem, make_topic: MakeTopic, join: Any, group: str
) -> None:
    topic = make_topic()
    fill(topic, 60)
    with (  # noqa: PT012 - the block is what is tested
        pytest.raises(ZeroDivisionError),
        join(topic, batch_rows=20, auto_commit=60.0) as consumer,
    ):
        for batch in consumer:
            if 20 in values(batch):
                raise ZeroDivisionError
    assert stem.committed(group) == {(topic.name, 0): 20}


def test_a_clean_end_commits_all_that_was_handed_out(
    stem: ms.Stem, make_topic: MakeTopic, join: Any, group: str
) -> None:
    topic = make_topic()
    fill(topic, 60)
    with join(topic, batch_rows=20, auto_commit=60.0) as consumer:
        for batch in consumer:
            if 20 in values(batch):
                break
    assert stem.committed(group) == {(topic.name, 0): 40}


def test_automatic_commits_wait_for_processing(
    stem: ms.Stem, make_topic: MakeTopic, join: Any, group: str
) -> None:
    topic = make_topic()
    fill(topic, 60)
    with join(topic, batch_rows=20, auto_commit=0.02) as consumer:
        consumer.poll()
        consumer.poll()
        first = {(topic.name, 0): 20}
        until(lambda: stem.committed(group) == first, "an automatic commit")
        for _ in range(20):  # many intervals long the second batch is in work
            assert stem.committed(group) == first
        consumer.poll()
        until(lambda: stem.committed(group) == {(topic.name, 0): 40}, "the second batch's")


def test_without_automatic_commits_nothing_is_committed(
    stem: ms.Stem, make_topic: MakeTopic, join: Any, group: str
) -> None:
    topic = make_topic()
    fill(topic, 10)
    with join(topic) as consumer:
        take(consumer, 10)
    assert stem.committed(group) == {}


# --- rebalances -------------------------------------------------------------------------------


@pytest.mark.parametrize("assignor", ["range", "cooperative-sticky"])
def test_members_share_and_take_over_without_reading_twice(
    make_topic: MakeTopic, join: Any, protocol: str, assignor: str
) -> None:
    options: dict[str, Any] = {"auto_commit": 60.0}
    if protocol == "classic":
        options["assignor"] = assignor
    topic = make_topic(4)
    fill(topic, 100)
    seen: list[int] = []
    first = join(topic, **options)
    share([first], 4, seen)
    second = join(topic, **options)
    share([first, second], 4, seen)
    fill(topic, 100, first=100)
    until(
        lambda: (
            any(
                seen.extend(values(batch)) is None
                for member in (first, second)
                if (batch := member.poll(0.05)) is not None
            )
            or len(seen) >= 200
        ),
        "all",
    )
    second.close()
    share([first], 4, seen)
    fill(topic, 100, first=200)
    while len(seen) < 300:
        seen += take(first, 1)
    first.close()
    assert sorted(seen) == list(range(300)), (
        "each once: what was read was committed at the handover"
    )


def test_callbacks_tell_what_comes_and_goes(make_topic: MakeTopic, join: Any) -> None:
    topic = make_topic(2)
    events: list[tuple[str, list[tuple[str, int]]]] = []
    callbacks = {
        f"on_{kind}": lambda parts, kind=kind: events.append((kind, parts))
        for kind in ("assigned", "revoked", "lost")
    }
    both = [(topic.name, 0), (topic.name, 1)]
    with join(topic, **callbacks) as first:
        share([first], 2)
        assert events == [("assigned", both)]
        with join(topic) as second:
            share([first, second], 2)
            kinds = [kind for kind, _ in events]
            assert "revoked" in kinds
            assert "lost" not in kinds
        mine = set(both[:0])
        for kind, parts in events:
            mine = mine | set(parts) if kind == "assigned" else mine - set(parts)
        assert len(mine) == 1, "the calls add up to what is assigned"


def test_an_eager_member_gives_up_all_before_it_joins_again(
    make_topic: MakeTopic, join: Any
) -> None:
    topic = make_topic(2)
    events: list[tuple[str, int]] = []
    callbacks = {
        f"on_{kind}": lambda parts, kind=kind: events.append((kind, len(parts)))
        for kind in ("assigned", "revoked")
    }
    eager: dict[str, Any] = {"protocol": "classic", "assignor": "range"}
    with join(topic, **eager, **callbacks) as first:
        share([first], 2)
        with join(topic, **eager) as second:
            share([first, second], 2)
    assert events[:3] == [("assigned", 2), ("revoked", 2), ("assigned", 1)]


def test_offsets_can_be_committed_while_partitions_are_given_up(
    stem: ms.Stem, make_topic: MakeTopic, join: Any, group: str
) -> None:
    topic = make_topic(2)
    fill(topic, 20)
    with join(topic, on_revoked=lambda _: first.commit()) as first:
        assert len(take(first, 20)) == 20
        with join(topic) as second:
            share([first, second], 2)
            assert all(offset == 10 for offset in stem.committed(group).values())
            assert second.poll(0.2) is None, "nothing is read twice"


def test_an_error_in_a_callback_reaches_the_user_and_the_group_goes_on(
    make_topic: MakeTopic, join: Any
) -> None:
    topic = make_topic()
    fill(topic, 5)

    def fail(_: Any) -> None:
        raise ZeroDivisionError

    with join(topic, on_assigned=fail) as consumer:
        with pytest.raises(ZeroDivisionError):
            take(consumer, 1)
        assert take(consumer, 5) == list(range(5))


def test_new_partitions_are_found(
    stem: ms.Stem, make_topic: MakeTopic, group: str, protocol: Any
) -> None:
    topic = make_topic()
    options: dict[str, Any] = {"heartbeat_interval": 0.05} if protocol == "classic" else {}
    with (
        ms.connect(stem.address, metadata_max_age=0.05) as impatient,
        impatient.consumer(group, topic.name, protocol=protocol, **options) as consumer,
    ):
        share([consumer], 1)
        stem.alter_topic(topic.name, partitions=3)
        share([consumer], 3)


# --- who is too slow, who is fenced -----------------------------------------------------------


def test_who_works_too_long_leaves_and_is_told(make_topic: MakeTopic, join: Any) -> None:
    topic = make_topic()
    fill(topic, 5)
    lost: list[Any] = []
    with join(topic, max_poll_interval=1.0, on_lost=lost.extend) as slow:
        assert take(slow, 5) == list(range(5))
        with join(topic) as other:
            assert take(other, 5) == list(range(5)), "the group goes on without the slow one"
            with pytest.raises(ms.Conflict, match="max_poll_interval=1 s"):
                slow.commit()
            with pytest.raises(ms.Conflict, match="max_poll_interval=1 s"):
                slow.poll(10)
            assert lost == [(topic.name, 0)]
            other.commit()
        share([slow], 1)
        assert slow.poll(0.1) is None, "it goes on where the other was"


@pytest.mark.slow
def test_heartbeats_go_on_while_the_user_works(make_topic: MakeTopic, join: Any) -> None:
    topic = make_topic()
    fill(topic, 5)
    lost: list[Any] = []
    with join(topic, on_revoked=lost.extend, on_lost=lost.extend, session_timeout=6.0) as consumer:
        take(consumer, 5)
        before = consumer.member_id
        time.sleep(7.0)  # the user at work, longer than a session lasts without heartbeats
        consumer.commit()
        assert consumer.member_id == before
    assert lost == []


def test_a_second_holder_of_an_instance_id_is_told_apart(make_topic: MakeTopic, join: Any) -> None:
    topic = make_topic()
    with join(topic, instance_id="one", protocol="classic", heartbeat_interval=0.1) as first:
        share([first], 1)
        with join(topic, instance_id="one", protocol="classic", heartbeat_interval=0.1) as second:
            share([second], 1)
            with pytest.raises(ms.Conflict, match="taken over"):
                until(lambda: first.poll(0.2), "the error")
            with pytest.raises(ms.Conflict, match="taken over"):
                first.poll(0.2)
            with pytest.raises(ms.Conflict):
                first.commit({(topic.name, 0): 0})
            assert second.poll(0.1) is None


def test_a_static_member_returns_to_its_partitions_without_a_rebalance(
    make_topic: MakeTopic, join: Any
) -> None:
    topic = make_topic(2)
    disturbed: list[Any] = []
    with join(topic, instance_id="b", on_revoked=disturbed.extend) as other:
        one = join(topic, instance_id="a")
        share([one, other], 2)
        mine = one.assignment.keys()
        one.close()
        disturbed.clear()
        with join(topic, instance_id="a") as again:
            until(lambda: again.poll(0.1) or again.assignment, "its partitions")
            assert again.assignment.keys() == mine
            other.poll(0.3)
        assert disturbed == []


# --- places -----------------------------------------------------------------------------------


def test_pause_resume_seek_and_lag(make_topic: MakeTopic, join: Any) -> None:
    topic = make_topic(2)
    fill(topic, 20)
    with join(topic) as consumer:
        take(consumer, 20)
        assert consumer.lag() == {(topic.name, 0): 0, (topic.name, 1): 0}
        consumer.pause([(topic.name, 1)])
        consumer.seek(topic.name, 1, "earliest")
        assert consumer.paused == {(topic.name, 1)}
        assert consumer.lag() == {(topic.name, 0): 0, (topic.name, 1): 10}
        assert consumer.poll(0.2) is None
        consumer.resume([(topic.name, 1)])
        assert take(consumer, 10) == list(range(1, 20, 2))
        consumer.seek(topic.name, 0, 7)
        assert take(consumer, 3) == [14, 16, 18]
        with pytest.raises(ms.Invalid, match="is not assigned"):
            consumer.seek(topic.name, 5, 0)
        with pytest.raises(ms.Invalid, match="seek=11 is outside"):
            consumer.seek(topic.name, 0, 11)


def test_a_seek_backwards_can_be_committed(
    stem: ms.Stem, make_topic: MakeTopic, join: Any, group: str
) -> None:
    topic = make_topic()
    fill(topic, 10)
    with join(topic) as consumer:
        take(consumer, 10)
        consumer.commit()
        consumer.seek(topic.name, 0, 2)
        consumer.commit()
    assert stem.committed(group) == {(topic.name, 0): 2}


@pytest.mark.parametrize(
    ("start", "first"),
    [("earliest", 0), ("latest", 10), (datetime.datetime.fromtimestamp(4, datetime.UTC), 4)],
)
def test_a_group_without_a_commit_begins_where_start_says(
    make_topic: MakeTopic, join: Any, start: Any, first: int
) -> None:
    topic = make_topic(retention_ms=-1)
    topic.append([{"value": f"{n}", "_timestamp": n * 1000} for n in range(10)])
    with join(topic, start=start) as consumer:
        seen: list[int] = []
        share([consumer], 1, seen)
        topic.append([{"value": "10", "_timestamp": 10_000}])
        while 10 not in seen:
            seen += take(consumer, 1)
    assert seen == list(range(first, 11))


def test_without_a_start_a_group_needs_a_commit(make_topic: MakeTopic, join: Any) -> None:
    topic = make_topic()
    fill(topic, 5)
    nowhere = pytest.raises(ms.Invalid, match=f"no usable offset in {topic.name}-0")
    with join(topic, start=None) as consumer, nowhere:
        take(consumer, 1)
    with join(topic) as consumer:
        take(consumer, 5)
        consumer.commit({(topic.name, 0): 3})
    with join(topic, start=None) as consumer:
        assert take(consumer, 2) == [3, 4]


def test_a_commit_that_the_log_does_not_hold_any_more_begins_again(
    stem: ms.Stem, make_topic: MakeTopic, join: Any
) -> None:
    topic = make_topic()
    fill(topic, 30)
    with join(topic) as consumer:
        take(consumer, 30)
        consumer.commit({(topic.name, 0): 5})
    stem.delete_records(topic.name, {0: 20})
    with join(topic) as consumer:
        assert take(consumer, 10) == list(range(20, 30))
    nowhere = pytest.raises(ms.Invalid, match="no usable offset")
    with join(topic, start=None) as consumer, nowhere:
        take(consumer, 1)


# --- the rest ---------------------------------------------------------------------------------


def test_a_poll_in_an_empty_topic_ends_in_time(make_topic: MakeTopic, join: Any) -> None:
    with join(make_topic()) as consumer:
        share([consumer], 1)
        began = time.monotonic()
        assert consumer.poll(0.1) is None
        assert 0.09 < time.monotonic() - began < 5


def test_a_pattern_takes_what_matches_as_a_whole_and_what_comes_later(
    stem: ms.Stem, make_topic: MakeTopic, group: str, protocol: str
) -> None:
    one, two, other = make_topic(), make_topic(), make_topic()
    fill(one, 5)
    fill(other, 5)
    pattern = re.compile(f"{two.name}|{one.name}|{other.name[:1]}|{group}-LATER.*", re.IGNORECASE)
    with ms.connect(stem.address, metadata_max_age=0.2) as mine:
        options: Any = {"protocol": protocol, "heartbeat_interval": 0.1}
        with mine.consumer(group, pattern, **options) as consumer:
            assert take(consumer, 5) == list(range(5))
            until(lambda: consumer.poll(0.1) is None and len(consumer.assignment) == 2, "both")
            assert set(consumer.assignment) == {(one.name, 0), (two.name, 0)}
            if protocol == "consumer":
                return  # Apache Kafka looks for what is new once in ten seconds
            later = stem.create_topic(f"{group}-later-1", 2)
            fill(later, 7)
            assert sorted(take(consumer, 7)) == list(range(7))
            assert len(consumer.assignment) == 4


def test_a_pattern_that_only_python_has_is_matched_here(
    make_topic: MakeTopic, stem: ms.Stem, group: str, protocol: str
) -> None:
    one, two = make_topic(), make_topic()
    pattern = re.compile(f"(?={one.name}$){one.name[:-1]}.+|(?!.).")
    if protocol == "consumer":
        with pytest.raises(ms.Invalid, match="RE2 has no such syntax"):
            stem.consumer(group, pattern, protocol="consumer")
        return
    fill(one, 3)
    fill(two, 3)
    with stem.consumer(group, pattern, heartbeat_interval=0.1) as consumer:
        assert take(consumer, 3) == [0, 1, 2]
        assert set(consumer.assignment) == {(one.name, 0)}


def test_a_pattern_of_bytes_is_invalid(stem: ms.Stem, group: str) -> None:
    with pytest.raises(ms.Invalid, match="names are text"):
        stem.consumer(group, re.compile(b"a"))  # type: ignore[arg-type]  # the mistake tested


def test_an_unknown_topic_is_refused_with_the_nearest_name(
    stem: ms.Stem, make_topic: MakeTopic, group: str
) -> None:
    name = make_topic().name
    with pytest.raises(ms.Invalid, match="there is no topic"):
        stem.consumer(group, [name, f"{name}-not-there"])


def test_a_closed_consumer_says_so(make_topic: MakeTopic, join: Any) -> None:
    consumer = join(make_topic())
    consumer.close()
    consumer.close()
    for work in (consumer.poll, consumer.commit, consumer.lag, lambda: consumer.assignment):
        with pytest.raises(ms.Closed, match="is closed"):
            work()


def test_a_closed_stem_closes_its_consumers(
    stem: ms.Stem, make_topic: MakeTopic, group: str
) -> None:
    topic = make_topic()
    with ms.connect(stem.address) as other:
        consumer = other.consumer(group, topic.name, protocol="classic")
        share([consumer], 1)
        assert len(stem.describe_group(group).members) == 1
    assert stem.describe_group(group).members == (), "it has left the group"
    with pytest.raises(ms.Closed):
        consumer.poll()


def test_a_consumer_that_never_joined_closes_quietly(stem: ms.Stem, group: str) -> None:
    with ms.connect(stem.address) as other, pytest.raises(ms.Invalid, match="never-created"):
        other.consumer(group, "never-created")


def test_a_dropped_consumer_leaves(stem: ms.Stem, make_topic: MakeTopic, group: str) -> None:
    topic = make_topic()
    consumer = stem.consumer(group, topic.name, protocol="classic")
    share([consumer], 1)
    del consumer
    until(lambda: not stem.describe_group(group).members, "it to leave")


def test_the_async_twin_does_the_same(
    stem: ms.Stem, make_topic: MakeTopic, group: str, protocol: Any
) -> None:
    topic = make_topic(2)
    fill(topic, 40)
    told: list[Any] = []

    async def assigned(parts: Any) -> None:
        await asyncio.sleep(0)
        told.extend(parts)

    async def main() -> None:
        async with (
            await ms.aconnect(stem.address) as astem,
            astem.consumer(
                group, topic.name, protocol=protocol, auto_commit=None, on_assigned=assigned
            ) as consumer,
        ):
            seen = 0
            async for batch in consumer:
                seen += batch.num_rows
                if seen == 40:
                    break
            await consumer.commit()
            assert await consumer.lag() == {(topic.name, 0): 0, (topic.name, 1): 0}
            assert await consumer.poll(0.05) is None
            await consumer.seek(topic.name, 0, "earliest")
            await consumer.pause([(topic.name, 1)])
            assert consumer.assignment == {(topic.name, 0): 0, (topic.name, 1): 20}

    asyncio.run(main())
    assert told == [(topic.name, 0), (topic.name, 1)]
    assert stem.committed(group) == {(topic.name, 0): 20, (topic.name, 1): 20}


def test_prefetch_is_bounded_while_the_user_works(make_topic: MakeTopic, join: Any) -> None:
    topic = make_topic()
    topic.append([b"x" * 1000] * 20_000)
    with join(topic, batch_rows=10) as consumer:
        assert consumer.poll().num_rows == 10
        assert consumer.poll().num_rows == 10
        assert consumer.lag() == {(topic.name, 0): 19_980}


def test_formats_apply(make_topic: MakeTopic, join: Any) -> None:
    topic = make_topic()
    topic.append([{"n": 1}, {"n": 2}], format=ms.Json())
    with join(topic, format=ms.Json()) as consumer:
        assert consumer.poll()["n"].to_pylist() == [1, 2]


def test_a_callback_that_polls_is_told_not_to(make_topic: MakeTopic, join: Any) -> None:
    """It was called again, by its own poll, without end."""
    topic = make_topic()
    fill(topic, 3)
    said: list[str] = []

    def assigned(_: Any) -> None:
        with pytest.raises(ms.Invalid, match="cannot be called in it: return first") as caught:
            consumer.poll(0)
        said.append(str(caught.value))

    with join(topic, on_assigned=assigned) as consumer:
        assert values(consumer.poll(PATIENCE)) == [0, 1, 2]
    assert len(said) == 1


@pytest.mark.parametrize("automatic", [None, 3600.0])
def test_a_deleted_topic_does_not_hold_up_the_commits_of_others(
    stem: ms.Stem, make_topic: MakeTopic, group: str, protocol: Any, automatic: float | None
) -> None:
    gone, stays = make_topic(), make_topic()
    for topic in (gone, stays):
        fill(topic, 3)
    names = [gone.name, stays.name]
    consumer = stem.consumer(group, names, protocol=protocol, auto_commit=automatic)
    seen: list[int] = []
    until(lambda: seen.extend(values(consumer.poll(PATIENCE))) or len(seen) == 6, "six rows")
    stem.delete_topic(gone.name)
    if automatic is None:
        consumer.commit()
    consumer.close()
    assert stem.committed(group) == {(stays.name, 0): 3}


def collect(consumer: ms.Consumer, count: int) -> tuple[list[int], list[str]]:
    """Values until there are so many, and what was complained of meanwhile."""
    seen: list[int] = []
    said: list[str] = []

    def enough() -> bool:
        try:
            batch = consumer.poll(0.5)
        except ms.MainstemError as error:
            said.append(str(error))
        else:
            seen.extend([] if batch is None else values(batch))
        return len(seen) >= count

    until(enough, f"{seen} {said}")
    return sorted(seen), said


@pytest.mark.parametrize("by", ["names", "pattern"])
def test_a_topic_that_is_deleted_does_not_stop_the_others_and_may_come_back(
    stem: ms.Stem, make_topic: MakeTopic, group: str, protocol: Any, by: str
) -> None:
    """Every poll raised, until the group happened to look at its topics again."""
    gone, stays = make_topic(), make_topic()
    fill(gone, 3)
    fill(stays, 3, first=100)
    topics: Any = [gone.name, stays.name]
    if by == "pattern":
        topics = re.compile("|".join(map(re.escape, topics)))
    options: dict[str, Any] = {"protocol": "classic"} if by == "pattern" else {}
    with (
        ms.connect(stem.address, metadata_max_age=1.0) as other,
        other.consumer(group, topics, **({"protocol": protocol} | options)) as consumer,
    ):
        assert collect(consumer, 6)[0] == [0, 1, 2, 100, 101, 102]
        stem.delete_topic(gone.name)
        fill(stays, 3, first=103)
        found, said = collect(consumer, 3)
        assert found == [103, 104, 105]
        assert len(said) <= (by == "names")
        fill(stem.create_topic(gone.name, 1), 5, first=50)
        found, said = collect(consumer, 5)
        assert found == [50, 51, 52, 53, 54]
        assert all("made anew" in word or "there is no topic" in word for word in said)


def test_a_topic_made_anew_between_two_polls_is_told_and_read_from_its_beginning(
    stem: ms.Stem, make_topic: MakeTopic, group: str, protocol: Any
) -> None:
    topic = make_topic()
    fill(topic, 3)
    with stem.consumer(group, topic.name, protocol=protocol, auto_commit=None) as consumer:
        assert collect(consumer, 3)[0] == [0, 1, 2]
        consumer.pause([(topic.name, 0)])  # so that nobody looks meanwhile
        stem.delete_topic(topic.name)
        fill(stem.create_topic(topic.name, 1), 5, first=50)
        if (topic.name, 0) in consumer.assignment:
            consumer.commit()  # of the old one, which is nobody's
        assert stem.committed(group).get((topic.name, 0), 0) == 0
        until(lambda: consumer.assignment, "it is still, or again, assigned")
        consumer.resume(consumer.paused)
        assert collect(consumer, 5)[0] == [50, 51, 52, 53, 54]
