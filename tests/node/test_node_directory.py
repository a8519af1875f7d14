"""Who owns a data directory, before and after crashes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mainstem.errors import Conflict, Corrupt, Invalid, Unavailable
from mainstem.node import listeners
from mainstem.node.directory import Address, acquire, is_locked, read_address

HOLD = """
import sys
from pathlib import Path
from mainstem.node.directory import Address, acquire
directory = acquire(Path(sys.argv[1]))
directory.announce(Address(kafka="127.0.0.1:1", pid=4711))
print("held", flush=True)
sys.stdin.read()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_directory_has_one_owner(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        with pytest.raises(Conflict, match=r"in use by process 4711, .* at 127\.0\.0\.1:1"):
            acquire(tmp_path)
        process.kill()


def test_a_killed_owner_leaves_no_lock(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert read_address(tmp_path) is not None  # stale, and nobody minds
        acquire(tmp_path).release()


def test_release_removes_the_address_and_the_lock(tmp_path: Path) -> None:
    directory = acquire(tmp_path)
    directory.announce(Address(kafka="127.0.0.1:1", pid=os.getpid()))
    assert is_locked(tmp_path)
    directory.release()
    assert (is_locked(tmp_path), read_address(tmp_path)) == (False, None)


def test_release_twice_does_not_close_a_strangers_descriptor(tmp_path: Path) -> None:
    directory = acquire(tmp_path)
    directory.release()
    with socket.socket() as stranger:
        directory.release()
        assert stranger.fileno() >= 0
        assert os.fstat(stranger.fileno())


def test_an_address_survives_the_round_trip(tmp_path: Path) -> None:
    address = Address(kafka="[::1]:9092", http="127.0.0.1:80", pid=7)
    directory = acquire(tmp_path)
    directory.announce(address)
    assert read_address(tmp_path) == address
    directory.release()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', "\xff"])
def test_a_damaged_address_is_no_address(tmp_path: Path, text: str) -> None:
    (tmp_path / "address").write_bytes(text.encode("latin-1"))
    assert read_address(tmp_path) is None


def test_an_address_of_a_newer_format_is_not_guessed_at(tmp_path: Path) -> None:
    (tmp_path / "address").write_text('{"format": 2, "kafka": "a:1", "pid": 1, "http": null}')
    with pytest.raises(Corrupt, match="format 2, this Mainstem knows 1"):
        read_address(tmp_path)


def test_a_file_in_the_directorys_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(Invalid, match="is not a directory"):
        acquire(tmp_path / "data")


def test_loopback_needs_no_permission_to_listen() -> None:
    with listeners.listen("127.0.0.1:0", "kafka", insecure=False) as listener:
        assert listener.getsockname()[1] > 0


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0"])
def test_a_listener_open_to_the_network_needs_insecure(address: str) -> None:
    with pytest.raises(Invalid, match=r"open to the network.*--insecure"):
        listeners.listen(address, "kafka", insecure=False)


def test_with_insecure_the_network_may_come() -> None:
    with listeners.listen("0.0.0.0:0", "kafka", insecure=True) as listener:
        assert listeners.reachable(listener)[0] == "127.0.0.1"


def test_a_port_in_use_is_named() -> None:
    with listeners.listen("127.0.0.1:0", "kafka", insecure=False) as first:
        address = listeners.bound(first)
        with pytest.raises(Unavailable, match=f"kafka address {address} is in use"):
            listeners.listen(address, "kafka", insecure=False)


def test_an_unknown_host_is_named() -> None:
    with pytest.raises(Invalid, match=r"'no.such.host.invalid:1' is unknown"):
        listeners.listen("no.such.host.invalid:1", "kafka", insecure=False)
