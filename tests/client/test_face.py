"""What users hold: stems, embedded or remote, blocking or not."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import mainstem as ms
from mainstem.testing import RunningBroker

JOIN = """
import sys
import mainstem as ms
with ms.open(sys.argv[1]) as stem:
    stem.topic("t").append([b"from the other process"])
    print(sum(batch.num_rows for batch in stem.topic("t").read()))
"""


def test_a_directory_opens_closes_and_keeps_what_was_appended(tmp_path: Path) -> None:
    with ms.open(tmp_path / "data") as stem:
        stem.topic("t", partitions=2, create=True).append([b"a", b"b"])
    with ms.open(tmp_path / "data") as stem:
        assert [batch["value"].to_pylist() for batch in stem.topic("t").read()] == [[b"a", b"b"]]


def test_a_second_process_joins_the_first(tmp_path: Path) -> None:
    with ms.open(tmp_path) as stem:
        topic = stem.topic("t", create=True)
        topic.append([b"mine"])
        done = subprocess.run(
            [sys.executable, "-c", JOIN, tmp_path], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "2\n", "")
        assert topic.offsets()[1] == {0: 2}


def test_broker_settings_apply_where_it_starts(tmp_path: Path) -> None:
    with ms.open(tmp_path, broker={"num_partitions": 5}, log={"max_message_bytes": 9999}) as stem:
        topic = stem.topic("t", create=True)
        assert len(topic.describe().partitions) == 5
        with pytest.raises(ms.Invalid, match="9999"):
            topic.append([b"x" * 20_000])


def test_any_kafka_client_reaches_an_embedded_log(tmp_path: Path) -> None:
    kafka = pytest.importorskip("confluent_kafka")
    with ms.open(tmp_path) as stem:
        topic = stem.topic("t", create=True)
        producer = kafka.Producer({"bootstrap.servers": stem.address})
        producer.produce("t", b"from outside", key=b"k")
        assert producer.flush(10) == 0
        (batch,) = topic.read()
        assert (batch["_key"].to_pylist(), batch["value"].to_pylist()) == (
            [b"k"], [b"from outside"],
        )  # fmt: skip


def test_everything_raises_closed_afterwards(mainstem_session_broker: RunningBroker) -> None:
    stem = ms.connect(mainstem_session_broker.address)
    topic = stem.topic("face", create=True)
    topic.append([b"x"])
    batches = topic.read()
    stem.close()
    stem.close()
    uses: list[Any] = [
        stem.topics,
        lambda: stem.topic("face"),
        lambda: stem.address,
        lambda: topic.append([b"x"]),
        topic.read,
        topic.offsets,
        topic.describe,
        stem.groups,
        lambda: stem.committed("g"),
        lambda: next(batches),
    ]
    for use in uses:
        with pytest.raises(ms.Closed, match="closed"):
            use()


def test_an_unknown_option_is_invalid_with_the_nearest_name() -> None:
    with pytest.raises(ms.Invalid, match="'retry_fro': did you mean 'retry_for'"):
        ms.connect("127.0.0.1:1", retry_fro=1)


def test_a_failed_open_leaves_no_broker_behind(tmp_path: Path) -> None:
    with pytest.raises(ms.Invalid, match="no client option"):
        ms.open(tmp_path / "data", nonsense=1)
    assert not (tmp_path / "data").exists()


def test_threads_share_a_stem(stem: ms.Stem) -> None:
    topic = stem.topic("threads", 3, create=True)
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(5):
                topic.append([f"{number}-{turn}-{row}" for row in range(20)])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    values = pa.Table.from_batches(topic.read())["value"].to_pylist()
    assert len(set(values)) == len(values) == 600


def test_a_forked_child_must_open_again(mainstem_session_broker: RunningBroker) -> None:
    code = f"""
import os, sys
import mainstem as ms
stem = ms.connect({mainstem_session_broker.address!r})
child = os.fork()
if child == 0:
    try:
        stem.topics()
    except ms.Closed as error:
        with ms.connect({mainstem_session_broker.address!r}) as own:
            own.topics()
        os._exit(0 if "fork" in str(error) else 2)
    os._exit(1)
