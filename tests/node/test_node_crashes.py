"""kill -9 of the broker, of the supervisor, again and again: nothing acknowledged is lost."""

from __future__ import annotations

import os
import random
import signal
import threading
from pathlib import Path

import pytest
from node_client import Client, Node, gone, serve, until

from mainstem.testing.ports import lasting_port


def test_a_killed_broker_is_replaced_on_the_same_port_with_everything(tmp_path: Path) -> None:
    with serve(tmp_path) as node:
        with Client(node.kafka) as client:
            client.create("t")
            client.produce("t", [b"before"])
        first = node.broker_pid()
        os.kill(first, signal.SIGKILL)
        assert gone(first)
        # The listener is the supervisor's: a client that comes meanwhile waits.
        with Client(node.kafka) as client:
            client.produce("t", [b"after"])
            assert client.values("t") == [b"before", b"after"]
        until(lambda: node.get("/health/ready")[0] == 200, "ready again")
        assert "mainstem_broker_restarts_total 1.0" in node.get("/metrics")[1]


def test_meanwhile_it_is_live_but_not_ready(tmp_path: Path) -> None:
    with serve(tmp_path) as node:
        broker = node.broker_pid()
        os.kill(broker, signal.SIGSTOP)
        status, reason = node.get("/health/ready")
        assert (status, reason) == (503, "not ready: the broker gave no answer within 2 s\n")
        assert node.get("/health/live")[0] == 200
        os.kill(broker, signal.SIGCONT)
        until(lambda: node.get("/health/ready")[0] == 200, "ready again")


def test_a_broker_that_keeps_dying_is_given_up(tmp_path: Path) -> None:
    with serve(tmp_path) as node:

        def kill_each() -> None:
            while node.process.poll() is None:
                try:
                    os.kill(node.broker_pid(), signal.SIGKILL)
                except (ValueError, OSError):
                    continue  # between two brokers

        killer = threading.Thread(target=kill_each)
        killer.start()
        said = node.process.communicate(timeout=60)[1]
        killer.join()
        assert node.process.returncode == 1
        assert "giving up after 5 failures in a row" in said.splitlines()[-1]
        assert "Traceback" not in said


@pytest.mark.parametrize("broker_hangs", [False, True])
def test_a_killed_supervisor_takes_its_broker_along(tmp_path: Path, broker_hangs: bool) -> None:
    with serve(tmp_path, kafka=f"127.0.0.1:{lasting_port()}") as node:
        broker = node.broker_pid()
        if broker_hangs:
            os.kill(broker, signal.SIGSTOP)
        node.process.kill()
        assert gone(broker)
        with serve(tmp_path, kafka=node.kafka) as again:
            assert again.get("/health/ready")[0] == 200


def produce_until_killed(node: Node, seed: int, kill_after: int) -> list[bytes]:
    """Values acknowledged as on disk before the node was killed, under way."""
    chance = random.Random(seed)
    acknowledged: list[bytes] = []
    with Client(node.kafka) as client:
        client.create("t")
        start = len(client.values("t"))
        victim = node.process.pid if chance.random() < 0.5 else node.broker_pid()
        killing = threading.Event()

        def kill() -> None:
            killing.wait()
            os.kill(victim, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            while True:
                size = chance.randrange(1, 50)
                first = start + len(acknowledged)
                values = [b"%d " % (first + i) * chance.randrange(1, 200) for i in range(size)]
                assert client.produce("t", values) == first
                acknowledged += values
                if len(acknowledged) >= kill_after:
                    killing.set()
        except OSError:
            pass
        finally:
            killing.set()
            killer.join()
    node.process.kill()
    return acknowledged


def check_after_kills(tmp_path: Path, seed: int, rounds: int) -> None:
    chance = random.Random(seed)
    expected: list[bytes] = []
    for turn in range(rounds):
        with serve(tmp_path) as node:
            broker = node.broker_pid()
            kill_after = chance.randrange(1, 1500)
            expected += produce_until_killed(node, chance.randrange(2**31), kill_after)
        assert gone(broker)
        with serve(tmp_path) as node, Client(node.kafka) as client:
            found = client.values("t")
        where = f"seed {seed}, round {turn}"
        assert found[: len(expected)] == expected, where
        # One request may have been written and not yet acknowledged.
        assert len(found) - len(expected) < 50, where
        expected = found


def test_kill_9_while_producing_loses_nothing_acknowledged(tmp_path: Path) -> None:
    check_after_kills(tmp_path, seed=1, rounds=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3])
def test_kill_9_again_and_again_loses_nothing_acknowledged(tmp_path: Path, seed: int) -> None:
    check_after_kills(tmp_path, seed, rounds=4)
