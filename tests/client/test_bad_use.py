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
    "stem.topic('')": "Invalid",
    "stem.topic(None)": "Invalid",
    "stem.topic('a/b', create=True)": "Invalid",
    "ms.connect('nowhere:port')": "Invalid",
    "ms.connect(7)": "Invalid",
    "ms.connect('127.0.0.1:1')": "Unavailable: cannot connect to 127.0.0.1:1",
    "ms.Json({'a': int})": "Invalid: Json(schema=…) takes a pyarrow.Schema, not a dict",
}


def test_wrong_arguments_are_named_in_the_error(program: Program) -> None:
    out = program(f"""
        stem = ms.connect(address)
        topic = stem.topic(name)
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
