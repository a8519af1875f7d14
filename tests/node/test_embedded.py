"""A broker inside the process: who owns the directory, who joins, and what a fork may keep."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from node_client import Client, serve

from mainstem.errors import Closed, Corrupt, Invalid, Unavailable
from mainstem.node import Embedded, open_embedded
from mainstem.node.directory import Address, acquire, is_locked, read_address

# Python 3.12 warns of what some of these tests are about.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")

OPEN = """
import sys
from mainstem.node import open_embedded
handle = open_embedded(sys.argv[1])
print(handle.joined, handle.address, flush=True)
sys.stdin.read()
{end}
"""


def opener(path: Path, end: str = "handle.close()") -> tuple[subprocess.Popen[str], str, str]:
    """A process that opened ``path``: itself, whether it joined, the address it got."""
    process = subprocess.Popen(
        [sys.executable, "-c", OPEN.format(end=end), str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    joined, address = process.stdout.readline().split()
    return process, joined, address


def test_the_first_to_open_a_directory_serves_it(tmp_path: Path) -> None:
    with open_embedded(tmp_path) as handle, Client(handle.address) as client:
        client.create("t")
        client.produce("t", [b"a"])
        assert client.values("t") == [b"a"]
        assert not handle.joined


def test_what_was_written_is_there_at_the_next_opening(tmp_path: Path) -> None:
    with open_embedded(tmp_path) as handle, Client(handle.address) as client:
        client.create("t")
        client.produce("t", [b"kept"])
    with open_embedded(tmp_path) as handle, Client(handle.address) as client:
        assert client.values("t") == [b"kept"]


def test_another_process_joins(tmp_path: Path) -> None:
    with open_embedded(tmp_path) as handle:
        process, joined, address = opener(tmp_path)
        with process:
            assert (joined, address) == ("True", handle.address)
        assert process.returncode == 0
        with Client(handle.address) as client:  # one that joined closes nothing
            client.create("t")


def test_we_join_a_process_that_was_first(tmp_path: Path) -> None:
    process, joined, address = opener(tmp_path)
    with process:
        assert joined == "False"
        with open_embedded(tmp_path) as handle, Client(handle.address) as client:
            assert (handle.joined, handle.address) == (True, address)
            client.create("t")


def test_we_join_a_node_that_serves_the_directory(tmp_path: Path) -> None:
    with serve(tmp_path) as node, open_embedded(tmp_path) as handle:
        assert (handle.joined, handle.address) == (True, node.kafka)


def test_two_handles_in_a_process_share_and_the_last_one_closes(tmp_path: Path) -> None:
    first = open_embedded(tmp_path)
    second = open_embedded(tmp_path)
    assert first.address == second.address
    first.close()
    first.close()  # twice is once
    with Client(second.address) as client:
        client.create("t")
    assert is_locked(tmp_path)
    second.close()
    assert not is_locked(tmp_path)
    assert read_address(tmp_path) is None


def test_a_closed_handle_says_so(tmp_path: Path) -> None:
    handle = open_embedded(tmp_path)
    handle.close()
    with pytest.raises(Closed, match="was closed: open it again"):
        _ = handle.address


def test_many_threads_opening_at_once_share_one_broker(tmp_path: Path) -> None:
    handles: list[Embedded] = []
    threads = [
        threading.Thread(target=lambda: handles.append(open_embedded(tmp_path))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({handle.address for handle in handles}) == 1
    for handle in handles:
        handle.close()
    assert not is_locked(tmp_path)


def test_after_a_killed_owner_the_next_one_takes_over(tmp_path: Path) -> None:
    process, _, stale = opener(tmp_path)
    with process:
        process.send_signal(signal.SIGKILL)
    address = read_address(tmp_path)
    assert address is not None
    assert address.kafka == stale
    with open_embedded(tmp_path) as handle, Client(handle.address) as client:
        assert not handle.joined
        client.create("t")


def test_leaving_without_close_still_shuts_down_cleanly(tmp_path: Path) -> None:
    process, _, _ = opener(tmp_path, end="")
    with process:
        pass
    assert process.returncode == 0
    assert not is_locked(tmp_path)
    assert read_address(tmp_path) is None


def test_an_owner_that_does_not_answer_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mainstem.node.embedded._JOIN_SECONDS", 0.1)
    directory = acquire(tmp_path)
    directory.announce(Address(kafka="127.0.0.1:1", pid=os.getpid()))
    with pytest.raises(Unavailable, match=r"does not answer at 127\.0\.0\.1:1"):
        open_embedded(tmp_path)
    directory.release()


def test_a_failed_opening_leaves_the_directory_free(tmp_path: Path) -> None:
    (tmp_path / "metadata.sqlite").write_bytes(b"this is no database" * 100)
    with pytest.raises(Corrupt, match=r"metadata\.sqlite"):
        open_embedded(tmp_path)
    assert not is_locked(tmp_path)


def test_options_are_checked(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"did you mean 'broker\.num_partitions'"):
        open_embedded(tmp_path, broker={"num_partition": 2})


def in_child(act: object) -> int:
    """Runs ``act`` in a forked child; its exit code: 0 for True."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            code = 0 if act() else 1  # type: ignore[operator]
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_forked_child_may_not_use_the_parents_handle(tmp_path: Path) -> None:
    with open_embedded(tmp_path) as handle:

        def refused() -> bool:
            try:
                return not handle.address
            except Closed as error:
                return "before a fork" in str(error)

        assert in_child(refused) == 0


def test_a_forked_child_closes_nothing_of_its_parents(tmp_path: Path) -> None:
    with open_embedded(tmp_path) as handle:

        def close() -> bool:
            handle.close()
            return True

        assert in_child(close) == 0
        with Client(handle.address) as client:
            client.create("t")


def test_a_forked_child_joins_its_parents_broker(tmp_path: Path) -> None:
    with open_embedded(tmp_path) as handle:
        address = handle.address

        def join() -> bool:
            with open_embedded(tmp_path) as mine:
                return mine.joined and mine.address == address

        assert in_child(join) == 0


def test_a_child_that_outlives_its_parent_does_not_keep_the_directory(tmp_path: Path) -> None:
    program = """
import os, sys
from mainstem.node import open_embedded
handle = open_embedded(sys.argv[1])
if os.fork() == 0:
    print(handle._pid, flush=True)
    sys.stdin.read()   # outlives its parent
    os._exit(0)
os._exit(0)            # without closing anything
"""
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        parent.wait()
        stale = read_address(tmp_path)
        assert stale is not None
        with open_embedded(tmp_path) as handle:
            assert not handle.joined
            with pytest.raises(OSError, match="refused"):  # the port is not held, either
                Client(stale.kafka)
