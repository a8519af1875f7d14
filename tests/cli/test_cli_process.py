"""The command as a process of its own: pipes, signals, start-up."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import mainstem as ms
from mainstem.testing import RunningBroker

COMMAND = [sys.executable, "-m", "mainstem"]


@pytest.fixture
def environment(mainstem_session_broker: RunningBroker) -> dict[str, str]:
    return {**os.environ, "MAINSTEM_BROKERS": mainstem_session_broker.address}


def fill(environment: dict[str, str], name: str, rows: int) -> None:
    with ms.connect(environment["MAINSTEM_BROKERS"]) as stem:
        stem.topic(name, create=True).append([b"%d" % n for n in range(rows)])


def test_a_closed_pipe_is_quiet(environment: dict[str, str], name: str) -> None:
    fill(environment, name, 200_000)
    with subprocess.Popen(
        [*COMMAND, "consume", name],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"0\n"
        process.stdout.close()
        assert (process.wait(30), process.stderr.read()) == (0, b"")


def test_ctrl_c_while_following_is_a_quiet_end(environment: dict[str, str], name: str) -> None:
    fill(environment, name, 1)
    with subprocess.Popen(
        [*COMMAND, "consume", name, "--until", "never"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"0\n"
        process.send_signal(signal.SIGINT)
        assert (process.wait(30), process.stderr.read()) == (0, b"")


def test_standard_input_is_sent_as_it_arrives(environment: dict[str, str], name: str) -> None:
    fill(environment, name, 0)
    with (
        ms.connect(environment["MAINSTEM_BROKERS"]) as stem,
        stem.topic(name).read(follow=True) as batches,
        subprocess.Popen(
            [*COMMAND, "produce", name],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        ) as process,  # fmt: skip
    ):
        assert process.stdin is not None
        for line in (b"one", b"two"):
            process.stdin.write(line + b"\n")
            process.stdin.flush()
            assert next(batches)["value"].to_pylist() == [line]
        process.stdin.close()
        assert process.wait(30) == 0


def test_a_terminal_gets_a_table(environment: dict[str, str], name: str) -> None:
    fill(environment, name, 1234)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "topic", "describe", name], stdout=theirs, stderr=subprocess.PIPE,
        env={**environment, "COLUMNS": "100", "TERM": "xterm"},
    )  # fmt: skip
    os.close(theirs)
    text = b""
    try:
        while chunk := os.read(ours, 4096):
            text += chunk
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert process.stderr is not None
    process.stderr.close()
    assert process.wait(30) == 0
    assert "─".encode() in text
    assert b"1,234" in text


def test_doctor_finds_a_damaged_segment(tmp_path: Path) -> None:
    with ms.open(tmp_path) as stem:
        stem.topic("t", create=True).append([b"x" * 100])
    command = [*COMMAND, "doctor", str(tmp_path)]
    sound = subprocess.run(command, capture_output=True, text=True, check=False)
    assert sound.returncode == 0, sound.stderr
    assert " 0 errors" in sound.stderr
    (segment,) = tmp_path.glob("topics/t-0/*.log")
    data = bytearray(segment.read_bytes())
    data[-1] ^= 1
    segment.write_bytes(data)
    damaged = subprocess.run(command, capture_output=True, text=True, check=False)
    assert damaged.returncode == 1
    assert "error" in damaged.stdout
    assert str(segment) in damaged.stdout


def imported(arguments: list[str]) -> set[str]:
    code = (
        "import sys\nfrom mainstem.cli import _run\n"
        f"_run({arguments!r})\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize("arguments", [["--version"], ["serve", "--set", "nonsense=1"]], ids=str)
def test_what_starts_fast_imports_little(arguments: list[str]) -> None:
    heavy = {"pyarrow", "kio", "starlette", "uvicorn", "mainstem.client", "mainstem.face"}
    assert not heavy & imported(arguments)


def test_completion_is_offered_for_the_shell() -> None:
    environment = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done: Any = subprocess.run(
        [*COMMAND, "--show-completion", "bash"], capture_output=True, text=True, check=False,
        env=environment,
    )  # fmt: skip
    assert done.returncode == 0
    assert "_MAINSTEM_COMPLETE" in done.stdout


def test_a_terminal_that_lacks_a_letter_gets_its_number(
    environment: dict[str, str], name: str
) -> None:
    subprocess.run([*COMMAND, "topic", "create", name], env=environment, check=True)
    subprocess.run(
        [*COMMAND, "produce", name], env=environment, check=True, input="Zürich\n".encode()
    )
    done = subprocess.run(
        [*COMMAND, "consume", name, "--format", "table"],
        env=environment | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"Z\\xfcrich" in done.stdout
