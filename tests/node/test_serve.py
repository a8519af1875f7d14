"""``mainstem serve`` as a whole: its line, its endpoints, its end, its refusals."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from node_client import Client, Node, command, environment, failing, gone, serve

from mainstem.node.directory import is_locked, read_address


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Node:  # type: ignore[misc]
    with serve(tmp_path_factory.mktemp("node")) as running:
        yield running


def test_one_line_says_that_it_is_ready(node: Node) -> None:
    host = r"127\.0\.0\.1:[1-9]\d*"
    assert re.fullmatch(f"ready kafka={host} http={host} data=/.*\n", node.line)


def test_the_directory_says_where_its_node_is(node: Node) -> None:
    address = read_address(Path(node.data))
    assert address is not None
    assert (address.kafka, address.http, address.pid) == (
        node.kafka,
        node.http,
        node.process.pid,
    )


def test_the_broker_holds_the_lock_too(node: Node) -> None:
    held = {str(link.readlink()) for link in Path(f"/proc/{node.broker_pid()}/fd").iterdir()}
    assert str(Path(node.data) / "lock") in held


def test_it_is_live_and_ready(node: Node) -> None:
    assert node.get("/health/live") == (200, "live\n")
    assert node.get("/health/ready") == (200, "ready\n")


def test_other_paths_and_methods_are_refused_plainly(node: Node) -> None:
    assert node.get("/nothing") == (404, "Not Found")
    assert node.get("/metrics", "POST") == (405, "Method Not Allowed")


def test_metrics_count_what_clients_did(node: Node) -> None:
    with Client(node.kafka) as client:
        client.create("counted")
        client.produce("counted", [b"a", b"b", b"c"])
        client.values("counted")
        status, text = node.get("/metrics")
    samples = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    partition = '{partition="0",topic="counted"}'
    assert status == 200
    assert samples["mainstem_up"] == "1.0"
    assert float(samples["mainstem_produced_records_total"]) >= 3
    assert float(samples["mainstem_fetched_bytes_total"]) > 0
    assert float(samples["mainstem_connections"]) >= 1
    assert samples[f"mainstem_partition_log_end_offset{partition}"] == "3.0"
    assert samples[f"mainstem_partition_log_start_offset{partition}"] == "0.0"
    assert float(samples[f"mainstem_partition_size_bytes{partition}"]) > 61
    assert float(samples['mainstem_request_seconds_count{api="produce"}']) >= 1
    assert float(samples['mainstem_request_seconds_bucket{api="produce",le="+Inf"}']) >= 1
    assert float(samples["mainstem_syncs_total"]) >= 1
    assert float(samples["mainstem_groups"]) == 0
    assert float(samples['mainstem_process_resident_memory_bytes{role="broker"}']) > 1e6
    assert float(samples['mainstem_process_start_time_seconds{role="broker"}']) > 1e9


def test_a_second_node_in_the_same_directory_is_refused(node: Node) -> None:
    code, out, said = failing(Path(node.data))
    assert (code, out) == (1, "")
    assert re.search(rf"in use by process {node.process.pid}, .*{node.kafka}", said)
    assert "Traceback" not in said


def test_a_port_in_use_is_refused(node: Node, tmp_path: Path) -> None:
    code, _, said = failing(tmp_path, kafka=node.kafka)
    assert code == 1
    assert said == (
        f"mainstem serve: kafka address {node.kafka} is in use by another process: "
        "stop it, or choose another port\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--kafka", "nonsense"], "kafka address 'nonsense' is not HOST:PORT"),
        (["--kafka", "0.0.0.0:0"], "open to the network, without TLS or passwords"),
        (["--advertise", "nonsense"], "advertised address 'nonsense' is not HOST:PORT"),
        (["--set", "broker.num_partition=2"], "did you mean 'broker.num_partitions'"),
        (["--set", "log.flush=never"], "log.flush is 'never'"),
        (["--config", "/none.toml"], "configuration file /none.toml cannot be read"),
    ],
)
def test_bad_usage_is_one_sentence_and_exit_2(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    code, out, said = failing(tmp_path, *arguments)
    assert (code, out) == (2, "")
    assert message in said
    assert len(said.splitlines()) == 1


def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, said = failing(tmp_path / "file")
    assert code == 2
    assert said == (
        f"mainstem serve: data directory {tmp_path / 'file'} is not a directory: choose another\n"
    )


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """Root may write anywhere but to a file system mounted read-only."""
    if os.geteuid() != 0:
        tmp_path.chmod(0o500)
        yield tmp_path
        tmp_path.chmod(0o700)
        return
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("cannot mount a read-only file system here")
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def test_a_read_only_directory_is_named(read_only: Path) -> None:
    code, _, said = failing(read_only / "data")
    assert code == 2
    assert re.search("data directory .* is not writable .*: choose another", said)


def test_damaged_metadata_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "metadata.sqlite").write_bytes(b"this is no database" * 100)
    code, out, said = failing(tmp_path)
    assert (code, out) == (1, "")
    assert "metadata.sqlite" in said.splitlines()[-1]
    assert "Traceback" not in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(tmp_path: Path, number: int) -> None:
    with serve(tmp_path) as node:
        broker = node.broker_pid()
        with Client(node.kafka) as client:
            client.create("t")
            client.produce("t", [b"kept"])
            code, said = node.stop(number)
        assert code == 0
        assert "Traceback" not in said
        assert gone(broker)
    assert not is_locked(tmp_path)
    assert read_address(tmp_path) is None


def test_ctrl_c_reaches_the_whole_group_and_still_ends_cleanly(tmp_path: Path) -> None:
    with serve(tmp_path) as node:
        os.killpg(node.process.pid, signal.SIGINT)  # what a terminal does
        said = node.process.communicate()[1]
        assert node.process.returncode == 0
        assert "Traceback" not in said


def test_told_twice_it_does_not_wait(tmp_path: Path) -> None:
    with serve(tmp_path) as node:
        broker = node.broker_pid()
        os.kill(broker, signal.SIGSTOP)  # a broker that would never finish
        node.process.send_signal(signal.SIGINT)
        node.process.send_signal(signal.SIGTERM)
        said = node.process.communicate(timeout=20)[1]
        assert "told twice" in said
        assert gone(broker)


def test_settings_reach_the_broker(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text('[broker]\nnum_partitions = 7\n[log]\nflush = "os"\n')
    arguments = ("--config", str(tmp_path / "node.toml"), "--set", "broker.num_partitions=5")
    with serve(tmp_path / "data", *arguments) as node, Client(node.kafka) as client:
        client.create("t")
        assert node.get("/metrics")[1].count("mainstem_partition_size_bytes{") == 5


def test_the_advertised_address_is_what_clients_are_told(tmp_path: Path) -> None:
    from mainstem.wire import Message

    with serve(tmp_path, "--advertise", "stem.example:1234") as node, Client(node.kafka) as client:
        (broker,) = client.ask(3, 4, Message(topics=[], allow_auto_topic_creation=False)).brokers
        assert (broker.host, broker.port) == ("stem.example", 1234)


def test_http_can_be_left_out(tmp_path: Path) -> None:
    with serve(tmp_path, "--http", "none") as node:
        assert node.http == "none"
        assert node.stop()[0] == 0


def test_a_variable_of_the_environment_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAINSTEM_KAFAK", "127.0.0.1:0")
    done = subprocess.run(
        command(tmp_path),
        capture_output=True,
        check=False,
        text=True,
        env=environment(MAINSTEM_KAFAK="127.0.0.1:0"),
    )
    assert done.returncode == 2
    assert "unknown key 'kafak' in the environment: did you mean 'kafka'?" in done.stderr


def test_half_a_request_on_the_http_port_does_not_keep_it_from_ending(tmp_path: Path) -> None:
    with serve(tmp_path) as node:
        host, _, port = node.http.rpartition(":")
        with socket.create_connection((host, int(port))) as half:
            half.sendall(b"GET /metrics HTTP/1.1\r\n")
            assert node.get("/health/live")[0] == 200
            assert node.stop()[0] == 0
