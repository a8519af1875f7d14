"""What people do by mistake: a clear error or a clean end, never a hang.

Each runs in an interpreter of its own, with the session's broker outside of it.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import textwrap
from collections.abc import Callable

import pytest

import mainstem as ms
from mainstem.testing import RunningBroker

Program = Callable[..., str]
_numbers = itertools.count()
PATIENCE = 40


@pytest.fixture
def program(mainstem_session_broker: RunningBroker, make_topic: Callable[..., ms.Topic]) -> Program:
    """Run a program that has ``ms``, ``address`` and ``name``, a topic; return what it printed."""
    name = make_topic(2).name
    address = mainstem_session_broker.address

    def run(text: str, code: int = 0) -> str:
        head = f"import mainstem as ms\naddress, name = {address!r}, {name!r}\n"
        command = [sys.executable, "-W", "error", "-c", head + textwrap.dedent(text)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=PATIENCE
        )
        assert done.returncode == code, done.stderr
        assert code or not done.stderr
        return done.stdout + (done.stderr if code else "")

    return run


WRONG = {
    "topic.append(7)": "Invalid: a int cannot be appended: give an Arrow table",
    "topic.append('text')": "Invalid: a str cannot be appended",
    "topic.append(None)": "Invalid: a NoneType cannot be appended",
    "topic.append([1, 2])": "Invalid: a list of rows holds a int",
    "topic.append([{'value': b'a'}, b'b'])": "Invalid: a list of rows holds a bytes",
    "topic.append({'value': [1, 'a']})": "Invalid: the rows cannot become Arrow columns",
    "topic.append({'value': [b'a']}, key='valu')": "did you mean 'value'?",
    "topic.append({'value': [b'a']}, timestamp='when')": "Invalid: there is no column 'when'",
    "topic.append({'text': [b'a']})": "Invalid: raw records need a column 'value'",
    "topic.append([b'a'], partition=2)": "has no partition 2: it has 2, from 0 to 1",
    "topic.append([b'a'], partition=-1)": "Invalid: partition=-1 is not valid",
    "topic.append([b'a'], acks=2)": "Invalid: acks=2 is not valid",
    "topic.append([b'a'], acks=[])": "Invalid: acks=[] is not valid",
    "topic.append([b'a'], compression='zip')": "Invalid: compression='zip' is not valid",
    "topic.append([b'a'], compression=[])": "Invalid: compression=[] is not valid",
    "topic.append([b'a'], format='json')": "Invalid: format='json' is not a format",
    "topic.append([b'a'], format=ms.Json)": "is not a format",
    "list(topic.read(start='first'))": "Invalid",
    "list(topic.read(start=object()))": "Invalid",
    "list(topic.read(start=99))": "Invalid",
    "list(topic.read(partitions=[5]))": "Invalid",
    "list(topic.read(format='json'))": "Invalid: format='json' is not a format",
    "list(topic.read(batch_rows=0))": "Invalid",
    "topic.append([b'a'], partition='0')": "Invalid: partition='0' is not valid: give 0 or more",
    "topic.append([b'a'], partition=1.5)": "Invalid: partition=1.5 is not valid",
    "topic.append([b'a'], key=7)": "Invalid: key=7 is not valid: give text",
    "topic.append([b'a'], timestamp=7)": "Invalid: timestamp=7 is not valid: give text",
    "topic.append([b'a'], batch_bytes='x')": "Invalid: batch_bytes='x' is not valid: give 1024",
    "topic.append({'value': [b'a'], '_partition': ['x']})": "column '_partition' is string",
    "topic.append({'value': [b'a'], '_timestamp': ['x']})": "Invalid: column timestamp is string",
    "topic.append({'value': [b'a'], '_headers': ['x']})": "Invalid: column headers is string",
    "topic.append({'value': [b'a', b'b'], '_key': [b'c']})": "Invalid: the rows cannot become",
    "topic.append(iter([b'a']))": "Invalid: a list_iterator cannot be appended",
    "list(topic.read(end='first'))": "Invalid: end='first' is not a place in a topic",
    "list(topic.read(True))": "Invalid: start=True is not a place in a topic",
    "list(topic.read({9: 0}))": "Invalid: start names partition 9",
    "list(topic.read(datetime.datetime(2024, 1, 1)))": "2024-01-01T00:00:00 has no time zone",
    "list(topic.read(batch_rows='x'))": "Invalid: batch_rows='x' is not valid: give 1 or more",
    "list(topic.read(partitions=7))": "Invalid: partitions=7 is not valid: give numbers in a list",
    "list(topic.read(partitions='0'))": "Invalid: partitions='0' is not valid: give numbers",
    "list(topic.read(partitions=['a']))": "Invalid: partitions holds 'a'",
    "list(topic.read(max_wait='x'))": "Invalid: max_wait='x' is not valid: give seconds",
    "list(topic.read(max_wait=-1))": "Invalid: max_wait=-1 is not valid: give seconds",
    "list(topic.read(isolation='x'))": "Invalid: isolation='x' is not valid",
    "stem.consumer('', name)": "Invalid: group='' is not valid: give a name",
    "stem.consumer(7, name)": "Invalid: group=7 is not valid: give a name",
    "stem.consumer('g', [])": "Invalid: topics=() is not valid",
    "stem.consumer('g', [1])": "Invalid: topics=(1,) is not valid",
    "stem.consumer('g', None)": "Invalid: topics=None is not valid: give a name, or several",
    "stem.consumer('g', name + 'x')": "Invalid: there is no topic",
    "stem.consumer('g', name, start='first')": "Invalid: start='first' is not valid",
    "stem.consumer('g', name, protocol='new')": "Invalid: protocol='new' is not valid",
    "stem.consumer('g', name, assignor='rang')": "did you mean 'range'?",
    "stem.consumer('g', name, assignor=7)": "Invalid: assignor=7 is not valid",
    "stem.consumer('g', name, isolation='x')": "Invalid: isolation='x' is not valid",
    "stem.consumer('g', name, auto_commit='x')": "Invalid: auto_commit='x' is not valid",
    "stem.consumer('g', name, batch_rows='x')": "Invalid: batch_rows='x' is not valid",
    "stem.consumer('g', name, max_wait='x')": "Invalid: max_wait='x' is not valid",
    "stem.consumer('g', name, session_timeout=-1)": "Invalid: session_timeout=-1 is not valid",
    "stem.consumer('g', name, instance_id=7)": "Invalid: instance_id=7 is not valid: give text",
    "stem.consumer('g', name, format='json')": "Invalid: format='json' is not a format",
    "stem.consumer('g', name, on_assigned=7)": "Invalid: on_assigned=7 is not valid",
    "consumer.poll('x')": "Invalid: timeout='x' is not valid: give seconds",
    "consumer.commit(7)": "Invalid: offsets=7 is not valid: give a dict",
    "consumer.commit({7: 1})": "Invalid: offsets holds 7: give (topic, partition) pairs",
    "consumer.commit({(name, 0): 'x'})": "Invalid: offset 'x'",
    "consumer.commit({(name, 9): 1})": "Conflict: group",
    "consumer.seek(name, 9, 5)": "is not assigned to this consumer",
    "consumer.pause([7])": "Invalid: partitions holds 7: give (topic, partition) pairs",
    "consumer.pause([(name, 9)])": "is not assigned to this consumer",
    "stem.transactions('')": "Invalid: transactional id '' is not valid",
    "stem.transactions(7)": "Invalid: transactional id 7 is not valid",
    "stem.transactions('t', timeout='x')": "Invalid: timeout='x' is not valid",
    "stem.commit('h', {(name, 0): 'x'})": "Invalid: offset 'x'",
    "stem.commit('h', {name: 5})": "give (topic, partition) pairs",
    "stem.committed(7)": "Invalid: group=7 is not valid: give text",
    "stem.describe_group(7)": "Invalid: group=7 is not valid: give text",
    "stem.delete_group(7)": "Invalid: group=7 is not valid: give text",
    "stem.reset_group('h', name, 'first')": "Invalid: to='first' is not a place",
    "stem.create_topic(7)": "Invalid: topic=7 is not valid: give text",
    "stem.create_topic('x', 'three')": "Invalid: partitions='three' is not valid",
    "stem.create_topic('x', 0)": "Invalid: partitions=0 is not valid: give 1 or more",
    "stem.create_topic('x', config=7)": "Invalid: config=7 is not valid: give a dict",
    "stem.create_topic('x', replication='x')": "Invalid: replication='x' is not valid",
    "stem.alter_topic(name, partitions='x')": "Invalid: partitions='x' is not valid",
    "stem.alter_topic(name, config=7)": "Invalid: config=7 is not valid: give a dict",
    "stem.delete_records(name, 7)": "Invalid: before=7 is not valid: give a dict",
    "stem.delete_records(name, {0: 'x'})": "Invalid: before[0]='x' is not valid",
    "stem.delete_topic(7)": "Invalid: topic=7 is not valid: give text",
    "stem.access.acls(nme='x')": "Invalid: ACLs have no 'nme'",
    "stem.access.users(7)": "Invalid: names=7 is not valid",
    "stem.topic('')": "Invalid",
    "stem.topic(None)": "Invalid",
    "stem.topic('a/b', create=True)": "Invalid",
    "ms.connect('nowhere:port')": "Invalid",
    "ms.connect(7)": "Invalid",
    "ms.connect(address, retry=1)": "did you mean 'retry_for'?",
    "ms.connect(address, request_timeout='x')": "Invalid: request_timeout='x' is not valid",
    "ms.connect(address, request_timeout=0)": "Invalid: request_timeout=0 is not valid",
    "ms.connect(address, retry_for=-1)": "Invalid: retry_for=-1 is not valid",
    "ms.connect(address, linger='x')": "Invalid: linger='x' is not valid: give seconds",
    "ms.connect(address, buffer_bytes=0)": "Invalid: buffer_bytes=0 is not valid: give 1 or more",
    "ms.connect(address, client_id=7)": "Invalid: client_id=7 is not valid: give text",
    "ms.connect(address, tls=7)": "Invalid: tls=7 is not valid",
    "ms.connect(address, security='me')": "Invalid: security=str is not valid",
    "ms.open(7)": "Invalid: path=7 is not valid: give a directory",
    "ms.open('never', broker=7)": "Invalid: broker=7 is not valid: give a dict",
    "ms.connect('127.0.0.1:1')": "Unavailable: cannot connect to 127.0.0.1:1",
    "topic.append([b'a'], partition=2**31)": "Invalid: partition=2147483648 is not valid",
    "stem.topic('\\ud800')": "is not valid: UTF-8 does not have it",
    "stem.topic('x' * 40000)": "of 40,000 bytes is not valid: give 32,767 at most",
    "stem.create_topic('x', 2**40)": "Invalid: partitions=1099511627776 is not valid: give",
    "stem.create_topic('x', replication=2**20)": "replication=1048576 is not valid: give 32767 at",
    "stem.create_topic('x', config={1: 'x'})": "config, a name=1 is not valid: give text",
    "stem.alter_topic(name, partitions=2**40)": "Invalid: partitions=1099511627776 is not valid",
    "stem.alter_topic(name, config={1: 'x'})": "config, a name=1 is not valid: give text",
    "stem.delete_records(name, {0: 2**70})": "Invalid: before[0]=1180591620717411303424 is not",
    "stem.commit('h', {(name, 0): 2**70})": "Invalid: offset 1180591620717411303424",
    "stem.commit('h', {(name, 2**40): 1})": "the partition of",
    "stem.committed('\\ud800')": "is not valid: UTF-8 does not have it",
    "stem.committed('g' * 40000)": "of 40,000 bytes is not valid",
    "stem.consumer('\\ud800', name)": "is not valid: UTF-8 does not have it",
    "stem.consumer('g', name, session_timeout=1e8)": "session_timeout=100000000.0 is not valid",
    "stem.transactions('t', timeout=1e8)": "Invalid: timeout=100000000.0 is not valid",
    "stem.transactions('\\ud800')": "is not valid: UTF-8 does not have it",
    "stem.access.users(['\\ud800'])": "Invalid: ",
    "ms.connect(address, request_timeout=1e8)": "request_timeout=100000000.0 is not valid",
    "ms.connect(address, client_id='x' * 40000)": "of 40,000 bytes is not valid",
    "ms.connect(address, client_id='\\ud800')": "is not valid: UTF-8 does not have it",
    "ms.Json({'a': int})": "Invalid: Json(schema=…) takes a pyarrow.Schema, not a dict",
}


def test_wrong_arguments_are_named_in_the_error(program: Program) -> None:
    out = program(f"""
        import datetime
        stem = ms.connect(address)
        topic = stem.topic(name)
        consumer = stem.consumer(name, name)
        for text in {list(WRONG)!r}:
            try:
                eval(text)
                print("nothing raised")
            except Exception as error:
                print(type(error).__name__ + ": " + str(error).replace(chr(10), " "))
        assert topic.append([b"fine"]).rows == 1  # the client is as good as new
        stem.close()
    """)
    said = dict(zip(WRONG, out.splitlines(), strict=True))
    assert {text: found for text, found in said.items() if WRONG[text] not in found} == {}


def test_a_closed_client_says_so_everywhere(program: Program) -> None:
    out = program("""
        stem = ms.connect(address)
        topic, batches = stem.topic(name), None
        topic.append([b"a"])
        batches = topic.read(follow=True)
        next(batches)
        stem.close()
        stem.close()
        for use in (lambda: topic.append([b"b"]), lambda: next(batches), stem.topics,
                    lambda: stem.topic(name), topic.offsets, lambda: topic.read()):
            try:
                use()
            except ms.Closed as error:
                print(error)
        batches.close()
    """)
    assert out.count("is closed: open it again") == 6


def test_what_a_closed_client_gave_says_so_too(program: Program) -> None:
    out = program("""
        stem = ms.connect(address)
        topic = stem.topic(name)
        topic.append([b"a"])
        consumer = stem.consumer(name, name)
        consumer.poll(20)
        stem.close()
        for use in (lambda: consumer.poll(1), consumer.commit, lambda: consumer.assignment,
                    consumer.lag, lambda: consumer.pause([(name, 0)]),
                    lambda: stem.transactions("any"), stem.access.users,
                    lambda: stem.consumer("any", name), lambda: stem.describe_group(name)):
            try:
                print("nothing raised", use())
            except ms.Closed as error:
                print(error)
        consumer.close()
    """)
    assert out.count("is closed: open it again") == 9, out


def test_a_client_closed_by_another_thread_ends_who_waits(program: Program) -> None:
    out = program("""
        import threading
        stem = ms.connect(address)
        batches = stem.topic(name).read(follow=True)
        said = []
        def wait():
            try:
                said.append(next(batches, "over"))
            except ms.Closed as error:
                said.append(error)
        thread = threading.Thread(target=wait)
        thread.start()
        stem.close()
        thread.join(20)
        print(thread.is_alive(), len(said))
    """)
    assert out == "False 1\n"


def test_two_event_loops_are_told_apart(program: Program) -> None:
    out = program("""
        import asyncio
        async def first():
            stem = await ms.aconnect(address)
            return stem, await stem.topic(name)
        one = asyncio.new_event_loop()
        stem, topic = one.run_until_complete(first())
        async def second():
            try:
                async with asyncio.timeout(10):
                    await topic.append([b"a"])
            except ms.Invalid as error:
                print(error)
        other = asyncio.new_event_loop()
        other.run_until_complete(second())
        one.run_until_complete(topic.append([b"still fine"]))
        one.run_until_complete(stem.close())
        for loop in (one, other):
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()
    """)
    assert "belongs to another event loop" in out


def test_consumers_and_reads_belong_to_their_event_loop_too(program: Program) -> None:
    out = program("""
        import asyncio
        async def first():
            stem = await ms.aconnect(address)
            topic = await stem.topic(name)
            await topic.append([b"a"])
            consumer = stem.consumer(name, name)
            await consumer.poll(20)
            batches = topic.read(follow=True)
            await anext(batches)
            return stem, topic, consumer, batches
        one = asyncio.new_event_loop()
        stem, topic, consumer, batches = one.run_until_complete(first())
        async def second():
            for work in (lambda: consumer.poll(1), lambda: consumer.commit(), lambda: stem.topics(),
                         lambda: anext(batches), lambda: anext(topic.read())):
                try:
                    async with asyncio.timeout(10):
                        print("nothing raised", await work())
                except ms.Invalid as error:
                    print(error)
        other = asyncio.new_event_loop()
        other.run_until_complete(second())
        one.run_until_complete(stem.close())
        for loop in (one, other):
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()
    """)
    assert out.count("belongs to another event loop") == 5, out


def test_a_blocking_client_inside_a_running_loop_works(program: Program) -> None:
    out = program("""
        import asyncio
        async def main():
            with ms.connect(address) as stem:
                print(stem.topic(name).append([b"a"]).rows)
        asyncio.run(main())
    """)
    assert out == "1\n"


def test_a_forked_child_is_told_to_open_again_and_can(program: Program) -> None:
    out = program("""
        import os
        stem = ms.connect(address)
        topic = stem.topic(name)
        batches = topic.read(follow=True)
        child = os.fork()
        if child == 0:
            try:
                topic.append([b"a"])
            except ms.Closed as error:
                print(error, flush=True)
            with ms.connect(address) as mine:
                mine.topic(name).append([b"from the child"], partition=1)
            stem.close()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        topic.append([b"from the parent"], partition=1)
        (batch,) = topic.read(partitions=[1])
        print(batch["value"].to_pylist())
        batches.close()
        stem.close()
    """)
    assert "opened before a fork: open it again" in out
    assert out.endswith("[b'from the child', b'from the parent']\n")


def test_a_forked_child_computes_in_threads_of_its_own(program: Program) -> None:
    out = program("""
        import os
        import pyarrow as pa
        rows = pa.table({"value": pa.array([b"x"] * 10_000)})
        stem = ms.connect(address)
        stem.topic(name).append(rows)
        child = os.fork()
        if child == 0:
            with ms.connect(address) as mine:
                mine.topic(name).append(rows)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        print(sum(batch.num_rows for batch in stem.topic(name).read()))
        stem.close()
    """)
    assert out.endswith("20000\n")


def test_a_consumer_does_not_cross_a_fork_and_the_parents_goes_on(program: Program) -> None:
    out = program("""
        import os
        stem = ms.connect(address)
        topic = stem.topic(name)
        topic.append([b"a"], partition=0)
        consumer = stem.consumer(name, name, auto_commit=None)
        while consumer.poll(1) is None:
            pass
        child = os.fork()
        if child == 0:
            for use in (lambda: consumer.poll(1), consumer.commit, lambda: consumer.lag()):
                try:
                    use()
                except ms.Closed as error:
                    print(error, flush=True)
            consumer.close()
            del consumer
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        consumer.commit()
        topic.append([b"b"], partition=0)
        while (batch := consumer.poll(1)) is None:
            pass
        print(batch["value"].to_pylist())
        consumer.close()
        stem.close()
    """)
    assert out.count("opened before a fork: open it again") == 3, out
    assert out.endswith("[b'b']\n")


def test_an_interpreter_that_ends_with_a_consumer_open_does_not_hang(program: Program) -> None:
    out = program("""
        stem = ms.connect(address)
        stem.topic(name).append([b"a"] * 1000, partition=0)
        consumer = stem.consumer(name, name, auto_commit=0.01)
        while (batch := consumer.poll(1)) is None:
            pass
        print(batch.num_rows)
    """)
    assert out == "1000\n"


def test_an_interpreter_that_ends_without_close_does_not_hang(program: Program) -> None:
    out = program("""
        stem = ms.connect(address)
        topic = stem.topic(name)
        topic.append([b"a"] * 1000)
        batches = topic.read(follow=True)
        print(next(batches).num_rows)
    """)
    assert out == "1000\n"


def test_an_append_in_a_thread_is_whole_when_the_interpreter_ends(
    program: Program, stem: ms.Stem
) -> None:
    name = program("""
        import threading
        stem = ms.connect(address)
        topic = stem.topic(name)
        threading.Thread(target=lambda: topic.append([b"x" * 1000] * 20_000)).start()
        print(name)
    """).strip()
    first, last = stem.topic(name).offsets()
    assert sum(last.values()) - sum(first.values()) == 20_000


def test_a_daemon_thread_with_rows_under_way_does_not_keep_the_interpreter(
    program: Program,
) -> None:
    out = program("""
        import threading
        stem = ms.connect(address)
        topic = stem.topic(name)
        begun = threading.Event()
        def work():
            while True:
                topic.append([b"x" * 1000] * 1000)
                begun.set()
        threading.Thread(target=work, daemon=True).start()
        begun.wait(20)
        print("end", flush=True)
    """)
    assert out == "end\n"


def test_an_exception_with_an_append_under_way_ends_the_program(program: Program) -> None:
    out = program(
        """
        import asyncio
        async def main():
            async with await ms.aconnect(address) as stem:
                topic = await stem.topic(name)
                task = asyncio.create_task(topic.append([b"x" * 1000] * 20_000))
                await asyncio.sleep(0)
                raise RuntimeError("the program's own")
        asyncio.run(main())
        """,
        code=1,
    )
    assert "RuntimeError: the program's own" in out


@pytest.mark.parametrize("what", ["stem", "topic", "batches"])
def test_pickling_says_what_to_do(program: Program, what: str) -> None:
    out = program(f"""
        import pickle
        with ms.connect(address) as stem:
            topic = stem.topic(name)
            batches = topic.read()
            try:
                pickle.dumps({what})
            except TypeError as error:
                print(error)
            batches.close()
    """)
    assert "cannot be pickled: open one in the other process" in out


@pytest.mark.parametrize("error", ["SystemExit(3)", "KeyboardInterrupt()", "RuntimeError('mine')"])
def test_what_a_users_function_raises_reaches_the_user_and_the_client_goes_on(
    program: Program, error: str
) -> None:
    """``sys.exit`` in a task ends an event loop, and with it went every call that came later."""
    out = program(f"""
        import pyarrow as pa
        stem = ms.connect(address)
        topic = stem.topic(name)
        topic.append([b"no JSON"])

        class Broken(ms.Raw):
            def encode(self, payload, *, used):
                raise {error}

        def side(batch):
            raise {error}

        def rows():
            yield pa.record_batch({{"value": [b"1"]}})
            raise {error}

        schema = pa.schema([("value", pa.binary())])
        table = pa.table({{"value": [b"x"] * 400_000}})
        for use in (
            lambda: list(topic.read(format=ms.Json(malformed="side", side=side))),
            lambda: topic.append([b"x"], format=Broken()),
            lambda: topic.append(table, format=Broken()),
            lambda: topic.append(pa.RecordBatchReader.from_batches(schema, rows())),
        ):
            try:
                print("nothing raised", use())
            except BaseException as error:
                print(repr(error))
            assert topic.append([b"after"]).rows == 1
        stem.close()
    """)
    assert out.splitlines() == [repr(eval(error))] * 4