status = os.waitpid(child, 0)[1]
stem.topics()
stem.close()
sys.exit(os.waitstatus_to_exitcode(status))
"""
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_a_blocking_call_on_our_own_loop_is_invalid_not_a_deadlock(stem: ms.Stem) -> None:
    from mainstem.face.loop import run

    async def inside() -> None:
        with pytest.raises(ms.Invalid, match="use aopen or aconnect"):
            stem.topics()

    run(inside)


def test_the_asynchronous_twin_has_the_same_names() -> None:
    def public(kind: type) -> set[str]:
        return {name for name in dir(kind) if not name.startswith("_")}

    assert public(ms.Stem) - {"check"} <= public(ms.AsyncStem)
    assert public(ms.Topic) <= public(ms.AsyncTopic)


def test_the_asynchronous_twin_does_the_same(tmp_path: Path) -> None:
    async def run() -> None:
        async with await ms.aopen(tmp_path) as stem:
            topic = await stem.topic("t", 2, create=True)
            written = await asyncio.gather(*(topic.append([b"%d" % n]) for n in range(10)))
            assert sum(found.rows for found in written) == 10
            values = [v async for b in topic.read() for v in b["value"].to_pylist()]
            assert sorted(values) == [b"%d" % n for n in range(10)]
            async with await ms.aconnect(stem.address) as other:
                assert await other.topics() == ["t"]
        with pytest.raises(ms.Closed):
            await stem.topics()

    asyncio.run(run())


def test_an_asynchronous_read_left_early_is_closed(tmp_path: Path) -> None:
    async def run() -> None:
        async with await ms.aopen(tmp_path) as stem:
            topic = await stem.topic("t", create=True)
            await topic.append([b"x"])
            reading = topic.read(follow=True)
            async for batch in reading:
                assert batch.num_rows == 1
                break
            await reading.close()
            assert len(asyncio.all_tasks()) == 1
            assert [batch async for batch in reading] == []

    asyncio.run(run())


def test_an_asynchronous_read_that_nobody_closed_stops_by_itself(tmp_path: Path) -> None:
    async def run() -> None:
        async with await ms.aopen(tmp_path) as stem:
            topic = await stem.topic("t", create=True)
            await topic.append([b"x"])
            async for _ in topic.read(follow=True):
                break
            gc.collect()
            while len(asyncio.all_tasks()) > 1:
                await stem.topics()  # a turn of the loop

    asyncio.run(run())


def test_an_asynchronous_read_begins_where_its_block_begins(tmp_path: Path) -> None:
    """What is appended inside ``async with`` is behind ``latest``, read or not by then."""

    async def run() -> None:
        async with await ms.aopen(tmp_path) as stem:
            topic = await stem.topic("t", create=True)
            await topic.append([b"before"])
            async with topic.read("latest", follow=True) as batches:
                await topic.append([b"inside"])
                batch = await anext(batches)
                assert batch["value"].to_pylist() == [b"inside"]
            with pytest.raises(StopAsyncIteration):
                await anext(batches)

    asyncio.run(run())


def test_an_asynchronous_read_of_a_closed_stem_says_so(tmp_path: Path) -> None:
    async def run() -> None:
        stem = await ms.aopen(tmp_path)
        topic = await stem.topic("t", create=True)
        batches = topic.read(follow=True)
        waiting = asyncio.ensure_future(anext(batches))
        await stem.topics()
        await stem.close()
        with pytest.raises(ms.Closed):
            await waiting
        with pytest.raises(ms.Closed):
            await anext(topic.read())

    asyncio.run(run())


def test_importing_mainstem_imports_nothing_heavy() -> None:
    code = (
        "import sys, mainstem; mainstem.Invalid; "
        "print([m for m in ('pyarrow', 'kio', 'uvloop', 'msgspec', 'mainstem.client') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_every_public_name_exists_and_is_listed() -> None:
    for name in ms.__all__:
        assert getattr(ms, name) is not None
    assert set(ms.__all__) <= set(dir(ms))
    with pytest.raises(AttributeError, match="no attribute 'conect'"):
        ms.conect  # type: ignore[attr-defined]  # noqa: B018


def test_ctrl_c_ends_a_waiting_read(tmp_path: Path) -> None:
    code = """
import os, signal, sys, threading
import mainstem as ms
with ms.open(sys.argv[1]) as stem:
    topic = stem.topic("t", create=True)
    batches = topic.read(follow=True)
    topic.append([b"x"])
    next(batches)
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        next(batches)
    except KeyboardInterrupt:
        topic.append([b"y"])
        print("interrupted", next(batches)["value"].to_pylist())
"""
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONUNBUFFERED": "1"}, timeout=60,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("interrupted [b'y']\n", "")
